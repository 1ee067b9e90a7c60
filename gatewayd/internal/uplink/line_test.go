package uplink_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// TestStalledLineKeepsNobodyWaiting: the log and the documents come from the
// tasks that read badges.
func TestStalledLineKeepsNobodyWaiting(t *testing.T) {
	b := brokertest.Start(t)
	line := newBadLine(t, b.Address())
	u := uplink.New(options(line.proxy.Listen, newMemory(1000)))
	run(t, u)
	await(t, "the line", func() bool { return u.Stats().Connected })
	line.spoil("a", "bandwidth", "upstream", `"rate":0`)
	large := fmt.Appendf(nil, "%q", strings.Repeat("x", 100_000))
	begin := time.Now()
	for i := range 200 {
		u.Retain(fmt.Sprintf("alert/%d", i), large)
		u.Log(large)
	}
	// Waiting for this line would have no end. A busy machine may take its time for 40 MB.
	if took := time.Since(begin); took > brokertest.Wait/3 {
		t.Errorf("it took %v", took)
	}
}

func TestFloodOfCommandsIsDroppedAndCounted(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "reply/#")
	o := options(b.Address(), newMemory(0))
	release := make(chan struct{})
	o.Commands["slow"] = func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return json.RawMessage(`{}`), nil
	}
	u := uplink.New(o)
	run(t, u)
	await(t, "the line", func() bool { return u.Stats().Connected })
	const sent, most = 300, 64 + 1 // that wait, and the one that runs
	for i := range sent {
		city.Publish(prefix+"cmd/slow", false, fmt.Appendf(nil, `{"tx":"%d","expires":%q}`, i, inAnHour()))
	}
	await(t, "the rest to be refused", func() bool { return u.Stats().Refused == sent-most })
	close(release)
	city.Await("the others' replies", func(m []brokertest.Message) bool { return len(m) == most })
	city.Publish(prefix+"cmd/ping", false, fmt.Appendf(nil, `{"tx":"after","expires":%q}`, inAnHour()))
	city.Await("a reply after the flood", func(m []brokertest.Message) bool { return replied(m, "after", `"ok":true`) })
}

func TestDeniedSubscriptionsAreNamedAndStopNothing(t *testing.T) {
	t.Parallel()
	broker := newSilentBroker(t)
	broker.granted = 0x80
	u := uplink.New(options(broker.address, newMemory(3)))
	run(t, u)
	await(t, "events all the same", func() bool { return u.Stats().Published >= 3 })
	if denied := u.Denied(); !slices.Equal(denied, []string{"alert/+", "cmd/+", "receipt", "status"}) {
		t.Errorf("denied %q", denied)
	}
}

// TestCertificatesAreJudgedByTheGivenTime: a Pi without a clock knows better
// than its system's clock.
func TestCertificatesAreJudgedByTheGivenTime(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	b := secure(t, ca, "broker", time.Now().Add(time.Hour))
	for name, tc := range map[string]struct {
		at   func() time.Time
		says string
	}{
		"the system's clock": {nil, ""},
		"the same":           {time.Now, ""},
		"1970":               {func() time.Time { return time.Unix(0, 0) }, "not yet valid"},
		"years later":        {func() time.Time { return time.Now().AddDate(5, 0, 0) }, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(b.Address(), newMemory(1))
			o.TLS, o.CAFile, o.CertTime = true, ca.File, tc.at
			o.CertFile, o.KeyFile = ca.Issue("dinkes-01", time.Now().Add(time.Hour))
			u := uplink.New(o)
			run(t, u)
			if tc.says == "" {
				await(t, "the event", func() bool { return o.Journal.Cursor() == 1 })
				return
			}
			await(t, "the reason", func() bool { return strings.Contains(u.Stats().LastError, tc.says) })
		})
	}
}

// TestBrokerThatRestartsInTheMiddleLosesNothing has a broker and a city that
// keep what was acknowledged: then the city has every event, each for the first
// time in its order.
func TestBrokerThatRestartsInTheMiddleLosesNothing(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, "allow_anonymous true", "persistence true", "persistence_location "+t.TempDir()+"/")
	city := b.Subscribe(prefix+"event/#", func(o *mqtt.ClientOptions) {
		o.SetClientID("city").SetCleanSession(false).SetResumeSubs(true)
	})
	const rounds, each = 3, 3000
	j := newMemory(0)
	u := uplink.New(options(b.Address(), j))
	run(t, u)
	for round := range rounds {
		j.add(each)
		await(t, "some progress", func() bool { return j.Cursor() > uint64(round*each+each/10) })
		b.Stop()
		b.Restart()
	}
	await(t, "the cursor", func() bool { return j.Cursor() == rounds*each })
	// Counting all at each message would take long; the last one comes last.
	got := city.Await("the last event", func(m []brokertest.Message) bool {
		return len(m) >= rounds*each && slices.Contains(seqs(m[len(m)-1:]), uint64(rounds*each))
	})
	if n := distinct(t, seqs(got)); n != rounds*each {
		t.Errorf("%d different events of %d", n, rounds*each)
	}
}

// TestProcessBeforeIsNoRival: after a power cut the broker still says that the
// process before is online.
func TestProcessBeforeIsNoRival(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "status")
	const other = `{"state":"online","session":"00000000-0000-4000-8000-000000000001","reason":"start","time":null}`
	city.Publish(prefix+"status", true, []byte(other))
	u := uplink.New(options(b.Address(), newMemory(1)))
	run(t, u)
	city.Await("birth", func(m []brokertest.Message) bool {
		return len(m) >= 2 && !strings.Contains(string(m[len(m)-1].Payload), "0000-4000")
	})
	await(t, "the event", func() bool { return u.Stats().Acked == 1 })
	if u.Rival() {
		t.Error("the process before is taken for another gateway")
	}
	city.Publish(prefix+"status", true, []byte(other)) // now it cannot be
	await(t, "the rival", u.Rival)
}

// TestBrokerThatDeniesTopics: some mosquittos close the connection over a topic
// that the ACL does not let a gateway write, others acknowledge and throw away.
func TestBrokerThatDeniesTopics(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rules   string
		unheard bool
	}{
		"none":        {"topic readwrite " + prefix + "#\n", false},
		"all to read": {"topic write " + prefix + "#\n", true},
		"all to send": {"topic read " + prefix + "#\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			b := brokertest.Start(t, "allow_anonymous true", acl(t, tc.rules))
			o := options(b.Address(), newMemory(3))
			o.Limits.PubAck = 300 * time.Millisecond
			u := uplink.New(o)
			run(t, u)
			if tc.unheard {
				await(t, "it to be noticed", func() bool {
					return u.Unheard() || strings.Contains(u.Stats().LastError, "ACL")
				})
				return
			}
			await(t, "the events to be acknowledged", func() bool { return o.Journal.Cursor() == 3 })
			<-time.After(2 * o.Limits.PubAck)
			if u.Unheard() {
				t.Error("the broker passes everything on")
			}
		})
	}
}
