package journal

import (
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
		t.won = true
		_, err = w.removeWaiting(victims)
		return true, err
	}
	return false, nil
}

// nextPass begins anew at the oldest waiting event, if that may win something.
func (w *writer) nextPass(p place) bool {
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
func (j *Journal) thinWindow(from, to uint64) (victims []presence.Entry, looked int, err error) {
	last := make(map[string]uint64)
	var tags []presence.Entry
	err = j.view(func(tx *bolt.Tx) error {
		return walk(tx, from, to, func(key, value []byte) (bool, error) {
			looked++
			var e presence.Entry
			if err := j.codec.decode(key, value, &e); err != nil {
				return false, err
			}
			if e.Tag != nil {
				last[e.Tag.Tag] = e.Pos
				tags = append(tags, e)
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
	if err != nil {
		return false, err
	}
	w.evicted[which] = victims[removed-1].Pos + 1
	return true, nil
}

// victims are the oldest waiting events of a kind, so many at most.
func (w *writer) victims(which, most int) ([]presence.Entry, error) {
	p := w.j.snapshot()
	next := &w.evicted[which]
	*next = max(*next, p.cursor+1)
	var victims []presence.Entry
	err := w.j.view(func(tx *bolt.Tx) error {
		return walk(tx, *next, p.end, func(key, value []byte) (bool, error) {
			s, err := unseal(key, value)
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
			victims = append(victims, e)
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

// noteYield notes that events which waited for delivery go for want of room. The
// caller holds the mutex.
func (j *Journal) noteYield() {
	now := j.opt.Now()
	j.yielded = &now
}

// Yielded is how long ago, at least, tags or what was said of persons went for
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

// removeWaiting removes events, or the first of them where their numbers are in
// more places than one gap can name, and appends the gap. It tells how many.
func (w *writer) removeWaiting(victims []presence.Entry) (int, error) {
	j := w.j
	var gone spans
	var ranges []presence.Range
	kinds := make(map[string]int)
	for i, e := range victims {
		more := addRange(ranges, e.Stream, e.Seq)
		if len(more) > maxGapRanges {
			victims = victims[:i]
			break
		}
		ranges = more
		gone = gone.add(span{e.Pos, e.Pos})
		kinds[e.Kind.String()]++
	}
	gap := &presence.Gap{
		Reason: presence.GapJournalFull, Kinds: kinds,
		First: &victims[0].At, Last: &victims[len(victims)-1].At,
		Ranges: ranges,
	}
	it, err := j.codec.encode(presence.Draft{
		Kind: presence.KindGap, At: j.opt.Now(), Simulated: j.opt.Simulated, Gap: gap,
	})
	if err != nil {
		return 0, err
	}
	j.opt.Log.Warn("no room: waiting events were removed", "events", len(victims),
		"from", victims[0].Pos, "to", victims[len(victims)-1].Pos)
	j.mu.Lock()
	j.noteYield() // goes to the disk with what it is about
	j.mu.Unlock()
	return len(victims), w.commit(change{items: []item{it}, removes: gone})
}

// addRange puts one more number into ranges, which are in order.
func addRange(ranges []presence.Range, stream presence.ID, seq uint64) []presence.Range {
	if n := len(ranges); n > 0 && ranges[n-1].Stream == stream && ranges[n-1].To+1 == seq {
		ranges[n-1].To = seq
		return ranges
	}
	return append(ranges, presence.Range{Stream: stream, From: seq, To: seq})
}
