package journal

import (
	"math"
	"time"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/presence"
)

// ages is how far the events are known to be older than Keep, delivered or not.
//
// Many events cannot be dated: the start event of each boot of a Pi without a
// clock chip, or all of a boot that never knew the time. But positions rise with
// time, so one event that is surely too old proves it of all before it. The
// journal is therefore looked through from its oldest event on, past those of
// which nothing is known, until one comes that is surely young; the last that is
// surely old says how far the old ones go. A pass like this begins anew every
// pruneEvery, since events age, and as soon as more becomes known of them: a
// machine may run for less than that after it has learned the time.
type ages struct {
	old   uint64          // all events up to here are older than Keep
	next  uint64          // the pass goes on here
	ended bool            // the pass met an event that is young, or the newest
	began time.Duration   // boot clock when the pass began
	news  <-chan struct{} // closed when more is known than when the pass began; nil: nobody tells
}

// outdated tells whether more is known of events' ages than when the pass began.
func (a *ages) outdated() bool {
	select {
	case <-a.news:
		return true
	default:
		return false
	}
}

// findOld goes on with a pass, or begins one where it is time, and looks at
// no more than most events.
func (w *writer) findOld(tx *bolt.Tx, p snapshot, most int) error {
	a := &w.ages
	now := w.j.opt.Now().Boottime
	outdated := a.outdated()
	if a.next == 0 || a.ended && now-a.began >= pruneEvery || outdated {
		a.next, a.ended, a.began = 1, false, now
		if w.j.opt.Learned != nil {
			a.news = w.j.opt.Learned() // before any age is asked for
		}
	}
	if outdated {
		w.nextPrune = time.Time{} // what is old by that goes now, step by step
	}
	if a.ended {
		return nil
	}
	a.next = max(a.next, p.oldest, a.old+1)
	looked := 0
	err := walk(tx, a.next, p.end, func(key, value []byte) (bool, error) {
		s, err := unpack(key, value)
		if err != nil {
			return false, err
		}
		a.next = s.pos + 1
		looked++
		var e presence.Entry
		if w.j.codec.decode(key, value, &e) != nil {
			return looked < most, nil // written by another version: it cannot be dated
		}
		least, longest := w.j.age(e.At)
		switch keep := w.j.opt.Keep; {
		case least > keep:
			a.old = e.Pos
		case longest <= keep:
			a.ended = true
		}
		return !a.ended && looked < most, nil
	})
	if looked < most {
		a.ended = true
	}
	return err
}

// age is between which bounds the age of a reading lies.
func (j *Journal) age(r presence.Reading) (least, most time.Duration) {
	if j.opt.Age != nil {
		return j.opt.Age(r)
	}
	if passed, known := j.opt.Now().Since(r); known {
		return passed, passed
	}
	return 0, math.MaxInt64
}

// pruneIdle removes old events from a journal to which nothing is written. It does
// so step by step, and is due again at once until a pass has come to its end
// and all that it found is gone.
func (w *writer) pruneIdle(now time.Time) {
	p := w.j.snapshot()
	err := w.j.view(func(tx *bolt.Tx) error { return w.findOld(tx, p, pruneStep) })
	if err != nil {
		_ = w.j.unreadable(err) // makes the journal fail where that is called for
		w.ages.news = nil       // what was learned is worth no second try before the next pass
		w.nextPrune = now.Add(pruneEvery)
		return
	}
	if p.oldest <= min(w.ages.old, p.cursor) && p.oldest < p.end {
		w.write(batch{})
		if w.j.snapshot().oldest > p.oldest {
			return // perhaps there are more
		}
		w.nextPrune = now.Add(pruneEvery)
		return
	}
	if w.ages.ended {
		w.nextPrune = now.Add(pruneEvery)
	}
}
