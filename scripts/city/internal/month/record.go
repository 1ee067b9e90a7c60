package month

import (
	"fmt"
	"slices"
	"time"
)

// What can fail at a gateway.
const (
	crashed     = "crash"       // no taps until it starts again
	stopped     = "stop"        // on purpose, likewise
	startLost   = "start-lost"  // it crashed, and the start that says so never comes
	refusing    = "refusing"    // write errors: the lamp is red, and a gap says so at the end
	tagsLost    = "tags-lost"   // no room for tags; taps are recorded
	damaged     = "damaged"     // it crashes at the end, and a gap names what was lost before that
	undelivered = "undelivered" // what was recorded never comes, and no gap names it
	forgotten   = "forgotten"   // the same, but a gap says that somebody asked for it
	forgotHere  = "forgot-here" // a gap says that somebody asked for it, but the city has it
	rolledBack  = "rolled-back" // the gateway has it no longer, since an old image of its card was put back; the city has it
	deaf        = "deaf"        // the reader hears no card; the personnel office knows it from the gateway's sheet
	gone        = "gone"        // it never works again
	notThere    = "not-there"   // it was set up at the end of this
)

// fail decides what fails at an office within the month: something at each, and the
// same at each tenth.
func (c *City) fail(o *Office) {
	at := func(day int, clock time.Duration) time.Time { return date(day).Add(clock) }
	const h, m = time.Hour, time.Minute
	n := slices.Index(c.Offices, o)
	add := func(kind string, from, to time.Time) { o.failures = append(o.failures, failure{kind, from, to}) }
	switch n % 13 {
	case 0:
		add(crashed, at(6, 7*h), at(6, 8*h+15*m)) // over the hour at which work begins
	case 1:
		add(crashed, at(6, 22*h), at(7, 7*h+50*m)) // over a night
	case 2:
		add(stopped, at(5, 10*h), at(5, 10*h+5*time.Second))
		add(stopped, at(8, 15*h+50*m), at(8, 16*h+20*m))
	case 3:
		add(refusing, at(7, 7*h+20*m), at(7, 7*h+45*m))
		add(refusing, at(13, 7*h+50*m), at(13, 8*h+20*m))
	case 4:
		add(tagsLost, at(7, 7*h), at(7, 9*h))
	case 5:
		add(damaged, at(14, 7*h), at(14, 8*h+10*m))
	case 6:
		add(undelivered, at(14, 7*h+40*m), at(14, 8*h+10*m))
	case 7:
		add(gone, at(25, 12*h), at(60, 0))
	case 8:
		add(forgotten, at(19, 7*h), at(19, 8*h+30*m))
		add(forgotHere, at(20, 7*h), at(20, 8*h+30*m))
		add(rolledBack, at(26, 7*h), at(26, 8*h+30*m))
	case 9:
		add(startLost, at(21, 6*h), at(21, 8*h+5*m))
	case 10:
		add(deaf, at(21, 7*h+30*m), at(21, 8*h+20*m))
	case 11:
		add(notThere, at(-30, 0), at(5, 7*h+40*m))
	}
}

// recorder makes the events of one gateway.
type recorder struct {
	c      *City
	o      *Office
	stream []*Event
	before *Event // the last one of the stream before
}

// record plays the month at a gateway: what was shown to it, in order, and what became of
// it. What it has not sent never comes.
func (c *City) record(o *Office) {
	if o.removed {
		return
	}
	r := &recorder{c: c, o: o}
	begin := date(1).Add(4 * time.Hour)
	end := date(33).Add(10 * time.Hour)
	var falls []failure
	for _, f := range o.failures {
		switch f.kind {
		case notThere:
			begin = f.to
		case gone:
			end = f.from
		case crashed, stopped, startLost:
			falls = append(falls, f)
		case damaged:
			falls = append(falls, failure{damaged, f.to, f.to.Add(time.Minute)})
		}
	}
	for _, f := range falls {
		r.run(begin, f.from)
		begin = f.to
	}
	r.run(begin, end)
	r.lose()
	o.streams = append(o.streams, r.stream)
	for _, s := range o.streams {
		o.events = append(o.events, s...)
	}
}

// run is one run of the gateway's process.
func (r *recorder) run(from, to time.Time) {
	c, o := r.c, r.o
	if len(r.stream) > 0 {
		o.streams = append(o.streams, r.stream)
		r.before = r.stream[len(r.stream)-1]
	}
	r.stream = nil
	type happening struct {
		at    time.Time
		event *Event
	}
	var all []happening
	add := func(at time.Time, e *Event) {
		if !at.Before(from) && at.Before(to) {
			all = append(all, happening{at, e})
		}
	}
	for _, a := range o.attempts {
		if e := r.shown(a); e != nil {
			add(a.at, e)
		}
	}
	for _, s := range o.said {
		add(s.at, &Event{Kind: "presence", Badge: s.person.badge(o, s.at), Revisions: c.synced(s.at, errorMS), More: map[string]any{"state": s.state, "tag": "reyax:1", "distance_m": nil, "events": []string{}}})
	}
	for d := from; d.Before(to); d = d.Add(c.between(8*time.Hour, 20*time.Hour)) {
		at := d.Add(c.between(time.Second, time.Hour))
		add(at, &Event{Kind: "tag", Revisions: c.synced(at, errorMS), More: map[string]any{"receiver": "yard", "tag": "reyax:1", "zone": "inside"}})
	}
	last := to.Add(-time.Second)
	add(last, &Event{Kind: "tag", Revisions: c.synced(last, errorMS), More: map[string]any{"receiver": "yard", "tag": "reyax:1", "zone": "inside"}})
	for _, f := range o.failures {
		if e := r.gap(f); e != nil {
			add(f.to, e)
		}
	}
	slices.SortStableFunc(all, func(a, b happening) int { return a.at.Compare(b.at) })
	r.begin(from)
	for _, h := range all {
		r.append(h.event)
	}
}

// shown is what a gateway that runs makes of a badge that is shown: an event, or nothing.
func (r *recorder) shown(a *attempt) *Event {
	for _, f := range r.o.failures {
		within := !a.at.Before(f.from) && a.at.Before(f.to)
		a.refused = a.refused || within && f.kind == refusing
		if within && (f.kind == refusing || f.kind == deaf) {
			return nil
		}
	}
	e := &Event{Kind: "badge", Badge: a.person.badge(a.office, a.at), Revisions: a.revisions, attempt: a, More: map[string]any{"reader": "door", "card": "mifare-classic-1k", "assurance": "uid"}}
	if e.Badge == "" {
		return nil
	}
	if a.doubt != "" {
		e.More["tag_check"] = map[string]any{"tag": "reyax:1", "state": a.doubt, "distance_m": 900, "age_s": 20}
	}
	return e
}

// gap is what the gateway says itself of a failure, at its end.
func (r *recorder) gap(f failure) *Event {
	e := &Event{Kind: "gap", Revisions: r.c.synced(f.to, errorMS)}
	switch f.kind {
	case tagsLost:
		e.More = map[string]any{"reason": "journal-full", "kinds": map[string]int{"tag": 12}, "first": f.from, "last": f.to}
		return e
	case refusing:
		var first, last time.Time
		n := 0
		for _, a := range r.o.attempts {
			if !a.at.Before(f.from) && a.at.Before(f.to) {
				if n++; first.IsZero() || a.at.Before(first) {
					first = a.at
				}
				if a.at.After(last) {
					last = a.at
				}
			}
		}
		if n == 0 {
			return nil
		}
		e.More = map[string]any{"reason": "write-failed", "kinds": map[string]int{"badge": n}, "first": first, "last": last}
		return e
	}
	return nil
}

func (r *recorder) append(e *Event) *Event {
	n := len(r.o.streams)
	i := slices.Index(r.c.Offices, r.o)
	e.Office, e.Stream, e.Seq = r.o, fmt.Sprintf("0190c0de-%04x-7000-8000-%012x", n, i+1), len(r.stream)+1
	r.stream = append(r.stream, e)
	return e
}

// begin appends the start of a stream. Its time is not known at once, as the clock has to
// be set first.
func (r *recorder) begin(at time.Time) {
	clean, lost := false, false
	for _, f := range r.o.failures {
		clean = clean || f.kind == stopped && f.to.Equal(at)
		lost = lost || f.kind == startLost && f.to.Equal(at)
	}
	e := &Event{Kind: "start", Revisions: []Revision{unsynced(), r.c.say(1, "corrected", at, 500)}, More: map[string]any{"version": "1.0", "previous": nil}, Lost: lost}
	if b := r.before; b != nil {
		e.More["previous"] = map[string]any{"stream": b.Stream, "seq": b.Seq, "clean": clean}
	}
	r.append(e)
}

// lose takes out what never comes, and appends the gaps that name it.
func (r *recorder) lose() {
	for _, f := range r.o.failures {
		kinds, reason := map[string]int{}, ""
		switch f.kind {
		case undelivered:
		case damaged: // nobody knows what it was
			reason = "journal-damaged"
		case forgotten, forgotHere:
			kinds, reason = map[string]int{"badge": 1}, "forgotten"
		case rolledBack:
			reason = "journal-rolled-back"
		default:
			continue
		}
		lost := r.taps(f)
		if f.kind != forgotHere && f.kind != rolledBack {
			for _, e := range lost {
				e.Lost = true
			}
		}
		if len(lost) == 0 || reason == "" {
			continue
		}
		r.append(&Event{Kind: "gap", Revisions: r.c.synced(date(33).Add(10*time.Hour), errorMS), More: map[string]any{
			"reason": reason, "kinds": kinds, "first": nil, "last": nil,
			"ranges": []map[string]any{{"stream": lost[0].Stream, "from": lost[0].Seq, "to": lost[len(lost)-1].Seq}},
		}})
	}
}

// taps are the events from the first tap within a failure to the last one.
func (r *recorder) taps(f failure) (all []*Event) {
	for _, s := range append(slices.Clone(r.o.streams), r.stream) {
		first, last := -1, -1
		for i, e := range s {
			if e.attempt != nil && !e.attempt.at.Before(f.from) && e.attempt.at.Before(f.to) {
				last = i
				if first < 0 {
					first = i
				}
			}
		}
		if first >= 0 {
			return s[first : last+1]
		}
	}
	return nil
}
