package door

import (
	"math"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// rateOver is the time over which scans per second are counted.
const rateOver = 10 * time.Second

// chipCounts adds up what a reader's chip counts, over all the times that it was
// opened.
type chipCounts struct {
	before card.Counts // of chips that were closed
	now    card.Counts // of the one that is open

	since time.Time // when the counting of the rate began
	scans int64     // all scans at that time
}

// sum is what was counted since the start.
func (h *chipCounts) sum() card.Counts {
	return card.Counts{
		Scans:     h.before.Scans + h.now.Scans,
		BadFrames: h.before.BadFrames + h.now.BadFrames,
		Seen:      h.before.Seen + h.now.Seen,
		Misses:    h.before.Misses + h.now.Misses,
		Misreads:  h.before.Misreads + h.now.Misreads,
		Mends:     h.before.Mends + h.now.Mends,
		Resets:    h.before.Resets + h.now.Resets,

		Unreadable: h.before.Unreadable + h.now.Unreadable,
	}
}

// closed keeps the counts of a chip that is closed.
func (h *chipCounts) closed() { h.before, h.now = h.sum(), card.Counts{} }

// reportCounts puts what a chip has counted into the health document, after each
// scan and after a failure. A driver that does not count leaves it out.
func (d *Door) reportCounts(reader string, chip card.Reader, f *field) {
	counter, ok := chip.(card.Counter)
	if !ok {
		return
	}
	h := &f.counts
	h.now = counter.Counts()
	sum := h.sum()
	var rate *float64
	now := time.Now()
	switch passed := now.Sub(h.since); {
	case h.since.IsZero():
		h.since, h.scans = now, sum.Scans
	case passed >= rateOver:
		perSecond := math.Round(10*float64(sum.Scans-h.scans)/passed.Seconds()) / 10
		rate = &perSecond
		h.since, h.scans = now, sum.Scans
	}
	d.health(reader, func(r *presence.ReaderHealth) {
		r.Seen, r.Misses = sum.Seen, sum.Misses
		r.BadFrames, r.Misreads = sum.BadFrames, sum.Misreads
		r.Mends, r.Resets = sum.Mends, sum.Resets
		r.Unreadable = sum.Unreadable
		if rate != nil {
			r.LooksPerS = *rate
		}
	})
}
