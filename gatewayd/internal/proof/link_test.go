package proof

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest/applets"
	"presence/gatewayd/internal/presence"
)

// TestACardTakenAwayProvesNothing: wherever the link breaks, there is an error and the plain
// identity; and where a DESFire's verdict may be lost it says so, so that nobody asks again.
func TestACardTakenAwayProvesNothing(t *testing.T) {
	for _, kind := range []applets.Kind{applets.KindPIV, applets.KindEV3, applets.KindNTAG424} {
		pending := 0
		for gone := 1; ; gone++ { // frames, RATS among them
			o := newOffice(t)
			b := applets.Badge{Kind: kind, UID: uidOf(t, staffUID)}
			if kind != applets.KindPIV {
				o.give(b)
			}
			a := shown(t, b)
			a.gone = gone
			id, err := o.Prove(t.Context(), a, a.card, o.seen)
			if err == nil {
				if id.Detail != "" || gone < 4 {
					t.Errorf("%s, gone after %d frames: %+v", kind, gone, id)
				}
				break // all that matters had been said
			}
			if !errors.Is(err, card.ErrGone) || id.Assurance != string(card.AssuranceUID) || id.Refuse != "" || !bytes.Equal(id.Bytes, b.UID.Bytes()) {
				t.Fatalf("%s, gone after %d frames: %v, %+v", kind, gone, err, id)
			}
			switch id.Detail {
			case presence.DetailPending:
				pending++
			case detailGone:
				if pending > 0 {
					t.Errorf("%s, gone after %d frames: may be asked again", kind, gone)
				}
			default:
				t.Errorf("%s, gone after %d frames: %q", kind, gone, id.Detail)
			}
		}
		if want := map[applets.Kind]int{applets.KindPIV: 0, applets.KindEV3: 2, applets.KindNTAG424: 2}[kind]; pending != want {
			t.Errorf("%s: %d places where the verdict may be lost, want %d", kind, pending, want)
		}
	}
}

// TestACardThatIsTooSlow is told so, whoever's patience ends first: the door's, or this
// room's.
func TestACardThatIsTooSlow(t *testing.T) {
	o := newOffice(t)
	a := shown(t, applets.Badge{Kind: applets.KindPIV, UID: uidOf(t, staffUID)})
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	id, err := o.Prove(ctx, a, a.card, o.seen)
	if !errors.Is(err, card.ErrTooSlow) || id.Detail != detailTooSlow {
		t.Errorf("%v, %+v", err, id)
	}
	gone, end := context.WithCancel(t.Context())
	end()
	if id, err = o.Prove(gone, a, a.card, o.seen); !errors.Is(err, context.Canceled) || errors.Is(err, card.ErrTooSlow) || id.Detail != "" {
		t.Errorf("while the gateway stops: %v, %+v", err, id)
	}
}

// TestACardWithoutATS says that it speaks ISO/IEC 14443-4, as many a copy does, and never
// does so.
func TestACardWithoutATS(t *testing.T) {
	o := newOffice(t)
	a := shown(t, applets.Badge{Kind: applets.KindClone, UID: uidOf(t, staffUID)})
	a.mute = true
	if id, err := o.Prove(t.Context(), a, a.card, o.seen); !errors.Is(err, card.ErrGone) || id.Detail != presence.DetailNoATS {
		t.Errorf("%v, %+v", err, id)
	}
}

// TestFaultsOfTheReader are the reader's, and a reader that can only tell numbers is none.
func TestFaultsOfTheReader(t *testing.T) {
	o := newOffice(t)
	a := shown(t, applets.Badge{Kind: applets.KindPIV, UID: uidOf(t, staffUID)})
	a.fault = card.ErrBusDead
	id, err := o.Prove(t.Context(), a, a.card, o.seen)
	if !errors.Is(err, card.ErrBusDead) || id.Detail != "" || id.Assurance != string(card.AssuranceUID) {
		t.Errorf("%v, %+v", err, id)
	}
	// What comes after the card's last word takes nothing back.
	a.fault, a.left = nil, card.ErrBusDead
	if id, err = o.Prove(t.Context(), a, a.card, o.seen); err != nil || id.Assurance != string(card.AssurancePIV) {
		t.Errorf("%v, %+v", err, id)
	}
	a.fault = errors.ErrUnsupported
	if id, err = o.Prove(t.Context(), a, a.card, o.seen); err != nil || id.Detail != presence.DetailAbsent {
		t.Errorf("%v, %+v", err, id)
	}
}

// TestWithoutCAAndKeysTheAirIsNotTouched: a tap by number is as fast as ever.
func TestWithoutCAAndKeysTheAirIsNotTouched(t *testing.T) {
	o := newOffice(t)
	o.opt.Authority = nil
	o.restart()
	other := applets.Badge{Kind: applets.KindEV2, UID: uidOf(t, otherUID)}
	o.give(other)
	for _, b := range []applets.Badge{
		{Kind: applets.KindPIV, UID: uidOf(t, staffUID)},
		{Kind: applets.KindEV2, UID: uidOf(t, "08A1B2C3")},
		{Kind: applets.KindClone, UID: uidOf(t, otherUID), Rogue: "classic"},
	} {
		a := shown(t, b)
		if id := o.tap(a); a.frames != 0 || id.Detail != "" || id.Proof != nil {
			t.Errorf("%s: %d frames, %+v", b.Kind, a.frames, id)
		}
	}
}

// TestWithoutTheCAOfOursNobodyIsCalledACopy: a card that could not be asked, because the CA
// that is configured cannot be used, has not failed and is told from one that offers its
// number only.
func TestWithoutTheCAOfOursNobodyIsCalledACopy(t *testing.T) {
	o := newOffice(t)
	o.opt.Authority, o.opt.NoCA = nil, true
	o.restart()
	for b, want := range map[applets.Badge]string{
		{Kind: applets.KindPIV, UID: uidOf(t, staffUID)}:                     "no-ca",
		{Kind: applets.KindClone, UID: uidOf(t, otherUID), Rogue: "classic"}: "",
	} {
		if id := o.tap(shown(t, b)); id.Detail != want || id.Refuse != "" {
			t.Errorf("%s: %+v", b.Kind, id)
		}
	}
	if n := o.Failed()["no-ca"]; n != 1 {
		t.Errorf("%d are counted", n)
	}
}

// TestClaims: a card that proves nothing claims what its number would be as a PIV badge, a
// PIV card its GUID, and a proven badge the number that it shows.
func TestClaims(t *testing.T) {
	staff := applets.Badge{Kind: applets.KindPIV, UID: uidOf(t, staffUID)}
	guid := staff.GUID()
	hidden := applets.Badge{Kind: applets.KindPIV, UID: uidOf(t, "08A1B2C3"), Rogue: "foreign-ca"}
	hiddenGUID := hidden.GUID()
	for _, c := range []struct {
		badge  applets.Badge
		claims [][]byte
	}{
		{staff, [][]byte{staff.UID.Bytes()}},
		{applets.Badge{Kind: applets.KindClone, UID: staff.UID}, [][]byte{guid[:]}},
		{applets.Badge{Kind: applets.KindClone, UID: staff.UID, Rogue: "classic"}, [][]byte{guid[:]}},
		{applets.Badge{Kind: applets.KindPIV, UID: staff.UID, Rogue: "foreign-ca"}, [][]byte{guid[:]}},
		{applets.Badge{Kind: applets.KindEV2, UID: uidOf(t, "08A1B2C3")}, nil},
		{hidden, [][]byte{hiddenGUID[:]}},
	} {
		id := newOffice(t).tap(shown(t, c.badge))
		if len(id.Claims) != len(c.claims) || len(c.claims) > 0 && !bytes.Equal(id.Claims[0], c.claims[0]) {
			t.Errorf("%s %s claims %X, want %X", c.badge.Kind, c.badge.Rogue, id.Claims, c.claims)
		}
	}
}

// TestKeysMustBeShown: a card whose number has a key here must prove itself, though it
// says that it cannot; a stranger's must not.
func TestKeysMustBeShown(t *testing.T) {
	o := newOffice(t)
	b := applets.Badge{Kind: applets.KindEV2, UID: uidOf(t, staffUID)}
	o.give(b)
	if got := o.Least(b.UID.Bytes()); got != card.AssuranceDESFire {
		t.Errorf("least is %q", got)
	}
	if got := o.Least(uidOf(t, otherUID).Bytes()); got != "" {
		t.Errorf("least of another is %q", got)
	}
	// A PIV card with this number proves more than the key would.
	if id := o.tap(shown(t, applets.Badge{Kind: applets.KindPIV, UID: b.UID})); id.Assurance != string(card.AssurancePIV) {
		t.Errorf("%+v", id)
	}
}

// TestSimulatedKeys: a simulated gateway knows the keys of simulated cards until the city
// sends some, and no card must have one.
func TestSimulatedKeys(t *testing.T) {
	o := newOffice(t)
	o.opt.Simulated = o
	o.restart()
	for _, b := range []applets.Badge{
		{Kind: applets.KindPIV, UID: uidOf(t, staffUID)},
		{Kind: applets.KindEV2, UID: uidOf(t, staffUID)},
		{Kind: applets.KindNTAG424, UID: uidOf(t, staffUID)},
		{Kind: applets.KindEV3, UID: uidOf(t, "08A1B2C3")},
	} {
		if id := o.tap(shown(t, b)); !card.Assurance(id.Assurance).Authenticated() {
			t.Errorf("%s: %+v", b.Kind, id)
		}
	}
	if o.Least(uidOf(t, staffUID).Bytes()).Authenticated() {
		t.Error("every card must prove itself")
	}
	o.give()
	if id := o.tap(shown(t, applets.Badge{Kind: applets.KindEV2, UID: uidOf(t, staffUID)})); id.Detail != presence.DetailAbsent {
		t.Errorf("with a document: %+v", id)
	}
}
