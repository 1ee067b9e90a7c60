package journal

import (
	"errors"
	"time"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/presence"
)

const (
	// thinStep is how many waiting tag events one commit removes at most.
	thinStep = 512

	// thinScan is how many events are looked at for one try to make room, so
	// that a tap has its answer soon.
	thinScan = 40_000
)

// thinning is how far the waiting tag events have been thinned: window by
// window, of each tag only the newest event in the window stays. When all are
// through, it begins anew with larger windows, and then with the largest as
// long as there is something to win.
type thinning struct {
	next  uint64 // look from here on
	level int
	won   bool   // something went since the pass began
	empty uint64 // a whole pass with the largest windows found nothing up to here
}

// thinWindows are the sizes of the windows, in positions.
var thinWindows = [...]uint64{512, 4096, 32768}

// thin removes some waiting tag events and names them in a gap, in one commit.
// It looks at no more than scan events, and tells whether it removed any.
func (w *writer) thin(scan *int) (bool, error) {
	j := w.j
	p := j.snapshot()
	t := &w.thinned
	for *scan > 0 {
		t.next = max(t.next, p.cursor+1)
		if t.next > p.end {
			if !w.nextPass(p) {
				return false, nil
			}
			continue
		}
		to := min(t.next+thinWindows[t.level]-1, p.end)
		victims, looked, err := j.thinWindow(t.next, to)
		if err != nil {
			return false, w.fatal(err)
		}
		*scan -= looked
		if len(victims) == 0 {
			t.next = to + 1
			continue
		}
		if len(victims) > thinStep {
			victims = victims[:thinStep] // the rest of the window follows
		}
		removed, err := w.removeWaiting(victims)
		if removed > 0 {
			t.won = true
		}
		return removed > 0, err
	}
	return false, nil
}

// nextPass begins anew at the oldest waiting event, if that may win something.
func (w *writer) nextPass(p snapshot) bool {
	t := &w.thinned
	switch {
	case t.level+1 < len(thinWindows):
		t.level++
	case t.won:
	case p.end < t.empty+thinStep:
		return false
	default:
		t.empty = p.end
	}
	t.won = false
	t.next = p.cursor + 1
	return true
}

// thinWindow finds the tag events after which the same tag has another one in
// the window, oldest first.
func (j *Journal) thinWindow(from, to uint64) (victims []victim, looked int, err error) {
	last := make(map[string]uint64)
	var tags []victim
	err = j.view(func(tx *bolt.Tx) error {
		return walk(tx, from, to, func(key, value []byte) (bool, error) {
			looked++
			var e presence.Entry
			if err := j.codec.decode(key, value, &e); err != nil {
				return false, err
			}
			if e.Tag != nil {
				last[e.Tag.Tag] = e.Pos
				tags = append(tags, victim{e, looked})
			}
			return true, nil
		})
	})
	if err != nil {
		return nil, 0, err
	}
	for _, e := range tags {
		if last[e.Tag.Tag] != e.Pos {
			victims = append(victims, e)
		}
	}
	return victims, looked, nil
}

// yielding are the kinds of waiting events that go for a tap, in this order.
var yielding = [...]presence.Kind{presence.KindTag, presence.KindPresence}

// evicting is how far the waiting events have been looked through for each of
// the kinds that yield: what is before is gone.
type evicting [len(yielding)]uint64

// evict removes the oldest waiting events of a kind, and names them in a gap. It
// tells whether there were any.
func (w *writer) evict(which int) (bool, error) {
	victims, err := w.victims(which, thinStep)
	if err != nil || len(victims) == 0 {
		return false, err
	}
	removed, err := w.removeWaiting(victims)
	if err != nil || removed == 0 {
		return false, err
	}
	w.evicted[which] = victims[removed-1].Pos + 1
	return true, nil
}

// victims are the oldest waiting events of a kind, so many at most.
func (w *writer) victims(which, most int) ([]victim, error) {
	p := w.j.snapshot()
	next := &w.evicted[which]
	*next = max(*next, p.cursor+1)
	var victims []victim
	looked := 0
	err := w.j.view(func(tx *bolt.Tx) error {
		return walk(tx, *next, p.end, func(key, value []byte) (bool, error) {
			looked++
			s, err := unpack(key, value)
			if err != nil {
				return false, err
			}
			if kindOf(s.payload) != yielding[which] {
				return true, nil
			}
			var e presence.Entry
			if err := w.j.codec.decode(key, value, &e); err != nil {
				return false, err
			}
			victims = append(victims, victim{e, looked})
			return len(victims) < most, nil
		})
	})
	if err != nil {
		return nil, w.fatal(err)
	}
	if len(victims) == 0 {
		*next = p.end + 1
	}
	return victims, nil
}

// setYielded notes that events which waited for delivery go for want of room. The
// caller holds the mutex.
func (j *Journal) setYielded() {
	now := j.opt.Now()
	j.yielded = &now
}

// Yielded is how long ago, at least, waiting tag or presence events went for
// want of room before they were delivered, by this process or one before it;
// false where that never happened.
func (j *Journal) Yielded() (ago time.Duration, ever bool) {
	j.mu.Lock()
	at := j.yielded
	j.mu.Unlock()
	if at == nil {
		return 0, false
	}
	ago, _ = j.age(*at)
	if now := j.opt.Now(); now.Boot != at.Boot {
		ago = max(ago, now.Boottime) // whatever is known of the time, this boot came after it
	}
	return ago, true
}

// victim is a waiting event that is to go.
type victim struct {
	presence.Entry
	nth int // among the records that were looked at
}

// removeWaiting removes events and appends the gap that names them: the first of
// them where their numbers are in more places than one gap can name, or where they
// lie on more pages than there is room to write anew. It tells how many.
func (w *writer) removeWaiting(victims []victim) (int, error) {
	j := w.j
	for {
		r, err := w.room()
		if err != nil {
			return 0, err
		}
		pages, err := w.spare(r)
		if err != nil {
			return 0, err
		}
		victims = victims[:removable(victims, pages)]
		if len(victims) == 0 {
			return 0, nil
		}
		c, err := w.removal(victims)
		if err != nil {
			return 0, err
		}
		if victims[len(victims)-1].Pos > j.sealed && pages > removingPages+sealPages {
			// What goes was sealed, or is with this commit.
			if seal, ok := w.newSeal(); ok {
				c = c.withSeal(seal)
			}
		}
		j.mu.Lock()
		before := j.yielded
		j.setYielded() // goes to the disk with what it is about
		j.mu.Unlock()
		if err = w.commit(c); err == nil {
			j.opt.Log.Warn("no room: waiting events were removed", "events", len(victims),
				"from", victims[0].Pos, "to", victims[len(victims)-1].Pos)
			return len(victims), nil
		}
		j.mu.Lock()
		j.yielded = before
		j.mu.Unlock()
		if !errors.Is(err, ErrFull) {
			return 0, err
		}
		victims = victims[:len(victims)/2]
	}
}

// removable is how many of the victims, from the first on, can go in one commit,
// which has so many pages: bbolt writes every page anew of which something goes, and
// then lets go of the old one.
func removable(victims []victim, pages int64) int {
	const (
		beside  = 4   // pages for the gap, the holes and what leads to them
		perPage = 8.0 // records on a page that is not even half full
	)
	left := float64(pages - beside)
	var ranges []presence.Range
	for i, v := range victims {
		page := 1.0
		if i > 0 {
			page = min(page, float64(v.nth-victims[i-1].nth)/perPage)
		}
		ranges = addRange(ranges, &v.Record)
		if left -= page; left < 0 || len(ranges) > maxGapRanges {
			return i
		}
	}
	return len(victims)
}

// removal is the change that removes events and appends the gap that names them.
func (w *writer) removal(victims []victim) (change, error) {
	var gone spans
	var ranges []presence.Range
	kinds := make(map[string]int)
	for _, v := range victims {
		ranges = addRange(ranges, &v.Record)
		gone = gone.Add(span{From: v.Pos, To: v.Pos})
		kinds[v.Kind.String()]++
	}
	it, err := w.j.codec.encode(presence.Draft{
		Kind: presence.KindGap, At: w.j.opt.Now(), Simulated: w.j.opt.Simulated,
		Gap: &presence.Gap{
			Reason: presence.GapJournalFull, Kinds: kinds,
			First: &victims[0].At, Last: &victims[len(victims)-1].At,
			Ranges: ranges,
		},
	})
	return change{items: []item{it}, removes: gone}, err
}
