package door_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"presence/drivers/card"
	"presence/gatewayd/internal/door"
	"presence/gatewayd/internal/presence"
)

const poll = 50 * time.Millisecond

// gate is a door with a journal, a lamp and mocked readers, inside a synctest
// bubble.
type gate struct {
	t       *testing.T
	door    *door.Door
	journal *ledger
	now     func() presence.Reading
	check   func(badge string, seen presence.Reading) *presence.TagCheck
	cancel  context.CancelFunc
	tasks   sync.WaitGroup

	mu      sync.Mutex
	lamp    []presence.Outcome
	answers []presence.Answer
	trouble []bool
}

func clock() func() presence.Reading {
	started := time.Now()
	return func() presence.Reading {
		return presence.Reading{
			Boot: presence.ID{1}, Boottime: time.Minute + time.Since(started),
			Wall: time.Now().UnixNano(), State: presence.ClockSynced,
		}
	}
}

// open makes a gate; remembered are records of earlier processes, oldest first.
func open(t *testing.T, window time.Duration, remembered []presence.Entry, readers map[string]*chip) *gate {
	now := clock()
	g := build(t, window, now, names(readers)...)
	for i := len(remembered) - 1; i >= 0; i-- {
		if !g.door.Remember(remembered[i]) {
			break
		}
	}
	g.journal.entries = append(g.journal.entries, remembered...)
	ctx, cancel := context.WithCancel(t.Context())
	g.cancel = cancel
	for name, c := range readers {
		g.tasks.Go(func() { _ = g.door.Run(ctx, door.Reader{Name: name, Poll: poll, Open: c.open}) })
	}
	return g
}

func build(t *testing.T, window time.Duration, now func() presence.Reading, readers ...string) *gate {
	g := &gate{t: t, journal: &ledger{}, now: now}
	g.door = door.New(door.Options{
		RepeatWindow: window, Badges: presence.PlainBadges(), Journal: g.journal, Lamp: g, Now: now, Sights: g.journal,
		Check: func(badge string, seen presence.Reading) *presence.TagCheck {
			if g.check == nil {
				return nil
			}
			return g.check(badge, seen)
		},
		Log: slog.New(slog.DiscardHandler),
		Observe: func(a presence.Answer) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.answers = append(g.answers, a)
		},
		Trouble: func(on bool) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.trouble = append(g.trouble, on)
		},
	}, readers...)
	return g
}

func names(readers map[string]*chip) (list []string) {
	for name := range readers {
		list = append(list, name)
	}
	return list
}

func (g *gate) Show(o presence.Outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lamp = append(g.lamp, o)
}

func (g *gate) close() {
	g.cancel()
	g.tasks.Wait()
}

// outcomes are the lamp's answers so far, in short.
func (g *gate) outcomes() string {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	var b strings.Builder
	for _, o := range g.lamp {
		b.WriteByte(o[2]) // accepted c, repeat p, refused f
	}
	return b.String()
}

// expect compares the lamp's answers so far.
func (g *gate) expect(want string) {
	g.t.Helper()
	if got := g.outcomes(); got != want {
		g.t.Fatalf("the lamp said %q, want %q (c accepted, p repeat, f refused)", got, want)
	}
}

// ledger is a journal in memory. A commit takes as long as it is told.
type ledger struct {
	mu      sync.Mutex
	takes   time.Duration
	fails   error
	entries []presence.Entry
	notes   map[string][]byte
}

func (l *ledger) Load(name string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.notes[name], l.fails
}

func (l *ledger) Save(name string, data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fails != nil {
		return l.fails
	}
	if l.notes == nil {
		l.notes = make(map[string][]byte)
	}
	l.notes[name] = data
	return nil
}

func (l *ledger) Append(ctx context.Context, d presence.Draft) (presence.Entry, error) {
	l.mu.Lock()
	takes, fails := l.takes, l.fails
	l.mu.Unlock()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return presence.Entry{}, ctx.Err()
		}
	}
	if fails != nil {
		return presence.Entry{}, fails
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	pos := uint64(len(l.entries) + 1)
	e := presence.Entry{Pos: pos, Record: presence.Record{Stream: presence.ID{9}, Seq: pos, Draft: d}}
	l.entries = append(l.entries, e)
	return e, nil
}

func (l *ledger) set(takes time.Duration, fails error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takes, l.fails = takes, fails
}

func (l *ledger) badges() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

// chip is a reader whose field and faults a test sets.
type chip struct {
	mu     sync.Mutex
	cards  []card.Card
	fault  error
	opened int
	closed int
}

func (c *chip) open(context.Context) (card.Reader, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.fault, card.ErrBusDead) {
		return nil, c.fault
	}
	c.opened++
	return c, nil
}

func (c *chip) Poll(context.Context) ([]card.Card, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fault != nil {
		return nil, c.fault
	}
	return c.cards, nil
}

func (c *chip) Version() string { return "92" }

func (c *chip) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
	return nil
}

func (c *chip) lay(cards ...card.Card) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cards = cards
}

func (c *chip) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = err
}

// visit holds cards in the field for a moment and takes them away.
func (c *chip) visit(cards ...card.Card) {
	c.lay(cards...)
	time.Sleep(4 * poll)
	c.lay()
	time.Sleep(4 * poll)
}

func badge(n uint32) card.Card {
	b := []byte{4, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(b[3:], n)
	u, err := card.NewUID(b)
	if err != nil {
		panic(err)
	}
	return card.Card{UID: u, SAK: 0x08}
}

// bubble runs a test with one reader.
func bubble(t *testing.T, window time.Duration, f func(*gate, *chip)) {
	synctest.Test(t, func(t *testing.T) {
		c := &chip{}
		g := open(t, window, nil, map[string]*chip{"door": c})
		defer g.close()
		f(g, c)
	})
}

func TestHeldCardIsOneTap(t *testing.T) {
	for _, window := range []time.Duration{0, time.Second, time.Hour} {
		bubble(t, window, func(g *gate, c *chip) {
			c.lay(badge(1))
			time.Sleep(time.Minute)
			g.expect("c")
		})
	}
}

func TestWindowSlidesWithTheLastSight(t *testing.T) {
	bubble(t, 30*time.Second, func(g *gate, c *chip) {
		c.visit(badge(1))
		for range 2 {
			time.Sleep(29 * time.Second)
			c.visit(badge(1))
		}
		g.expect("cpp")
		first := g.answers[0]
		if a := g.answers[2]; a.Seq != first.Seq || a.Stream != first.Stream {
			t.Errorf("repeats %v/%d, want %v/%d", a.Stream, a.Seq, first.Stream, first.Seq)
		}
		time.Sleep(31 * time.Second)
		c.visit(badge(1))
		g.expect("cppc")
		if h := g.door.Health()[0]; h.Taps != 2 || h.Repeats != 2 || h.Refused != 0 || h.Version != "92" {
			t.Errorf("health %+v", h)
		}
	})
}

// The edge of the window: away for exactly so long is a new visit, and a
// nanosecond less is not.
func TestEdgeOfTheWindow(t *testing.T) {
	const window = 30 * time.Second
	for _, tc := range []struct {
		away time.Duration
		want string
	}{{window - 1, "cp"}, {window, "cc"}, {window + 1, "cc"}} {
		synctest.Test(t, func(t *testing.T) {
			var away atomic.Int64
			at := clock()()
			g := build(t, window, func() presence.Reading {
				r := at
				r.Boottime += time.Duration(away.Load())
				return r
			}, "door")
			c := &chip{}
			ctx, cancel := context.WithCancel(t.Context())
			g.cancel = cancel
			g.tasks.Go(func() { _ = g.door.Run(ctx, door.Reader{Name: "door", Poll: poll, Open: c.open}) })
			defer g.close()
			c.visit(badge(1))
			away.Store(int64(tc.away))
			c.visit(badge(1))
			g.expect(tc.want)
		})
	}
}

// A badge that lies in its place all day and loses its contact now and then is
// one visit; so is one that is passed from reader to reader.
func TestOneStayIsOneTap(t *testing.T) {
	bubble(t, 30*time.Second, func(g *gate, c *chip) {
		for range 8 * 60 * 4 { // 8 h of 14 s on, 1 s off
			c.lay(badge(1))
			time.Sleep(14 * time.Second)
			c.lay()
			time.Sleep(time.Second)
		}
		if got := g.outcomes(); strings.Count(got, "c") != 1 {
			t.Errorf("%d taps", strings.Count(got, "c"))
		}
		if n := g.journal.badges(); n != 1 {
			t.Errorf("%d records", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		in, out := &chip{}, &chip{}
		g := open(t, 30*time.Second, nil, map[string]*chip{"in": in, "out": out})
		defer g.close()
		for range 20 {
			for _, c := range []*chip{in, out} {
				c.lay(badge(1))
				time.Sleep(40 * time.Second)
				c.lay()
				time.Sleep(20 * time.Second)
			}
		}
		g.expect("c" + strings.Repeat("p", 39))
	})
}

// One look is a sight too.
func TestBriefSightSlidesTheWindow(t *testing.T) {
	bubble(t, 30*time.Second, func(g *gate, c *chip) {
		time.Sleep(poll / 2)
		for range 3 {
			c.lay(badge(1))
			time.Sleep(poll)
			c.lay()
			time.Sleep(20 * time.Second)
		}
		g.expect("cpp")
	})
}

// The time that a badge lay there counts, not only its two ends.
func TestHeldBadgeStaysOnItsVisit(t *testing.T) {
	bubble(t, 30*time.Second, func(g *gate, c *chip) {
		c.lay(badge(1))
		time.Sleep(time.Hour)
		c.lay()
		time.Sleep(20 * time.Second)
		c.visit(badge(1))
		g.expect("cp")
		time.Sleep(31 * time.Second)
		c.visit(badge(1))
		g.expect("cpc")
	})
}

// A refused tap is no visit: while its badge lies there, it must not keep an
// earlier visit alive that would answer the next try with green.
func TestRefusedTapSlidesNothing(t *testing.T) {
	bubble(t, 30*time.Second, func(g *gate, c *chip) {
		c.visit(badge(1))
		time.Sleep(40 * time.Second)
		g.journal.set(0, errors.New("disk full"))
		c.lay(badge(1))
		time.Sleep(time.Minute)
		c.lay()
		time.Sleep(time.Second)
		g.expect("cf")
		g.journal.set(0, nil)
		c.visit(badge(1))
		g.expect("cfc")
	})
}

// A tap that was removed from the journal is recorded anew, and nobody else's is.
func TestForgottenTapIsNoVisit(t *testing.T) {
	bubble(t, 30*time.Second, func(g *gate, c *chip) {
		c.visit(badge(1), badge(2))
		forgotten := g.answers[0]
		g.door.Forgotten(func(_ presence.ID, seq uint64) bool { return seq != forgotten.Seq })
		c.visit(badge(1))
		c.visit(badge(2))
		want := map[string]string{badge(1).UID.String(): "p", badge(2).UID.String(): "p"}
		want[forgotten.UID] = "c"
		g.expect("cc" + want[badge(1).UID.String()] + want[badge(2).UID.String()])
	})
}

// A badge that lies on a reader while the gateway starts over is on one visit,
// and what is kept for that does not say whose badge it is.
func TestHeldBadgeOutlivesARestart(t *testing.T) {
	for _, tc := range []struct {
		name        string
		away, stops time.Duration
		tags        int // recorded after the tap
		want        string
	}{
		{"at once", 0, time.Second, 0, "p"},
		{"behind many others", 0, time.Second, 300, "p"},
		{"taken away before", 20 * time.Second, 5 * time.Second, 0, "p"},
		{"away for too long", 20 * time.Second, 15 * time.Second, 0, "c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &chip{}
				g := open(t, 30*time.Second, nil, map[string]*chip{"door": c})
				c.lay(badge(1))
				time.Sleep(time.Hour)
				g.expect("c")
				for range tc.tags {
					if _, err := g.journal.Append(t.Context(), presence.Draft{Kind: presence.KindTag, At: g.now(), Tag: &presence.Tag{}}); err != nil {
						t.Fatal(err)
					}
				}
				if tc.away > 0 {
					c.lay()
					time.Sleep(tc.away)
				}
				g.close()
				c.lay()
				for name, note := range g.journal.notes {
					if strings.Contains(name+string(note), badge(1).UID.String()) || len(note) == 0 {
						t.Errorf("note %q: %q", name, note)
					}
				}
				time.Sleep(tc.stops)
				after := reopen(t, g, map[string]*chip{"door": c})
				defer after.close()
				c.visit(badge(1))
				after.expect(tc.want)
			})
		})
	}
}

// reopen starts a door over the records and notes of one that was closed, in the
// same boot.
func reopen(t *testing.T, before *gate, chips map[string]*chip) *gate {
	g := build(t, 30*time.Second, before.now, names(chips)...)
	g.journal.entries, g.journal.notes = before.journal.entries, before.journal.notes
	if err := g.door.Recall(); err != nil {
		t.Fatal(err)
	}
	for i := len(g.journal.entries) - 1; i >= 0 && g.door.Remember(g.journal.entries[i]); i-- {
		continue
	}
	ctx, cancel := context.WithCancel(t.Context())
	g.cancel = cancel
	for name, c := range chips {
		g.tasks.Go(func() { _ = g.door.Run(ctx, door.Reader{Name: name, Poll: poll, Open: c.open}) })
	}
	return g
}

func TestNoWindowMakesEveryVisitATap(t *testing.T) {
	bubble(t, 0, func(g *gate, c *chip) {
		c.visit(badge(1))
		c.visit(badge(1))
		g.expect("cc")
	})
}

func TestSeveralCardsInOneLook(t *testing.T) {
	bubble(t, time.Minute, func(g *gate, c *chip) {
		g.journal.set(20*time.Millisecond, nil)
		c.visit(badge(1), badge(2), badge(3))
		c.visit(badge(3), badge(4))
		g.expect("cccpc")
		e := g.journal.entries
		if e[0].At != e[1].At || e[1].At != e[2].At {
			t.Errorf("seen at %v, %v and %v: it was one look", e[0].At.Boottime, e[1].At.Boottime, e[2].At.Boottime)
		}
		for _, a := range g.answers[:3] {
			if a.Took <= 0 || a.Took > 60*time.Millisecond {
				t.Errorf("took %v", a.Took)
			}
		}
	})
}

func TestWhatIsRecorded(t *testing.T) {
	bubble(t, time.Minute, func(g *gate, c *chip) {
		random, err := card.ParseUID("08A1B2C3")
		if err != nil {
			t.Fatal(err)
		}
		before := g.now()
		c.visit(badge(1))
		c.visit(card.Card{UID: random, SAK: 0x20})
		for i, want := range []presence.Badge{
			{Reader: "door", Badge: "04000000000001", Card: "mifare-classic-1k", Assurance: "uid"},
			{Reader: "door", Badge: "08A1B2C3", Card: "iso14443-4", Assurance: "random-uid"},
		} {
			e := g.journal.entries[i]
			if *e.Badge != want || e.Kind != presence.KindBadge {
				t.Errorf("recorded %+v, want %+v", *e.Badge, want)
			}
			if d, _ := e.At.Since(before); d < 0 || d > time.Second {
				t.Errorf("seen at %v", e.At)
			}
		}
		c.visit(card.Card{UID: random, SAK: 0x20})
		g.expect("ccp")
	})
}

// A tap says where the person's tag was when the card was seen, and a repeat
// does not ask again.
func TestTapIsRecordedWithItsTagCheck(t *testing.T) {
	bubble(t, time.Minute, func(g *gate, c *chip) {
		asked := 0
		g.check = func(badge string, seen presence.Reading) *presence.TagCheck {
			asked++
			if badge != "04000000000001" {
				return nil
			}
			age := seen.Boottime
			return &presence.TagCheck{Tag: "reyax:50", State: presence.TagNear, Age: &age}
		}
		c.visit(badge(1))
		c.visit(badge(2))
		c.visit(badge(1))
		g.expect("ccp")
		with, without := g.journal.entries[0], g.journal.entries[1]
		if with.Badge.Check == nil || with.Badge.Check.Tag != "reyax:50" || *with.Badge.Check.Age != with.At.Boottime {
			t.Errorf("recorded %+v", with.Badge.Check)
		}
		if without.Badge.Check != nil || asked != 2 {
			t.Errorf("%+v of a badge that is in no roster, asked %d times", without.Badge.Check, asked)
		}
	})
}

// Promise 1: the lamp turns green after the commit that holds the tap.
func TestPromise1GreenMeansDurable(t *testing.T) {
	bubble(t, time.Minute, func(g *gate, c *chip) {
		g.journal.set(700*time.Millisecond, nil)
		time.Sleep(poll / 2)
		c.lay(badge(1)) // it is seen half a poll later
		time.Sleep(700 * time.Millisecond)
		g.expect("")
		if g.journal.badges() != 0 {
			t.Fatal("the commit is too fast for this test")
		}
		time.Sleep(poll)
		g.expect("c")
		if took := g.answers[0].Took; took != 700*time.Millisecond {
			t.Errorf("took %v", took)
		}
		e := g.journal.entries[0]
		if seen, _ := g.now().Since(e.At); seen < 700*time.Millisecond {
			t.Errorf("the record says %v ago: the card was seen before the commit", seen)
		}
	})
}

// Promise 3: a tap that cannot be stored turns the lamp red.
func TestPromise3RefusedIsRed(t *testing.T) {
	for _, tc := range []struct {
		err    error
		reason string
	}{
		{fmt.Errorf("append: %w", worded("journal-full")), "journal-full"},
		{errors.New("input/output error"), "write-failed"},
		{fmt.Errorf("append: %w", context.Canceled), "stopping"},
	} {
		bubble(t, time.Minute, func(g *gate, c *chip) {
			g.journal.set(0, tc.err)
			c.lay(badge(1))
			time.Sleep(10 * time.Second)
			g.expect("f") // held: one tap, one answer
			if a := g.answers[0]; a.Reason != tc.reason || a.Seq != 0 {
				t.Errorf("%v: answer %+v", tc.err, a)
			}
			g.journal.set(0, nil)
			c.lay()
			time.Sleep(4 * poll)
			c.visit(badge(1)) // nothing was remembered: it may try again
			g.expect("fc")
			if h := g.door.Health()[0]; h.Refused != 1 || h.Taps != 1 {
				t.Errorf("health %+v", h)
			}
			if got := fmt.Sprint(g.trouble); got != "[true false]" {
				t.Errorf("trouble %v", got)
			}
		})
	}
}

type worded string

func (w worded) Error() string  { return "words" }
func (w worded) Reason() string { return string(w) }

// Promise 2: a held card is one tap, a second one within the window a repeat,
// also at another reader at the same instant.
func TestPromise2NothingInvented(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := &chip{}, &chip{}
		g := open(t, time.Minute, nil, map[string]*chip{"in": in, "out": out})
		defer g.close()
		g.journal.set(300*time.Millisecond, nil)
		for n := range uint32(50) {
			in.lay(badge(n))
			out.lay(badge(n))
			time.Sleep(time.Second)
		}
		if got := g.outcomes(); strings.Count(got, "c") != 50 || strings.Count(got, "p") != 50 {
			t.Errorf("the lamp said %q", got)
		}
		if n := g.journal.badges(); n != 50 {
			t.Errorf("%d records of 50 badges", n)
		}
	})
}

// Two readers see a badge; the one that saw it later is answered first.
func TestRepeatMayHaveBeenSeenFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := clock()
		readings := make(chan presence.Reading, 2)
		second := late()
		first := second
		second.Boottime += time.Millisecond
		readings <- second
		readings <- first
		g := build(t, time.Minute, func() presence.Reading {
			select {
			case r := <-readings:
				return r
			default:
				return late()
			}
		}, "in", "out")
		ctx, cancel := context.WithCancel(t.Context())
		g.cancel = cancel
		defer g.close()
		for _, name := range []string{"in", "out"} {
			c := &chip{cards: []card.Card{badge(1)}}
			g.tasks.Go(func() { _ = g.door.Run(ctx, door.Reader{Name: name, Poll: time.Hour, Open: c.open}) })
			synctest.Wait()
		}
		g.expect("cp")
	})
}

// A slow commit of one badge does not keep another reader's people waiting.
func TestReadersDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := &chip{}, &chip{}
		g := open(t, time.Minute, nil, map[string]*chip{"in": in, "out": out})
		defer g.close()
		g.journal.set(500*time.Millisecond, nil)
		in.lay(badge(1))
		out.lay(badge(2))
		time.Sleep(500*time.Millisecond + poll)
		g.expect("cc")
	})
}

// When the first reader's attempt fails, the second one's is not a repeat.
func TestWaitingReaderTriesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := &chip{}, &chip{}
		g := open(t, time.Minute, nil, map[string]*chip{"in": in, "out": out})
		defer g.close()
		g.journal.set(500*time.Millisecond, errors.New("no space left on device"))
		in.lay(badge(1))
		time.Sleep(2 * poll)
		out.lay(badge(1))
		time.Sleep(2 * poll)
		g.journal.set(0, nil)
		time.Sleep(time.Second)
		g.expect("fc")
	})
}

func TestWindowOutlivesARestart(t *testing.T) {
	record := func(n uint32, at presence.Reading) presence.Entry {
		return presence.Entry{Record: presence.Record{Stream: presence.ID{7}, Seq: 3, Draft: presence.Draft{
			Kind: presence.KindBadge, At: at,
			Badge: &presence.Badge{Badge: badge(n).UID.String()},
		}}}
	}
	start := func(at presence.Reading) presence.Entry {
		return presence.Entry{Record: presence.Record{Draft: presence.Draft{Kind: presence.KindStart, At: at, Start: &presence.Start{}}}}
	}
	for _, tc := range []struct {
		name    string
		earlier func(now presence.Reading) presence.Reading
		want    string
	}{
		{"10 s ago in this boot", func(r presence.Reading) presence.Reading {
			r.Boottime -= 10 * time.Second
			r.State = presence.ClockUnsynced
			return r
		}, "p"},
		{"40 s ago in this boot", func(r presence.Reading) presence.Reading {
			r.Boottime -= 40 * time.Second
			return r
		}, "c"},
		{"10 s ago in an earlier boot", func(r presence.Reading) presence.Reading {
			r.Boot, r.Wall = presence.ID{8}, r.Wall-int64(10*time.Second)
			return r
		}, "p"},
		{"later in an earlier boot", func(r presence.Reading) presence.Reading {
			r.Boot, r.Wall = presence.ID{8}, r.Wall+int64(10*time.Second)
			return r
		}, "c"},
		{"nobody knows when", func(r presence.Reading) presence.Reading {
			r.Boot, r.Wall, r.State = presence.ID{8}, r.Wall-int64(10*time.Second), presence.ClockUnsynced
			return r
		}, "c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &chip{}
				now := clock()()
				g := open(t, 30*time.Second, []presence.Entry{record(1, tc.earlier(now)), start(now)}, map[string]*chip{"door": c})
				defer g.close()
				c.visit(badge(1))
				g.expect(tc.want)
				if a := g.answers[0]; tc.want == "p" && (a.Stream != presence.ID{7} || a.Seq != 3) {
					t.Errorf("repeats %v/%d", a.Stream, a.Seq)
				}
			})
		})
	}
}

// A gateway that boots without a clock remembers the taps of the boot before,
// and judges them when the clock is set.
func TestTapBeforeARebootIsJudgedWhenTheClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := clock()
		var synced atomic.Bool
		g := build(t, time.Hour, func() presence.Reading {
			r := now()
			if !synced.Load() {
				r.State, r.Wall = presence.ClockUnsynced, 0
			}
			return r
		}, "door")
		before := now()
		before.Boot, before.Wall = presence.ID{8}, before.Wall-int64(time.Minute)
		for n := range uint32(3) {
			if !g.door.Remember(presence.Entry{Record: presence.Record{Draft: presence.Draft{
				Kind: presence.KindBadge, At: before, Badge: &presence.Badge{Badge: badge(n).UID.String()},
			}}}) {
				t.Fatal("wants to know no more")
			}
		}
		c := &chip{}
		ctx, cancel := context.WithCancel(t.Context())
		g.cancel = cancel
		g.tasks.Go(func() { _ = g.door.Run(ctx, door.Reader{Name: "door", Poll: poll, Open: c.open}) })
		defer g.close()
		c.visit(badge(1)) // nobody knows how long ago: it counts
		synced.Store(true)
		c.visit(badge(2))
		g.expect("cp")
	})
}

func TestRememberEnds(t *testing.T) {
	g := build(t, 30*time.Second, clock(), "door")
	old := g.now()
	old.Boottime -= 31 * time.Second
	if g.door.Remember(presence.Entry{Record: presence.Record{Draft: presence.Draft{Kind: presence.KindTag, At: old, Tag: &presence.Tag{}}}}) {
		t.Error("wants records that are older than the window")
	}
	undated := presence.Reading{Boot: presence.ID{8}}
	for n := 0; g.door.Remember(presence.Entry{Record: presence.Record{Draft: presence.Draft{Kind: presence.KindTag, At: undated, Tag: &presence.Tag{}}}}); n++ {
		if n > 100_000 {
			t.Fatal("reads a whole journal of another boot")
		}
	}
}

// A reader's fault becomes a state, and heals when its cause goes.
func TestFaultBecomesStateAndHeals(t *testing.T) {
	// The pauses are random: between the upper half of 250 ms and that of 5 s,
	// doubling. So a minute has between 6 + 52/5 and 6 + 56/2.5 attempts.
	const least, most = 15, 29
	for _, tc := range []struct {
		fault    error
		state    string
		attempts int64 // that an opened reader fails at before it is opened again
	}{
		{fmt.Errorf("open /dev/spidev0.0: %w", card.ErrBusDead), "bus-dead", 1},
		{fmt.Errorf("antenna is off: %w", card.ErrDeaf), "deaf", 1},
		{errors.New("spi: input/output error"), "bus-dead", 5}, // again and again
	} {
		bubble(t, 30*time.Second, func(g *gate, c *chip) {
			state := func() presence.ReaderHealth {
				synctest.Wait()
				return g.door.Health()[0]
			}
			time.Sleep(time.Second)
			if h := state(); h.State != "ok" || h.Errors != 0 {
				t.Fatalf("at first: %+v", h)
			}
			c.fail(tc.fault)
			time.Sleep(time.Minute)
			h := state()
			if h.State != tc.state || h.Errors < least || h.Errors > most*tc.attempts || h.Error != tc.fault.Error() {
				t.Errorf("%v: %+v", tc.fault, h)
			}
			c.fail(nil)
			time.Sleep(6 * time.Second)
			c.visit(badge(1))
			g.expect("c")
			if h := state(); h.State != "ok" || h.Error != "" {
				t.Errorf("healed: %+v", h)
			}
			if got := fmt.Sprint(g.trouble); got != "[true false]" {
				t.Errorf("trouble %v", got)
			}
		})
	}
}

// A few failed looks are noise: counted, but no fault.
func TestPassingErrorsAreCounted(t *testing.T) {
	bubble(t, time.Minute, func(g *gate, c *chip) {
		c.lay(badge(1))
		time.Sleep(time.Second + poll/2) // between two looks
		c.fail(errors.New("crc"))
		time.Sleep(4 * poll)
		c.fail(nil)
		time.Sleep(time.Second)
		g.expect("c")
		if h := g.door.Health()[0]; h.State != "ok" || h.Errors != 4 || c.opened != 1 {
			t.Errorf("%+v, opened %d times", h, c.opened)
		}
	})
}

func TestCardThatLiesThereThroughAFault(t *testing.T) {
	bubble(t, 30*time.Second, func(g *gate, c *chip) {
		c.lay(badge(1))
		time.Sleep(time.Minute)
		c.fail(card.ErrDeaf)
		time.Sleep(2 * time.Second)
		c.fail(nil)
		time.Sleep(10 * time.Second)
		g.expect("c") // the same visit
		c.fail(card.ErrDeaf)
		time.Sleep(8 * time.Hour)
		c.fail(nil)
		time.Sleep(10 * time.Second)
		g.expect("cc") // nobody knows: it counts
		if c.opened != c.closed+1 {
			t.Errorf("opened %d, closed %d", c.opened, c.closed)
		}
	})
}

// A gateway that stops brings the tap that it has begun to its end.
func TestStopLetsATapBeRecorded(t *testing.T) {
	bubble(t, time.Minute, func(g *gate, c *chip) {
		g.journal.set(time.Second, nil)
		c.lay(badge(1))
		time.Sleep(2 * poll)
		g.close()
		g.expect("c")
	})
	bubble(t, time.Minute, func(g *gate, c *chip) {
		g.journal.set(time.Hour, nil) // the disk hangs
		c.lay(badge(1))
		time.Sleep(2 * poll)
		stopped := time.Now()
		g.close()
		if d := time.Since(stopped); d > 3*time.Second {
			t.Errorf("stopping took %v", d)
		}
		g.expect("f")
		if a := g.answers[0]; a.Reason != "stopping" {
			t.Errorf("reason %q", a.Reason)
		}
	})
}

// For any sequence of looks, a card is tapped once until three looks in a row
// have missed it; failed looks say nothing.
func TestAnySequenceOfLooks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		looks := rapid.SliceOfN(rapid.SampledFrom([]byte("xx..!")), 1, 60).Draw(rt, "looks") // there, not there, failed
		want, missed, failed := 0, 3, 0
		for i, look := range looks {
			switch look {
			case 'x':
				if missed >= 3 {
					want++
				}
				missed, failed = 0, 0
			case '.':
				missed, failed = missed+1, 0
			case '!':
				if failed++; failed == 5 {
					looks, failed = looks[:i], 0 // a fault: another test's
				}
			}
			if len(looks) == i {
				break
			}
		}
		got := ""
		synctest.Test(t, func(t *testing.T) {
			c := &chip{}
			g := open(t, 0, nil, map[string]*chip{"door": c})
			defer g.close()
			time.Sleep(poll / 2)
			for _, look := range looks {
				c.lay()
				c.fail(nil)
				switch look {
				case 'x':
					c.lay(badge(1))
				case '!':
					c.fail(errors.New("crc"))
				}
				time.Sleep(poll)
			}
			got = g.outcomes()
		})
		if got != strings.Repeat("c", want) {
			rt.Fatalf("%s: %q, want %d taps", looks, got, want)
		}
	})
}

// Any stays at any readers with restarts in between: one is accepted if and only
// if that badge was away from all of them for the window.
func TestAnyVisits(t *testing.T) {
	const window = 30 * time.Second
	type visit struct {
		pause   time.Duration
		stay    time.Duration
		badge   uint32
		reader  string
		restart bool
	}
	rapid.Check(t, func(rt *rapid.T) {
		visits := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) visit {
			return visit{
				time.Duration(rapid.IntRange(1, 20_000).Draw(rt, "pause")) * time.Millisecond,
				time.Duration(rapid.SampledFrom([]int{200, 200, 10_000, 60_000}).Draw(rt, "stay")) * time.Millisecond,
				rapid.Uint32Range(1, 3).Draw(rt, "badge"),
				rapid.SampledFrom([]string{"in", "out"}).Draw(rt, "reader"),
				rapid.IntRange(0, 9).Draw(rt, "restart") == 0,
			}
		}), 1, 30).Draw(rt, "visits")
		wrong := ""
		synctest.Test(t, func(t *testing.T) {
			chips := map[string]*chip{"in": {}, "out": {}}
			g := open(t, window, nil, chips)
			defer func() { g.close() }()
			last := map[uint32]presence.Reading{} // sight of each badge
			for i, v := range visits {
				time.Sleep(v.pause)
				if v.restart {
					g.close()
					g = reopen(t, g, chips)
				}
				seen := len(g.outcomes())
				came := g.now()
				chips[v.reader].lay(badge(v.badge))
				time.Sleep(v.stay)
				left := g.now()
				chips[v.reader].lay()
				time.Sleep(4 * poll)
				got := g.outcomes()[seen:]
				want := "c"
				if before, ok := last[v.badge]; ok {
					away, _ := came.Since(before)
					if away > window-2*poll && away < window+2*poll {
						return // too close to call: the look is somewhere within a poll
					}
					if away < window {
						want = "p"
					}
				}
				if got != want {
					wrong = fmt.Sprintf("visit %d: %q, want %q", i, got, want)
					return
				}
				last[v.badge] = left
			}
		})
		if wrong != "" {
			rt.Fatalf("%v: %s", visits, wrong)
		}
	})
}

// TestAHangingReaderDoesNotReadOK: a bus that does not come back, when the reader
// is opened or when it looks, is said by health and by the lamp; when it does
// come back, all is well again.
func TestAHangingReaderDoesNotReadOK(t *testing.T) {
	for _, hangs := range []string{"open", "look"} {
		t.Run(hangs, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := build(t, time.Minute, clock(), "door")
				release := make(chan struct{})
				ctx, cancel := context.WithCancel(t.Context())
				c := &hanging{chip: &chip{}, release: release}
				g.tasks.Go(func() {
					_ = g.door.Run(ctx, door.Reader{Name: "door", Poll: poll, Open: func(ctx context.Context) (card.Reader, error) {
						if hangs == "open" {
							<-release
						}
						if _, err := c.chip.open(ctx); err != nil {
							return nil, err
						}
						return c, nil
					}})
				})
				if hangs == "look" {
					time.Sleep(time.Second)
					c.hang.Store(true)
				}
				state := func() presence.ReaderHealth { return g.door.Health()[0] }
				time.Sleep(4 * time.Second)
				if h := state(); h.State != "ok" {
					t.Errorf("after 4 s it is %+v", h)
				}
				time.Sleep(2 * time.Second)
				h := state()
				if h.State != "bus-dead" || h.Error == "" || h.LooksPerS != 0 {
					t.Errorf("a reader that hangs reads %+v", h)
				}
				time.Sleep(time.Hour)
				if again := state(); again != h {
					t.Errorf("it says %+v, then %+v", h, again)
				}
				close(release)
				time.Sleep(time.Second)
				synctest.Wait()
				if h := state(); h.State != "ok" || h.Error != "" {
					t.Errorf("when it came back: %+v", h)
				}
				g.mu.Lock()
				if n := len(g.trouble); n != 2 || !g.trouble[0] || g.trouble[1] {
					t.Errorf("the lamp was told %v", g.trouble)
				}
				g.mu.Unlock()
				cancel()
				g.tasks.Wait()
			})
		})
	}
}

// hanging is a chip whose bus does not come back until it is released.
type hanging struct {
	*chip
	hang    atomic.Bool
	release chan struct{}
}

func (h *hanging) Poll(ctx context.Context) ([]card.Card, error) {
	if h.hang.Load() {
		<-h.release
	}
	return h.chip.Poll(ctx)
}
