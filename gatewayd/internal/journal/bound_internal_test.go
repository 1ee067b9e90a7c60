package journal

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"
)

// TestAFileWithoutAnyRoomStillStarts: where not even the reserve is left, no tap and
// no note is taken, but the journal opens, and what is delivered makes room.
func TestAFileWithoutAnyRoomStillStarts(t *testing.T) {
	t.Parallel()
	at := presence.Reading{Boot: presence.ID{1}}
	o := Options{
		Path: filepath.Join(inMemory(t), "journal.db"), Keep: time.Hour, MaxBytes: 1 << 20, CommitInterval: time.Second,
		Now: func() presence.Reading { return at }, Log: slog.New(slog.DiscardHandler),
		Version: strings.Repeat("x", 500), // so that two starts fill the tail
	}
	tap := presence.Draft{Kind: presence.KindBadge, At: at, Badge: &presence.Badge{Reader: "door", Card: strings.Repeat("x", 3000)}}
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = j.Append(t.Context(), tap)
	}
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	// What else could take the whole reserve: thousands of starts.
	db, err := bolt.Open(o.Path, fileMode, &bolt.Options{
		PageSize: boltfile.PageSize, MaxSize: int(o.MaxBytes), InitialMmapSize: int(o.MaxBytes), NoFreelistSync: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	db.AllocSize = 0
	for n, size := 0, 4000; size > 0; n++ {
		err := db.Update(func(tx *bolt.Tx) error {
			return newCodec().putNotes(tx, map[string][]byte{strconv.Itoa(n): make([]byte, size)})
		})
		if errors.Is(err, berrors.ErrMaxSizeReached) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if size := mustStat(t, o.Path); size > o.MaxBytes {
		t.Fatalf("the file has %d bytes before the test begins", size)
	}

	var said bytes.Buffer
	o.Log = slog.New(slog.NewTextHandler(&said, nil))
	for n := 0; !strings.Contains(said.String(), "beyond its largest size"); n++ {
		if n == 300 {
			t.Fatal("there was room for 300 starts")
		}
		if j, err = Open(o); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if j, err = Open(o); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(t.Context(), tap); !errors.Is(err, ErrFull) {
		t.Errorf("a tap has room where there is none: %v", err)
	}
	if err := j.Save("more", make([]byte, 10_000)); !errors.Is(err, ErrFull) {
		t.Errorf("a note has room where there is none: %v", err)
	}
	j.Ack(j.End())
	for range 100 {
		if _, err := j.Append(t.Context(), tap); err != nil {
			t.Fatalf("all is delivered, and a tap has no room: %v", err)
		}
	}
	if err := j.Save("more", make([]byte, 10_000)); err != nil {
		t.Errorf("all is delivered, and a note has no room: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	size := mustStat(t, o.Path)
	t.Logf("the file has %d bytes more than it may have", size-o.MaxBytes)
	if size > o.MaxBytes+2*reservePages*boltfile.PageSize {
		t.Errorf("the file has %d bytes", size)
	}
	if r, err := Verify(t.Context(), o.Path); err != nil || !r.Whole() {
		t.Errorf("%v, %s", err, r)
	}
}
