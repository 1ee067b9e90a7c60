package door_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

func TestSeveralCardsInOneLook(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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

func (w worded) Error() string { return "words" }

func (w worded) Reason() string { return string(w) }

// Promise 2: a held card is one tap, a second one within the window a repeat,
// also at another reader at the same instant.
func TestPromise2NothingInvented(t *testing.T) {
	t.Parallel()
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

// For any sequence of looks, a card is tapped once until three looks in a row
// have missed it; failed looks say nothing.
func TestAnySequenceOfLooks(t *testing.T) {
	t.Parallel()
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
