package lightgateway

import (
	"time"

	"presence/scripts/city/unpack"
)

// Bounds of what is sent in one step, as the real sender's rounds.
const (
	repeatAtOnce = 32
	eventsAtOnce = 64
	unreceipted  = 10_000 // positions sent ahead of the last receipt
)

// publish publishes at QoS 1.
func (s *session) publish(topic string, retain bool, payload []byte, as sent, now time.Time) {
	if len(s.flying) == 0 {
		s.answer = now
	}
	as.id = s.nextID()
	if as.why != document {
		as.at, as.bytes = now, int32(len(payload)+aroundEvent)
		as.before = s.pace.take(as.bytes)
	}
	s.flying = append(s.flying, as)
	s.used += int(as.places)
	s.out = appendPublish(s.out, as.id, retain, topic, payload)
}

// publishDocument publishes a retained document on a topic behind the prefix.
func (s *session) publishDocument(topic string, payload []byte) {
	s.publish(s.g.prefix+topic, true, payload, sent{why: document}, time.Now())
}

// room is how many events may be sent now: by the window, and by the pace.
func (s *session) room() int { return min(s.g.opt.Window-s.used, s.pace.room()) }

// sendEvents sends some events of each kind that the window has room for, new ones first,
// and returns when the next ones go again for want of a receipt; zero if none will.
func (s *session) sendEvents(now time.Time) (due time.Time) {
	l, j := &s.g.ledger, &s.g.journal
	if to := min(j.newest(), l.position+eventsAtOnce); to > l.position && l.position-l.cursor < unreceipted {
		s.sendNew(to, now)
	}
	if s.room() > 0 && l.receipts {
		var overdue span
		overdue, due = l.due(now, repeatAtOnce)
		s.sendSpan(overdue, forDelivery, now)
	}
	if r := &l.replay; !r.empty() && s.room() > 0 {
		r.from = max(r.from, j.gone+1)
		part := span{r.from, min(r.to, r.from+repeatAtOnce-1)}
		r.from = part.to + 1
		s.sendSpan(part, forResync, now)
	}
	for len(s.g.corrections) > 0 && s.room() > 0 {
		pos := s.g.corrections[0]
		s.g.corrections = s.g.corrections[1:]
		if pos > j.gone {
			s.sendSpan(span{pos, pos}, forCorrection, now)
		}
	}
	return due
}

// sendNew sends the events behind the position that this connection has sent, up to
// another one, but for those that the broker has acknowledged or the city confirmed.
func (s *session) sendNew(to uint64, now time.Time) {
	l := &s.g.ledger
	for l.position < to && (s.room() > 0 || l.position < max(l.cursor, l.acked)) {
		pos := l.position + 1
		if pos <= max(l.cursor, l.acked) {
			l.position = min(to, max(l.cursor, l.acked))
			continue
		}
		last := s.send(span{pos, to}, forDelivery, now)
		l.position = last
		l.sent = max(l.sent, last)
	}
	before := l.cursor
	l.advance(&s.g.journal, now) // a receipt may have come before
	s.g.confirmed(before, now)
}

// sendSpan sends events once more.
func (s *session) sendSpan(what span, why purpose, now time.Time) {
	for !what.empty() {
		what.from = s.send(what, why, now) + 1
	}
}

// send publishes the first event of a span, or as many as travel together, and returns
// the position of the last one.
func (s *session) send(what span, why purpose, now time.Time) (last uint64) {
	g := s.g
	as := sent{why: why, places: 1, from: what.from, to: what.from}
	if s.batches && what.to > what.from {
		s.text = s.text[:0]
		for as.to = what.from - 1; as.to < min(what.to, what.from+unpack.MaxEvents-1); {
			s.text = append(g.toBeSent(as.to+1).appendTo(s.text, &g.origin), '\n')
			as.to++
		}
		n := int64(as.to - as.from + 1)
		as.places = int16((n + perPlace - 1) / perPlace)
		s.publish(g.prefix+"event/batch", false, g.opt.Batches.pack(s.text), as, now)
		g.stats.Published += n
		return as.to
	}
	e := g.toBeSent(what.from)
	s.text = e.appendTo(s.text[:0], &g.origin)
	s.publish(g.topics[e.kind], false, s.text, as, now)
	g.stats.Published++
	return what.from
}

// toBeSent is the event at a position, which is noted to be published.
func (g *Gateway) toBeSent(pos uint64) *event {
	e := g.journal.at(pos)
	if !e.sent {
		e.sent = true
		g.stats.Pairs++
	}
	return e
}
