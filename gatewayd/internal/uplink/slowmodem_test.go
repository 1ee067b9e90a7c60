package uplink_test

import (
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// TestASlowModemWithTheRealThing goes to a mosquitto over TLS, with certificates of both
// sides, over a line of 8,000 bit/s (toxiproxy knows whole kilobytes only) with a round
// trip of 1,200 ms: the handshake alone takes some ten seconds. With more waiting than the
// line carries during the test, a tap is with the city within 10 seconds, the line is never
// taken for a dead one, and the goodbye comes within 5.
func TestASlowModemWithTheRealThing(t *testing.T) {
	t.Parallel()
	for name, batch := range map[string]bool{"plain": false, "zstd": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca := brokertest.NewCA(t)
			b, address := brokertest.StartTLS(t, ca, time.Now().Add(time.Hour))
			city := b.Subscribe(prefix + "#")
			line := newBadLine(t, address)
			for _, way := range []string{"upstream", "downstream"} {
				line.spoil("slow-"+way, "bandwidth", way, `"rate":1`)
				line.spoil("far-"+way, "latency", way, `"latency":600`)
			}
			j := newMemory(0)
			j.addTags(20_000)
			o := options(line.proxy.Listen, j)
			o.Window, o.Batch, o.BatchMax = 256, batch, 256
			o.TLS, o.CAFile = true, ca.File
			o.CertFile, o.KeyFile = ca.Issue("dinkes-01", time.Now().Add(time.Hour))
			u := uplink.New(o)
			began := time.Now()
			stop := run(t, u)
			city.AwaitFor(time.Minute, "the gateway to be online", func(m []brokertest.Message) bool { return said(m, `"online"`) })
			t.Logf("online after %.1f s", time.Since(began).Seconds())
			<-time.After(3 * time.Second)
			for range 2 {
				j.add(1)
				tapped := time.Now()
				city.AwaitFor(20*time.Second, "the tap", func(m []brokertest.Message) bool { return came(m, j.End()) })
				took := time.Since(tapped)
				if t.Logf("a tap took %.1f s", took.Seconds()); took > 10*time.Second {
					t.Errorf("a tap took %v", took)
				}
			}
			if c := j.Cursor(); c == 0 || c >= 20_000 {
				t.Errorf("the cursor is at %d: there is no backlog, or it does not move", c)
			}
			if s := u.Stats(); !s.Connected || s.Reconnects != 0 {
				t.Errorf("connected %v after %d more connections: %s", s.Connected, s.Reconnects, s.LastError)
			}
			stopped := time.Now()
			stop() // fails after 5 s
			city.AwaitFor(10*time.Second, "the goodbye", func(m []brokertest.Message) bool { return said(m, `"offline"`) })
			took := time.Since(stopped)
			if t.Logf("the goodbye took %.1f s", took.Seconds()); took > 5*time.Second {
				t.Errorf("the goodbye took %v", took)
			}
			<-time.After(time.Second) // for a will
			if all := city.Messages(); said(all, `"lost"`) || !said(all, `"stop"`) {
				t.Error("a will followed the goodbye, or there was none")
			}
		})
	}
}

// said reports whether a gateway's status has a word.
func said(messages []brokertest.Message, word string) bool {
	for _, m := range messages {
		if m.Topic == prefix+"status" && strings.Contains(string(m.Payload), word) {
			return true
		}
	}
	return false
}

// came reports whether a tap came, by itself or in a batch.
func came(messages []brokertest.Message, seq uint64) bool {
	for _, got := range seqs(messages) {
		if got == seq {
			return true
		}
	}
	return false
}
