package uplink

import "testing"

// TestWhatMayBeUntrueIsReviewedAgain: everything that was sent, even what was final.
func TestWhatMayBeUntrueIsReviewedAgain(t *testing.T) {
	var r review
	r.begin(make(chan struct{}), 0, 300, 300)
	if s := r.next(300); !s.Empty() {
		t.Errorf("nothing is improvable, and %v is looked at", s)
	}
	r.begin(make(chan struct{}), 1, 300, 300)
	if s := r.next(300); s != spanOf(1, 300) {
		t.Errorf("when clocks contradict each other: %v", s)
	}
	r = review{}
	r.begin(make(chan struct{}), 1, 300, 320)
	if s := r.next(320); s != spanOf(1, 320) {
		t.Errorf("after a restart: %v", s)
	}
}

// TestCorrectionsStayBehindTheLine: what this connection has not sent yet, it
// sends in order, and with what is known then.
func TestCorrectionsStayBehindTheLine(t *testing.T) {
	var r review
	r.begin(make(chan struct{}), 0, 0, 300)
	if s := r.next(100); s != spanOf(1, 100) {
		t.Errorf("at 100: %v", s)
	}
	r.reviewed(100, []uint64{40, 90})
	if s := r.next(100); !s.Empty() {
		t.Errorf("at 100 again: %v", s)
	}
	if _, known := r.finalUpto(); known {
		t.Error("it is final before everything was looked at")
	}
	r.reviewed(300, nil)
	if pos, known := r.finalUpto(); !known || pos != 39 {
		t.Errorf("final up to %d, %v", pos, known)
	}
	r.begin(make(chan struct{}), 0, 39, 400)
	if s := r.next(1000); s != spanOf(40, 90) {
		t.Errorf("what is improvable: %v", s)
	}
	r.reviewed(90, nil)
	if s := r.next(1000); s != spanOf(301, 400) {
		t.Errorf("what is new: %v", s)
	}
}
