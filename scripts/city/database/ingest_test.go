package database_test

import (
	"slices"
	"testing"
	"time"
)

const (
	streamA = "019ab2c3-0000-7000-8000-00000000000a"
	streamB = "019ab2c3-0000-7000-8000-00000000000b"
	streamC = "019ab2c3-0000-7000-8000-00000000000c"
)

// noon is some instant.
func noon() time.Time { return time.Date(2026, 11, 30, 5, 0, 0, 0, time.UTC) }

// tap is a badge event of dinkes-01, whose time is noon and seq seconds.
func tap(stream string, seq int64, rev int32) event {
	return event{
		dinas: "dinkes", gateway: "dinkes-01", stream: stream, seq: seq, rev: rev, kind: "badge",
		at: to(noon().Add(time.Duration(seq)*time.Second + time.Duration(rev)*time.Millisecond)), quality: "synced", errorMS: to(float32(5)),
		badge: to("h:0123456789abcdef0123456789abcdef"), more: to(`{"reader":"door"}`),
	}
}

func begin(stream string, previous string) event {
	return event{
		dinas: "dinkes", gateway: "dinkes-01", stream: stream, seq: 1, kind: "start", quality: "unsynced",
		more: to(`{"boot":"b1","version":"2.0","previous":` + previous + `}`),
	}
}

func gap(stream string, seq int64, ranges string) event {
	return event{
		dinas: "dinkes", gateway: "dinkes-01", stream: stream, seq: seq, kind: "gap", quality: "unsynced",
		more: to(`{"reason":"journal-full","kinds":{"tag":3},"ranges":` + ranges + `}`),
	}
}

// A range of numbers is asked for while nobody has it, and named once a gap says so.
func TestHolesAndGaps(t *testing.T) {
	t.Parallel()
	conn := migrated(t)
	got := store(t, conn, begin(streamA, "null"), tap(streamA, 2, 0), tap(streamA, 2, 0), tap(streamA, 5, 0))
	if len(got) != 1 || got[0].Upto != 2 || got[0].Stored != 3 || got[0].Doubled != 1 || got[0].Refused != 0 {
		t.Fatalf("receipts %+v", got)
	}
	hole := `select "from", "to", n from presence.hole order by stream, 1`
	if h := lines(t, conn, hole); !slices.Equal(h, []string{"(3,4,2)"}) {
		t.Fatalf("holes %v", h)
	}
	if got = store(t, conn, gap(streamA, 6, `[{"stream":"`+streamA+`","from":3,"to":4}]`)); got[0].Upto != 6 {
		t.Fatalf("receipts %+v", got)
	}
	if h := lines(t, conn, hole); len(h) != 0 {
		t.Fatalf("holes %v", h)
	}
	if l := lines(t, conn, `select reason, "from", "to", n from presence.loss`); !slices.Equal(l, []string{"(journal-full,3,4,2)"}) {
		t.Fatalf("losses %v", l)
	}
}
