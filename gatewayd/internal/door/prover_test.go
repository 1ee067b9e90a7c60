package door_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/door"
	"presence/gatewayd/internal/presence"
)

// A card that has proven who it is is recorded under what was proven, with the evidence and
// the time that it has signed.
func TestProvenBadgeIsRecorded(t *testing.T) {
	t.Parallel()
	piv, desfire := smart(1), smart(2)
	proving(t, func(p *checkpoint) {
		p.required = true
		p.least[hex(guidOf(piv.UID))], p.least[hex(desfire.UID.Bytes())] = card.AssurancePIV, card.AssuranceDESFire
		p.judge.answers[piv.UID] = []answer{{takes: 200 * time.Millisecond, id: signed(piv)}}
		p.judge.answers[desfire.UID] = []answer{{takes: 100 * time.Millisecond, id: keyed(desfire)}}
	}, func(p *checkpoint) {
		p.chip.lay(piv)
		time.Sleep(time.Second)
		p.chip.lay()
		time.Sleep(time.Second)
		p.chip.visit(desfire)
		p.expectAll("accepted", "accepted")
		first, second := p.journal.entries[0], p.journal.entries[1]
		if b := first.Badge; b.Badge != hex(guidOf(piv.UID)) || b.Assurance != "authenticated-piv" || b.Proof == nil || b.Proof.Certificate != [32]byte{2} {
			t.Errorf("recorded %+v", *b)
		}
		if first.At != p.judge.seen[0] {
			t.Errorf("recorded at %v, and signed for %v", first.At, p.judge.seen[0])
		}
		if b := second.Badge; b.Badge != desfire.UID.String() || b.Assurance != "authenticated-desfire" || b.Proof != nil {
			t.Errorf("recorded %+v", *b)
		}
		if a := p.got()[0]; a.UID != piv.UID.String() || a.Assurance != "authenticated-piv" || a.Took < 200*time.Millisecond || a.Took > 200*time.Millisecond+2*poll {
			t.Errorf("answered %+v", a)
		}
		if h := p.door.BadgesHealth(); h.AuthenticatedPIV != 1 || h.AuthenticatedDESFire != 1 || len(h.Refused) != 0 {
			t.Errorf("health %+v", h)
		}
		p.chip.visit(piv) // again
		p.expectAll("accepted", "accepted", "repeat")
	})
}

// Who has a plain badge does not wait for a card that computes, whether both lie there at
// once or the plain one comes later.
func TestPlainBadgesDoNotWait(t *testing.T) {
	t.Parallel()
	first, second, plain, late := smart(1), smart(2), badge(3), badge(4)
	proving(t, func(p *checkpoint) {
		for _, c := range []card.Card{first, second} {
			p.judge.answers[c.UID] = []answer{{takes: time.Second, id: signed(c)}}
		}
	}, func(p *checkpoint) {
		time.Sleep(poll / 2)
		p.chip.lay(first, second, plain)
		time.Sleep(poll)
		p.expectAll("accepted")
		p.chip.lay(first, second, plain, late)
		time.Sleep(time.Second)
		p.expectAll("accepted", "accepted", "accepted") // the late one before the second that computes
		if a := p.got(); a[0].UID != plain.UID.String() || a[2].UID != late.UID.String() {
			t.Errorf("answered %+v", a)
		}
		time.Sleep(time.Second)
		p.expectAll("accepted", "accepted", "accepted", "accepted")
		for _, e := range p.journal.entries {
			if want := map[string]string{hex(guidOf(first.UID)): "authenticated-piv", hex(guidOf(second.UID)): "authenticated-piv", plain.UID.String(): "uid", late.UID.String(): "uid"}[e.Badge.Badge]; want != e.Badge.Assurance {
				t.Errorf("recorded %+v, want %s", *e.Badge, want)
			}
		}
		if n := p.judge.attempts(); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

// Each of two cards is asked once before one of them is asked again, and right after each
// other.
func TestCardsAreAskedInTurn(t *testing.T) {
	t.Parallel()
	first, second := smart(1), smart(2)
	proving(t, func(p *checkpoint) {
		p.judge.answers[first.UID] = []answer{{id: failing(first, "gone"), err: card.ErrGone}, {id: signed(first)}}
		p.judge.answers[second.UID] = []answer{{id: signed(second)}}
	}, func(p *checkpoint) {
		time.Sleep(poll / 2)
		p.chip.lay(first, second)
		time.Sleep(3 * poll)
		p.expectAll("accepted", "accepted")
		if want := []string{first.UID.String(), second.UID.String(), first.UID.String()}; !slices.Equal(p.judge.asked, want) {
			t.Errorf("asked %v", p.judge.asked)
		}
		if a := p.got()[0]; a.UID != second.UID.String() || a.Took != 0 {
			t.Errorf("the second card is answered %+v: it has waited for a scan", a)
		}
	})
}

// A card that is lost in the middle is tried again while it lies there, without a lamp in
// between, and at most three times. Its event is of the time at which it came.
func TestALostCardIsTriedAgain(t *testing.T) {
	t.Parallel()
	c := smart(1)
	gone := answer{30 * time.Millisecond, failing(c, "gone"), fmt.Errorf("exchange: %w", card.ErrGone)}
	slow := answer{30 * time.Millisecond, failing(c, "too-slow"), card.ErrTooSlow}
	broken := answer{30 * time.Millisecond, failing(c, presence.DetailProtocol), card.ErrProtocol}
	deaf := answer{30 * time.Millisecond, failing(c, presence.DetailNoATS), card.ErrGone}
	pending := answer{30 * time.Millisecond, failing(c, presence.DetailPending), card.ErrGone}
	proven := answer{30 * time.Millisecond, signed(c), nil}
	for _, tc := range []struct {
		name     string
		least    card.Assurance
		answers  []answer
		attempts int
		want     string
		detail   string
	}{
		{"the second time", card.AssurancePIV, []answer{gone, proven}, 2, "accepted", ""},
		{"the third time", card.AssurancePIV, []answer{slow, broken, proven}, 3, "accepted", ""},
		{"never", card.AssurancePIV, []answer{gone}, 3, "refused hold-longer", "gone"},
		{"never, and nobody asks", "", []answer{gone}, 3, "refused hold-longer", "gone"},
		{"too slow", card.AssurancePIV, []answer{slow}, 3, "refused hold-longer", "too-slow"},
		{"no protocol", card.AssurancePIV, []answer{broken}, 3, "refused not-authenticated", "protocol"},
		{"no protocol, and nobody asks", "", []answer{broken}, 3, "accepted", ""},
		{"no layer 4", card.AssurancePIV, []answer{deaf}, 3, "refused downgrade", "no-ats"},
		{"no layer 4, and nobody asks", "", []answer{deaf}, 3, "accepted", ""},
		{"no layer 4, but at the edge", card.AssurancePIV, []answer{deaf, deaf, gone}, 3, "refused hold-longer", "gone"},
		{"its key was asked", card.AssurancePIV, []answer{pending, proven}, 1, "refused hold-longer", "pending"},
		{"its key was asked the second time", card.AssurancePIV, []answer{gone, pending, proven}, 2, "refused hold-longer", "pending"},
	} {
		proving(t, func(p *checkpoint) {
			p.least[hex(guidOf(c.UID))] = tc.least
			p.judge.answers[c.UID] = tc.answers
		}, func(p *checkpoint) {
			came := p.now()
			p.chip.lay(c)
			time.Sleep(3 * time.Second)
			p.expectAll(tc.want)
			if n := p.judge.attempts(); n != tc.attempts {
				t.Errorf("%s: %d attempts, want %d", tc.name, n, tc.attempts)
			}
			if a := p.got()[0]; a.Detail != tc.detail {
				t.Errorf("%s: answered %+v", tc.name, a)
			}
			for _, seen := range p.judge.seen {
				if late, _ := seen.Since(came); late > poll || seen != p.judge.seen[0] {
					t.Errorf("%s: an attempt is for %v after the card came", tc.name, late)
				}
			}
			for _, e := range p.journal.entries {
				if e.At != p.judge.seen[0] {
					t.Errorf("%s: recorded for %v", tc.name, e.At)
				}
			}
		})
	}
}

// A card that is taken away in the middle is red at once when it is gone, and can be tried
// again; one that comes and goes within the misses of a scan is not gone.
func TestTakenAwayTooEarly(t *testing.T) {
	t.Parallel()
	c := smart(1)
	proving(t, func(p *checkpoint) {
		p.judge.answers[c.UID] = []answer{{10 * time.Millisecond, failing(c, "gone"), card.ErrGone}, {id: signed(c)}}
	}, func(p *checkpoint) {
		time.Sleep(poll / 2)
		p.chip.lay(c)
		time.Sleep(poll)
		p.chip.lay()
		time.Sleep(2 * poll)
		p.expectAll()
		time.Sleep(poll)
		p.expectAll("refused hold-longer")
		if p.log.Len() > 0 {
			t.Errorf("everybody is told that somebody was in a hurry: %s", p.log)
		}
		p.chip.visit(c)
		p.expectAll("refused hold-longer", "accepted")
	})
	proving(t, func(p *checkpoint) {
		p.judge.answers[c.UID] = []answer{{10 * time.Millisecond, failing(c, "gone"), card.ErrGone}, {id: signed(c)}}
	}, func(p *checkpoint) {
		time.Sleep(poll / 2)
		p.chip.lay(c)
		time.Sleep(poll)
		p.chip.lay()
		time.Sleep(2 * poll)
		p.chip.lay(c)
		time.Sleep(2 * poll)
		p.expectAll("accepted")
	})
}

// All attempts together, with the scans around them, take two seconds at most, and a door
// that proves is no door that hangs: the watchdog hears of each attempt.
func TestNoTapTakesLongerThanTwoSeconds(t *testing.T) {
	t.Parallel()
	c := smart(1)
	proving(t, func(p *checkpoint) {
		p.judge.answers[c.UID] = []answer{{1200 * time.Millisecond, failing(c, "too-slow"), card.ErrTooSlow}, {takes: time.Hour}}
	}, func(p *checkpoint) {
		p.chip.lay(c)
		time.Sleep(2*time.Second + 2*poll)
		p.expectAll("refused hold-longer")
		if took := p.got()[0].Took; took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		if w := p.judge.within; len(w) != 2 || w[0] != 1500*time.Millisecond || w[1] > 300*time.Millisecond {
			t.Errorf("the attempts might take %v", w)
		}
		time.Sleep(time.Minute)
		p.expectAll("refused hold-longer")
		if len(p.trouble) > 0 || p.door.Health()[0].State != "ok" {
			t.Errorf("trouble %v, health %+v", p.trouble, p.door.Health()[0])
		}
		idle, work := 0, 0
		for _, next := range p.beats {
			if next == 0 {
				work++
			} else {
				idle++
			}
		}
		if work < idle+2 { // one before each scan and one before each attempt
			t.Errorf("%d beats before work, %d before pauses", work, idle)
		}
	})
}

// A fault of the reader is not one of the card: it is noted, and the card is tried again.
func TestAFaultOfTheReaderIsNotTheCards(t *testing.T) {
	t.Parallel()
	c := smart(1)
	for _, fault := range []error{fmt.Errorf("spi: %w", card.ErrBusDead), errors.Join(card.ErrGone, card.ErrDeaf), errors.New("spi: input/output error")} {
		proving(t, func(p *checkpoint) {
			p.judge.answers[c.UID] = []answer{{id: door.Plain(c), err: fault}, {id: signed(c)}}
		}, func(p *checkpoint) {
			p.chip.lay(c)
			time.Sleep(3 * time.Second)
			p.expectAll("accepted")
			if h := p.door.Health()[0]; h.Errors != 1 || h.State != "ok" {
				t.Errorf("%v: health %+v", fault, h)
			}
		})
	}
	// For good: the card is answered all the same.
	proving(t, func(p *checkpoint) {
		p.judge.answers[c.UID] = []answer{{id: door.Plain(c), err: errors.New("spi: input/output error")}}
	}, func(p *checkpoint) {
		p.chip.lay(c)
		time.Sleep(3 * time.Second)
		p.expectAll("refused hold-longer")
	})
}

// A card with layer 4 at a reader that cannot select one, or without anybody to ask, is
// taken for what it shows, and as fast as before.
func TestWithoutAProverACardIsItsNumber(t *testing.T) {
	t.Parallel()
	bubble(t, time.Minute, func(g *gate, c *chip) {
		c.visit(smart(1))
		g.expect("c")
		if e := g.journal.entries[0]; e.Badge.Badge != smart(1).UID.String() || e.Badge.Assurance != "uid" {
			t.Errorf("recorded %+v", *e.Badge)
		}
	})
	proving(t, nil, func(p *checkpoint) { // nothing is configured that it could be proven with
		p.chip.visit(smart(1))
		p.expectAll("accepted")
		if took := p.got()[0].Took; took > 0 {
			t.Errorf("took %v", took)
		}
	})
}
