package door

import (
	"math"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// rateOver is the time over which looks per second are counted.
const rateOver = 10 * time.Second

// hearing adds up what a reader's chip counts, over all the times that it was
// opened.
type hearing struct {
	before card.Counts // of chips that were closed
	now    card.Counts // of the one that is open

	since time.Time // when the rate's count began
	looks int64     // all looks at that time
}

// sum is what was counted since the start.
func (h *hearing) sum() card.Counts {
	return card.Counts{
		Scans:     h.before.Scans + h.now.Scans,
		BadFrames: h.before.BadFrames + h.now.BadFrames,
		Seen:      h.before.Seen + h.now.Seen,
		Misses:    h.before.Misses + h.now.Misses,
		Misreads:  h.before.Misreads + h.now.Misreads,
		Mends:     h.before.Mends + h.now.Mends,
		Resets:    h.before.Resets + h.now.Resets,
	}
}

// closed says that the chip will not count any more.
func (h *hearing) closed() { h.before, h.now = h.sum(), card.Counts{} }

// heard tells in health what a chip has counted, after each look and where it
// fails. A chip that does not count tells nothing.
func (d *Door) heard(reader string, chip card.Reader, f *field) {
	counter, ok := chip.(card.Counter)
	if !ok {
		return
	}
	h := &f.hearing
	h.now = counter.Counts()
	sum := h.sum()
	var rate *float64
	now := time.Now()
	switch passed := now.Sub(h.since); {
	case h.since.IsZero():
		h.since, h.looks = now, sum.Scans
	case passed >= rateOver:
		perSecond := math.Round(10*float64(sum.Scans-h.looks)/passed.Seconds()) / 10
		rate = &perSecond
		h.since, h.looks = now, sum.Scans
	}
	d.health(reader, func(r *presence.ReaderHealth) {
		r.Seen, r.Misses = sum.Seen, sum.Misses
		r.BadFrames, r.Misreads = sum.BadFrames, sum.Misreads
		r.Mends, r.Resets = sum.Mends, sum.Resets
		if rate != nil {
			r.LooksPerS = *rate
		}
	})
}
