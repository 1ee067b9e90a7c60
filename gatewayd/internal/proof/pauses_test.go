package proof

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/drivers/cardtest/applets"
	"presence/gatewayd/internal/presence"
)

// wrongKey is a badge whose key is another one than the document's, and its program.
func wrongKey(t *testing.T, o *office) (*air, *applets.DESFire) {
	t.Helper()
	b := applets.Badge{Kind: applets.KindEV2, UID: uidOf(t, staffUID), Rogue: "foreign-key"}
	o.give(b)
	a := shown(t, b)
	return a, a.applet.(*applets.DESFire)
}

// TestAWrongKeyIsNotTriedAgain: one attempt a tap, and none during the pause, also after a
// restart; the pause doubles; the right key ends it.
func TestAWrongKeyIsNotTriedAgain(t *testing.T) {
	o := newOffice(t)
	a, chip := wrongKey(t, o)
	pause := firstPause
	for failures := 1; failures <= 12; failures++ {
		if id := o.tap(a); id.Detail != detailWrongKey || chip.Failures(applets.KeyNumber) != failures {
			t.Fatalf("attempt %d: %+v, the card counts %d", failures, id, chip.Failures(applets.KeyNumber))
		}
		o.seen.Boottime += pause - time.Millisecond
		o.restart()
		if id := o.tap(a); id.Detail != detailPaused || id.Refuse != presence.ReasonNotAuthenticated || chip.Failures(applets.KeyNumber) != failures {
			t.Fatalf("during the pause of %v: %+v, the card counts %d", pause, id, chip.Failures(applets.KeyNumber))
		}
		o.seen.Boottime += time.Millisecond
		pause = min(2*pause, longestPause)
	}
	if info, err := os.Stat(filepath.Join(o.opt.StateDir, "badge-pauses.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if strings.Contains(o.log.String(), staffUID) {
		t.Error("the log names the badge")
	}
	sound := shown(t, applets.Badge{Kind: applets.KindEV2, UID: a.card.UID})
	if id := o.tap(sound); id.Detail != "" {
		t.Fatalf("the right key: %+v", id)
	}
	if id := o.tap(a); id.Detail != detailWrongKey {
		t.Errorf("after a success: %+v", id)
	}
	o.seen.Boottime += firstPause
	if id := o.tap(a); id.Detail != detailWrongKey {
		t.Errorf("after a success, a failure and the first pause: %+v", id)
	}
}

// TestAnotherKeyIsTriedAtOnce, and the same again is not.
func TestAnotherKeyIsTriedAtOnce(t *testing.T) {
	o := newOffice(t)
	a, chip := wrongKey(t, o)
	o.tap(a)
	o.keys.Use(&Keyring{application: applets.Application(), byUID: o.keys.current.Load().byUID})
	if id := o.tap(a); id.Detail != detailPaused {
		t.Errorf("the same key in a new document: %+v", id)
	}
	k := o.KeyOf(a.card.UID)
	k.Key[0] ^= 1
	o.keys.current.Load().byUID[a.card.UID] = k
	if id := o.tap(a); id.Detail != detailWrongKey || chip.Failures(applets.KeyNumber) != 2 {
		t.Errorf("another key: %+v, the card counts %d", id, chip.Failures(applets.KeyNumber))
	}
}

// TestAPauseOverABootWithoutAClock begins anew: how long the gateway was off is not known.
func TestAPauseOverABootWithoutAClock(t *testing.T) {
	o := newOffice(t)
	a, _ := wrongKey(t, o)
	o.tap(a)
	o.seen = presence.Reading{Boot: presence.ID{10}, Boottime: time.Hour}
	o.restart()
	if id := o.tap(a); id.Detail != detailPaused {
		t.Errorf("%+v", id)
	}
	o.restart()
	o.seen.Boottime += firstPause
	if id := o.tap(a); id.Detail != detailWrongKey {
		t.Errorf("after the pause: %+v", id)
	}
}

// TestLostAnswersCountInTheEnd: whoever takes the card away at that moment each time must
// not wear it out.
func TestLostAnswersCountInTheEnd(t *testing.T) {
	o := newOffice(t)
	b := applets.Badge{Kind: applets.KindEV2, UID: uidOf(t, staffUID)}
	o.give(b)
	for i := range enoughLost {
		a := shown(t, b)
		a.gone = 3 // RATS, selection and the first half: the answer to the second does not come
		if id, err := o.Prove(t.Context(), a, a.card, o.seen); err == nil || id.Detail != presence.DetailPending {
			t.Fatalf("attempt %d: %v, %+v", i, err, id)
		}
	}
	if id := o.tap(shown(t, b)); id.Detail != detailPaused {
		t.Errorf("%+v", id)
	}
}

// TestDamagedPausesAreForgotten, with a word in the log, and the file stays small.
func TestDamagedPausesAreForgotten(t *testing.T) {
	o := newOffice(t)
	path := filepath.Join(o.opt.StateDir, "badge-pauses.json")
	if err := os.WriteFile(path, []byte(`{"v":1,"badges":{"04`), 0o600); err != nil {
		t.Fatal(err)
	}
	o.restart()
	if !strings.Contains(o.log.String(), "forgotten") {
		t.Errorf("the log: %s", o.log.String())
	}
	for i := range maxPauses + 50 {
		o.seen.Boottime += time.Second
		o.pauses.failed(fmt.Sprintf("h:%032x", i), "key", o.seen)
	}
	o.restart()
	if n := len(o.pauses.all); n != maxPauses {
		t.Errorf("%d badges are remembered", n)
	}
	if !o.pauses.active(fmt.Sprintf("h:%032x", maxPauses+49), "key", o.seen) || o.pauses.active(fmt.Sprintf("h:%032x", 0), "key", o.seen) {
		t.Error("not the oldest were forgotten")
	}
}
