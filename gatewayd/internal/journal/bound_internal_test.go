package journal

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
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

// takeReserve fills a full journal's file up to its last page. Nothing else does: it
// would take hundreds of starts.
func takeReserve(t *testing.T, o Options) {
	t.Helper()
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
}

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

	takeReserve(t, o)
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
	if r, err := Verify(t.Context(), o.Path, nil); err != nil || !r.Whole() {
		t.Errorf("%v, %s", err, r)
	}
}

// TestAFileBeyondItsSizeTakesWhatHasRoomInIt: a file never shrinks. One that is too
// large, here because max_mb was lowered, refuses nothing as soon as what was in it
// is delivered.
func TestAFileBeyondItsSizeTakesWhatHasRoomInIt(t *testing.T) {
	t.Parallel()
	now := presence.Reading{Boot: presence.ID{1}}
	o := Options{
		Path: filepath.Join(t.TempDir(), "journal.db"), Keep: time.Hour, MaxBytes: 1 << 20, CommitInterval: time.Second,
		Now: func() presence.Reading { return now }, Log: slog.New(slog.DiscardHandler),
	}
	tap := func(j *Journal) error {
		d := presence.Draft{Kind: presence.KindBadge, At: now, Badge: &presence.Badge{Reader: "door", Card: strings.Repeat("x", 7000)}}
		_, err := j.Append(t.Context(), d)
		return err
	}
	fill := func(j *Journal) {
		t.Helper()
		for range 10_000 {
			if err := tap(j); errors.Is(err, ErrFull) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
		t.Fatal("it never was full")
	}
	accepts := func(j *Journal) {
		t.Helper()
		if size := mustStat(t, o.Path); size <= o.MaxBytes {
			t.Fatalf("the file has only %d bytes", size)
		}
		j.Ack(j.End())
		if err := tap(j); err != nil {
			t.Errorf("all is delivered, and a tap has no place: %v", err)
		}
		fill(j)
	}
	reopen := func(j *Journal) *Journal {
		t.Helper()
		if j != nil {
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}
		j, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}

	o.MaxBytes = 4 << 20
	j := reopen(nil)
	fill(j)
	o.MaxBytes = 1 << 20
	j = reopen(j)
	accepts(j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestANoteIsNoRoom: what is noted while a journal is full lives off its reserve, and
// nobody may take it for room that is there again.
func TestANoteIsNoRoom(t *testing.T) {
	t.Parallel()
	now := presence.Reading{Boot: presence.ID{1}}
	j, err := Open(Options{
		Path: filepath.Join(t.TempDir(), "journal.db"), Keep: time.Hour, MaxBytes: 1 << 20, CommitInterval: time.Second,
		Now: func() presence.Reading { return now }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	tap := presence.Draft{Kind: presence.KindBadge, At: now, Badge: &presence.Badge{Reader: "door", Card: strings.Repeat("x", 7000)}}
	for err == nil {
		_, err = j.Append(t.Context(), tap)
	}
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	// Once the writer has tried again, which it does every second, it is as full as
	// before; nothing that large has room, but a tap of the usual size may.
	tap.Badge.Card = "x"
	for err = nil; err == nil; {
		_, err = j.Append(t.Context(), tap)
	}
	if err := j.Save("note", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if s := j.Stats(); !s.Refusing || !s.Full || s.FreeBytes != 0 {
		t.Errorf("after a note: refusing %v, full %v, %d bytes free", s.Refusing, s.Full, s.FreeBytes)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRevisionsMakeNoFileGrow: a full journal whose events are all delivered at once,
// each with a time that was computed, has no room for all those revisions together.
func TestRevisionsMakeNoFileGrow(t *testing.T) {
	t.Parallel()
	now := presence.Reading{Boot: presence.ID{1}}
	o := Options{
		Path: filepath.Join(t.TempDir(), "journal.db"), Keep: time.Hour, MaxBytes: 1 << 20, CommitInterval: time.Millisecond,
		Now: func() presence.Reading { return now }, Log: slog.New(slog.DiscardHandler),
	}
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; !j.Stats().Full; i++ {
		tag := presence.Draft{Kind: presence.KindTag, At: now, Tag: &presence.Tag{Tag: "kenwood:" + strconv.Itoa(i)}}
		if err := j.Enqueue(t.Context(), tag); err != nil {
			t.Fatal(err)
		}
	}
	// All of it while the writer is busy with one commit.
	j.mu.Lock()
	revised := j.end
	for pos := uint64(1); pos <= revised; pos++ {
		j.unsaved[pos] = presence.Revision{Pos: pos, Timing: presence.Timing{
			Quality: presence.QualityCorrected, Time: time.Unix(int64(pos), 0), Error: time.Second, Rev: 1,
		}}
	}
	j.cursor, j.acked = j.end, time.Now()
	j.wakeWriter()
	j.mu.Unlock()
	tap := presence.Draft{Kind: presence.KindBadge, At: now, Badge: &presence.Badge{Reader: "door"}}
	if _, err := j.Append(t.Context(), tap); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if size := mustStat(t, o.Path); size > o.MaxBytes {
		t.Errorf("%d revisions: the file has %d bytes, and may have %d", revised, size, o.MaxBytes)
	}
	if r, err := Verify(t.Context(), o.Path, nil); err != nil || !r.Whole() {
		t.Errorf("%v, %s", err, r)
	}
}

// TestReadersMakeNoFileGrow: what commits free while somebody reads cannot be used
// again before that reader has ended. A full file must not grow for it.
func TestReadersMakeNoFileGrow(t *testing.T) {
	t.Parallel()
	now := presence.Reading{Boot: presence.ID{1}}
	o := Options{
		Path: filepath.Join(t.TempDir(), "journal.db"), Keep: time.Hour, MaxBytes: 1 << 20, CommitInterval: time.Second,
		Now: func() presence.Reading { return now }, Log: slog.New(slog.DiscardHandler),
	}
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = j.Append(t.Context(), presence.Draft{Kind: presence.KindBadge, At: now, Badge: &presence.Badge{Card: strings.Repeat("x", 7000)}})
	}
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	for range 10 {
		begun, saved := make(chan struct{}), make(chan struct{})
		read := make(chan error, 1)
		go func() {
			read <- j.view(func(*bolt.Tx) error {
				close(begun)
				select {
				case <-saved: // no commit needed this reader's pages
				case <-time.After(100 * time.Millisecond):
				}
				return nil
			})
		}()
		<-begun
		for range 100 {
			if err := j.Save("note", make([]byte, 4000)); err != nil {
				t.Fatal(err)
			}
		}
		close(saved)
		if err := <-read; err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if size := mustStat(t, o.Path); size > o.MaxBytes {
		t.Errorf("the file has %d bytes, and may have %d", size, o.MaxBytes)
	}
}

func mustStat(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
