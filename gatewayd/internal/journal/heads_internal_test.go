package journal

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"presence/gatewayd/internal/presence"
)

// TestAStreamThatWentIsKnownWhateverItsClockSaid: the id of a stream has the time of a
// wall clock, which may have been ahead when it began.
func TestAStreamThatWentIsKnownWhateverItsClockSaid(t *testing.T) {
	t.Parallel()
	at := presence.Reading{Boot: presence.ID{1}, Wall: time.Now().UnixNano(), State: presence.ClockTrusted}
	opt := Options{
		Path: filepath.Join(t.TempDir(), "journal.db"), Keep: 24 * time.Hour, MaxBytes: 64 << 20, CommitInterval: time.Second,
		Now: func() presence.Reading { return at }, Version: "test", Log: slog.New(slog.DiscardHandler),
	}
	begin := func() *Journal {
		j, err := Open(opt)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = j.Close() }) // where the test has failed before
		j.Ack(j.End())
		return j
	}
	j := begin()
	began, _ := j.Stream().Began()
	for range 3 {
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		at.Boottime += 48 * time.Hour
		j = begin()
	}
	if j.state.GoneUpto < began.UnixMilli() {
		t.Errorf("what went is known up to %d, and the first stream began at %d", j.state.GoneUpto, began.UnixMilli())
	}
	ahead := presence.Head{Stream: presence.ID(uuid.Must(uuid.NewV7())), Seq: 3, Link: presence.Link{1}}
	ahead.Stream[3]++ // some minutes on
	later, _ := ahead.Stream.Began()
	if _, found, err := j.CheckHead(ahead); !found || err != nil {
		t.Errorf("a stream that was never here is no contradiction (%v)", err)
	}
	j.state.GoneUpto = later.UnixMilli() // as if it had been here
	if c, found, _ := j.CheckHead(ahead); found {
		t.Errorf("a stream that went accuses somebody: %+v", c)
	}
}
