package journal

import (
	"math"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

// TestTheLargestGapFits: a gap of a damaged journal that names as many ranges as one may,
// with numbers, links and words as long as they come, fits into a record.
func TestTheLargestGapFits(t *testing.T) {
	longest := presence.Reading{
		Boot: presence.ID{0xFF, 15: 1}, Boottime: math.MaxInt64, Wall: math.MinInt64, State: presence.ClockTrusted, MaxError: math.MaxInt64,
	}
	var ranges []presence.Range
	for range 3*maxGapRanges + 1 {
		ranges = append(ranges, presence.Range{
			Stream: presence.ID{0xFF, 15: 1}, From: math.MaxUint64 - 1, To: math.MaxUint64,
			Before: presence.Link{1, 15: 1}, Link: presence.Link{2, 15: 2},
		})
	}
	kinds := make(map[string]int)
	for kind := range presence.Kind(8) {
		kinds[kind.String()] = math.MaxInt
	}
	j := &Journal{opt: Options{Now: func() presence.Reading { return longest }, Simulated: true}, codec: newCodec()}
	damage := j.gaps(&Damage{
		Problem: strings.Repeat("x", 5000), Quarantine: "/x/journal.db.damaged-" + time.Now().Format("20060102-150405") + "-99",
		Lost: math.MaxInt, Missing: ranges, EndUnknown: true,
	}, damagedFile{}, salvaged{nameless: math.MaxInt})
	other := j.gapDrafts(presence.Gap{
		Reason: presence.GapRolledBack, Kinds: kinds, Ranges: ranges, Comment: "removed on request",
		First: &longest, Last: &longest,
	})
	for what, drafts := range map[string][]presence.Draft{"damage": damage, "other": other} {
		if len(drafts) != 4 {
			t.Errorf("%s: %d ranges make %d gaps", what, len(ranges), len(drafts))
		}
		named, longest := 0, 0
		for _, d := range drafts {
			it, err := j.codec.encode(d)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			named += len(d.Gap.Ranges)
			longest = max(longest, len(it.payload))
		}
		if named != len(ranges) {
			t.Errorf("%s: %d of %d ranges are named", what, named, len(ranges))
		}
		t.Logf("%s: %d bytes of %d", what, longest, maxPayload-chainSize)
	}
}

// TestTheLargestRecordIsFoundAgain: a record is never so long with its chain that salvage
// does not take it for one.
func TestTheLargestRecordIsFoundAgain(t *testing.T) {
	c := newCodec()
	draft := func(n int) presence.Draft {
		return presence.Draft{Kind: presence.KindBadge, Badge: &presence.Badge{Card: strings.Repeat("x", n)}}
	}
	n := maxPayload
	for ; ; n-- {
		if _, err := c.encode(draft(n)); err == nil {
			break
		}
	}
	it, err := c.encode(draft(n))
	if err != nil {
		t.Fatal(err)
	}
	key := posKey(9)
	record := pack(key[:], 9, presence.ID{1}, 9, 1, appendChained(nil, it.payload, presence.Chain{Link: presence.Link{1}}))
	if got := recordAt(record); got != len(record) {
		t.Errorf("a record of %d bytes is taken for one of %d", len(record), got)
	}
}
