package journal

import (
	"cmp"
	"io"
	"slices"

	"presence/gatewayd/internal/presence"
)

// addRange puts one more event into ranges, which are in order. Events that follow each
// other, in number and in the chain, share a range.
func addRange(ranges []presence.Range, r *presence.Record) []presence.Range {
	if n := len(ranges); n > 0 {
		last := &ranges[n-1]
		if last.Stream == r.Stream && last.To+1 == r.Seq && last.Link == r.Chain.Before {
			last.To, last.Link = r.Seq, r.Chain.Link
			return ranges
		}
	}
	return append(ranges, presence.Range{
		Stream: r.Stream, From: r.Seq, To: r.Seq, Before: r.Chain.Before, Link: r.Chain.Link,
	})
}

// links tells the links of events in a file that may be damaged, also of events that are
// lost: the record behind one still holds its link, and so does a gap that names it.
type links struct {
	file    io.ReaderAt
	codec   codec
	records []piece // by position
	named   map[presence.EventID]presence.Link
}

// note remembers what a gap says of the links on both sides of a range.
func (l links) note(r presence.Range) {
	if !r.Before.IsZero() {
		l.named[presence.EventID{Stream: r.Stream, Seq: r.From - 1}] = r.Before
	}
	if !r.Open() && !r.Link.IsZero() {
		l.named[presence.EventID{Stream: r.Stream, Seq: r.To}] = r.Link
	}
}

// of is the link of an event that is, or was, at a position; zero where nothing tells it.
func (l links) of(id presence.EventID, pos uint64) presence.Link {
	if e, ok := l.record(pos); ok && e.Stream == id.Stream && e.Seq == id.Seq {
		return e.Chain.Link
	}
	if behind, ok := l.record(pos + 1); ok && follows(&behind.Record, id) {
		return restsOn(&behind.Record)
	}
	return l.named[id]
}

// follows tells whether a record is the next one after an event.
func follows(r *presence.Record, id presence.EventID) bool {
	if r.Stream == id.Stream {
		return r.Seq == id.Seq+1
	}
	previous := previousOf(r)
	return previous != nil && previous.Stream == id.Stream && previous.Seq == id.Seq
}

// record is the one at a position, false where there is none.
func (l links) record(pos uint64) (presence.Entry, bool) {
	i, found := slices.BinarySearchFunc(l.records, pos, func(p piece, pos uint64) int { return cmp.Compare(p.pos, pos) })
	if !found {
		return presence.Entry{}, false
	}
	e, err := l.records[i].entry(l.file, l.codec, make([]byte, l.records[i].size))
	return e, err == nil // an error: the disk does not read twice the same
}

// around is a range of lost events of a stream whose number 1 is, or was, at a position,
// with the links on both its sides, as far as something tells them.
func (l links) around(r presence.Range, first uint64) presence.Range {
	front := first + r.From - 2 // the position of what is before
	if r.From > 1 {
		r.Before = l.of(presence.EventID{Stream: r.Stream, Seq: r.From - 1}, front)
	} else if e, ok := l.record(front); ok {
		r.Before = e.Chain.Link
	}
	if !r.Open() {
		r.Link = l.of(presence.EventID{Stream: r.Stream, Seq: r.To}, first+r.To-1)
	}
	return r
}
