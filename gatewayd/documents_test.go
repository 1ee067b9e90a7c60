package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"presence/drivers/beacon/beacontest"
	"presence/scripts/brokertest"
	"presence/scripts/skiptest"
)

// signer is somebody with a key and the city's script.
type signer struct {
	t       testing.TB
	key     string
	checker string // what sign.sh reads documents with before it signs them; "": gatewayd
	docs    string // the program badgedocs, where the documents are about badges
}

// newSigner makes a key with openssl, and its public half beside it (.pem).
func newSigner(t testing.TB) signer {
	t.Helper()
	skiptest.Program(t, "openssl")
	s := signer{t: t, key: filepath.Join(t.TempDir(), "city.key")}
	s.run("openssl", "genpkey", "-algorithm", "ed25519", "-out", s.key)
	s.run("openssl", "pkey", "-in", s.key, "-pubout", "-out", s.key+".pem")
	return s
}

func (s signer) run(name string, args ...string) []byte {
	s.t.Helper()
	checker, err := s.checker, error(nil)
	if checker == "" {
		checker, err = binary()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "GATEWAYD="+checker, "BADGEDOCS="+s.docs)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", name, err, errs.String())
	}
	return out
}

// sign makes a message of the gateway's roster or hours.
func (s signer) sign(kind string, serial int, text string) []byte {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), kind)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return s.run("../scripts/city/sign.sh", "-k", s.key, "-d", "dinkes", "-g", "dinkes-01", "-s", strconv.Itoa(serial), kind, file)
}

const (
	prefix = "presence/v1/dinkes/dinkes-01/"
	ownUID = "04A1B2C3D4E5F6"
)

// raised and cleared tell what was last said of an alert.
func raised(code string) func([]brokertest.Message) bool {
	return func(m []brokertest.Message) bool { last := lastOn(m, "alert/"+code); return len(last) > 0 }
}

func cleared(code string) func([]brokertest.Message) bool {
	return func(m []brokertest.Message) bool {
		last := lastOn(m, "alert/"+code)
		return last != nil && len(last) == 0
	}
}

// lastOn is the last payload on a topic, nil if there was none.
func lastOn(messages []brokertest.Message, topic string) []byte {
	for _, m := range slices.Backward(messages) {
		if m.Topic == prefix+topic {
			return append([]byte{}, m.Payload...)
		}
	}
	return nil
}

// TestSignedRoster: what the city signed is in force and stays it; what
// somebody else publishes changes nothing and is told.
func TestSignedRoster(t *testing.T) {
	t.Parallel()
	cityKey, forger := newSigner(t), newSigner(t)
	b := brokertest.Start(t)
	city := b.Subscribe("presence/v1/#")
	g := newGateway(t, b.URL(), fmt.Sprintf("[hours]\nalways = true\n[city]\nkey_file = %q\n", cityKey.key+".pem"))
	g.start()
	roster := func(serial int) func() bool {
		return func() bool {
			h := g.health().Roster
			return h.Source == "topic" && h.Serial == uint64(serial) && h.Entries == serial
		}
	}
	lines := []string{ownUID + ",kenwood:100-1001\n", "04:00:00:02,reyax:2\n", "h:00112233445566778899aabbccddeeff,waypoint:Bu Sari\n"}
	genuine := func(serial int) []byte { // as many entries as the serial says
		return cityKey.sign("roster", serial, "badge,tag\n"+strings.Join(lines[:serial], ""))
	}
	second := genuine(2)
	city.Publish(prefix+"roster", true, second)
	g.await("the roster", roster(2))
	if a := g.tap("--uid", ownUID); len(a) != 1 || a[0].Outcome != "accepted" {
		t.Fatalf("the tap: %+v", a)
	}
	city.Await("the tag check", func(m []brokertest.Message) bool {
		return strings.Contains(string(lastOn(m, "event/badge")), `"tag_check":{"tag":"kenwood:100-1001","state":"silent"`)
	})

	for name, message := range map[string][]byte{
		"forged":    forger.sign("roster", 3, strings.Join(lines, "")),
		"replayed":  genuine(1),
		"unsigned":  []byte(`{"v":1,"payload":"e30="}`),
		"malformed": []byte("badge,tag\n"),
		"hours":     cityKey.sign("hours", 9, `{"always":true}`),
	} {
		refused := g.health().Roster.Refused
		city.Publish(prefix+"roster", true, message)
		g.await("a roster that is "+name+" to be refused", func() bool { return g.health().Roster.Refused == refused+1 })
		if !roster(2)() {
			t.Fatalf("%s: %+v", name, g.health().Roster)
		}
	}
	city.Await("the alert", raised("roster-refused"))
	city.Publish(prefix+"roster", true, second)
	city.Await("the end of the alert", cleared("roster-refused"))

	// A restart, and a broker that has lost the roster, or has an old one.
	g.stop()
	city.Publish(prefix+"roster", true, nil)
	g.start()
	g.await("the line", func() bool { return g.health().MQTT.Connected })
	if !roster(2)() {
		t.Errorf("after a restart: %+v", g.health().Roster)
	}
	city.Publish(prefix+"roster", true, genuine(1))
	city.Await("the alert on a replay after the restart", raised("roster-refused"))
	if !roster(2)() {
		t.Errorf("after a replay: %+v", g.health().Roster)
	}
	city.Publish(prefix+"roster", true, genuine(3))
	g.await("the next roster", roster(3))
	city.Await("the end of the alert", cleared("roster-refused"))
	g.stop()
	for _, m := range city.Messages() {
		if err := validator(t).Validate(m.Topic, m.Payload); err != nil && m.Topic != prefix+"roster" {
			t.Error(err)
		}
	}
	nowhere(t, g, ownUID, "04:00:00:02", "04000002")
}

// nowhere looks for numbers of cards and tags in the gateway's state and log.
func nowhere(t *testing.T, g *gateway, numbers ...string) {
	t.Helper()
	found := func(where string, data []byte) {
		for _, number := range numbers {
			if bytes.Contains(bytes.ToUpper(data), []byte(number)) {
				t.Errorf("%s is in %s", number, where)
			}
		}
	}
	found("the log", g.log.Bytes())
	if err := filepath.WalkDir(filepath.Join(g.dir, "state"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		found(path, data)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestSignedHours: the city closes the hours, and no tag is recorded from then
// on; nobody else can open them.
func TestSignedHours(t *testing.T) {
	t.Parallel()
	cityKey, forger := newSigner(t), newSigner(t)
	b := brokertest.Start(t)
	city := b.Subscribe("presence/v1/#")
	radio, port := openTTY(t)
	g := newGateway(t, b.URL(), everyTag+fmt.Sprintf("[city]\nkey_file = %q\n", cityKey.key+".pem")+receiver(port))
	g.start()
	fixes := 0
	send := func(unit int) {
		t.Helper()
		fixes++
		if _, err := io.WriteString(radio, beacontest.PKLDS(100, unit, -7.9+float64(fixes)/1000, 112.6, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	send(1001)
	city.Await("the tag", func(m []brokertest.Message) bool { return count(m, "tag") == 1 })

	// Open for an hour on Mondays, which is half a day from now.
	far := time.Now().In(jakarta(t)).Add(12 * time.Hour)
	closed := fmt.Sprintf(`{"mon":"%02d:00-%02d:00","break":""}`, far.Hour(), far.Hour()+1)
	hours := func(open bool, serial uint64) func() bool {
		return func() bool {
			h := g.health().Hours
			return h.Source == "topic" && h.Open != nil && *h.Open == open && h.Serial == serial
		}
	}
	outside := func(n int64) func() bool {
		return func() bool { return g.health().Receivers[0].OutsideHours == n }
	}
	second := cityKey.sign("hours", 2, closed)
	city.Publish(prefix+"policy/hours", true, second)
	g.await("closed hours", hours(false, 2))
	send(2002)
	g.await("a tag outside of the hours", outside(1))

	for name, message := range map[string][]byte{
		"forged":   forger.sign("hours", 3, `{"always":true}`),
		"replayed": cityKey.sign("hours", 1, `{"always":true}`),
		"unsigned": []byte(`{"always":true}`),
		"wrong":    signer{t: t, key: cityKey.key, checker: "/bin/true"}.sign("hours", 3, `{"mon":"always"}`), // by a program of the city's own
		"a roster": cityKey.sign("roster", 3, ownUID+",reyax:1\n"),
	} {
		refused := g.health().Hours.Refused
		city.Publish(prefix+"policy/hours", true, message)
		g.await("hours that are "+name+" to be refused", func() bool { return g.health().Hours.Refused == refused+1 })
		if !hours(false, 2)() {
			t.Fatalf("%s: %+v", name, g.health().Hours)
		}
	}
	city.Await("the alert", raised("hours-refused"))
	city.Publish(prefix+"policy/hours", true, second)
	city.Await("the end of the alert", cleared("hours-refused"))

	g.stop()
	city.Publish(prefix+"policy/hours", true, nil)
	g.start()
	if !hours(false, 2)() {
		t.Errorf("after a restart: %+v", g.health().Hours)
	}
	send(2002)
	g.await("a tag outside of the hours", outside(1))

	g.await("the line", func() bool { return g.health().MQTT.Connected })
	city.Publish(prefix+"policy/hours", true, cityKey.sign("hours", 3, `{"always":true}`))
	g.await("open hours", hours(true, 3))
	send(1001)
	messages := city.Await("the tag", func(m []brokertest.Message) bool { return count(m, "tag") == 2 })
	if n := count(messages, "tag"); n != 2 {
		t.Errorf("%d tags reached the city, want the first and the last", n)
	}
	g.stop()
	nowhere(t, g, "100-2002") // heard while the hours were closed
}

// TestEditedDocumentsAreNotInForce: somebody writes into the state folder while the
// gateway is off. What the configuration says is in force then, which is told, and
// the city's documents are taken again under the serials that they had.
func TestEditedDocumentsAreNotInForce(t *testing.T) {
	t.Parallel()
	cityKey := newSigner(t)
	b := brokertest.Start(t)
	city := b.Subscribe("presence/v1/#")
	g := newGateway(t, b.URL(), fmt.Sprintf("[hours]\nmon = \"00:00-00:01\"\n[city]\nkey_file = %q\n", cityKey.key+".pem"))
	g.start()
	roster, hours := cityKey.sign("roster", 4, ownUID+",reyax:1\n"), cityKey.sign("hours", 5, `{"tue":"00:00-00:01"}`)
	publish := func() {
		t.Helper()
		city.Publish(prefix+"roster", true, roster)
		city.Publish(prefix+"policy/hours", true, hours)
		g.await("the city's documents", func() bool {
			h := g.health()
			return h.Roster.Source == "topic" && h.Roster.Serial == 4 && h.Hours.Source == "topic" && h.Hours.Serial == 5
		})
	}
	publish()
	g.stop()
	city.Publish(prefix+"roster", true, nil)
	city.Publish(prefix+"policy/hours", true, nil)
	for name, body := range map[string]string{"roster": `[]`, "hours": `{"always":true}`} {
		path := filepath.Join(g.dir, "state", name+".json")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var kept map[string]any
		if err := json.Unmarshal(data, &kept); err != nil {
			t.Fatal(err)
		}
		for key, value := range map[string]any{
			"v": 1, "kind": name, "dinas": "dinkes", "gateway": "dinkes-01", "serial": 5, "issued": "2026-11-23T08:00:00+07:00", "body": json.RawMessage(body),
		} {
			kept[key] = value
		}
		if data, err = json.Marshal(kept); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g.start()
	city.Await("the alert on the roster", raised("roster-refused"))
	city.Await("the alert on the hours", raised("hours-refused"))
	if h := g.health(); h.Roster.Source != "none" || h.Roster.Entries != 0 || h.Hours.Source != "file" || h.Hours.Open == nil || *h.Hours.Open {
		t.Errorf("in force are %+v and %+v", h.Roster, h.Hours)
	}
	publish()
	city.Await("the end of the alert on the roster", cleared("roster-refused"))
	city.Await("the end of the alert on the hours", cleared("hours-refused"))
	g.stop()
	nowhere(t, g, ownUID)
}

// TestRosterFile: the file is read again when it changes; a wrong one changes
// nothing and is told.
func TestRosterFile(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe("presence/v1/#")
	g := newGateway(t, b.URL(), "[tags]\nroster_file = \"roster.csv\"\n")
	if out, code := g.try("check"); code != 2 || !strings.Contains(out, ":17: tags.roster_file: ") {
		t.Errorf("check without the file: exit %d\n%s", code, out)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(g.dir, "roster.csv"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entries := func(n int) func() bool {
		return func() bool { h := g.health().Roster; return h.Source == "file" && h.Entries == n }
	}
	// Taps do not wait for a roster that is not there.
	g.start()
	city.Await("the alert on a missing roster", raised("roster"))
	if a := g.tap("--uid", ownUID); len(a) != 1 || a[0].Outcome != "accepted" {
		t.Fatalf("the tap: %+v", a)
	}

	write("badge;tag\r\n" + ownUID + ";kenwood:100-1001\r\n")
	g.await("the roster", entries(1))
	city.Await("the end of the alert", cleared("roster"))

	wrong := "badge,tag\n" + ownUID + ",kenwood:100-1001\n\n" + strings.ToLower(ownUID) + ",reyax:1\n"
	write(wrong)
	city.Await("the alert on a wrong roster", raised("roster"))
	if !entries(1)() {
		t.Errorf("a wrong file changed the roster: %+v", g.health().Roster)
	}
	if out, code := g.try("check"); code != 2 || !strings.Contains(out, "roster.csv:4: has the badge of line 2 again") {
		t.Errorf("check: exit %d\n%s", code, out)
	}
	write("badge,tag\n" + ownUID + ",kenwood:100-1001\n04000002,reyax:1\n")
	g.await("the next roster", entries(2))
	city.Await("the end of the alert", cleared("roster"))
	if out, code := g.try("check"); code != 0 {
		t.Errorf("check: exit %d\n%s", code, out)
	}
	// As Excel writes it under Indonesian settings, with the numbers of a decimal reader.
	write("\ufeffsep=;\r\nKartu;Tag;uid_format=dec\r\n67108866;reyax:1\r\n67108867;reyax:2\r\n67108868;reyax:3\r\n")
	g.await("the roster of decimal numbers", entries(3))
	write("\ufeffsep=;\r\nKartu;Tag\r\n04000002;reyax:1\r\n98765400;reyax:2\r\n9,87654E+13;reyax:3\r\n")
	city.Await("the alert on numbers that Excel made", raised("roster"))
	if out, code := g.try("check"); code != 2 || !strings.Contains(out, "roster.csv:4: has a number that a spreadsheet may have made") || !strings.Contains(out, "roster.csv:5: has a number as a spreadsheet shortens it") {
		t.Errorf("check: exit %d\n%s", code, out)
	}
	g.stop()
	nowhere(t, g, ownUID, "04000002", "98765400", "67108866")
	events(t, validator(t), city.Messages()) // each is valid
}
