package journal_test

import (
	"os"
	"testing"

	"presence/gatewayd/internal/presence"
)

// TestWhatWasSentIsKnownAfterwards: it rides on commits, so that after a crash it
// may be behind, and never ahead.
func TestWhatWasSentIsKnownAfterwards(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	j := open(t, o)
	for i := range 5 {
		appended(t, j, badge(c, i))
	}
	j.SetSent(3)
	j.SetUnanswered(2)
	appended(t, j, badge(c, 6)) // takes it along
	j.SetSent(5)
	j.SetSent(4) // it does not go back
	j.SetSent(1000)
	j.SetUnanswered(0)
	if j.Sent() != j.End() || j.Unanswered() != 0 {
		t.Errorf("sent %d, unanswered %d", j.Sent(), j.Unanswered())
	}
	crashed, end := read(t, o.Path), j.End()
	closed(t, j)
	for _, tc := range []struct {
		crashed          bool
		sent, unanswered uint64
	}{{false, end, 0}, {true, 3, 2}} {
		if tc.crashed {
			if err := os.WriteFile(o.Path, crashed, 0o640); err != nil {
				t.Fatal(err)
			}
		}
		j = open(t, o)
		if j.Sent() != tc.sent || j.Unanswered() != tc.unanswered {
			t.Errorf("%+v: sent %d, unanswered %d", tc, j.Sent(), j.Unanswered())
		}
		closed(t, j)
	}
}

// TestNumbersThatAreGoneHaveAPlace: each number that an event had is known as long
// as something of its stream is left, and no other.
func TestNumbersThatAreGoneHaveAPlace(t *testing.T) {
	c := newClock()
	o := options(newPath(t), c)
	var streams []presence.ID
	for range 3 { // each has a start and 50 taps
		j := open(t, o)
		streams = append(streams, j.Stream())
		for i := range 50 {
			appended(t, j, badge(c, i))
		}
		closed(t, j)
	}
	j := open(t, o)
	j.Ack(30)
	c.pass(36 * day)
	appended(t, j, badge(c, 1)) // and what is delivered goes
	if j.Oldest() != 31 {
		t.Fatalf("the oldest is %d", j.Oldest())
	}
	for i, stream := range append(streams, j.Stream()) {
		last := uint64(51)
		if stream == j.Stream() {
			last = 2
		}
		for _, seq := range []uint64{1, 2, 30, 31, 51, 52, 100, 1 << 40, ^uint64(0), 0} {
			pos, found := j.PositionOf(stream, seq)
			if want := uint64(i)*51 + seq; found != (seq > 0 && seq <= last) || found && pos != want {
				t.Errorf("number %d of stream %d is at %d, %t", seq, i+1, pos, found)
			}
		}
	}
	if _, found := j.PositionOf(presence.ID{1}, 1); found {
		t.Error("a stream that never was has a place")
	}
	closed(t, j)
}
