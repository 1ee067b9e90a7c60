package journal

import (
	"crypto/ed25519"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

// seedKey is a key to seal with.
type seedKey struct{ ed25519.PrivateKey }

func (k seedKey) KeyID() presence.KeyID { return presence.KeyIDOf(k.Public().(ed25519.PublicKey)) }

func (k seedKey) Sign(text []byte) ([]byte, error) { return ed25519.Sign(k.PrivateKey, text), nil }

// TestACommitGivesUpItsSealFirst: where what is to be recorded has room and its seal has
// not, it is recorded without.
func TestACommitGivesUpItsSealFirst(t *testing.T) {
	t.Parallel()
	without := 0
	for anchors := maxAnchors - 8; anchors <= maxAnchors; anchors += 4 {
		without += commitUntilFull(t, anchors)
	}
	if without == 0 {
		t.Error("every seal had room")
	}
}

// commitUntilFull makes commits of a tap and a large seal, without looking whether there is
// room, until a tap is refused. It returns how many were recorded without the seal.
func commitUntilFull(t *testing.T, anchors int) (without int) {
	t.Helper()
	at := presence.Reading{Boot: presence.ID{1}}
	key := seedKey{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	o := Options{
		Path: filepath.Join(inMemory(t), "journal.db"), Keep: time.Hour, MaxBytes: 1 << 20, CommitInterval: time.Second,
		Now: func() presence.Reading { return at }, Log: slog.New(slog.DiscardHandler), Version: "test",
		Seals: Seals{
			Signer:  func() Signer { return key },
			Anchors: func(time.Duration) []presence.Anchor { return make([]presence.Anchor, anchors) },
		},
	}
	// A writer that only this test drives.
	j, err := newJournal(o)
	if err != nil {
		t.Fatal(err)
	}
	if j.file, err = openLocked(o.Path, false); err != nil {
		t.Fatal(err)
	}
	if j.db, err = j.openFile(j.file); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.db.Close(); err != nil {
			t.Error(err)
		}
	}()
	w, err := j.begin()
	if err != nil {
		t.Fatal(err)
	}
	tap, err := j.codec.encode(presence.Draft{Kind: presence.KindBadge, At: at, Badge: &presence.Badge{Reader: "door"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		seal, ok := w.newSeal()
		if !ok {
			t.Fatal("there is no key")
		}
		end, sealed := j.end, j.sealed
		switch err := w.commit(change{items: []item{tap, seal}}); {
		case errors.Is(err, ErrFull):
			if err := w.commit(change{items: []item{tap}}); !errors.Is(err, ErrFull) {
				t.Errorf("a tap was refused for its seal; alone it has room (%v)", err)
			}
			return without
		case err != nil:
			t.Fatal(err)
		case j.sealed == sealed && j.end != end+1:
			t.Fatalf("%d events without a seal", j.end-end)
		case j.sealed == sealed:
			without++
		}
	}
	t.Fatal("the file never becomes full")
	return without
}
