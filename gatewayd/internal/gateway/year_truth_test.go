package gateway

import (
	"fmt"
	"io"
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

	captured io.Writer // nil: nobody wants what the city gets

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

// note is wrong for who does not hold the mutex.
func (tr *truth) note(what, format string, args ...any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.wrong(what, format, args...)
}
