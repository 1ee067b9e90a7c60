package sim_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522/mfrc522test"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sim"
)

// TestBadgesAreTapped: they lie in the field as other cards do, and a door that asks for
// no proof takes their UID.
func TestBadgesAreTapped(t *testing.T) {
	office(t, func(t *testing.T, h *sim.Hardware) {
		for i, kind := range []string{"piv", "desfire-ev2", "desfire-ev3", "ntag424", "clone-of"} {
			uid := "04A1B2C3D4E50" + string(rune('0'+i))
			var got []sim.Result
			tap := sim.Tap{Reader: "door", Card: kind, UIDs: []string{uid}, Hold: 100 * time.Millisecond}
			if kind == "clone-of" {
				tap.Card, tap.UIDs = "clone-of:"+uid, nil
			}
			if err := h.Run(t.Context(), tap, func(r sim.Result) { got = append(got, r) }); err != nil || len(got) != 1 || got[0].Outcome != "accepted" || got[0].UID != uid {
				t.Errorf("%s: %+v, %v", kind, got, err)
			}
		}
	})
}

// alone is hardware whose reader nobody polls, and its field.
func alone() (*sim.Hardware, *cardtest.Field) {
	h := sim.New()
	var field *cardtest.Field
	h.Add("door", 50*time.Millisecond, func(f *cardtest.Field) sim.Chip {
		field = f
		return mfrc522test.New(f)
	})
	return h, field
}

// TestABadgeStaysUntilItIsAnswered, however short it is to be held at least, so that its
// signature has the time that it needs; unless it is to be taken away before.
func TestABadgeStaysUntilItIsAnswered(t *testing.T) {
	for name, tc := range map[string]struct {
		leave  time.Duration
		inside []int // cards in the field after 50, 300, 600 and 700 ms; the answer comes after 650 ms
	}{
		"answered":   {0, []int{1, 1, 1, 0}},
		"taken away": {100 * time.Millisecond, []int{1, 0, 0, 0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			h, field := alone()
			done := make(chan error, 1)
			var got []sim.Result
			go func() {
				tap := sim.Tap{Reader: "door", UIDs: []string{"04A1B2C3D4E5F6"}, Card: "piv", Hold: 200 * time.Millisecond, Leave: tc.leave}
				done <- h.Run(t.Context(), tap, func(r sim.Result) { got = append(got, r) })
			}()
			var inside []int
			at := time.Duration(0)
			for _, ms := range []time.Duration{50, 300, 600, 700} {
				if ms == 700 {
					h.Observe(presence.Answer{Reader: "door", UID: "04A1B2C3D4E5F6", Outcome: presence.Refused, Reason: "hold-longer", Detail: "gone"})
				}
				time.Sleep(ms*time.Millisecond - at)
				at = ms * time.Millisecond
				synctest.Wait()
				inside = append(inside, len(field.Cards()))
			}
			if err := <-done; err != nil || !slices.Equal(inside, tc.inside) {
				t.Errorf("%s: %v cards in the field, want %v; %v", name, inside, tc.inside, err)
			}
			if len(got) != 1 || got[0].Reason != "hold-longer" || got[0].Detail != "gone" {
				t.Errorf("%s: %+v", name, got)
			}
		})
	}
}

// TestABadgeIsNotTakenAwayBeforeTheReaderHasFoundIt, so that one that is held for 20 ms is
// red for that, and not unseen where the reader looks each 50 ms.
func TestABadgeIsNotTakenAwayBeforeTheReaderHasFoundIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, field := alone()
		r, err := h.Reader("door")
		if err != nil {
			t.Fatal(err)
		}
		field.SetRF(true, time.Now())
		r.Scanned()
		done := make(chan error, 1)
		go func() {
			tap := sim.Tap{Reader: "door", UIDs: []string{"04A1B2C3D4E5F6"}, Card: "piv", Leave: 20 * time.Millisecond}
			done <- h.Run(t.Context(), tap, func(sim.Result) {})
		}()
		step := func(what string, wait time.Duration, want int) {
			time.Sleep(wait)
			synctest.Wait()
			if n := len(field.Cards()); n != want {
				t.Errorf("%s: %d cards in the field, want %d", what, n, want)
			}
		}
		step("laid there", 45*time.Millisecond, 1)
		r.Scanned() // a scan that had begun before
		step("unseen", 45*time.Millisecond, 1)
		field.Exchange(time.Now(), cardtest.Frame{Bytes: []byte{0x52}, Bits: 7}) // WUPA
		r.Scanned()
		step("found", 19*time.Millisecond, 1)
		step("taken away", 2*time.Millisecond, 0)
		h.Observe(presence.Answer{Reader: "door", UID: "04A1B2C3D4E5F6", Outcome: presence.Refused, Reason: "hold-longer"})
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestTapsOfBadgesThatAreWrong(t *testing.T) {
	uid := []string{"04A1B2C3D4E5F6"}
	for _, tc := range []struct {
		tap  sim.Tap
		want string // in the error; "" is none
	}{
		{sim.Tap{Card: "clone-of:04a1b2c3d4e5f6"}, ""},
		{sim.Tap{Card: "clone-of:04a1b2c3d4e5f6", UIDs: uid}, ""},
		{sim.Tap{Card: "clone-of:DEADBEEF"}, ""},
		{sim.Tap{Card: "clone-of", UIDs: []string{"DEADBEEF", "04A1B2C3D4E5F6"}, Rogue: "classic"}, ""},
		{sim.Tap{Card: "clone-of:DEADBEEF", UIDs: uid}, "a clone of DEADBEEF does not show uid 04A1B2C3D4E5F6"},
		{sim.Tap{Card: "clone-of:04A1B2C3D4E5F6", UIDs: []string{uid[0], "DEADBEEF"}}, "does not show"},
		{sim.Tap{Card: "clone-of:xyz"}, "want hex digits"},
		{sim.Tap{Card: "clone-of"}, "no uid given"},
		{sim.Tap{Card: "piv:DEADBEEF", UIDs: uid}, "want one of"},
		{sim.Tap{Card: "pivot", UIDs: uid}, "want one of"},
		{sim.Tap{Card: "piv", UIDs: uid, Rogue: "expired"}, ""},
		{sim.Tap{Card: "piv", UIDs: uid, Rogue: "lrp-only"}, "card piv has mute, replay"},
		{sim.Tap{Card: "ntag424", UIDs: uid, Rogue: "no-application"}, "card ntag424 has"},
		{sim.Tap{Card: "mifare-classic-1k", UIDs: uid, Rogue: "expired"}, "rogue is for cards that prove who they are"},
		{sim.Tap{Card: "piv", UIDs: uid, Leave: 2 * time.Hour}, "want 0s to 1h"},
	} {
		err := tc.tap.Check()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.tap, err, tc.want)
		}
		if err == nil && len(tc.tap.UIDs) == 0 {
			t.Errorf("%+v has no UID", tc.tap)
		}
	}
}

// TestRestOfATapOfClones: the gateway that goes on with it takes it as it comes.
func TestRestOfATapOfClones(t *testing.T) {
	tap := sim.Tap{Card: "clone-of:010203FE", Count: 3, Leave: time.Second, Rogue: "classic"}
	if err := tap.Check(); err != nil {
		t.Fatal(err)
	}
	rest, err := tap.Rest([]sim.Result{{UID: "010203FE"}})
	if err != nil || len(rest) != 1 || rest[0].UIDs[0] != "010203FF" || rest[0].Leave != time.Second || rest[0].Rogue != "classic" {
		t.Fatalf("%+v, %v", rest, err)
	}
	if err := rest[0].Check(); err != nil {
		t.Error(err)
	}
}

func TestTheSimulatedAuthority(t *testing.T) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(sim.BadgeCA()) || !bytes.Equal(sim.BadgeCA(), sim.BadgeCA()) {
		t.Fatal("no authority")
	}
	uid, _ := card.ParseUID("04A1B2C3D4E5F6")
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	guid, text, err := sim.BadgeCertificate(uid, now)
	if err != nil || guid == [16]byte{} {
		t.Fatal(guid, err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Error(err)
	}
	other, _ := card.ParseUID("04A1B2C3D4E5F7")
	if sim.BadgeKey(uid) == sim.BadgeKey(other) || sim.NumberKey([16]byte{1}) == sim.NumberKey([16]byte{2}) {
		t.Error("two cards have one key")
	}
}
