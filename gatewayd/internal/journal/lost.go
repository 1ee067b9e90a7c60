package journal

import (
	"maps"
	"time"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/presence"
)

// losses is what went without ever having had a number: taps that were red, and
// events that waited in memory for room that did not come.
//
// A gap names them as soon as there is room for one. Until then the file keeps
// count of them in one small value, whose commit lives off the reserve (see
// makeRoom): of taps before they are red, of the rest once a second. As long as
// there is no room it counts what waits in memory as well, which would be lost
// with the process; what finds room after all is taken off the count by the
// commit that stores it. The next process names what it finds there.
type losses struct {
	kinds       map[string]int
	first, last presence.Reading
}

func (l *losses) add(it item) {
	l.between(it.draft.At, it.draft.At)
	l.kinds[it.draft.Kind.String()]++
}

// join adds other losses of the same boot.
func (l *losses) join(o losses) {
	if o.kinds == nil {
		return
	}
	l.between(o.first, o.last)
	for kind, n := range o.kinds {
		l.kinds[kind] += n
	}
}

// between makes room for losses between two readings.
func (l *losses) between(first, last presence.Reading) {
	if l.kinds == nil {
		*l = losses{kinds: make(map[string]int), first: first, last: last}
		return
	}
	if first.Boottime < l.first.Boottime {
		l.first = first
	}
	if last.Boottime > l.last.Boottime {
		l.last = last
	}
}

// yielding is how many there are of the kinds that yield.
func (l losses) yielding() (n int) {
	for _, kind := range yielding {
		n += l.kinds[kind.String()]
	}
	return n
}

func (l losses) equal(o losses) bool {
	return maps.Equal(l.kinds, o.kinds) && l.first == o.first && l.last == o.last
}

// onDiskLosses is the form of losses on disk.
type onDiskLosses struct {
	Kinds map[string]int   `cbor:"1,keyasint"`
	First presence.Reading `cbor:"2,keyasint"`
	Last  presence.Reading `cbor:"3,keyasint"`
}

// putLost keeps count of losses in the file, or says that there are none.
func (c codec) putLost(meta *bolt.Bucket, l losses) error {
	if l.kinds == nil {
		return meta.Delete([]byte(keyLost))
	}
	return c.putChecked(meta, []byte(keyLost), onDiskLosses{Kinds: l.kinds, First: l.first, Last: l.last})
}

// readLost reads what putLost wrote.
func (c codec) readLost(value []byte) (losses, error) {
	if value == nil {
		return losses{}, nil
	}
	var d onDiskLosses
	if err := c.readChecked([]byte(keyLost), value, &d); err != nil {
		return losses{}, err
	}
	return losses{kinds: d.Kinds, first: d.First, last: d.Last}, nil
}

// unnamed is what is to be named if the process dies once the first rides of
// the waiting items are stored.
func (w *writer) unnamed(rides int) losses {
	j := w.j
	j.mu.Lock()
	defer j.mu.Unlock()
	q := &j.queue
	var l losses
	l.join(q.lost)
	if q.full || w.savedLost.kinds != nil {
		for _, it := range q.patient[rides:] {
			l.add(it)
		}
	}
	return l
}

// saveLost brings the file's count of losses up to date.
func (w *writer) saveLost() {
	if w.j.Err() != nil || w.unnamed(0).equal(w.savedLost) {
		return
	}
	err := w.commit(change{})
	if err != nil && !w.lostUnsaved {
		w.j.opt.Log.Error("what is lost is counted in memory only", "error", err)
	}
	w.lostUnsaved = err != nil
}

// probe finds out whether there is room again, and names what was lost
// meanwhile.
func (w *writer) probe() {
	j := w.j
	j.mu.Lock()
	refusing := j.queue.refusing
	j.mu.Unlock()
	err := w.makeRoom([]item{{payload: make([]byte, usualTap)}}, refusing)
	if err == nil {
		_, err = w.store(change{}, false)
	}
	w.account(batch{probe: true}, nil, err)
}

// checkRoom finds out at the start whether a tap has room, before anybody taps:
// a journal that was full when its process died still is. Room is made as by
// probe, but nothing is evicted: it is enough to know that there is something
// which would go for a tap.
func (w *writer) checkRoom() error {
	err := w.makeRoom([]item{{payload: make([]byte, usualTap)}}, false)
	if err == nil {
		return nil
	}
	if w.j.Err() != nil {
		return err
	}
	refusing := true
	for which := range yielding {
		victims, err := w.victims(which, 1)
		if err != nil {
			return err
		}
		if len(victims) > 0 {
			refusing = false
			break
		}
	}
	w.j.opt.Log.Error("the journal has no room", "error", err, "refuses_taps", refusing)
	w.retry = time.Now().Add(retryAfter)
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	w.j.queue.full, w.j.queue.refusing = true, refusing
	return nil
}

// usualTap is how large a tap is as a rule, in its form on disk.
const usualTap = 512

// takeLost takes over what was lost before it had a number.
func (w *writer) takeLost() losses {
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	lost := w.j.queue.lost
	w.j.queue.lost = losses{}
	return lost
}

// gapFor is the gap that names what was lost before it had a number.
func (w *writer) gapFor(lost losses) (item, bool) {
	if lost.kinds == nil {
		return item{}, false
	}
	it, err := w.j.codec.encode(w.j.lossDraft(lost))
	return it, err == nil
}

func (j *Journal) lossDraft(lost losses) presence.Draft {
	return presence.Draft{
		Kind: presence.KindGap, At: j.opt.Now(), Simulated: j.opt.Simulated,
		Gap: &presence.Gap{
			Reason: presence.GapJournalFull, Kinds: lost.kinds,
			First: &lost.first, Last: &lost.last,
			Comment: "refused while there was no room",
		},
	}
}
