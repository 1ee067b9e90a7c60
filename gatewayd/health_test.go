package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/drivers/beacon/beacontest"
	"presence/gatewayd/internal/presence"
	"presence/scripts/brokertest"
)

// TestAlertsReachTheCityAndClearByThemselves: cause, alert, gone.
func TestAlertsReachTheCityAndClearByThemselves(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/+/+/alert/+")
	_, tty := openTTY(t)
	port := filepath.Join(t.TempDir(), "usb-receiver")
	g := newGateway(t, b.URL(), receiver(port))
	g.start()
	expect := func(code string, stands bool) {
		t.Helper()
		seen.Await(fmt.Sprintf("alert %s to stand: %v", code, stands), func(m []brokertest.Message) bool {
			for _, m := range slices.Backward(m) {
				if strings.HasSuffix(m.Topic, "/alert/"+code) {
					return len(m.Payload) > 0 == stands
				}
			}
			return false
		})
	}
	expect("receiver-yard", true)
	if err := os.Symlink(tty, port); err != nil {
		t.Fatal(err)
	}
	expect("receiver-yard", false)
	g.must("sim", "reader", "--reader", "door", "--fault", "deaf")
	expect("reader-door", true)
	g.must("sim", "reader", "--reader", "door", "--fault", "none")
	expect("reader-door", false)
	v := validator(t)
	for _, m := range seen.Messages() {
		if err := v.Validate(m.Topic, m.Payload); err != nil {
			t.Error(err)
		}
	}
	if h := g.health(); h.Level != presence.LevelOK || len(h.Alerts) > 0 {
		t.Errorf("in the end: level %s, alerts %v", h.Level, h.Alerts)
	}
}

// TestCertificateThatHasEndedIsAnAlertUntilItIsRenewed: the broker refuses it,
// and the one that takes its place is taken up without a restart.
func TestCertificateThatHasEndedIsAnAlertUntilItIsRenewed(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	serverCert, serverKey := ca.Issue("broker", time.Now().Add(time.Hour))
	b := brokertest.Start(t, "cafile "+ca.File, "certfile "+serverCert, "keyfile "+serverKey,
		"require_certificate true", "use_identity_as_username true", "allow_anonymous false")
	cert, key := ca.Issue("dinkes-01", time.Now().Add(-time.Hour))
	g := newGateway(t, "tls://"+b.Address(), fmt.Sprintf("ca_file = %q\ncert_file = %q\nkey_file = %q\n", ca.File, cert, key))
	g.start()
	g.await("the alert", func() bool { return slices.Contains(g.health().Alerts, "certificate-expired") })
	if _, levels := g.doctor(); levels["certificate"] != "fail" || levels["broker"] != "fail" {
		t.Errorf("doctor finds %v", levels)
	}
	if a := g.tap("--uid", "5A000001")[0]; a.Outcome != "accepted" {
		t.Errorf("meanwhile: %+v", a)
	}
	ca.Issue("dinkes-01", time.Now().Add(90*24*time.Hour)) // into the same files
	g.await("the line and the alert's end", func() bool {
		h := g.health()
		return h.MQTT.Connected && h.Journal.Pending == 0 && !slices.Contains(h.Alerts, "certificate-expired")
	})
}

// TestStatusIsTheHealthDocument: what `status --json` prints is what the city
// gets, with an alert standing: no field more.
func TestStatusIsTheHealthDocument(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	g.must("sim", "reader", "--reader", "door", "--fault", "deaf")
	g.await("the alert", func() bool { return slices.Contains(g.health().Alerts, "reader-door") })
	document := g.must("status", "--json")
	if err := validator(t).Validate("presence/v1/dinkes/dinkes-01/health", []byte(document)); err != nil {
		t.Error(err)
	}
	if !strings.Contains(document, `"error":"`) {
		t.Errorf("the reader's fault is not in %s", document)
	}
	if out := g.must("status"); !strings.Contains(out, "alert reader-door") {
		t.Errorf("status says\n%s", out)
	}
}

// figures are the numbers of a JSON document by their path; elements of a list go
// by their name.
func figures(doc any, path string, into map[string]float64) {
	switch v := doc.(type) {
	case map[string]any:
		for key, value := range v {
			below := key
			if path != "" {
				below = path + "." + key
			}
			figures(value, below, into)
		}
	case []any:
		for _, value := range v {
			figures(value, path, into)
		}
	case float64:
		into[path] = v
	}
}

// TestEveryFigureOfHealth: after a morning of which everything is known, each
// number of the health document is the number of what happened. A number that is
// not in the table is an error: somebody would add it unseen.
func TestEveryFigureOfHealth(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	radio, port := openTTY(t)
	rosterFile := filepath.Join(t.TempDir(), "roster.csv")
	if err := os.WriteFile(rosterFile, []byte("badge,tag\n04A1B2C3D4E5F6,kenwood:100-1001\n04A1B2C3D4E5F7,kenwood:100-1002\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := strings.Replace(everyTag, "[tags]\n", fmt.Sprintf("[tags]\nroster_file = %q\n", rosterFile), 1)
	if all == everyTag {
		t.Fatal("the configuration has no place for a roster")
	}
	b.Stop()
	g := newGateway(t, b.URL(), "receipts = true\n"+all+receiver(port)+"[health]\ninterval = \"1s\"\n")
	started := time.Now()
	g.start()
	answered := time.Now()

	// Three people come, one of them twice, and the line is down.
	taps := g.tap("--uid", "04A1B2C3D4E5F6", "--count", "3")
	time.Sleep(500 * time.Millisecond) // so that the badge was away
	if again := g.tap("--uid", "04A1B2C3D4E5F7")[0]; again.Outcome != "repeat" {
		t.Fatalf("the same badge: %+v", again)
	}
	time.Sleep(2100 * time.Millisecond) // so that what counts seconds has some
	h := g.health()
	if s := time.Since(started).Seconds(); h.Journal.Pending != 4 || h.Journal.OldestPendingS < 2 || float64(h.Journal.OldestPendingS) > s ||
		h.MQTT.Connected || h.MQTT.DisconnectedS < 2 || float64(h.MQTT.DisconnectedS) > s {
		t.Errorf("while the line is down: %+v %+v", h.Journal, h.MQTT)
	}

	// The line is there, goes, and comes back.
	b.Restart()
	connected := func() bool { return g.health().MQTT.Connected }
	g.await("the line", func() bool { h := g.health(); return h.MQTT.Connected && h.MQTT.Acked == 4 })
	b.Stop()
	g.await("its end", func() bool { return !connected() })
	b.Restart()
	g.await("the line again", connected)
	seen := b.Subscribe("presence/v1/dinkes/dinkes-01/#")

	// Five tags are heard, one of them twice, and two frames are damaged.
	at := time.Now()
	for i := range 5 {
		line := beacontest.PKLDS(100, 1001+i, -7.9, 112.6, at)
		_, _ = io.WriteString(radio, line)
		if i == 4 {
			_, _ = io.WriteString(radio, line)
		}
		if i < 2 {
			_, _ = io.WriteString(radio, strings.Replace(line, "*", "0*", 1))
		}
	}
	g.await("the tags", func() bool { return g.health().Journal.Events == 9 })

	// The city has the first stream's events but the tags, and somebody writes
	// what is no command.
	const prefix = "presence/v1/dinkes/dinkes-01/"
	seen.Publish(prefix+"receipt", false, []byte(fmt.Sprintf(`{"stream":%q,"upto":4}`, taps[0].Stream)))
	seen.Publish(prefix+"cmd/ping", false, []byte(`{`))
	seen.Publish(prefix+"cmd/ping", false, []byte(`[]`))
	defer func() {
		if t.Failed() {
			t.Logf("in the end: %s", g.must("status", "--json"))
		}
	}()
	g.await("the receipt", func() bool { h := g.health(); return h.Journal.Pending == 5 && h.MQTT.Refused == 2 })
	time.Sleep(1100 * time.Millisecond) // so that the oldest has an age

	document := g.must("status", "--json")
	age := time.Since(started)
	file, err := os.Stat(filepath.Join(g.dir, "state", "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	compareFigures(t, document, expectedFigures(age, time.Since(answered), file.Size()))
}

// TestTheFirstHealthOfAConnectionSaysSo: not what was known before it, for as long
// as an interval lasts.
func TestTheFirstHealthOfAConnectionSaysSo(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/+/+/health")
	g := newGateway(t, b.URL(), "[health]\ninterval = \"1h\"\n")
	g.start()
	messages := seen.Await("the first document", func(m []brokertest.Message) bool { return len(m) > 0 })
	if first := string(messages[0].Payload); !strings.Contains(first, `"connected":true`) || !strings.Contains(first, `"interval_s":3600`) {
		t.Errorf("the first document is %s", first)
	}
	seen.Await("the reader's chip", func(m []brokertest.Message) bool {
		return strings.Contains(string(m[len(m)-1].Payload), `"version":"92"`)
	})
	if n := len(seen.Messages()); n > 4 {
		t.Errorf("%d documents for one start", n)
	}
}

// TestANoisyReceiverIsNotGone: damaged frames are an alert of their own, which is
// over when whole ones come again, and no outage on a sheet that decides pay.
func TestANoisyReceiverIsNotGone(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/+/+/alert/+")
	radio, port := openTTY(t)
	g := newGateway(t, b.URL(), everyTag+receiver(port))
	g.start()
	today := func() string { return time.Now().In(jakarta(t)).Format(time.DateOnly) }
	began := today()
	send := func(n int, damage bool) {
		t.Helper()
		for i := range n {
			line := beacontest.PKLDS(100, 1000+i%40, -7.9, 112.6, time.Now())
			if damage {
				line = strings.Replace(line, "*", "0*", 1)
			}
			if _, err := io.WriteString(radio, line); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.await("the receiver", func() bool { return g.health().Receivers[0].State != "gone" })
	send(40, false)
	send(150, true)
	messages := seen.Await("the alert", func(m []brokertest.Message) bool {
		return slices.ContainsFunc(m, func(m brokertest.Message) bool { return strings.HasSuffix(m.Topic, "/alert/receiver-noisy-yard") })
	})
	v := validator(t)
	for _, m := range messages {
		if err := v.Validate(m.Topic, m.Payload); err != nil {
			t.Error(err)
		}
		if strings.HasSuffix(m.Topic, "/alert/receiver-noisy-yard") && !strings.Contains(string(m.Payload), `"about":["yard"]`) {
			t.Errorf("the alert is %s", m.Payload)
		}
	}
	time.Sleep(6 * time.Second) // longer than what is too brief for a sheet
	for range 6 {
		send(50, false)
		time.Sleep(100 * time.Millisecond)
	}
	g.await("its end", func() bool { return len(g.health().Alerts) == 0 })
	for _, day := range []string{began, today()} { // another one at midnight
		if out := g.must("export", "--day", day, "--format", "csv"); strings.Contains(out, "outage,") {
			t.Errorf("the sheet says\n%s", out)
		}
	}
}

// expectedFigures says of each figure of the health document whether it fits a gateway
// that started so long ago, first answered so long ago, and whose journal has so many
// bytes.
func expectedFigures(age, sinceAnswer time.Duration, journal int64) map[string]func(float64) bool {
	exact := func(n float64) func(float64) bool { return func(v float64) bool { return v == n } }
	between := func(lo, hi float64) func(float64) bool { return func(v float64) bool { return lo <= v && v <= hi } }
	seconds := age.Seconds()
	return map[string]func(float64) bool{
		"v": exact(1), "seq": between(3, 3*seconds+10), "interval_s": exact(1), "uptime_s": between(sinceAnswer.Seconds()-2, seconds),
		"boots": exact(1), "unclean_boots": exact(0),
		"clock.error_ms": exact(0), "clock.unsynced_s": exact(0),
		"journal.pending": exact(5), "journal.oldest_pending_s": between(1, seconds), "journal.events": exact(9),
		"journal.bytes":         exact(float64(journal)),
		"journal.commit_ms_p50": between(0.001, 10_000), "journal.commit_ms_p99": between(0.001, 60_000),
		"journal.written_bytes_day": between(0, 1e13), "journal.free_bytes": between(1<<20, 256<<20),
		"mqtt.reconnects": exact(1), "mqtt.published": between(9, 60), "mqtt.acked": between(9, 60), "mqtt.received_receipt": exact(4),
		"mqtt.oldest_inflight_s": exact(0), "mqtt.refused": exact(2), "mqtt.bytes_sent": between(10_000, 1e6), "mqtt.bytes_received": between(200, 1e6), "mqtt.bytes_day": between(10_200, 2e6), "mqtt.disconnected_s": exact(0),
		"readers.taps": exact(3), "readers.repeats": exact(1), "readers.refused": exact(0), "readers.errors": exact(0),
		"readers.looks_per_s": between(0, 2000), "readers.seen": between(4, 1e6), "readers.misses": exact(0), "readers.bad_frames": between(0, 8),
		"readers.misreads": exact(0), "readers.mends": exact(0), "readers.resets": between(0, 1),
		"readers.unreadable": exact(0),
		"receivers.frames":   exact(6), "receivers.bad.checksum": exact(2), "receivers.duplicates": exact(1),
		"receivers.thinned": exact(0), "receivers.outside_hours": exact(0), "receivers.last_s": between(0, seconds),
		"roster.entries": exact(2), "roster.serial": exact(0), "roster.refused": exact(0),
		"hours.serial": exact(0), "hours.refused": exact(0),
		"pi.temp_c": between(-40, 150), "pi.undervoltage": between(0, seconds), "pi.disk_free_bytes": between(1, 1e15),
		"pi.disk_days_left": between(0, 3650), "pi.sd_errors": between(0, 1e9),
	}
}

// compareFigures holds all figures of a health document against the expected ones.
func compareFigures(t *testing.T, document string, expected map[string]func(float64) bool) {
	t.Helper()
	var doc any
	if err := json.Unmarshal([]byte(document), &doc); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]float64)
	figures(doc, "", found)
	for path, value := range found {
		if fits, known := expected[path]; !known {
			t.Errorf("nobody counted %s, which is %v", path, value)
		} else if !fits(value) {
			t.Errorf("%s is %v", path, value)
		}
	}
	for path := range expected {
		if _, there := found[path]; !there && !strings.HasPrefix(path, "pi.") && path != "receivers.bad.checksum" {
			t.Errorf("%s is not in the document", path)
		}
	}
	if t.Failed() {
		t.Logf("the document is %s", document)
	}
}
