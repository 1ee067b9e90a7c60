package uplink

import (
	"cmp"
	"slices"
	"testing"
)

func TestUnionJoinsWhatTouches(t *testing.T) {
	got := union([]span{{9, 9}, {1, 3}, {4, 5}, {2, 2}, {7, 7}})
	if !slices.Equal(got, []span{{1, 5}, {7, 7}, {9, 9}}) || !slices.IsSortedFunc(got, func(a, b span) int { return cmp.Compare(a.from, b.from) }) {
		t.Errorf("%v", got)
	}
}

// TestWhatMayBeUntrueIsLookedAtAgain: all that was sent, whatever was settled.
func TestWhatMayBeUntrueIsLookedAtAgain(t *testing.T) {
	var r review
	r.begin(make(chan struct{}), 0, 300, 300)
	if s := r.next(300); !s.empty() {
		t.Errorf("nothing is in doubt, and %v is looked at", s)
	}
	r.begin(make(chan struct{}), 1, 300, 300)
	if s := r.next(300); s != (span{1, 300}) {
		t.Errorf("when clocks contradict each other: %v", s)
	}
	r = review{}
	r.begin(make(chan struct{}), 1, 300, 320)
	if s := r.next(320); s != (span{1, 320}) {
		t.Errorf("after a restart: %v", s)
	}
}

// TestCorrectionsStayBehindTheLine: what this connection has not sent yet, it
// sends in order, and with what is known then.
func TestCorrectionsStayBehindTheLine(t *testing.T) {
	var r review
	r.begin(make(chan struct{}), 0, 0, 300)
	if s := r.next(100); s != (span{1, 100}) {
		t.Errorf("at 100: %v", s)
	}
	r.reviewed(100, []uint64{40, 90})
	if s := r.next(100); !s.empty() {
		t.Errorf("at 100 again: %v", s)
	}
	if _, known := r.finalUpto(); known {
		t.Error("it is settled before all was looked at")
	}
	r.reviewed(300, nil)
	if pos, known := r.finalUpto(); !known || pos != 39 {
		t.Errorf("settled up to %d, %v", pos, known)
	}
	r.begin(make(chan struct{}), 0, 39, 400)
	if s := r.next(1000); s != (span{40, 90}) {
		t.Errorf("what was in doubt: %v", s)
	}
	r.reviewed(90, nil)
	if s := r.next(1000); s != (span{301, 400}) {
		t.Errorf("what is new: %v", s)
	}
}
