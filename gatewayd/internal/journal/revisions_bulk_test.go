package journal

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/presence"
)

// corrected makes a journal of many events that each have a revision;
// every open-th waits for an acknowledgement.
func corrected(t testing.TB, many, open int) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "journal-test-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "journal.db")
	j := openJournal(t, path)
	at := presence.Reading{Boot: presence.ID{1}}
	for i := range many {
		err := j.Enqueue(t.Context(), presence.Draft{Kind: presence.KindTag, At: at, Tag: &presence.Tag{Receiver: "yard", Tag: "reyax:50"}})
		if err != nil {
			t.Fatal(err)
		}
		if i%5000 == 4999 || i == many-1 {
			if err := j.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for first := uint64(1); first <= j.End(); first += 2000 {
		var all []presence.Revision
		for pos := first; pos < first+2000 && pos <= j.End(); pos++ {
			all = append(all, presence.Revision{
				Pos:    pos,
				Timing: presence.Timing{Quality: presence.QualityCorrected, Time: time.Unix(1_795_417_200, int64(pos)), Error: time.Second, Rev: 1},
				Open:   pos%uint64(open) == 0,
			})
		}
		if err := j.SaveRevisions(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func openJournal(t testing.TB, path string) *Journal {
	t.Helper()
	j, err := Open(Options{
		Path: path, Keep: time.Hour, MaxBytes: 256 << 20, CommitInterval: time.Hour,
		Now: func() presence.Reading { return presence.Reading{Boot: presence.ID{1}} }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// TestOpenCorrectionsComeInParts: none is left out, and no part is as large as
// all revisions together.
func TestOpenCorrectionsComeInParts(t *testing.T) {
	t.Parallel()
	const many, open = 20_000, 100
	j := openJournal(t, corrected(t, many, open))
	defer j.Close()
	inMemory := presence.Revision{Pos: 7777, Timing: presence.Timing{Quality: presence.QualityCorrected, Time: time.Unix(1, 0), Rev: 2}, Open: true}
	closed := presence.Revision{Pos: 8000, Timing: presence.Timing{Quality: presence.QualityCorrected, Time: time.Unix(1, 0), Rev: 2}}
	j.QueueRevisions([]presence.Revision{inMemory, closed})
	end, parts := j.End(), 0
	found := make(map[uint64]bool)
	for after := uint64(0); after < end; parts++ {
		part, looked, err := j.OpenCorrections(after, end)
		if err != nil {
			t.Fatal(err)
		}
		if looked <= after || looked > end || looked-after > 2*maxRevisionsRead && looked != end {
			t.Fatalf("a part goes from %d to %d", after, looked)
		}
		for _, s := range part {
			if s.Pos <= after || s.Pos > looked || found[s.Pos] || s.Pos%open != 0 && s.Pos != 7777 || s.Pos == 8000 {
				t.Fatalf("from %d to %d: %d", after, looked, s.Pos)
			}
			found[s.Pos] = true
		}
		after = looked
	}
	if want := int(end / open); len(found) != want { // one was acknowledged, and another is new
		t.Errorf("%d corrections are open, want %d", len(found), want)
	}
	if want := many / maxRevisionsRead; parts < want || parts > want+2 {
		t.Errorf("%d parts, want %d", parts, want)
	}
}

// counter counts what is read of a file.
type counter struct {
	io.ReaderAt
	reads int
}

func (c *counter) ReadAt(b []byte, off int64) (int, error) {
	c.reads++
	return c.ReaderAt.ReadAt(b, off)
}

// TestAnOfflineExportReadsEachRevisionOnce: revisions are asked for 256 events
// at a time. That reads no page much more often than once, however many there
// are.
func TestAnOfflineExportReadsEachRevisionOnce(t *testing.T) {
	t.Parallel()
	reads := func(many int) (reads, pages int) {
		path := corrected(t, many, 1000)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		count := &counter{ReaderAt: f}
		index, err := newRevisionIndex(count, info.Size())
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for from := uint64(1); from <= uint64(many)+1; from += 256 {
			found += len(index.read(newCodec(), from, from+255))
		}
		if found != many+1 {
			t.Errorf("%d revisions of %d", found, many+1)
		}
		return count.reads, len(index.leaves)
	}
	small, smallPages := reads(5_000)
	large, largePages := reads(40_000)
	t.Logf("%d reads of %d pages, %d reads of %d pages", small, smallPages, large, largePages)
	if small > 20+smallPages*2+5_000/256*2 || large > 20+largePages*2+40_000/256*2 {
		t.Errorf("%d reads for %d pages, %d for %d", small, smallPages, large, largePages)
	}
}

// TestRevisionsGoWithTheirEvents: no revision outlives its event.
func TestRevisionsGoWithTheirEvents(t *testing.T) {
	t.Parallel()
	path := corrected(t, 3_000, 10)
	later := presence.Reading{Boot: presence.ID{1}, Boottime: 48 * time.Hour}
	j, err := Open(Options{
		Path: path, Keep: time.Hour, MaxBytes: 256 << 20, CommitInterval: time.Hour,
		Now: func() presence.Reading { return later }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	j.Ack(j.End())
	for range 20 {
		if err := j.Save("x", nil); err != nil {
			t.Fatal(err)
		}
	}
	revisions, events := 0, j.Stats().Events
	err = j.view(func(tx *bolt.Tx) error {
		revisions = tx.Bucket([]byte(bucketRevisions)).Stats().KeyN
		return nil
	})
	if err != nil || events > 1 || revisions > 0 {
		t.Errorf("%d revisions of %d events are left: %v", revisions, events, err)
	}
}

// BenchmarkOpenCorrections is the first look at a journal with revisions of
// 100,000 events: all parts, and memory for one.
func BenchmarkOpenCorrections(b *testing.B) {
	j := openJournal(b, corrected(b, 100_000, 1_000_000))
	defer j.Close()
	b.ReportAllocs()
	for b.Loop() {
		for after, end := uint64(0), j.End(); after < end; {
			_, looked, err := j.OpenCorrections(after, end)
			if err != nil {
				b.Fatal(err)
			}
			after = looked
		}
	}
}

// BenchmarkOfflineRevisions asks for the revisions of 100,000 events as an export
// without a daemon does.
func BenchmarkOfflineRevisions(b *testing.B) {
	path := corrected(b, 100_000, 1_000_000)
	b.ReportAllocs()
	for b.Loop() {
		r, err := OpenReadOnly(path)
		if err != nil {
			b.Fatal(err)
		}
		for from := uint64(1); from <= 100_000; from += 256 {
			if _, err := r.Revisions(from, from+255); err != nil {
				b.Fatal(err)
			}
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
