package journal

import (
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/presence"
)

// The city confirms events with their links. What it says so is a head: the newest event
// that it has of a stream. Where the journal contradicts one, it was changed behind the
// gateway's back, or somebody speaks in the gateway's name. That is kept in a note until
// the start of the next stream names it in a gap.

// Contradiction is a head of the city that the journal contradicts.
type Contradiction struct {
	// Reason is presence.GapRolledBack where the journal does not have the event, and
	// presence.GapForked where it has another one in its place.
	Reason presence.GapReason `cbor:"1,keyasint"`
	Head   presence.Head      `cbor:"2,keyasint"` // as the city has it
	// From is the first number that the gap has to name, the last is Head.Seq. Before is
	// the link of the event before From; zero where it is not known.
	From   uint64        `cbor:"3,keyasint"`
	Before presence.Link `cbor:"4,keyasint,omitzero"`
	// More says that events of this stream were found missing before: it takes a gap, and is
	// nothing new.
	More  bool             `cbor:"5,keyasint,omitempty"`
	Found presence.Reading `cbor:"6,keyasint"`

	// Here says that this process found it, or named it in its first events.
	Here bool `cbor:"-"`
}

// noteHeads is the name of the note that keeps headNote.
const noteHeads = "heads"

// headNote is what the heads of the city have shown.
type headNote struct {
	Waiting []Contradiction `cbor:"1,keyasint,omitempty"` // no gap names them yet
	Named   []Contradiction `cbor:"2,keyasint,omitempty"` // the latest ones, oldest first
	// Began is when a stream last began that names one.
	Began *presence.Reading `cbor:"3,keyasint,omitempty"`
	// AheadUpto is when the newest stream began that the city was found to have and the
	// journal had nothing of, in milliseconds since 1970; 0: none.
	AheadUpto int64 `cbor:"4,keyasint,omitempty"`
}

const (
	// maxWaiting is how many contradictions may wait: a broker can invent any number.
	maxWaiting = 8
	// maxNamed is how many are remembered that gaps name.
	maxNamed = 32
	// headPause is how far apart streams begin at least only because of heads, and headGather
	// how long it is waited for more of them: a city may send several at once.
	headPause  = time.Hour
	headGather = 2 * time.Second
	// forkRemembered is for how long another event of a stream that forked is nothing new: who
	// speaks in a gateway's name says more than one thing.
	forkRemembered = 24 * time.Hour
	// clockSlack is by how much a wall clock may be wrong that says it is right.
	clockSlack = time.Minute
)

// ErrCrowded means that as many contradictions wait already as are kept.
var ErrCrowded = errors.New("enough of them wait")

// linkOf is the link of a stream's event, false where there is no record of it. It is zero
// for an event of the first versions, which made none.
func (j *Journal) linkOf(stream presence.ID, seq uint64) (presence.Link, bool) {
	e, there := j.entryOf(stream, seq)
	return e.Chain.Link, there
}

func (j *Journal) entryOf(stream presence.ID, seq uint64) (e presence.Entry, there bool) {
	pos, found := j.Find(stream, seq)
	if !found {
		return e, false
	}
	err := j.view(func(tx *bolt.Tx) error {
		r, ok := get(tx, pos)
		if !ok {
			return errDamagedRecord
		}
		return j.codec.decodePacked(r, &e)
	})
	return e, err == nil && e.Stream == stream
}

// Agrees tells whether a head's event is there, and is the one that the city has.
func (j *Journal) Agrees(h presence.Head) (same, there bool) {
	e, there := j.entryOf(h.Stream, h.Seq)
	return there && agrees(&e, h.Link), there
}

// agrees tells whether a head is that of an event. Of a seal, a city whose recorder knows no
// seals says the link that the seal was sent with, which is that of the event before it.
func agrees(e *presence.Entry, head presence.Link) bool {
	return e.Chain.IsZero() || e.Chain.Link == head || e.Seal != nil && e.Seal.Link == head
}

// LastOf is the number of the last event of a stream, false where nothing of it is left.
func (j *Journal) LastOf(stream presence.ID) (uint64, bool) {
	first, end, known := j.extent(stream)
	return end + 1 - first, known
}

// HeadKnown tells whether it is durable that the journal contradicts a head, or one of the
// same stream that goes further.
func (j *Journal) HeadKnown(h presence.Head, reason presence.GapReason) bool {
	c, _ := j.latest(Contradiction{Reason: reason, Head: h})
	return c != nil && c.Head.Seq >= h.Seq
}

// CheckHead tells whether the journal contradicts a head of the city and does not know of
// that yet. It accuses somebody, so whatever can be explained otherwise is no
// contradiction: events whose time was over, those that a gap names, and streams that may
// have been lost with a damaged file.
func (j *Journal) CheckHead(h presence.Head) (Contradiction, bool, error) {
	began, isStream := h.Stream.Began()
	if j.refused != nil || !isStream || h.Link.IsZero() || h.Seq == 0 || h.Seq >= noEnd {
		return Contradiction{}, false, nil
	}
	c := Contradiction{Head: h, From: h.Seq, Found: j.opt.Now(), Here: true}
	if e, there := j.entryOf(h.Stream, h.Seq); there {
		c.Reason = presence.GapForked
		if agrees(&e, h.Link) {
			return Contradiction{}, false, nil
		}
		return j.unlessKnown(c, true)
	}
	c.Reason = presence.GapRolledBack
	last, known := j.LastOf(h.Stream)
	switch {
	case h.Stream == j.stream, known && h.Seq <= last:
		return Contradiction{}, false, nil // not recorded yet, or gone on purpose
	case known:
		c.From = last + 1
		c.Before, _ = j.linkOf(h.Stream, last)
	default:
		c.From = 1
		if known, _ := j.latest(c); known != nil {
			break
		}
		if ours, err := j.shouldKnow(began); err != nil || !ours {
			return Contradiction{}, false, err
		}
	}
	return j.unlessKnown(c, known)
}

// unlessKnown is the end of CheckHead: whether something is known of the contradiction, and
// what it adds to that. The journal may know its stream.
func (j *Journal) unlessKnown(c Contradiction, stream bool) (Contradiction, bool, error) {
	if p, recent := j.latest(c); p != nil {
		if p.Head.Seq >= c.Head.Seq {
			return Contradiction{}, false, nil
		}
		c.More = c.Reason == presence.GapRolledBack || recent
		if c.Reason == presence.GapRolledBack || p.Head.Seq+1 == c.Head.Seq {
			c.From, c.Before = p.Head.Seq+1, p.Head.Link
		}
	}
	named, err := j.explained(c, stream)
	return c, err == nil && !named, err
}

// latest is the contradiction of the same stream and reason that is known already and goes
// furthest; nil: there is none. recent says that the last one that was new is not old.
func (j *Journal) latest(c Contradiction) (last *Contradiction, recent bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, k := range slices.Concat(j.heads.Named, j.heads.Waiting) {
		if k.Reason != c.Reason || k.Head.Stream != c.Head.Stream {
			continue
		}
		if last == nil || k.Head.Seq > last.Head.Seq {
			last = &k
		}
		if !k.More {
			ago, ok := c.Found.Since(k.Found)
			recent = ok && ago < forkRemembered
		}
	}
	return last, recent
}

// shouldKnow tells whether a stream that began then should be in the journal, of which
// nothing is there. It may be gone because its time was over. One from before the journal
// began counts only as long as nothing of the journal was confirmed to an earlier process:
// then this disk is new to the city. Later that is what came from the disk before, by
// `gatewayd deliver` for example.
func (j *Journal) shouldKnow(began time.Time) (bool, error) {
	var first packed
	err := j.view(func(tx *bolt.Tx) (err error) {
		first, _, err = bounds(tx)
		return err
	})
	if err != nil {
		return false, j.unreadable(err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if began.UnixMilli() <= max(j.state.GoneUpto, j.heads.AheadUpto) {
		return false, nil
	}
	oldest, ok := first.stream.Began()
	return !ok || began.After(oldest) || j.unconfirmed, nil
}

// losing is a gap that an earlier process recorded, and when its stream began.
type losing struct {
	gap *presence.Gap
	at  presence.Reading
}

// explained tells whether a gap says already what became of the event. A damaged journal
// may also have lost whole streams whose names nobody knows any more: all that began before
// the damage was found, by a clock that was right then.
func (j *Journal) explained(c Contradiction, stream bool) (bool, error) {
	if err := j.findGaps(); err != nil {
		return false, err
	}
	began, _ := c.Head.Stream.Began()
	for _, l := range j.gapsFound {
		if (l.gap.Reason == presence.GapForked) != (c.Reason == presence.GapForked) {
			continue
		}
		for _, r := range l.gap.Ranges {
			if numbers, ok := numbersOf(r); ok && r.Stream == c.Head.Stream && numbers.From <= c.Head.Seq && c.Head.Seq <= numbers.To {
				return true, nil
			}
		}
		if !stream && l.gap.Reason == presence.GapJournalDamaged &&
			(!l.at.Known() || !began.After(l.at.WallTime().Add(clockSlack))) {
			return true, nil
		}
	}
	return false, nil
}

// findGaps reads the gaps in the journal. Once is enough: what is missing since an earlier
// process is named at the latest by the first events of this one.
func (j *Journal) findGaps() error {
	if j.gapsRead {
		return nil
	}
	var found []losing
	err := j.Tail(func(e presence.Entry) bool {
		if e.Gap != nil {
			found = append(found, losing{e.Gap, e.At})
		}
		return true
	})
	if err != nil {
		return err
	}
	j.gapsFound, j.gapsRead = found, true
	return nil
}

// NoteHead makes a contradiction durable; one that only adds to another, with some later
// commit. The next stream that begins names it in a gap.
func (j *Journal) NoteHead(c Contradiction) error {
	j.mu.Lock()
	note := j.heads
	j.mu.Unlock()
	var err error
	if note.Waiting, err = join(note.Waiting, c); err != nil {
		return err
	}
	if began, ok := c.Head.Stream.Began(); ok && c.From == 1 && c.Reason == presence.GapRolledBack {
		note.AheadUpto = max(note.AheadUpto, began.UnixMilli())
	}
	data, err := j.codec.enc.Marshal(note)
	if err != nil {
		return fmt.Errorf("encode heads: %w", err)
	}
	if c.More {
		err = j.SaveLater(map[string][]byte{noteHeads: data})
	} else {
		err = j.Save(noteHeads, data)
	}
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.heads = note
	return nil
}

// join adds a contradiction to those that wait, or extends the one that it goes on from.
func join(waiting []Contradiction, c Contradiction) ([]Contradiction, error) {
	waiting = slices.Clone(waiting)
	for i, w := range waiting {
		if c.More && w.Reason == c.Reason && w.Head.Stream == c.Head.Stream && w.Head.Seq+1 == c.From {
			waiting[i].Head = c.Head
			return waiting, nil
		}
	}
	if len(waiting) >= maxWaiting {
		return nil, ErrCrowded
	}
	return append(waiting, c), nil
}

// Contradictions are the latest heads that the journal contradicted, oldest first, without
// those that only added to another one.
func (j *Journal) Contradictions() []Contradiction {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(slices.Concat(j.heads.Named, j.heads.Waiting), func(c Contradiction) bool { return c.More })
}

// HeadDue is in how long a new stream may begin only because of a contradiction that no
// gap names yet; false where there is none. A hostile broker cannot have it start over all
// the time.
func (j *Journal) HeadDue() (in time.Duration, waits bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.opt.Now()
	for _, c := range j.heads.Waiting {
		if !c.More {
			ago, _ := now.Since(c.Found)
			in, waits = max(in, headGather-ago), true
		}
	}
	if !waits || j.heads.Began == nil {
		return in, waits
	}
	ago, ok := now.Since(*j.heads.Began)
	if !ok || ago < 0 {
		ago, _ = now.Since(j.opened)
	}
	return max(in, headPause-ago), true
}

// readHeads reads the note. One that a later version wrote counts for nothing.
func (j *Journal) readHeads(tx *bolt.Tx) error {
	b := tx.Bucket([]byte(bucketNotes))
	if b == nil {
		return nil
	}
	value := b.Get([]byte(noteHeads))
	if value == nil {
		return nil
	}
	data, err := j.codec.readNote([]byte(noteHeads), value)
	if err != nil {
		return err
	}
	if err := j.codec.dec.Unmarshal(data, &j.heads); err != nil {
		j.opt.Log.Warn("what the city's heads have shown cannot be read", "error", err)
		j.heads = headNote{}
	}
	return nil
}

// named is what the start of a stream does about contradictions that wait: the gaps that
// name them, the note without them, and what the stream follows in the city's place
// (presence.Start.Previous); nil: its own last event.
type named struct {
	gaps    []presence.Draft
	note    headNote
	follows *presence.Previous
}

// nameHeads puts the contradictions that wait into gaps. The stream then follows the head
// that the journal is behind of, so that the city's chain goes on; the gap tells what the
// journal's own last event was. Behind a fork the journal's own chain goes on.
func (j *Journal) nameHeads(own *presence.Previous, now presence.Reading) named {
	n := named{note: j.heads}
	if len(j.heads.Waiting) == 0 {
		return n
	}
	n.note.Waiting, n.note.Began = nil, &now
	n.note.Named = slices.Clone(n.note.Named)
	var followed *presence.Gap
	for _, c := range j.heads.Waiting {
		g := &presence.Gap{
			Reason: c.Reason, Kinds: map[string]int{},
			Ranges: []presence.Range{{Stream: c.Head.Stream, From: c.From, To: c.Head.Seq, Before: c.Before, Link: c.Head.Link}},
		}
		n.gaps = append(n.gaps, presence.Draft{Kind: presence.KindGap, At: now, Simulated: j.opt.Simulated, Gap: g})
		if c.Reason == presence.GapRolledBack && !c.More && own != nil {
			followed = g
			n.follows = &presence.Previous{Stream: c.Head.Stream, Seq: c.Head.Seq, Link: c.Head.Link}
		}
		c.Here = true
		n.note.Named = append(n.note.Named, c)
	}
	if followed != nil {
		followed.Branch = &presence.Head{Stream: own.Stream, Seq: own.Seq, Link: own.Link}
	}
	n.note.Named = n.note.Named[max(len(n.note.Named)-maxNamed, 0):]
	return n
}

// asNotes is the note as a commit stores it; nothing where it did not change.
func (n named) asNotes(c codec) (map[string][]byte, error) {
	if len(n.gaps) == 0 {
		return nil, nil
	}
	data, err := c.enc.Marshal(n.note)
	if err != nil {
		return nil, fmt.Errorf("encode heads: %w", err)
	}
	return map[string][]byte{noteHeads: data}, nil
}
