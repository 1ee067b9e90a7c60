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
	d := &diary{world: w, plan: p, began: w.now(), off: s.off, span: max(s.off.Sub(w.now()), time.Minute)}
	d.planTime(flood)
	d.planVisits(s.working)
	d.planTags()
	d.planHardwareFaults()
	d.planLineFaults()
	d.planRestarts()
	for range 3 {
		d.add(d.somewhen(), w.checkHealth)
	}
	if !flood {
		d.add(d.began.Add(d.span*6/10), check)
		d.add(d.began.Add(d.span*95/100), check)
	}
	d.live()
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

// diary is what is to happen while the power is on.
type diary struct {
	*world
	plan
	began, off time.Time
	span       time.Duration
	acts       []act
}

// add lets something happen at an instant, if the power is on then.
func (d *diary) add(at time.Time, do func()) {
	if at.After(d.began) && at.Before(d.off) {
		d.acts = append(d.acts, act{at, do})
	}
}

// fault lets something happen with the chance of a fault.
func (d *diary) fault(do func(at time.Time)) {
	if d.chance(d.faults) {
		do(d.somewhen())
	}
}

func (d *diary) somewhen() time.Time { return d.began.Add(d.between(time.Minute, d.span)) }

// short is for how long a fault lasts.
func (d *diary) short() time.Duration {
	return d.between(20*time.Second, max(d.span/8, 40*time.Second))
}

// live lets all of it happen.
func (d *diary) live() {
	slices.SortStableFunc(d.acts, func(a, b act) int { return a.at.Compare(b.at) })
	for _, a := range d.acts {
		time.Sleep(max(0, a.at.Sub(d.now())))
		a.do()
		synctest.Wait()
	}
}

// planTime plans when a time server answers, and when somebody types date -s.
func (d *diary) planTime(flood bool) {
	if d.machine.first.IsZero() {
		switch c := d.rng.IntN(20); {
		case flood, c < 14:
			d.add(d.began.Add(d.between(5*time.Second, time.Minute)), d.sync)
		case c < 17:
			d.add(d.began.Add(d.between(d.span/20, d.span/2)), d.sync)
		}
	}
	for at := d.began.Add(17 * time.Minute); at.Before(d.off); at = at.Add(34 * time.Minute) {
		d.add(at, func() {
			if d.machine.synced {
				d.machine.ntp(d.between(-10*time.Millisecond, 10*time.Millisecond))
			}
		})
	}
	if d.chance(d.faults / 4) {
		at, by := d.somewhen(), d.between(-3*time.Hour, 3*time.Hour)
		d.add(at, func() { d.machine.jump(by) })
		if d.one(2) {
			d.add(at.Add(d.between(20*time.Second, d.span/3)), d.sync)
		}
	}
}

// planVisits plans who shows a badge.
func (d *diary) planVisits(working bool) {
	people := d.badges
	if !working {
		people = 2
	}
	for badge := range people {
		if d.chance(900) {
			d.add(d.somewhen(), func() { d.tap(badge) })
		}
	}
}

// planTags plans when tags report where they are.
func (d *diary) planTags() {
	for tag := range d.tags {
		at := d.began.Add(d.between(time.Minute, time.Minute+d.every))
		for i := 0; at.Before(d.off); i++ {
			d.add(at, func() { d.hearTag(tag, i) })
			at = at.Add(d.every)
		}
	}
}

// planHardwareFaults plans what happens to reader and receiver, and what ends that
// began in an earlier session.
func (d *diary) planHardwareFaults() {
	for _, why := range []error{card.ErrDeaf, card.ErrBusDead} {
		d.fault(func(at time.Time) {
			d.add(at, func() { d.readerFault(why) })
			heal := at.Add(d.short())
			if d.one(6) {
				heal = d.off // and into the next session
			}
			d.add(heal, func() { d.readerFault(nil) })
		})
	}
	if d.door.fault != nil {
		d.add(d.somewhen(), func() { d.readerFault(nil) })
	}
	d.fault(func(at time.Time) {
		d.add(at, func() { d.door.change(func() { d.door.noisy += 1 + d.rng.IntN(3) }) })
	})
	d.fault(func(at time.Time) {
		d.add(at, func() { d.unplug(true) })
		d.add(at.Add(d.short()), func() { d.unplug(false) })
	})
	if d.yard.gone {
		d.add(d.somewhen(), func() { d.unplug(false) })
	}
	d.fault(func(at time.Time) { d.add(at, d.noise) })
}

// planLineFaults plans when the line breaks or carries nothing, unless it is down for
// days anyway.
func (d *diary) planLineFaults() {
	if d.flooded {
		return
	}
	for _, silent := range []bool{false, true} {
		d.fault(func(at time.Time) {
			d.add(at, func() { d.line.set(silent, silent) })
			d.add(at.Add(d.short()), func() { d.line.set(true, false) })
		})
	}
	if d.one(4) || !d.line.up {
		d.add(d.began.Add(d.span*9/10), func() { d.line.set(true, false) })
	}
}

// planRestarts plans when the process ends, in peace or not.
func (d *diary) planRestarts() {
	d.fault(func(at time.Time) { d.add(at, func() { d.restart(false) }) })
	d.fault(func(at time.Time) { d.add(at, func() { d.restart(true) }) })
	d.fault(func(at time.Time) { d.add(at, d.tapAcrossCrash) })
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
