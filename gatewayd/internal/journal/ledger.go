package journal

import (
	"cmp"
	"slices"
	"sort"

	"presence/gatewayd/internal/presence"
)

// ledger is what the gaps of a journal name as gone, and what is missing in it.
type ledger struct {
	named  map[presence.ID]spans
	ranges map[presence.ID][]presence.Range
	there  map[presence.ID]bool // streams of which there is something
	holes  []hole
}

// hole is a place between two records where events are missing.
type hole struct {
	parts  []presence.Range // what is missing there, in the order of the chain
	before presence.Link    // of the record in front; zero: it has none, or there is no such record
	link   presence.Link    // on which the record behind rests
	linked bool             // the record behind has a link
	// streams is how many of the missing events may be of streams of which nothing is there.
	// They are counted as the last ones of the first part.
	streams uint64
}

func newLedger() ledger {
	return ledger{named: make(map[presence.ID]spans), ranges: make(map[presence.ID][]presence.Range), there: make(map[presence.ID]bool)}
}

// read takes over what a record says of others.
func (l *ledger) read(r *presence.Record) {
	l.there[r.Stream] = true
	if r.Gap == nil || r.Gap.Reason == presence.GapForked { // of which the city has another event, and not none
		return
	}
	for _, g := range r.Gap.Ranges {
		if numbers, ok := numbersOf(g); ok {
			l.named[g.Stream] = l.named[g.Stream].Add(numbers)
			l.ranges[g.Stream] = append(l.ranges[g.Stream], g)
		}
	}
}

// between notes what is missing between two records in a row, and tells whether
// anything is.
func (l *ledger) between(last, e *presence.Entry) bool {
	h := hole{before: last.Chain.Link, link: restsOn(&e.Record), linked: !e.Chain.IsZero()}
	add := func(stream presence.ID, from, to uint64) {
		if from <= to {
			h.parts = append(h.parts, presence.Range{Stream: stream, From: from, To: to})
		}
	}
	// rest adds what is missing beside n events right before e. It is of the stream
	// before, and perhaps of others of which nothing is left.
	rest := func(n uint64) {
		if all := e.Pos - last.Pos - 1; e.Pos > last.Pos && all > n {
			h.streams = all - n
			add(last.Stream, last.Seq+1, last.Seq+all-n)
		}
	}
	previous := previousOf(&e.Record)
	switch {
	case e.Stream == last.Stream:
		add(e.Stream, last.Seq+1, e.Seq-1)
	case e.Seq > 1:
		rest(e.Seq - 1)
		add(e.Stream, 1, e.Seq-1)
	case previous == nil:
	case previous.Stream == last.Stream:
		add(last.Stream, last.Seq+1, previous.Seq)
	default:
		rest(previous.Seq)
		add(previous.Stream, 1, previous.Seq)
	}
	if len(h.parts) > 0 {
		l.holes = append(l.holes, h)
	}
	return len(h.parts) > 0
}

// previousOf is the last event in this journal before a stream's start, nil where the
// record is no start or nothing was before it.
func previousOf(r *presence.Record) *presence.Previous {
	if r.Start == nil {
		return nil
	}
	return r.Start.Before()
}

// closeAll holds all that is missing against what the gaps name. It returns the places
// behind which nobody knows how the chain goes on.
func (l *ledger) closeAll(r *Report) (open []presence.Range) {
	for _, ranges := range l.ranges {
		slices.SortStableFunc(ranges, func(a, b presence.Range) int { return cmp.Compare(a.From, b.From) })
	}
	for _, h := range l.holes {
		if !l.close(h, r) {
			open = append(open, h.parts[len(h.parts)-1])
		}
	}
	return open
}

// close holds what is missing against what the gaps name, and tells whether the chain
// goes on behind it.
func (l *ledger) close(h hole, r *Report) (closed bool) {
	link := h.before
	for i, part := range h.parts {
		unnamed := part.To - part.From + 1 - l.named[part.Stream].Count(span{From: part.From, To: part.To})
		if i == 0 && h.streams > 0 {
			unnamed -= min(unnamed, h.streams, l.elsewhere())
		}
		if unnamed > 0 {
			r.damage("stream %s: of seq %d to %d, %d are missing without a gap that names them", "aliran %s: dari nomor %d sampai %d, %d hilang tanpa keterangan",
				part.Stream, part.From, part.To, unnamed)
			return true
		}
		link = l.across(part, link, r)
	}
	last := h.parts[len(h.parts)-1]
	switch {
	case !h.linked || link.IsZero() && h.link.IsZero(): // in front of the chain, or beside it
		return true
	case link.IsZero():
		return false
	case link != h.link:
		r.damage("stream %s: the event behind seq %d rests on another link than the gap names", "aliran %s: data sesudah nomor %d bertumpu pada tautan lain daripada yang disebut",
			last.Stream, last.To)
	}
	return true
}

// elsewhere is how many events gaps name of streams of which nothing is there.
func (l *ledger) elsewhere() (n uint64) {
	for id, numbers := range l.named {
		if !l.there[id] {
			n += numbers.Count(span{From: 1, To: noEnd})
		}
	}
	return n
}

// across follows the chain over missing events by what gaps say of its links: from the
// link in front to the one behind, zero where no gap tells it.
func (l *ledger) across(part presence.Range, link presence.Link, r *Report) presence.Link {
	ranges := l.ranges[part.Stream]
	for at := part.From; at <= part.To; {
		i := sort.Search(len(ranges), func(i int) bool { return ranges[i].From > at }) - 1
		if i < 0 || !ranges[i].Open() && ranges[i].To < at {
			return presence.Link{} // it is an event of a stream of which nothing is there
		}
		g := ranges[i]
		if g.From == at && !link.IsZero() && !g.Before.IsZero() && g.Before != link {
			r.damage("stream %s: the gap that names seq %d names another link before it", "aliran %s: keterangan hilang untuk nomor %d menyebut tautan lain sebelumnya",
				part.Stream, g.From)
		}
		if g.Open() || g.To > part.To {
			return presence.Link{}
		}
		link, at = g.Link, g.To+1
	}
	return link
}
