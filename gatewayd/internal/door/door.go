package door

import (
	"context"
	"errors"
	"log/slog"
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
	RepeatWindow time.Duration // a badge again within this time is a repeat; 0: every visit is a tap
	Badges       presence.Badges
	Journal      Journal
	Lamp         Lamp
	Now          func() presence.Reading
	Simulated    bool
	// Observe, if set, is told of every answer after the lamp. It must not
	// block.
	Observe func(presence.Answer)
	// Trouble, if set, is told when taps cannot be taken any more, because a
	// reader does not work or the journal refused the last one, and when they
	// can again. It must not block.
	Trouble func(bool)
	// Check, if set, tells where the tag is of who showed a badge at a reading;
	// nil where nothing is to be told. It must not block: somebody waits for the
	// lamp.
	Check func(badge string, seen presence.Reading) *presence.TagCheck
	Log   *slog.Logger
}

// Door takes taps from any number of readers. Its methods may be called from
// any goroutine.
type Door struct {
	opt Options

	mu       sync.Mutex
	recent   map[string]accepted      // by badge
	pending  map[string]chan struct{} // by badge: closed when the tap that is being recorded is answered
	undated  int                      // records remembered whose distance from now is unknown
	readers  []presence.ReaderHealth
	refusing bool // the journal refused the last tap
	troubled bool // as last told
}

// accepted is the tap that later ones are repeats of.
type accepted struct {
	at     presence.Reading
	stream presence.ID
	seq    uint64
}

// New makes a door for readers with these names.
func New(opt Options, readers ...string) *Door {
	d := &Door{opt: opt, recent: make(map[string]accepted), pending: make(map[string]chan struct{})}
	for _, name := range readers {
		d.readers = append(d.readers, presence.ReaderHealth{Name: name, State: stateOK})
	}
	return d
}

// maxUndated bounds how many records are remembered whose distance from now
// nobody knows: the clock may be set later, and they may matter then.
const maxUndated = 10_000

// Remember takes a record of the journal's tail, newest first, so that the
// repeat window outlives a restart. It returns false when older records do not
// matter any more.
func (d *Door) Remember(e presence.Entry) bool {
	age, known := d.opt.Now().Since(e.At)
	if known && age >= d.opt.RepeatWindow {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !known {
		d.undated++
	}
	if e.Badge != nil {
		if _, newer := d.recent[e.Badge.Badge]; !newer {
			d.recent[e.Badge.Badge] = accepted{e.At, e.Stream, e.Seq}
		}
	}
	return d.undated < maxUndated
}

// tap answers one card that came into the field and was seen at a reading.
func (d *Door) tap(ctx context.Context, reader string, c card.Card, seen presence.Reading, started time.Time) {
	a := presence.Answer{
		Reader: reader, UID: c.UID.String(), Card: string(c.Technology()),
		Badge: d.opt.Badges.Identity(c.UID.Bytes()),
	}
	d.decide(ctx, seen, c, &a)
	d.opt.Lamp.Show(a.Outcome)
	a.Took = time.Since(started)
	d.health(reader, func(h *presence.ReaderHealth) {
		switch a.Outcome {
		case presence.Accepted:
			h.Taps++
		case presence.Repeat:
			h.Repeats++
		case presence.Refused:
			h.Refused++
		}
	})
	if d.opt.Observe != nil {
		d.opt.Observe(a)
	}
}

// decide finds out whether the tap is a repeat, and records it otherwise.
func (d *Door) decide(ctx context.Context, seen presence.Reading, c card.Card, a *presence.Answer) {
	before, repeat := d.claim(a.Badge, seen)
	if repeat {
		a.Outcome, a.Stream, a.Seq = presence.Repeat, before.stream, before.seq
		return
	}
	defer d.settle(a, seen)
	body := &presence.Badge{Reader: a.Reader, Badge: a.Badge, Card: a.Card, Assurance: string(c.Assurance())}
	if d.opt.Check != nil {
		body.Check = d.opt.Check(a.Badge, seen)
	}
	e, err := d.record(ctx, presence.Draft{Kind: presence.KindBadge, At: seen, Simulated: d.opt.Simulated, Badge: body})
	if err != nil {
		a.Outcome, a.Reason = presence.Refused, reason(err)
		d.opt.Log.Error("a tap was refused", "reader", a.Reader, "reason", a.Reason, "error", err)
		return
	}
	a.Outcome, a.Stream, a.Seq = presence.Accepted, e.Stream, e.Seq
}

// claim reports the tap that this one repeats. Where there is none, the badge
// is the caller's until settle: another reader that sees it meanwhile waits
// here for what becomes of it.
func (d *Door) claim(badge string, seen presence.Reading) (before accepted, repeat bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		if before, ok := d.recent[badge]; ok && d.within(seen, before.at) {
			return before, true
		}
		answered, busy := d.pending[badge]
		if !busy {
			d.pending[badge] = make(chan struct{})
			return accepted{}, false
		}
		d.mu.Unlock()
		<-answered
		d.mu.Lock()
	}
}

// settle remembers an accepted tap and lets go of its badge.
func (d *Door) settle(a *presence.Answer, seen presence.Reading) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a.Outcome == presence.Accepted {
		for badge, before := range d.recent {
			if d.over(seen, before.at) {
				delete(d.recent, badge)
			}
		}
		d.recent[a.Badge] = accepted{seen, a.Stream, a.Seq}
	}
	close(d.pending[a.Badge])
	delete(d.pending, a.Badge)
	d.refusing = a.Outcome == presence.Refused
	d.tellTrouble()
}

// within reports whether a tap lies in the repeat window of an earlier one. The
// window does not slide: it begins with the accepted tap. Where nobody knows
// how much time has passed, the tap counts: a record too many can be struck
// out, one too few cannot be made up.
func (d *Door) within(now, earlier presence.Reading) bool {
	passed, known := now.Since(earlier)
	if now.Boot == earlier.Boot {
		// Two readers that see a badge at once need not be answered in the
		// order in which they saw it.
		passed = passed.Abs()
	}
	return known && passed >= 0 && passed < d.opt.RepeatWindow
}

// over reports whether no later tap can lie in the window of this earlier one.
func (d *Door) over(now, earlier presence.Reading) bool {
	_, known := now.Since(earlier)
	return known && !d.within(now, earlier)
}

// grace is how long a tap may still take to be recorded when the gateway stops.
const grace = 2 * time.Second

// record appends a draft. One that has begun is brought to its end although the
// gateway stops: if it were given up, nobody would know whether it is there.
func (d *Door) record(ctx context.Context, draft presence.Draft) (presence.Entry, error) {
	patient, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	return d.opt.Journal.Append(patient, draft)
}

// reason is the word for why a tap could not be recorded.
func reason(err error) string {
	var r interface{ Reason() string }
	switch {
	case errors.As(err, &r):
		return r.Reason()
	case errors.Is(err, context.Canceled):
		return "stopping"
	}
	return "write-failed"
}
