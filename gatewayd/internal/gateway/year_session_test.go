package gateway

import (
	"slices"
	"testing/synctest"
	"time"

	"presence/drivers/card"
)

// act is one thing that happens.
type act struct {
	at time.Time
	do func()
}

// session is a stretch with power.
type session struct {
	on, off time.Time
	last    bool // of the day
	staysOn bool // over night
	working bool
}

// sessions are those of a day.
func (w *world) sessions(p plan, n int, on bool) (all []session) {
	day := w.day(n)
	weekday := day.Weekday()
	at := func(d time.Duration) time.Time { return day.Add(d + w.between(-p.wobble, p.wobble)) }
	working := weekday != time.Saturday && weekday != time.Sunday && (n < p.closedFrom || n >= p.opened)
	switch {
	case working && (on || w.chance(p.through)):
		all = []session{{on: at(p.morning), off: at(p.evening), working: true}}
	case working:
		all = []session{{on: at(p.morning), off: at(p.noon), working: true}, {on: at(p.afternoon), off: at(p.evening), working: true}}
		if w.one(5) && n != p.downTo-1 {
			all = all[:1]
		}
	case on, n < p.closedFrom && w.one(6):
		all = []session{{on: at(p.morning), off: at(p.noon)}}
	default:
		return nil
	}
	end := &all[len(all)-1]
	end.last = true
	end.staysOn = working && w.chance(p.overnight)
	return all
}

// session lives from power on to power off.
func (w *world) session(p plan, s session, check func(), flood bool) {
	w.until(s.on)
	if w.life == nil {
		w.powerOn()
		time.Sleep(w.between(8*time.Second, 20*time.Second))
		w.start()
	}
	began := w.now()
	var acts []act
	add := func(at time.Time, do func()) {
		if at.After(began) && at.Before(s.off) {
			acts = append(acts, act{at, do})
		}
	}
	span := s.off.Sub(began)
	if span <= 0 {
		span = time.Minute
	}
	somewhen := func() time.Time { return began.Add(w.between(time.Minute, span)) }

	// Time.
	if w.machine.first.IsZero() {
		switch c := w.rng.IntN(20); {
		case flood, c < 14:
			add(began.Add(w.between(5*time.Second, time.Minute)), w.sync)
		case c < 17:
			add(began.Add(w.between(span/20, span/2)), w.sync)
		}
	}
	for at := began.Add(17 * time.Minute); at.Before(s.off); at = at.Add(34 * time.Minute) {
		add(at, func() {
			if w.machine.synced {
				w.machine.ntp(w.between(-10*time.Millisecond, 10*time.Millisecond))
			}
		})
	}
	if w.chance(p.faults / 4) {
		at, by := somewhen(), w.between(-3*time.Hour, 3*time.Hour)
		add(at, func() { w.machine.jump(by) })
		if w.one(2) {
			add(at.Add(w.between(20*time.Second, span/3)), w.sync)
		}
	}

	// People and tags.
	people := p.badges
	if !s.working {
		people = 2
	}
	for b := range people {
		if !w.chance(900) {
			continue
		}
		badge := b
		add(somewhen(), func() { w.tap(badge) })
	}
	for tag := range p.tags {
		at := began.Add(w.between(time.Minute, time.Minute+p.every))
		for i := 0; at.Before(s.off); i++ {
			add(at, func() { w.hearTag(tag, i) })
			at = at.Add(p.every)
		}
	}

	// Faults.
	fault := func(do func(at time.Time)) {
		if w.chance(p.faults) {
			do(somewhen())
		}
	}
	short := func() time.Duration { return w.between(20*time.Second, max(span/8, 40*time.Second)) }
	for _, why := range []error{card.ErrDeaf, card.ErrBusDead} {
		fault(func(at time.Time) {
			add(at, func() { w.readerFault(why) })
			heal := at.Add(short())
			if w.one(6) {
				heal = s.off // and into the next session
			}
			add(heal, func() { w.readerFault(nil) })
		})
	}
	if w.door.fault != nil {
		add(somewhen(), func() { w.readerFault(nil) })
	}
	fault(func(at time.Time) {
		add(at, func() { w.door.change(func() { w.door.noisy += 1 + w.rng.IntN(3) }) })
	})
	fault(func(at time.Time) {
		add(at, func() { w.unplug(true) })
		add(at.Add(short()), func() { w.unplug(false) })
	})
	if w.yard.gone {
		add(somewhen(), func() { w.unplug(false) })
	}
	fault(func(at time.Time) {
		add(at, w.noise)
	})
	if !w.flooded {
		fault(func(at time.Time) {
			add(at, func() { w.line.set(false, false) })
			add(at.Add(short()), func() { w.line.set(true, false) })
		})
		fault(func(at time.Time) {
			add(at, func() { w.line.set(true, true) })
			add(at.Add(short()), func() { w.line.set(true, false) })
		})
		if w.one(4) || !w.line.up {
			add(began.Add(span*9/10), func() { w.line.set(true, false) })
		}
	}
	fault(func(at time.Time) { add(at, func() { w.restart(false) }) })
	fault(func(at time.Time) { add(at, func() { w.restart(true) }) })
	fault(func(at time.Time) { add(at, w.tapAcrossCrash) })

	// Looks.
	for range 3 {
		add(somewhen(), w.checkHealth)
	}
	if !flood {
		add(began.Add(span*6/10), check)
		add(began.Add(span*95/100), check)
	}

	slices.SortStableFunc(acts, func(a, b act) int { return a.at.Compare(b.at) })
	for _, a := range acts {
		if d := a.at.Sub(w.now()); d > 0 {
			time.Sleep(d)
		}
		a.do()
		synctest.Wait()
	}
	w.until(s.off)
	w.checkHealth()
	if flood {
		w.fillUp(p, check)
	}
	if s.staysOn {
		return
	}
	w.powerOff(w.one(3))
}

// powerOff ends the boot, in peace or with a power cut.
func (w *world) powerOff(clean bool) {
	if clean {
		w.halt()
		time.Sleep(w.between(time.Second, 10*time.Second))
	} else {
		w.kill()
	}
	w.machine.off = w.now()
	w.wall = w.now().Add(w.machine.ahead)
	time.Sleep(w.between(40*time.Second, 3*time.Minute))
}

// brownout is a night in which the power comes and goes more often than the clock
// remembers boots. In the first of them somebody sets the date while the reader is
// deaf: when that ended only this boot's clock can tell.
func (w *world) brownout(boots int) {
	begin := func() {
		w.powerOn()
		time.Sleep(w.between(8*time.Second, 20*time.Second))
		w.start()
		time.Sleep(5 * time.Second)
		w.sync()
		time.Sleep(time.Minute)
	}
	begin()
	w.readerFault(card.ErrDeaf)
	time.Sleep(2 * time.Minute)
	w.machine.jump(-2 * time.Hour)
	time.Sleep(time.Minute)
	w.readerFault(nil)
	time.Sleep(time.Minute)
	w.powerOff(false)
	for range boots {
		begin()
		w.powerOff(false)
	}
}

// sync is the first answer of a time server, or one after somebody set the date.
func (w *world) sync() {
	tr := w.truth
	if w.machine.first.IsZero() {
		tr.mu.Lock()
		tr.ends(clockUnknown, false)
		if tr.dated.IsZero() {
			tr.dated = w.machine.born
		}
		tr.mu.Unlock()
		tr.released()
	}
	w.machine.ntp(w.between(-20*time.Millisecond, 20*time.Millisecond))
	time.Sleep(2 * time.Second) // what was held back is on the disk
}

// restart ends the process and starts it again in the same boot.
func (w *world) restart(clean bool) {
	// What is told apart by its time before must have been heard before. Tag records
	// that had to go are not remembered by the next process, so that it would judge
	// the next reports otherwise.
	if w.now().Sub(w.life.since) < 3*w.cfg.Tags.Heartbeat/2 || w.flooded {
		return
	}
	w.again(clean)
}

// again ends the process and starts it, whatever that does to the tags.
func (w *world) again(clean bool) {
	time.Sleep(3 * time.Second) // patient events are on the disk
	if clean {
		w.halt()
	} else {
		w.kill()
	}
	time.Sleep(5 * time.Second) // RestartSec
	w.start()
	time.Sleep(2 * time.Second)
}
