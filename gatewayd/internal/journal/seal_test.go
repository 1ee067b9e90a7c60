package journal_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// testKey is a seal key of the tests.
type testKey struct{ ed25519.PrivateKey }

func newTestKey(seed byte) testKey {
	return testKey{ed25519.NewKeyFromSeed(append(make([]byte, ed25519.SeedSize-1), seed))}
}

func (k testKey) public() ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func (k testKey) KeyID() presence.KeyID { return presence.KeyIDOf(k.public()) }

func (k testKey) Sign(text []byte) ([]byte, error) { return ed25519.Sign(k.PrivateKey, text), nil }

// sealed is o with a key to seal with.
func sealed(o journal.Options) journal.Options {
	key := newTestKey(1)
	o.Seals.Signer = func() journal.Signer { return key }
	return o
}

// kinds are those of the events in a journal, in order: "start seal badge".
func kinds(t testing.TB, j *journal.Journal) (names []string) {
	t.Helper()
	for _, e := range all(t, j, 0) {
		names = append(names, e.Kind.String())
	}
	return names
}

// sealHolds checks a seal, and that it covers the event before it.
func sealHolds(e, before presence.Entry, public ed25519.PublicKey) error {
	seal := e.Seal
	if seal.Upto != e.Seq-1 || before.Stream == e.Stream && before.Seq == seal.Upto && seal.Link != before.Chain.Link {
		return fmt.Errorf("%s-%d seals up to %d with link %s, behind %s-%d with %s",
			e.Stream, e.Seq, seal.Upto, seal.Link, before.Stream, before.Seq, before.Chain.Link)
	}
	if !ed25519.Verify(public, presence.SealText(whose.Gateway, e.Stream, seal.Upto, seal.Link), seal.Sig) || seal.Key != presence.KeyIDOf(public) {
		return fmt.Errorf("%s-%d: the signature is not that of the key", e.Stream, e.Seq)
	}
	return nil
}

// checkSeals checks every seal in a journal. It returns how many there are, and how many
// events at the end none of them covers.
func checkSeals(t testing.TB, events []presence.Entry, public ed25519.PublicKey) (seals, unsealed int) {
	t.Helper()
	var before presence.Entry
	for _, e := range events {
		unsealed++
		if e.Seal != nil {
			seals, unsealed = seals+1, 0
			if err := sealHolds(e, before, public); err != nil {
				t.Error(err)
			}
		}
		before = e
	}
	return seals, unsealed
}

// TestSealsWhenTheyAreDue: at the start, with the first commit after 15 minutes in which
// something was recorded, on its own where none comes, and at the end. A journal to which
// nothing is written makes none.
func TestSealsWhenTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		o := sealed(options(newPath(t), c))
		j, err := journal.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		expect := func(when string, want ...string) {
			t.Helper()
			if got := kinds(t, j); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", when, got, want)
			}
		}
		expect("start", "start", "seal")
		commits := j.Stats().Commits
		pass(50 * time.Minute)
		expect("idle", "start", "seal")
		if n := j.Stats().Commits; n != commits {
			t.Errorf("an idle journal made %d commits", n-commits)
		}
		appended(t, j, badge(c, 1))
		expect("a tap after a long time takes a seal along", "start", "seal", "badge", "seal")
		if n := j.Stats().Commits; n != commits+1 {
			t.Errorf("a tap and its seal made %d commits", n-commits)
		}
		appended(t, j, badge(c, 2))
		pass(14 * time.Minute)
		expect("14 minutes", "start", "seal", "badge", "seal", "badge")
		pass(time.Minute + time.Second)
		expect("15 minutes", "start", "seal", "badge", "seal", "badge", "seal")
		appended(t, j, badge(c, 3))
		if err := j.Seal(t.Context()); err != nil {
			t.Error(err)
		}
		if err := j.Seal(t.Context()); err != nil {
			t.Error("nothing to seal:", err)
		}
		expect("asked for", "start", "seal", "badge", "seal", "badge", "seal", "badge", "seal")
		appended(t, j, badge(c, 4))
		if s := j.Sealing(); s.Unsealed != 1 || s.Key != newTestKey(1).KeyID() || s.Former != (presence.KeyID{}) {
			t.Errorf("%+v", s)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j = open(t, o)
		expect("closed, and opened again", "start", "seal", "badge", "seal", "badge", "seal", "badge", "seal", "badge", "seal", "start", "seal")
		if seals, unsealed := checkSeals(t, all(t, j, 0), newTestKey(1).public()); seals != 6 || unsealed != 0 {
			t.Errorf("%d seals, %d events unsealed", seals, unsealed)
		}
		if s := j.Sealing(); s.Unsealed != 0 || s.Former != newTestKey(1).KeyID() {
			t.Errorf("%+v", s)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestSealWithoutAKey: without a key everything is recorded as ever, and as soon as there
// is one the journal is sealed.
func TestSealWithoutAKey(t *testing.T) {
	c := newClock()
	o := options(newPath(t), c)
	var key atomic.Pointer[testKey]
	o.Seals.Signer = func() journal.Signer {
		if k := key.Load(); k != nil {
			return k
		}
		return nil
	}
	j := open(t, o)
	appended(t, j, badge(c, 1))
	if err := j.Seal(t.Context()); !errors.Is(err, journal.ErrNoSealKey) {
		t.Error(err)
	}
	arrived := newTestKey(2)
	key.Store(&arrived)
	if err := j.Seal(context.Background()); err != nil {
		t.Error(err)
	}
	if got := kinds(t, j); !slices.Equal(got, []string{"start", "badge", "seal"}) {
		t.Error(got)
	}
}
