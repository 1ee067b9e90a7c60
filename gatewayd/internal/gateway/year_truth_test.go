package gateway

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"presence/gatewayd/internal/presence"
)

// truth is what really happened, as far as a gateway must tell it. It is written
// down by who lets it happen, and knows nothing of how the gateway works but the
// rules that a user is told: README, reference configuration, contract.
type truth struct {
	w *world

	mu     sync.Mutex // the city's side writes as well
	untrue map[string]int
	said   map[string][]string // the first of each

	boots  map[presence.ID]*machineClock
	dated  time.Time // since when it can be known what day it is: the first boot with an answer of a time server
	starts int       // of processes
	booted int       // boots in which one was started
	cut    int       // of those, the ones before which none had stopped in peace
	last   struct {
		boot  presence.ID
		clean bool
		any   bool
		end   time.Time
	}

	taps    []*tap // those of the last weeks
	outages []outageTruth
	names   map[string]string // badge to UID
	sights  map[string]sight  // by badge: when it was last seen, and by which process
	tags    map[string]tagTrace
	held    []*frame // heard while the time was not known

	waiting  map[string]time.Time // appended, and the city does not have it: when it happened
	byFix    map[string]*frame    // tag records that the city does not have
	streams  map[presence.ID]*stream
	acks     []time.Time // of the last minutes: what a power cut may bring again
	again    int         // events that may be pending although the city has them
	crowded  time.Time   // when the journal was last too small for everything
	refusals struct {    // since the journal last had room
		taps, named int // taps that were refused, taps that gaps name
		tags        int // tag records that gaps name
		both        int // that gaps name although the city has them
	}

	total struct {
		taps, repeats, refused, frames, records, corrections, again, thinned, lost int
		oldest                                                                     time.Duration
		file                                                                       int64
	}
}

// tap is an accepted one.
type tap struct {
	id    string
	badge string
	at    time.Time
	boot  *machineClock
	told  string // the time that the city was told last
	rev   int
}

type sight struct {
	at   time.Time
	life int
	boot *machineClock
}

// frame is a report of a tag.
type frame struct {
	tag      string
	lat, lon float64
	at       time.Time
}

func (f *frame) key() string { return fmt.Sprintf("%s@%d", f.tag, f.at.Unix()) }

type tagTrace struct {
	at       time.Time // of the last record
	fix      time.Time // of the last report
	lat, lon float64
}

// outageTruth is a stretch during which something did not work.
type outageTruth struct {
	what     string
	from, to time.Time // to is zero while it goes on
	vague    bool      // it ended with a power cut: only the last sign of life shows
	// In which boots it began and ended.
	boot, till *machineClock
}

// What can fail, as the sheets name it.
const (
	powerOff     = "power-off"
	crashed      = "crashed"
	stopped      = "stopped"
	clockUnknown = "clock-unknown"
)

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

// counts is what one process has counted.
type counts struct {
	taps, repeats, refused                        int64
	frames, duplicates, thinned, outside, records int64
	bad                                           map[string]int64
}

func newCounts() counts { return counts{bad: make(map[string]int64)} }

func newTruth(w *world) *truth {
	return &truth{
		w: w, untrue: make(map[string]int), said: make(map[string][]string),
		boots: make(map[presence.ID]*machineClock), names: make(map[string]string),
		sights: make(map[string]sight), tags: make(map[string]tagTrace),
		waiting: make(map[string]time.Time), byFix: make(map[string]*frame), streams: make(map[presence.ID]*stream),
	}
}

// wrong notes that the gateway told something that is not so. The first few of
// each kind are printed at once, so that a long run can be stopped early. The
// caller holds the mutex.
func (tr *truth) wrong(what, format string, args ...any) {
	tr.untrue[what]++
	if len(tr.said[what]) < 5 {
		line := tr.w.stamp() + " " + fmt.Sprintf(format, args...)
		tr.said[what] = append(tr.said[what], line)
		fmt.Printf("year: untrue: %s: %s\n", what, line)
	}
}

// starting notes that a process begins.
func (tr *truth) starting(w *world) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.starts++
	if !tr.last.any || tr.last.boot != w.machine.boot {
		tr.booted++
		if tr.last.any && !tr.last.clean {
			tr.cut++
		}
		// Nobody knows how long the machine was off.
		clear(tr.tags)
	}
	if tr.last.any {
		what := crashed
		switch {
		case tr.last.clean:
			what = stopped
		case tr.last.boot != w.machine.boot:
			what = powerOff
		}
		tr.outages = append(tr.outages, outageTruth{
			what: what, from: tr.last.end, to: w.now(), vague: !tr.last.clean, boot: tr.boots[tr.last.boot], till: w.machine,
		})
	}
	tr.last.any, tr.last.boot = true, w.machine.boot
	tr.held = nil
}

// started notes what a process that has begun has recorded.
func (tr *truth) started(w *world) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	id := w.life.daemon.journal.Stream()
	tr.stream(id).since = w.now()
	tr.waiting["start of "+id.String()] = w.now()
	tr.deliverEarly(id, 1, w.now(), nil)
	for _, what := range tr.broken(w) {
		tr.begins(what)
	}
}

// broken is what does not work now.
func (tr *truth) broken(w *world) (all []string) {
	w.door.mu.Lock()
	if w.door.fault != nil {
		all = append(all, "reader-door")
	}
	w.door.mu.Unlock()
	w.yard.mu.Lock()
	if w.yard.gone {
		all = append(all, "receiver-yard")
	}
	w.yard.mu.Unlock()
	if w.machine.polled.IsZero() {
		all = append(all, clockUnknown)
	}
	return all
}

// begins and ends note an outage. The caller holds the mutex.
func (tr *truth) begins(what string) {
	tr.outages = append(tr.outages, outageTruth{what: what, from: tr.w.now(), boot: tr.w.machine})
}

func (tr *truth) ends(what string, vague bool) {
	for i := range tr.outages {
		if o := &tr.outages[i]; o.what == what && o.to.IsZero() {
			o.to, o.vague, o.till = tr.w.now(), vague, tr.w.machine
		}
	}
}

// ending notes that a process ends, in peace or not.
func (tr *truth) ending(w *world, clean bool) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, what := range tr.broken(w) {
		tr.ends(what, !clean)
	}
	tr.last.clean, tr.last.end = clean, w.now()
	if !clean {
		tr.forgetAcks()
		tr.again += len(tr.acks)
		w.cutAcks += len(tr.acks)
	}
	tr.acks = nil
	c := w.life.counts
	tr.total.taps += int(c.taps)
	tr.total.repeats += int(c.repeats)
	tr.total.refused += int(c.refused)
	tr.total.frames += int(c.frames)
	tr.total.records += int(c.records)
	tr.total.thinned += int(c.thinned)
}

// ended notes when the process was gone.
func (tr *truth) ended(*world) {}

// forgetAcks drops those that are on the disk by now.
func (tr *truth) forgetAcks() {
	for len(tr.acks) > 0 && tr.w.now().Sub(tr.acks[0]) > 62*time.Second {
		tr.acks = tr.acks[1:]
	}
}

func (tr *truth) stream(id presence.ID) *stream {
	s := tr.streams[id]
	if s == nil {
		s = &stream{got: make(map[uint64]*told), gaps: make(map[uint64]bool), since: tr.w.now()}
		tr.streams[id] = s
	}
	return s
}

// visit tells what the lamp must answer to a badge: a repeat, where it was not
// away for the repeat window.
func (tr *truth) visit(badge string, at time.Time) presence.Outcome {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	s, known := tr.sights[badge]
	if known && s.boot == tr.w.machine && at.Sub(s.at) < yearWindow {
		return presence.Repeat
	}
	return presence.Accepted
}

const yearWindow = 30 * time.Second

// tapped notes an answer of the lamp.
func (tr *truth) tapped(a presence.Answer, at, left time.Time) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	w := tr.w
	c := &w.life.counts
	switch a.Outcome {
	case presence.Accepted:
		c.taps++
		t := &tap{id: fmt.Sprintf("%s-%d", a.Stream, a.Seq), badge: a.Badge, at: at, boot: w.machine}
		tr.taps = append(tr.taps, t)
		tr.waiting[t.id] = at
		tr.deliverEarly(a.Stream, a.Seq, at, t)
	case presence.Repeat:
		c.repeats++
	case presence.Refused:
		c.refused++
		tr.refusals.taps++
		tr.crowded = at
		return
	}
	tr.sights[a.Badge] = sight{at: left, life: w.lives, boot: w.machine}
}

// deliverEarly joins what happened with what the city may have got already.
func (tr *truth) deliverEarly(id presence.ID, seq uint64, at time.Time, t *tap) {
	s := tr.stream(id)
	if got := s.got[seq]; got != nil {
		got.at, got.tap = at, t
		if e := got.early; e != nil {
			got.early = nil
			tr.judgeTime(*e, got)
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

// heard notes a valid report that the port took.
func (tr *truth) heard(f *frame) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	c := &tr.w.life.counts
	c.frames++
	if tr.w.machine.polled.IsZero() {
		if len(tr.held) >= 1000 {
			c.bad["held-back"]++
			tr.held = tr.held[1:]
		}
		tr.held = append(tr.held, f)
		return
	}
	tr.judge(f, c)
}

// released judges what waited for the time to be known.
func (tr *truth) released() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, f := range tr.held {
		tr.judge(f, &tr.w.life.counts)
	}
	tr.held = nil
}

func (tr *truth) judge(f *frame, c *counts) {
	if !openAt(f.at.In(tr.w.office)) {
		c.outside++
		return
	}
	before, known := tr.tags[f.tag]
	if known && f.at.Equal(before.fix) {
		c.duplicates++
		return
	}
	since := f.at.Sub(before.at)
	moved := metres(before.lat, before.lon, f.lat, f.lon)
	if known && since < 10*time.Minute && !(since >= 30*time.Second && moved >= 25) {
		c.thinned++
		before.fix = f.at
		tr.tags[f.tag] = before
		return
	}
	c.records++
	tr.tags[f.tag] = tagTrace{f.at, f.at, f.lat, f.lon}
	tr.byFix[f.key()] = f
	tr.waiting[f.key()] = f.at
}

// edge tells whether a report would be so close to a limit that a crystal decides
// what becomes of it.
func (tr *truth) edge(f *frame) bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	near := func(d, limit time.Duration) bool { return (d - limit).Abs() < 15*time.Second }
	local := f.at.In(tr.w.office)
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, tr.w.office)
	from, to := hoursOf(local.Weekday())
	if near(local.Sub(midnight), from) || near(local.Sub(midnight), to) {
		return true
	}
	before, known := tr.tags[f.tag]
	for _, h := range tr.held {
		if h.tag == f.tag {
			before, known = tagTrace{at: h.at}, true // any of them may be the one that is recorded
			if near(f.at.Sub(before.at), 10*time.Minute) {
				return true
			}
		}
	}
	since := f.at.Sub(before.at)
	return known && (near(since, 10*time.Minute) || near(since, 30*time.Second))
}

// hoursOf are the working hours of the configuration below.
func hoursOf(day time.Weekday) (from, to time.Duration) {
	switch day {
	case time.Saturday, time.Sunday:
		return 0, 0
	case time.Friday:
		return 7*time.Hour + 30*time.Minute, 16*time.Hour + 30*time.Minute
	}
	return 7*time.Hour + 30*time.Minute, 16 * time.Hour
}

func openAt(local time.Time) bool {
	from, to := hoursOf(local.Weekday())
	since := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute + time.Duration(local.Second())*time.Second
	return since >= from && since < to
}

// metres is the distance of two positions that are close to each other.
func metres(lat1, lon1, lat2, lon2 float64) float64 {
	const degree = 111_195
	return math.Hypot((lat2-lat1)*degree, (lon2-lon1)*degree*math.Cos(lat1*math.Pi/180))
}

// cityGets takes an event as the city does.
func (tr *truth) cityGets(payload []byte) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
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
	tr.judgeTime(e, got)
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

// judgeTime holds what an event says of its time against the truth. Times are
// printed in milliseconds.
func (tr *truth) judgeTime(e cityEvent, got *told) {
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

// forget drops what is too old to be asked for. What remains is copied: a map or a
// slice that was large once holds its memory for ever, and it is the gateway's that
// is measured.
func (tr *truth) forget(before time.Time) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.taps = slices.Clip(slices.DeleteFunc(slices.Clone(tr.taps), func(t *tap) bool { return !t.at.After(before) }))
	tr.outages = slices.DeleteFunc(tr.outages, func(o outageTruth) bool { return !o.to.IsZero() && !o.to.After(before) })
	tr.streams = without(tr.streams, func(s *stream) bool { return s.last != 0 && s.since.Before(before) })
	tr.sights = without(tr.sights, func(s sight) bool { return s.at.Before(before) })
	tr.tags = without(tr.tags, func(t tagTrace) bool { return t.at.Before(before) })
	tr.boots = without(tr.boots, func(m *machineClock) bool { return m != tr.w.machine && m.born.Before(before) })
}

// without is a copy of a map without what is not wanted.
func without[K comparable, V any](m map[K]V, unwanted func(V) bool) map[K]V {
	rest := make(map[K]V)
	for k, v := range m {
		if !unwanted(v) {
			rest[k] = v
		}
	}
	return rest
}
