package door_test

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
