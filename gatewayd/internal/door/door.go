package door

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// Journal records taps. An error may have a method `Reason() string` that puts
// it into one word.
type Journal interface {
	// Append returns after the commit that holds the draft.
	Append(ctx context.Context, d presence.Draft) (presence.Entry, error)
}

// Lamp answers the person at the door. Show never blocks.
type Lamp interface {
	Show(presence.Outcome)
}

// Options is what a door needs.
type Options struct {
	// RepeatWindow is how long a badge must have been away from every reader for
	// its next tap to be a new visit. 0: every time that it comes is one.
	RepeatWindow time.Duration
	Badges       presence.Badges
	Journal      Journal
	Lamp         Lamp
	Now          func() presence.Reading
	Simulated    bool
	// Observe, if set, is called with every answer, after the lamp. It must not
	// block.
	Observe func(presence.Answer)
	// Trouble, if set, is told when taps can no longer be accepted, because a
	// reader does not work or the journal refused the last one, and when they can
	// be again. It must not block.
	Trouble func(bool)
	// Refusing, if set, tells whether the journal would refuse a tap now. Without
	// it, the door assumes so for as long as the last tap was refused. It must not
	// block.
	Refusing func() bool
	// Prover, if set, is asked what a card can prove that speaks ISO/IEC 14443-4, at
	// readers that can select one.
	Prover Prover
	// RequireAuthenticated: every badge has to prove who it is (badges.require).
	RequireAuthenticated bool
	// Least, if set, is the least that a badge of an identity (presence.Identity, Bytes
	// or one of Claims) must show; "" where its number will do. It must not block, and
	// neither must Revoked and Claims.
	Least func(identity []byte) card.Assurance
	// Revoked, if set, tells whether the city has revoked an identity, as for Least.
	Revoked func(identity []byte) bool
	// Claims, if set, are further identities that a card claims by the UID that it shows.
	Claims func(card.UID) [][]byte
	// Check, if set, tells where the tag of a badge's owner was at the reading at
	// which the badge was seen; nil where the tap is to say nothing of it. It must
	// not block: somebody waits for the lamp.
	Check func(badge string, seen presence.Reading) *presence.TagCheck
	// Sights, if set, keeps over a restart when badges were last seen: one that
	// lies on a reader for long was seen later than its tap tells.
	Sights Store
	Log    *slog.Logger
}

// Door accepts taps from any number of readers. Its methods may be called from
// any goroutine.
type Door struct {
	opt Options

	mu       sync.Mutex
	recent   map[string]visit           // by badge
	pending  map[string]chan struct{}   // by badge: closed when the tap that is being recorded is answered
	sights   map[tapID]presence.Reading // of an earlier process, whose taps are not remembered yet
	surplus  int                        // records remembered although they lie outside the repeat window
	readers  []presence.ReaderHealth
	inDriver map[string]time.Time // readers whose driver is at work, and since when
	refusing bool                 // the journal refused the last tap
	troubled bool                 // as Trouble was told last

	proven   presence.BadgesHealth // what BadgesHealth tells
	warnings map[string]warning    // by reader and reason
}

// tapID names an accepted tap in the journal.
type tapID struct {
	stream presence.ID
	seq    uint64
}

// visit is one stay of a badge: its accepted tap, which later ones repeat, and
// when a reader last saw the badge.
type visit struct {
	tap  tapID
	seen presence.Reading
}

// New makes a door for readers with these names.
func New(opt Options, readers ...string) *Door {
	d := &Door{
		opt: opt, recent: make(map[string]visit), pending: make(map[string]chan struct{}), inDriver: make(map[string]time.Time),
		proven: presence.BadgesHealth{Refused: make(map[string]int64)}, warnings: make(map[string]warning),
	}
	for _, name := range readers {
		d.readers = append(d.readers, presence.ReaderHealth{Name: name, State: stateOK})
	}
	return d
}

// maxSurplus bounds how many records are remembered although they lie outside the
// repeat window: those whose age is not known yet, since the clock may be set
// later, and those before the tap of a badge that was held for long.
const maxSurplus = 10_000

// Remember takes a record of the journal's tail, newest first, so that the
// repeat window outlives a restart. It returns false when older records do not
// matter any more.
func (d *Door) Remember(e presence.Entry) bool {
	age, known := d.opt.Now().Since(e.At)
	over := known && age >= d.opt.RepeatWindow
	d.mu.Lock()
	defer d.mu.Unlock()
	if !known || over {
		d.surplus++
	}
	if e.Badge != nil {
		v := visit{tapID{e.Stream, e.Seq}, e.At}
		later, held := d.sights[v.tap]
		if held {
			v.seen = later
			delete(d.sights, v.tap)
		}
		if _, newer := d.recent[e.Badge.Badge]; !newer && (held || !over) {
			d.recent[e.Badge.Badge] = v
		}
	}
	return (!over || len(d.sights) > 0) && d.surplus < maxSurplus
}

// claim reports the tap that this one repeats. Where there is none, the badge
// is the caller's until release: another reader that sees it meanwhile waits
// here for what becomes of it.
func (d *Door) claim(badge string, seen presence.Reading) (before tapID, repeat bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		if v, ok := d.recent[badge]; ok {
			if d.within(seen, v.seen) {
				d.extend(badge, seen)
				return v.tap, true
			}
			// A badge whose next tap is refused must not extend a visit that is over.
			delete(d.recent, badge)
		}
		answered, busy := d.pending[badge]
		if !busy {
			d.pending[badge] = make(chan struct{})
			return tapID{}, false
		}
		d.mu.Unlock()
		<-answered
		d.mu.Lock()
	}
}

// release remembers an accepted tap and lets other readers have its badge.
func (d *Door) release(a *presence.Answer, seen presence.Reading) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a.Outcome == presence.Accepted {
		for badge, v := range d.recent {
			if d.over(seen, v.seen) {
				delete(d.recent, badge)
			}
		}
		d.recent[a.Badge] = visit{tapID{a.Stream, a.Seq}, seen}
	}
	close(d.pending[a.Badge])
	delete(d.pending, a.Badge)
	d.refusing = a.Outcome == presence.Refused
	d.tellTrouble()
}

// Forgotten ends the visits whose tap is no longer in the journal, which has tells:
// somebody had it removed, and the badge's next tap must not be answered as a repeat.
func (d *Door) Forgotten(has func(stream presence.ID, seq uint64) bool) {
	d.mu.Lock()
	visits := maps.Clone(d.recent)
	d.mu.Unlock()
	for badge, v := range visits {
		if has(v.tap.stream, v.tap.seq) {
			continue
		}
		d.mu.Lock()
		if d.recent[badge].tap == v.tap {
			delete(d.recent, badge)
		}
		d.mu.Unlock()
	}
}

// stillThere extends the visits of badges that were answered and still lie on a
// reader.
func (d *Door) stillThere(badges []string, seen presence.Reading) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, badge := range badges {
		d.extend(badge, seen)
	}
}

// extend moves the end of a badge's visit, if there is one, to when it was seen.
// Two readers that see a badge at once may report it in either order.
func (d *Door) extend(badge string, seen presence.Reading) {
	v, ok := d.recent[badge]
	if !ok {
		return
	}
	if passed, known := seen.Since(v.seen); !known || passed > 0 {
		v.seen = seen
		d.recent[badge] = v
	}
}

// within reports whether a badge that was seen earlier has been away for less
// than the repeat window. Where it is not known how much time has passed, the tap
// counts: a record too many can be struck out, a missing one cannot be made up.
func (d *Door) within(now, earlier presence.Reading) bool {
	passed, known := now.Since(earlier)
	if now.Boot == earlier.Boot {
		// Two readers that see a badge at once need not be answered in the
		// order in which they saw it.
		passed = passed.Abs()
	}
	return known && passed >= 0 && passed < d.opt.RepeatWindow
}

// over reports whether no later tap can belong to a visit that ended then.
func (d *Door) over(now, earlier presence.Reading) bool {
	_, known := now.Since(earlier)
	return known && !d.within(now, earlier)
}
