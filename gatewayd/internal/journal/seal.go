package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"presence/gatewayd/internal/presence"
)

// Signer is a key with which the gateway seals its journal.
type Signer interface {
	KeyID() presence.KeyID
	// Sign is the Ed25519 signature over presence.SealText.
	Sign(text []byte) ([]byte, error)
}

// Seals is what the journal needs to seal what it holds. Its zero value seals nothing.
//
// A seal is an event of its own (presence.Seal). Only the writer can make one, since
// nobody else knows the link of the event before it. It makes one
//
//   - in the commit that begins the stream, behind the start and its gaps;
//   - with the commit that removes waiting events no seal covers yet (thin.go), and with
//     the file that takes the journal's place when a person is forgotten (forget.go);
//   - every Every in which something else was recorded: with the first commit after that
//     time, or with one of its own. A journal to which nothing is written makes none;
//   - when it is asked to (Journal.Seal), and in the last commit (Journal.Close).
//
// A seal covers its own stream up to the event before it. What a process recorded after
// its last seal, and could not seal because its power was cut, is covered by the next
// stream's first seal: that seal's stream begins with a start which names the last event
// of the stream before, and its link (presence.Previous), so that nothing before it can
// be changed without changing the start, which is sealed.
//
// No event ever fails for a seal. One that finds no room is left out, and made later.
type Seals struct {
	// Signer returns the key in use, nil while there is none. The writer asks whenever a
	// seal is due, so the key may change.
	Signer func() Signer
	// Anchors returns what the clock learned of the present boot after an instant of
	// CLOCK_BOOTTIME (-1: all that is known), oldest first. nil: nothing.
	Anchors func(after time.Duration) []presence.Anchor
	// Every is how long at most recorded events stay without a seal; 0: 15 minutes.
	Every time.Duration
}

const (
	// sealEvery is the default of Seals.Every.
	sealEvery = 15 * time.Minute

	// sealAgain is after what time a seal that found no room is tried again.
	sealAgain = time.Minute

	// maxAnchors bounds what one seal holds: 64 anchors take some 3 KiB.
	maxAnchors = 64

	// sealSize is how long a seal's payload is without anchors, with a reserve.
	sealSize = 192
	// anchorSize is how much each anchor adds at most, for a source of usual length.
	anchorSize = 48

	// sealPages is how many pages a seal takes at most beside what it goes along with.
	sealPages = 4
)

// ErrNoSealKey means that the journal cannot be sealed, since there is no usable key.
var ErrNoSealKey = errors.New("the gateway has no usable seal key")

// sealing is what the writer knows of the next seal.
type sealing struct {
	due      time.Time     // none for its time alone before this
	anchored time.Duration // Boottime of the newest anchor that is sealed; -1: none
	failed   error         // why the last one was not signed; nil: it was
}

// signer is the key in use, nil if there is none.
func (s Seals) signer() Signer {
	if s.Signer == nil {
		return nil
	}
	return s.Signer()
}

func (s Seals) every() time.Duration { return cmp.Or(s.Every, sealEvery) }

// unsealed tells whether the newest event is one of this stream that no seal covers.
func (w *writer) unsealed() bool { return !w.j.silent && w.j.end > w.j.sealed }

// sealDue tells whether a seal gets a commit of its own once its time has come.
func (w *writer) sealDue() bool { return w.unsealed() && w.j.opt.Seals.signer() != nil }

// sealRides tells whether a seal goes along with a commit because its time has come.
func (w *writer) sealRides(now time.Time) bool { return !now.Before(w.seals.due) }

// postponeSeal sees to it that no seal is made for its time alone before some time has
// passed.
func (w *writer) postponeSeal(by time.Duration) { w.seals.due = time.Now().Add(by) }

// sealFor is a seal behind the items of a commit, false where there is nothing to seal,
// no key, or no room even when delivered events give way.
func (w *writer) sealFor(items []item) (item, bool) {
	if w.j.silent || len(items) == 0 && !w.unsealed() {
		return item{}, false
	}
	seal, ok := w.newSeal()
	if !ok {
		return item{}, false
	}
	all := slices.Concat(items, []item{seal})
	for w.fits(all) != nil {
		dropped := false
		if w.j.Err() == nil {
			dropped, _ = w.dropDelivered() // an error comes again from what the caller does next
		}
		if !dropped {
			w.postponeSeal(sealAgain)
			return item{}, false
		}
	}
	return seal, true
}

// sealAlone makes a commit of nothing but a seal.
func (w *writer) sealAlone(waiting []chan<- error) {
	j := w.j
	j.mu.Lock()
	j.wrote, j.pulse = time.Now(), false
	j.mu.Unlock()
	var err error
	if seal, ok := w.sealFor(nil); ok {
		if err = w.commit(change{items: []item{seal}, prunes: pruneStep, onlySeal: true}); err != nil {
			w.postponeSeal(sealAgain)
		}
	}
	w.answerSeals(waiting, err)
}

// newSeal is a seal of which pack still fills in what it covers, false where there is no
// key.
func (w *writer) newSeal() (item, bool) {
	signer := w.j.opt.Seals.signer()
	if signer == nil {
		return item{}, false
	}
	seal := &presence.Seal{}
	if w.j.opt.Seals.Anchors != nil {
		seal.Anchors = w.j.opt.Seals.Anchors(w.seals.anchored)
	}
	if n := len(seal.Anchors); n > maxAnchors {
		seal.Anchors = seal.Anchors[n-maxAnchors:]
	}
	return item{
		draft: presence.Draft{
			Kind: presence.KindSeal, At: w.j.opt.Now(), Simulated: w.j.opt.Simulated, Seal: seal,
		},
		payload: make([]byte, sealSize+anchorSize*len(seal.Anchors)), // takes room until it is signed
		signer:  signer,
	}, true
}

// signed is a seal's item with the signature over all before its place.
func (w *writer) signed(it item, seq uint64, link presence.Link) (item, error) {
	seal := *it.draft.Seal
	seal.Upto, seal.Link, seal.Key = seq-1, link, it.signer.KeyID()
	seal.Sig, w.seals.failed = it.signer.Sign(presence.SealText(w.j.opt.Origin.Gateway, w.j.stream, seal.Upto, link))
	if w.seals.failed != nil {
		return item{}, fmt.Errorf("sign seal: %w", w.seals.failed)
	}
	d := it.draft
	d.Seal = &seal
	return w.j.codec.encode(d)
}

// withSeal puts a seal behind the items of a commit.
func (c change) withSeal(seal item) change {
	c.items = slices.Concat(c.items, []item{seal})
	return c
}

// withoutSeal takes it away again, and tells whether there was one.
func (c change) withoutSeal() (change, bool) {
	if lastSeal(c.items) == nil {
		return c, false
	}
	c.items = c.items[:len(c.items)-1]
	return c, true
}

// lastSeal is the item that seals the others, nil if there is none.
func lastSeal(items []item) *item {
	if n := len(items); n > 0 && items[n-1].signer != nil {
		return &items[n-1]
	}
	return nil
}

// noteSeal puts into what a commit changes that it seals the stream, if the packed
// items do.
func (w *writer) noteSeal(items []item, after *snapshot) {
	if seal := lastSeal(items); seal != nil && len(w.records) == len(items) {
		key := seal.signer.KeyID()
		after.sealed, after.state.SealKey = after.end, &key
	}
}

// afterSeal remembers a seal that a commit has brought to the disk.
func (w *writer) afterSeal(items []item, before, after snapshot) {
	if before.sealed == after.sealed {
		return
	}
	w.postponeSeal(w.j.opt.Seals.every())
	if anchors := lastSeal(items).draft.Seal.Anchors; len(anchors) > 0 {
		w.seals.anchored = anchors[len(anchors)-1].Boottime
	}
}

// Seal returns when all that was recorded before is durable and sealed. Where everything
// is sealed already it makes no seal. Its error is ErrNoSealKey where there is no usable
// key, and ErrFull where a seal finds no room; the events stay unsealed then, and are
// sealed later.
func (j *Journal) Seal(ctx context.Context) error {
	if err := j.Flush(ctx); err != nil {
		return fmt.Errorf("seal journal: %w", err)
	}
	done := make(chan error, 1)
	if err := j.pushSeal(done); err != nil {
		return fmt.Errorf("seal journal: %w", err)
	}
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("seal journal: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("seal journal: %w", ctx.Err())
	}
}

// SealKeyCame tells the journal that there may be another key than before: if a seal has
// waited for one, it is made now.
func (j *Journal) SealKeyCame() { j.wakeWriter() }

// pushSeal asks the writer for a seal.
func (j *Journal) pushSeal(done chan<- error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.refusesEvents(); err != nil {
		return err
	}
	j.queue.seals = append(j.queue.seals, done)
	j.wakeWriter()
	return nil
}

// takeSeals takes over who waits for a seal. The caller holds the mutex.
func (q *queue) takeSeals() []chan<- error {
	waiting := q.seals
	q.seals = nil
	return waiting
}

// answerSeals tells who waited for a seal whether there is one, after a commit.
func (w *writer) answerSeals(waiting []chan<- error, err error) {
	switch {
	case err != nil || !w.unsealed():
	case w.j.opt.Seals.signer() == nil:
		err = ErrNoSealKey
	default:
		err = cmp.Or(w.seals.failed, error(ErrFull))
	}
	for _, done := range waiting {
		done <- err
	}
}

// Sealing tells how a journal is sealed.
type Sealing struct {
	Unsealed int64          // events that no seal covers yet
	Key      presence.KeyID // of the newest seal; zero: there is none
	// Former is the key of the newest seal before this stream; zero: there was none. A
	// journal that was damaged may have forgotten it.
	Former presence.KeyID
}

// Sealing tells how the journal is sealed now.
func (j *Journal) Sealing() Sealing {
	j.mu.Lock()
	defer j.mu.Unlock()
	var s Sealing
	if !j.silent && j.end > j.sealed {
		s.Unsealed = int64(j.end - max(j.sealed, j.first-1))
	}
	if j.state.SealKey != nil {
		s.Key = *j.state.SealKey
	}
	if j.formerKey != nil {
		s.Former = *j.formerKey
	}
	return s
}
