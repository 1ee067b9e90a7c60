package gateway

import (
	"encoding/json"
	"fmt"
	"time"

	"presence/gatewayd/internal/presence"
)

// cityEvent is an event as the city reads it.
type cityEvent struct {
	ID      string         `json:"id"`
	Stream  presence.ID    `json:"stream"`
	Seq     uint64         `json:"seq"`
	Rev     int            `json:"rev"`
	Kind    string         `json:"kind"`
	Boot    presence.ID    `json:"boot"`
	Time    *time.Time     `json:"time"`
	Quality string         `json:"time_quality"`
	ErrorMS *float64       `json:"time_error_ms"`
	Min     *time.Time     `json:"time_min"`
	Max     *time.Time     `json:"time_max"`
	Badge   string         `json:"badge"`
	Tag     string         `json:"tag"`
	FixTime *time.Time     `json:"fix_time"`
	Reason  string         `json:"reason"`
	Kinds   map[string]int `json:"kinds"`
	Ranges  []struct {
		Stream presence.ID `json:"stream"`
		From   uint64      `json:"from"`
		To     *uint64     `json:"to"`
	} `json:"ranges"`
	Previous *struct {
		Stream presence.ID `json:"stream"`
		Seq    uint64      `json:"seq"`
		Clean  bool        `json:"clean"`
	} `json:"previous"`
}

func readCityEvent(payload []byte) (e cityEvent, err error) {
	err = json.Unmarshal(payload, &e)
	return e, err
}

// stream is what the city has of one.
type stream struct {
	got   map[uint64]*told
	gaps  map[uint64]bool
	since time.Time
	last  uint64 // its last number, once the next start names it
	whole bool   // that all of it came was checked
}

type told struct {
	at  time.Time // when it truly happened; zero: not known to the simulator
	rev int
	tap *tap
	// What the city was told before the simulator knew what it was.
	early *cityEvent
}

func (tr *truth) stream(id presence.ID) *stream {
	s := tr.streams[id]
	if s == nil {
		s = &stream{got: make(map[uint64]*told), gaps: make(map[uint64]bool), since: tr.w.now()}
		tr.streams[id] = s
	}
	return s
}

// deliverEarly joins what happened with what the city may have got already.
func (tr *truth) deliverEarly(id presence.ID, seq uint64, at time.Time, t *tap) {
	s := tr.stream(id)
	if got := s.got[seq]; got != nil {
		got.at, got.tap = at, t
		if e := got.early; e != nil {
			got.early = nil
			tr.checkTime(*e, got)
		}
		if t != nil {
			delete(tr.waiting, t.id)
		} else {
			delete(tr.waiting, "start of "+id.String())
		}
		return
	}
	s.got[seq] = &told{at: at, rev: -1, tap: t}
}

// cityGets takes an event as the city does.
func (tr *truth) cityGets(payload []byte) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.captured != nil {
		if _, err := tr.captured.Write(append(payload, '\n')); err != nil {
			tr.wrong("event", "keep it: %v", err)
		}
	}
	e, err := readCityEvent(payload)
	if err != nil {
		tr.wrong("event", "%v: %s", err, payload)
		return
	}
	s := tr.stream(e.Stream)
	got, known := s.got[e.Seq]
	if known && got.rev >= e.Rev {
		tr.total.again++
		if tr.again > 0 {
			tr.again--
		}
	} else {
		if !known {
			got = &told{rev: -1}
			s.got[e.Seq] = got
		}
		if got.rev >= 0 {
			tr.total.corrections++
		} else {
			tr.acks = append(tr.acks, tr.w.now())
			tr.forgetAcks()
			tr.first(e, got)
		}
		got.rev = e.Rev
	}
	if got.at.IsZero() {
		got.early = &e
		return
	}
	tr.checkTime(e, got)
}

// first takes an event that the city did not have.
func (tr *truth) first(e cityEvent, got *told) {
	switch e.Kind {
	case "tag":
		if e.FixTime == nil {
			tr.wrong("event", "%s has no fix_time", e.ID)
			return
		}
		key := fmt.Sprintf("%s@%d", e.Tag, e.FixTime.Unix())
		f := tr.byFix[key]
		if f == nil {
			tr.wrong("event", "%s: nobody sent %s, or it was not to be recorded", e.ID, key)
			return
		}
		got.at = f.at
		delete(tr.byFix, key)
		delete(tr.waiting, key)
	case "start":
		delete(tr.waiting, "start of "+e.Stream.String())
		if p := e.Previous; p != nil {
			prev := tr.stream(p.Stream)
			prev.last = p.Seq
		}
	case "gap":
		tr.refusals.named += e.Kinds["badge"]
		tr.refusals.tags += e.Kinds["tag"]
		for _, r := range e.Ranges {
			s := tr.stream(r.Stream)
			for seq := r.From; r.To != nil && seq <= *r.To; seq++ {
				s.gaps[seq] = true
			}
		}
	}
}

// complete checks that the city has all of a stream that is over, or knows what
// is missing.
func (tr *truth) complete(id presence.ID, s *stream) {
	for seq := uint64(1); seq <= s.last; seq++ {
		if got := s.got[seq]; (got == nil || got.rev < 0) && !s.gaps[seq] {
			tr.wrong("missing", "%s-%d never came, and no gap names it", id, seq)
			tr.total.lost++
		}
	}
	for seq := range s.gaps {
		// What a power cut made pending again may have had to go: the gap names
		// what the city has.
		if got := s.got[seq]; got != nil && got.rev >= 0 {
			tr.refusals.both++
		}
	}
	for seq, got := range s.got {
		if seq > s.last && got.rev >= 0 {
			tr.wrong("missing", "%s-%d came, but the stream is said to end at %d", id, seq, s.last)
		}
	}
}

// checkTime holds what an event says of its time against the truth. Times are
// printed in milliseconds.
func (tr *truth) checkTime(e cityEvent, got *told) {
	if t := got.tap; t != nil {
		delete(tr.waiting, t.id)
		if t.badge != e.Badge {
			tr.wrong("event", "%s is of badge %s, not %s", e.ID, e.Badge, t.badge)
		}
		if t.rev = e.Rev; e.Time != nil {
			t.told = e.Time.In(tr.w.office).Format(presence.TimeLayout)
		}
	}
	if e.Time == nil {
		return
	}
	const printed = time.Millisecond
	if off := e.Time.Sub(got.at).Abs(); e.ErrorMS == nil || off > time.Duration(*e.ErrorMS*1e6)+printed {
		tr.wrong("time", "%s (%s) is told as %s ± %v ms, and was %s", e.ID, e.Quality, e.Time.Format(presence.TimeLayout), *e.ErrorMS, got.at.In(tr.w.office).Format(presence.TimeLayout))
	}
	if e.Min != nil && e.Max != nil && (got.at.Before(e.Min.Add(-printed)) || got.at.After(e.Max.Add(printed))) {
		tr.wrong("time", "%s is told as between %v and %v, and was %v", e.ID, e.Min, e.Max, got.at)
	}
}
