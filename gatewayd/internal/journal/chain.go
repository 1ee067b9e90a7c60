package journal

import (
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// SealCheck holds the signature of a seal against the keys of the gateway. What is wrong
// with it is damage; the zero Text is nothing. A nil SealCheck checks no signatures.
type SealCheck func(o presence.Origin, seal *presence.Record) (problem language.Text)

// chainCheck walks the chain of a journal, record by record: whether each one is what its
// link says, and rests on the one before it.
//
// A record whose content was changed is no longer what its link says. If the link is
// computed anew, the next record still rests on what it was. So only somebody who
// computes the whole rest of the chain anew is not found here; against that there are the
// seals, and what the city remembers.
type chainCheck struct {
	report *Report
	origin presence.Origin // zero: not known, and no content can be checked
	seal   SealCheck
	ledger ledger
	last   *chainLink // nil before the first record
	before *chainLink // the one before last
}

// chainLink is a record in the chain.
type chainLink struct {
	presence.Entry
	changed  bool // it is not what its link says
	adjacent bool // nothing is missing between it and the record before, and both have links
	torn     bool // it is adjacent and rests on another event
	reported bool
}

// next looks at one more record.
func (c *chainCheck) next(e presence.Entry) {
	l := &chainLink{Entry: e, changed: c.changed(&e.Record)}
	c.ledger.read(&e.Record)
	switch {
	case c.last == nil:
		c.report.Streams = 1
	case c.last.Stream != e.Stream:
		c.report.Streams++
		c.starts(&e.Record)
	}
	c.linked(&e.Record)
	if c.last != nil && !c.ledger.between(&c.last.Entry, &e) {
		l.adjacent = !e.Chain.IsZero() && !c.last.Chain.IsZero()
		l.torn = l.adjacent && restsOn(&e.Record) != c.last.Chain.Link
	}
	c.judge(l)
	c.count(&e.Record)
	c.before, c.last = c.last, l
}

// finish looks at what is known only in the end.
func (c *chainCheck) finish() {
	c.judge(nil)
	c.report.Chain.Open = c.ledger.closeAll(c.report)
}

// restsOn is the link of the event in this journal behind which a record comes. A start
// that follows the city's head in the chain tells it beside that.
func restsOn(r *presence.Record) presence.Link {
	if r.Start != nil && r.Start.Left != nil {
		return r.Start.Left.Link
	}
	return r.Chain.Before
}

// starts looks at what the first record of a stream says of the one before.
func (c *chainCheck) starts(r *presence.Record) {
	last := c.last
	switch p := previousOf(r); {
	case r.Start == nil: // its start is missing
	case p == nil:
		c.report.damage("stream %s begins as if nothing were before it", "aliran %s dimulai seolah-olah tidak ada data sebelumnya", r.Stream)
	case p.Stream == last.Stream && p.Seq < last.Seq:
		c.report.damage("stream %s: seq %d is behind the end that stream %s names", "aliran %s: nomor %d melewati akhir yang disebut aliran %s", last.Stream, last.Seq, r.Stream)
	}
}

// changed tells whether a record is not what its link says.
func (c *chainCheck) changed(r *presence.Record) bool {
	if r.Kind.String() == unknownKind {
		c.report.Chain.Unknown++
		return false
	}
	if r.Chain.IsZero() || !known(c.origin) {
		return false
	}
	holds, err := c.origin.Holds(r)
	return err == nil && !holds
}

// unknownKind is what a presence.Kind calls itself that this version does not know.
const unknownKind = "unknown"

// judge reports what is wrong with the newest record so far, now that the one behind it
// is known; nil is the end.
func (c *chainCheck) judge(behind *chainLink) {
	l := c.last
	if l == nil || l.Chain.IsZero() {
		return
	}
	follows := behind != nil && behind.adjacent
	switch {
	case l.changed:
		l.reported = true
		c.report.damage("stream %s: seq %d was changed: %s", "aliran %s: nomor %d diubah: %s", l.Stream, l.Seq, c.what(l, behind))
	case l.torn && c.before.reported: // and that explains it
	case l.torn && follows && !behind.torn:
		c.report.damage("stream %s: seq %d was exchanged: seq %d rests on another event", "aliran %s: nomor %d ditukar: nomor %d bertumpu pada data lain",
			c.before.Stream, c.before.Seq, l.Seq)
	case l.torn:
		l.reported = true
		c.report.damage("stream %s: seq %d does not belong behind seq %d: it rests on another event", "aliran %s: nomor %d bukan kelanjutan nomor %d: bertumpu pada data lain",
			l.Stream, l.Seq, c.before.Seq)
	}
	c.checkBody(l)
}

// what tells what was changed in a record that is not what its link says.
func (c *chainCheck) what(l, behind *chainLink) language.Text {
	core, err := c.origin.Core(&l.Record)
	switch {
	case err != nil:
	case behind != nil && behind.adjacent && behind.torn && restsOn(&behind.Record) == l.Chain.Before.Next(core):
		return language.Text{EN: "its link", ID: "tautannya"}
	case l.torn && c.before.Chain.Link.Next(core) == l.Chain.Link:
		return language.Text{EN: "the link before it", ID: "tautan sebelumnya"}
	}
	return language.Text{EN: "its content", ID: "isinya"}
}

// checkBody holds a record's body against its place in the chain.
func (c *chainCheck) checkBody(l *chainLink) {
	if l.reported {
		return
	}
	if s := l.Start; s != nil && namedBefore(s) != l.Chain.Before {
		c.report.damage("stream %s: its start names another link before it than it rests on", "aliran %s: awalnya menyebut tautan lain daripada tumpuannya", l.Stream)
	}
	switch s := l.Seal; {
	case s == nil:
	case s.Upto != l.Seq-1 || s.Link != l.Chain.Before:
		c.report.damage("stream %s: the seal with seq %d is for something else than what is before it", "aliran %s: segel nomor %d bukan untuk data sebelumnya", l.Stream, l.Seq)
	case c.seal != nil && known(c.origin):
		if problem := c.seal(c.origin, &l.Record); problem != (language.Text{}) {
			c.report.damage("stream %s: the seal with seq %d: %s", "aliran %s: segel nomor %d: %s", l.Stream, l.Seq, problem)
		}
	}
}

// namedBefore is the link on which a start says that its stream rests.
func namedBefore(s *presence.Start) presence.Link {
	if s.Previous == nil {
		return presence.Link{}
	}
	return s.Previous.Link
}

// linked looks at whether a record has a link where it must have one. Earlier versions
// of gatewayd write records without, in streams of their own, and their starts name no
// link of the event before. Behind such a stream the chain begins anew.
func (c *chainCheck) linked(r *presence.Record) {
	has := !r.Chain.IsZero()
	if !has && r.Start != nil && !namedBefore(r.Start).IsZero() {
		c.report.damage("stream %s: seq %d has no link, although it names the one before", "aliran %s: nomor %d tanpa tautan, padahal menyebut tautan sebelumnya", r.Stream, r.Seq)
	}
	last := c.last
	if last == nil || has == !last.Chain.IsZero() {
		return
	}
	switch {
	case last.Stream == r.Stream && has:
		c.report.damage("stream %s: seq %d has no link, and seq %d has one", "aliran %s: nomor %d tanpa tautan, sedangkan nomor %d punya", r.Stream, last.Seq, r.Seq)
	case last.Stream == r.Stream:
		c.report.damage("stream %s: seq %d has no link, and seq %d has one", "aliran %s: nomor %d tanpa tautan, sedangkan nomor %d punya", r.Stream, r.Seq, last.Seq)
	case has && r.Start != nil && !r.Chain.Before.IsZero():
		c.report.damage("stream %s: seq %d has no link, although stream %s rests on one", "aliran %s: nomor %d tanpa tautan, padahal aliran %s bertumpu padanya",
			last.Stream, last.Seq, r.Stream)
	}
}

// count counts a record as one of the chain, or as one of those beside it.
func (c *chainCheck) count(r *presence.Record) {
	p := &c.report.Chain
	switch {
	case !r.Chain.IsZero():
		if p.Events == 0 {
			p.First = presence.EventID{Stream: r.Stream, Seq: r.Seq}
		}
		p.Events++
		p.Last, p.Link = presence.EventID{Stream: r.Stream, Seq: r.Seq}, r.Chain.Link
	case p.Events == 0:
		p.Earlier++
	default:
		p.Interrupted++
	}
}
