package uplink_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// acl writes an access list for anonymous clients.
func acl(t *testing.T, lines string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "acl")
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	return "acl_file " + path
}

func TestTryTellsHowFarTheWayToTheBrokerGoes(t *testing.T) {
	t.Parallel()
	const own = "presence/v1/dinkes/dinkes-01/"
	open := brokertest.Start(t)
	locked := brokertest.Start(t, "allow_anonymous false")
	readOnly := brokertest.Start(t, "allow_anonymous true", acl(t, "topic read "+own+"#\n"))
	writeOnly := brokertest.Start(t, "allow_anonymous true", acl(t, "topic write "+own+"#\n"))
	kit := brokertest.Start(t, "allow_anonymous true", acl(t, "topic readwrite "+own+"alert/#\n"))
	gone := brokertest.Nobody(t)
	ca, other := brokertest.NewCA(t), brokertest.NewCA(t)
	tomorrow, yesterday := time.Now().Add(24*time.Hour), time.Now().Add(-24*time.Hour)
	mutual := secure(t, ca, "broker", tomorrow)

	for name, tc := range map[string]struct {
		broker *brokertest.Broker
		change func(*uplink.Options)
		reach  bool
		fails  uplink.Step // "" is none
	}{
		"all well":           {open, nil, false, ""},
		"reached only":       {locked, nil, true, ""},
		"nobody listens":     {gone, nil, false, uplink.StepTCP},
		"no such name":       {open, func(o *uplink.Options) { o.Address = "mqtt.invalid:1883" }, false, uplink.StepResolve},
		"not let in":         {locked, nil, false, uplink.StepConnect},
		"may not write":      {readOnly, nil, false, uplink.StepEcho},
		"may not read":       {writeOnly, nil, false, uplink.StepEcho},
		"may do just enough": {kit, nil, false, ""},
		"no password file":   {open, func(o *uplink.Options) { o.PasswordFile = "/gone" }, false, uplink.StepFiles},
		"certificate": {mutual, func(o *uplink.Options) {
			o.TLS, o.CAFile = true, ca.File
			o.CertFile, o.KeyFile = ca.Issue("a", tomorrow)
		}, false, ""},
		"no certificate": {mutual, func(o *uplink.Options) { o.TLS, o.CAFile = true, ca.File }, true, uplink.StepTLS},
		"expired certificate": {mutual, func(o *uplink.Options) {
			o.TLS, o.CAFile = true, ca.File
			o.CertFile, o.KeyFile = ca.Issue("b", yesterday)
		}, true, uplink.StepTLS},
		"broker of another CA": {mutual, func(o *uplink.Options) { o.TLS, o.CAFile = true, other.File }, false, uplink.StepTLS},
		"no such CA file":      {mutual, func(o *uplink.Options) { o.TLS, o.CAFile = true, "/gone" }, false, uplink.StepFiles},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(tc.broker.Address(), newMemory(0))
			if tc.change != nil {
				tc.change(&o)
			}
			p := uplink.Try(t.Context(), o, tc.reach)
			if p.Failed == uplink.StepPublish && tc.fails == uplink.StepEcho {
				p.Failed = tc.fails // some versions close the connection over it
			}
			if p.Failed != tc.fails || (p.Err == nil) != (tc.fails == "") {
				t.Errorf("failed at %q with %v, want %q", p.Failed, p.Err, tc.fails)
			}
		})
	}
}

// TestTryTakesPartAsNobody: the city sees nothing of it but an alert cleared
// that there never was, and a gateway that is connected stays so.
func TestTryTakesPartAsNobody(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/#")
	o := options(b.Address(), newMemory(1))
	u := uplink.New(o)
	run(t, u)
	await(t, "the event", func() bool { return o.Journal.Cursor() == 1 })
	before := len(seen.Await("the event at the city", brokertest.Came(prefix+"event/badge")))
	if p := uplink.Try(t.Context(), o, true); p.Err != nil {
		t.Fatal(p.Err)
	}
	other := options(b.Address(), newMemory(0))
	other.Origin.Gateway = "dinkes-02"
	if p := uplink.Try(t.Context(), other, false); p.Err != nil {
		t.Fatal(p.Err)
	}
	seen.Publish("presence/v1/end", false, []byte("x"))
	messages := seen.Await("the end", brokertest.Came("presence/v1/end"))
	var topics []string
	for _, m := range messages[before:] {
		if m.Topic != "presence/v1/end" {
			topics = append(topics, fmt.Sprintf("%s %q", m.Topic, m.Payload))
		}
	}
	if !slices.Equal(topics, []string{`presence/v1/dinkes/dinkes-02/alert/doctor ""`}) {
		t.Errorf("the city saw %q", topics)
	}
	if s := u.Stats(); !s.Connected || s.Reconnects != 0 {
		t.Errorf("the gateway that ran was disturbed: %+v", s)
	}
}

// TestTryFindsOutWhetherBatchesGetThrough: no step fails where they do not, for events go
// one by one then.
func TestTryFindsOutWhetherBatchesGetThrough(t *testing.T) {
	t.Parallel()
	const own = "presence/v1/dinkes/dinkes-01/"
	for name, tc := range map[string]struct {
		rules   string // of the ACL; "": there is none
		batches bool
		denied  bool
	}{
		"allowed":            {"", true, false},
		"none are sent":      {"topic readwrite " + own + "alert/#\n", false, false},
		"neither":            {"topic readwrite " + own + "alert/#\n", true, true},
		"written only":       {"topic readwrite " + own + "alert/#\ntopic write " + own + "event/+\n", true, true},
		"read only":          {"topic readwrite " + own + "alert/#\ntopic read " + own + "event/batch\n", true, true},
		"written and read":   {"topic readwrite " + own + "alert/#\ntopic readwrite " + own + "event/batch\n", true, false},
		"not even its alert": {"topic readwrite " + own + "event/batch\n", true, false}, // which fails another step
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			extra := []string{"allow_anonymous true"}
			if tc.rules != "" {
				extra = append(extra, acl(t, tc.rules))
			}
			o := options(brokertest.Start(t, extra...).Address(), newMemory(0))
			o.Batch, o.BatchMax = tc.batches, 256
			p := uplink.Try(t.Context(), o, false)
			if (p.Batches != nil) != tc.denied {
				t.Errorf("batches: %v", p.Batches)
			}
			if (p.Failed != "") != (name == "not even its alert") || slices.Contains(p.Denied, uplink.BatchTopic) {
				t.Errorf("failed at %q: %v, denied %v", p.Failed, p.Err, p.Denied)
			}
		})
	}
}
