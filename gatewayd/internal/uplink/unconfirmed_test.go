package uplink_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// corrected is a journal whose events the city has, and of which the last was corrected
// just now.
func corrected(n int) (*memory, *presence.Revision) {
	j := newMemory(n)
	j.cursor, j.sent = uint64(n), uint64(n)
	r := presence.Revision{Pos: uint64(n), Open: true, Timing: presence.Timing{Quality: presence.QualityCorrected, Rev: 1, Time: time.Unix(1, 0)}}
	j.revisions[r.Pos] = r
	return j, &r
}

// corrections counts the events with rev 1.
func corrections(all []brokertest.Message) (n int) {
	for _, m := range all {
		if strings.Contains(string(m.Payload), `"rev":1,`) {
			n++
		}
	}
	return n
}

// open reports whether the journal's correction is still to be delivered.
func (m *memory) open(pos uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.revisions[pos].Open
}

// TestCorrectionThatTheBrokerLostComesAgain: with receipts a correction is delivered when
// the city says so, not when the broker does.
func TestCorrectionThatTheBrokerLostComesAgain(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	j, r := corrected(20)
	o := confirming(b.Address(), j)
	o.Limits.Receipt = 300 * time.Millisecond
	u := uplink.New(o)
	run(t, u)
	city.Await("the correction", func(m []brokertest.Message) bool { return corrections(m) == 1 })
	await(t, "its PUBACK", func() bool { return u.Stats().Acked >= 1 })
	if !j.open(r.Pos) {
		t.Fatal("it counts as delivered at its PUBACK")
	}
	b.Kill()
	b.Restart()
	city.Await("the correction again", func(m []brokertest.Message) bool { return corrections(m) >= 2 })
	confirm := func(seq, rev int) []byte {
		return fmt.Appendf(nil, `{"stream":"%s","upto":20,"revised":[{"seq":%d,"rev":%d}]}`, stream, seq, rev)
	}
	refused := u.Stats().Refused
	for i, wrong := range [][]byte{confirm(0, 1), confirm(20, 0), confirm(20, -1), []byte(strings.Replace(string(confirm(20, 1)), "rev", "r", 1))} {
		city.Publish(prefix+"receipt", false, wrong)
		await(t, fmt.Sprintf("the refusal of %q", wrong), func() bool { return u.Stats().Refused == refused+int64(i+1) })
	}
	city.Publish(prefix+"receipt", false, confirm(19, 1)) // another event's
	city.Publish(prefix+"receipt", false, confirm(20, 2)) // a rev that there is not
	city.Publish(prefix+"receipt", false, confirm(77, 1)) // an event that there is not
	city.Publish(prefix+"receipt", false, confirm(0, 0))  // shows that those before it have been read
	await(t, "the refusal of the last", func() bool { return u.Stats().Refused == refused+5 })
	if !j.open(r.Pos) {
		t.Fatal("it counts as delivered at another one's confirmation")
	}
	city.Publish(prefix+"receipt", false, confirm(20, 1))
	await(t, "the correction to be delivered", func() bool { return !j.open(r.Pos) })
	// Whatever comes next shows that it does not come again.
	before := corrections(city.Messages())
	j.add(1)
	city.Await("a new event", func(m []brokertest.Message) bool {
		return len(m) > 0 && strings.Contains(string(m[len(m)-1].Payload), `"seq":21,`)
	})
	if n := corrections(city.Messages()); n != before {
		t.Errorf("it came %d times more after its confirmation", n-before)
	}
}

// TestCityThatConfirmsNoCorrections: one whose receipts are made by hand is sent a
// correction a few times, and not for ever.
func TestCityThatConfirmsNoCorrections(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	j, r := corrected(3)
	o := confirming(b.Address(), j)
	o.Limits.Receipt, o.Limits.ReceiptMax = 20*time.Millisecond, 40*time.Millisecond
	run(t, uplink.New(o))
	city.Await("the correction and three more", func(m []brokertest.Message) bool { return corrections(m) == 4 })
	await(t, "the last PUBACK to count", func() bool { return !j.open(r.Pos) })
	if n := corrections(city.Messages()); n != 4 {
		t.Errorf("it came %d times", n)
	}
}
