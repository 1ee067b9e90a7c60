package door_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// A copy that follows its original within the repeat window is refused, is no repeat, and
// does not keep the original's visit alive while it lies there. So is one that shows the
// number of a badge that is enrolled by its GUID alone, on a card of any kind.
func TestACopyIsRefused(t *testing.T) {
	t.Parallel()
	original := smart(1)
	copied := badge(1) // the same number on a Mifare Classic
	for name, id := range map[string]presence.Identity{"PIV": signed(original), "DESFire": keyed(original)} {
		for what, c := range map[string]card.Card{"a Classic": copied, "a card with layer 4": original} {
			proving(t, func(p *checkpoint) {
				p.least[hex(id.Bytes)] = card.Assurance(id.Assurance)
				p.judge.answers[original.UID] = []answer{{id: id}, {id: failing(original, presence.DetailAbsent)}}
			}, func(p *checkpoint) {
				p.chip.visit(original)
				p.chip.lay(c)
				time.Sleep(90 * time.Second)
				p.chip.lay()
				time.Sleep(time.Second)
				p.expectAll("accepted", "refused downgrade")
				if n := p.journal.badges(); n != 1 {
					t.Errorf("%s, %s: %d records", name, what, n)
				}
				if h := p.door.Health()[0]; h.Refused != 1 || h.Taps != 1 {
					t.Errorf("%s, %s: health %+v", name, what, h)
				}
				if h := p.door.BadgesHealth(); !maps.Equal(h.Refused, map[string]int64{"downgrade": 1}) {
					t.Errorf("%s, %s: counted %v", name, what, h.Refused)
				}
				if len(p.trouble) > 0 {
					t.Errorf("%s, %s: the lamp says that the gateway does not work: %v", name, what, p.trouble)
				}
				// The visit of the original has ended meanwhile.
				p.judge.answers[original.UID] = []answer{{id: id}}
				p.chip.visit(original)
				p.expectAll("accepted", "refused downgrade", "accepted")
			})
		}
	}
}

// With require = "authenticated" a number is not enough, whoever's it is.
func TestAllMustProve(t *testing.T) {
	t.Parallel()
	phone, err := card.ParseUID("08A1B2C3")
	if err != nil {
		t.Fatal(err)
	}
	foreign := smart(7)
	proving(t, func(p *checkpoint) {
		p.required = true
		p.judge.answers[foreign.UID] = []answer{{id: failing(foreign, "foreign-ca")}}
	}, func(p *checkpoint) {
		p.chip.visit(badge(1))
		p.chip.visit(smart(2))
		p.chip.visit(card.Card{UID: phone, SAK: card.SAKLayer4})
		p.chip.visit(foreign)
		p.expectAll(slices.Repeat([]string{"refused not-authenticated"}, 4)...)
		if a := p.got()[3]; a.Detail != "foreign-ca" {
			t.Errorf("answered %+v", a)
		}
		if p.journal.badges() != 0 {
			t.Error("something was recorded")
		}
	})
}

// A badge that the city has revoked is refused, whatever it proves, and so is a copy of it.
func TestRevokedBadge(t *testing.T) {
	t.Parallel()
	lost, plain, byKey := smart(1), badge(2), smart(3)
	proving(t, func(p *checkpoint) {
		p.revoked[hex(guidOf(lost.UID))], p.revoked[plain.UID.String()] = true, true
		withdrawn := signed(byKey)
		withdrawn.Refuse = presence.ReasonRevoked // its certificate is
		p.judge.answers[lost.UID] = []answer{{id: signed(lost)}, {id: failing(lost, presence.DetailAbsent)}}
		p.judge.answers[byKey.UID] = []answer{{id: withdrawn}}
	}, func(p *checkpoint) {
		for _, c := range []card.Card{lost, lost, badge(1), plain, byKey} {
			p.chip.visit(c)
		}
		p.expectAll(slices.Repeat([]string{"refused revoked"}, 5)...)
		if p.journal.badges() != 0 {
			t.Error("something was recorded")
		}
	})
}

// Two readers: each asks for itself, and a badge that was proven at one is a repeat at the
// other, where a copy of it is refused.
func TestProofsAtTwoReaders(t *testing.T) {
	t.Parallel()
	c, other := smart(1), smart(2)
	proving(t, func(p *checkpoint) {
		p.least[hex(guidOf(c.UID))] = card.AssurancePIV
		p.judge.answers[c.UID] = []answer{{300 * time.Millisecond, signed(c), nil}, {300 * time.Millisecond, signed(c), nil}, {id: failing(c, presence.DetailAbsent)}}
		p.judge.answers[other.UID] = []answer{{300 * time.Millisecond, signed(other), nil}}
	}, func(p *checkpoint) {
		second := &chip{}
		p.run("gate", second)
		p.chip.lay(c)
		second.lay(other)
		time.Sleep(300*time.Millisecond + 2*poll)
		p.expectAll("accepted", "accepted") // neither waits for the other
		p.chip.lay()
		second.lay()
		time.Sleep(4 * poll)
		second.visit(c)
		time.Sleep(time.Second)
		p.chip.visit(c)
		p.expectAll("accepted", "accepted", "repeat", "refused downgrade")
	})
}

// A gateway that was restarted still knows who is on a visit, and still refuses the copy.
func TestACopyIsRefusedAfterARestart(t *testing.T) {
	t.Parallel()
	c := smart(1)
	proving(t, func(p *checkpoint) {
		p.least[hex(guidOf(c.UID))] = card.AssurancePIV
		p.judge.answers[c.UID] = []answer{{id: signed(c)}, {id: failing(c, presence.DetailAbsent)}}
	}, func(p *checkpoint) {
		p.door.Remember(presence.Entry{Pos: 1, Record: presence.Record{Stream: presence.ID{8}, Seq: 1, Draft: presence.Draft{
			Kind: presence.KindBadge, At: p.now(), Badge: &presence.Badge{Badge: hex(guidOf(c.UID))},
		}}})
		p.chip.visit(c)
		p.chip.visit(c)
		p.expectAll("repeat", "refused downgrade")
	})
}

// A copy that is tried all day is logged once a minute, with how often it was, and without
// anybody's number.
func TestRefusedBadgesAreLoggedNowAndThen(t *testing.T) {
	t.Parallel()
	c := smart(1)
	proving(t, func(p *checkpoint) {
		p.least[hex(guidOf(c.UID))] = card.AssurancePIV
		p.judge.answers[c.UID] = []answer{{id: failing(c, "signature")}}
	}, func(p *checkpoint) {
		for range 100 {
			p.chip.visit(c)
		}
		p.chip.visit(badge(1)) // refused for another reason
		time.Sleep(time.Minute)
		p.chip.visit(c)
		synctest.Wait()
		log := p.log.String()
		if n := strings.Count(log, "level=WARN"); n != 3 {
			t.Errorf("%d warnings:\n%s", n, log)
		}
		for _, want := range []string{"reason=not-authenticated", "detail=signature", "reason=downgrade", "not_logged=99", "reader=door"} {
			if !strings.Contains(log, want) {
				t.Errorf("%s is not in\n%s", want, log)
			}
		}
		if strings.Contains(log, c.UID.String()) || strings.Contains(log, "badge=") {
			t.Errorf("the log names somebody:\n%s", log)
		}
		if h := p.door.BadgesHealth(); h.Refused["not-authenticated"] != 101 || h.Refused["downgrade"] != 1 {
			t.Errorf("counted %v", h.Refused)
		}
	})
}
