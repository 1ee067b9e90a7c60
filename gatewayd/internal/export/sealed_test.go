package export

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

// sealedDay is the day of these tests. Hours from 24 on are of the next day, and -1 is an
// hour of the one before.
var sealedDay = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// journalOf makes a journal of words such as "start8 seal8 tap9 tap?": what it is, and the
// hour at which it was, "?" where nobody knows.
func journalOf(t *testing.T, words string) (journal shelf) {
	t.Helper()
	for i, word := range strings.Fields(words) {
		hour := strings.TrimLeft(word, "abcdefghijklmnopqrstuvwxyz")
		e := presence.Entry{Pos: uint64(i + 1), Record: presence.Record{Stream: presence.ID{1}, Seq: uint64(i + 1)}}
		switch strings.TrimSuffix(word, hour) {
		case "start":
			e.Kind, e.Start = presence.KindStart, &presence.Start{}
		case "seal":
			e.Kind, e.Seal = presence.KindSeal, &presence.Seal{}
		case "tap":
			e.Kind, e.Badge = presence.KindBadge, &presence.Badge{}
		}
		if hour != "?" {
			n, err := strconv.Atoi(hour)
			if err != nil {
				t.Fatal(err)
			}
			e.At = presence.Reading{Wall: sealedDay.Add(time.Duration(n) * time.Hour).UnixNano(), State: presence.ClockSynced}
		}
		journal = append(journal, e)
	}
	return journal
}

// TestASealedExportIsAPieceWithoutHoles: from the last seal or start before the events that
// are wanted to the first seal behind them, by the positions of the events.
func TestASealedExportIsAPieceWithoutHoles(t *testing.T) {
	for name, tc := range map[string]struct {
		journal string
		upto    uint64
		want    string // the positions: from-to
		warned  int
	}{
		"a day in the middle":                {"start-9 seal-9 tap-8 seal-7 tap-5 tap8 seal9 tap9 tap10 seal10 tap30 seal30", 0, "4-10", 0},
		"all in one stretch":                 {"start-1 seal-1 tap8 tap9 tap30 seal30", 0, "2-6", 0},
		"the day begins with a start":        {"start-9 seal-9 start8 seal8 tap9 seal9", 0, "3-6", 0},
		"it begins with a seal":              {"start-9 seal-9 tap-8 seal1 tap9 seal9", 0, "4-6", 0},
		"it ends with a seal of the day":     {"start1 seal1 tap2 seal2 tap30 seal30", 0, "1-4", 0},
		"a seal of the next stream closes":   {"start1 seal1 tap2 start30 seal30 tap31 seal31", 0, "1-5", 0},
		"nothing on that day":                {"start-9 seal-9 tap-8 tap-7 seal-7 tap30 tap31 seal31 tap32", 0, "5-8", 0},
		"nothing yet on that day":            {"start-9 seal-9 tap-8 seal-8", 0, "4-4", 0},
		"nothing of that day any more":       {"tap30 seal30 tap31 seal31", 0, "1-2", 1},
		"no event at all":                    {"", 0, "", 0},
		"the beginning was pruned":           {"tap1 tap2 seal2 tap3 seal3", 0, "1-5", 1},
		"the pruned beginning is not of it":  {"tap-2 tap-1 seal2 tap3 seal3", 0, "3-5", 0},
		"nothing seals the end":              {"start1 seal1 tap2 tap3", 0, "1-4", 1},
		"no seal at all":                     {"start1 tap2 tap3", 0, "1-3", 1},
		"a tap meanwhile":                    {"start1 seal1 tap2 seal2 tap3 tap4", 4, "1-4", 0},
		"a tap before the seal is there":     {"start1 seal1 tap2 tap3 seal3 tap4 seal4", 3, "1-5", 0},
		"a tap meanwhile, and no key":        {"start1 tap2 tap3", 2, "1-2", 1},
		"without a time within the day":      {"start-9 seal-9 tap-8 seal-8 tap? tap9 tap? seal9 tap30 seal30", 0, "4-8", 0},
		"without a time before the day":      {"start-9 seal-9 tap-8 tap? seal-7 tap? tap-6 seal-6 tap9 seal9", 0, "8-10", 0},
		"without a time after the day":       {"start1 seal1 tap9 seal9 tap30 tap? seal30 tap31", 0, "1-4", 0},
		"without a time, between other days": {"start-9 seal-9 tap-8 tap? seal? tap? tap30 seal30", 0, "2-8", 0},
		"without a time, and the newest":     {"start-9 seal-9 tap-8 seal-8 tap? tap? seal?", 0, "4-7", 0},
		"without a time, and the only ones":  {"start? tap? seal? tap?", 0, "1-4", 1},
	} {
		t.Run(name, func(t *testing.T) {
			journal := journalOf(t, tc.journal)
			revise := func(_ context.Context, entries []presence.Entry) (all []presence.Revision, _ error) {
				for _, e := range entries {
					all = append(all, presence.Revision{Pos: e.Pos, Timing: presence.Raw(e.At)})
				}
				return all, nil
			}
			source := Source{Origin: csvOrigin, Times: offBy(0), Journal: journal, Revisions: revise, Estimates: revise, Upto: tc.upto}
			var text bytes.Buffer
			ends := NewEnds(&text)
			x := Request{Format: JSONLines, Sealed: true, Since: sealedDay, Until: sealedDay.AddDate(0, 0, 1)}
			if err := source.Write(t.Context(), ends, x); err != nil {
				t.Fatal(err)
			}
			var seqs []uint64
			for line := range strings.Lines(text.String()) {
				var e struct{ Seq uint64 }
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					t.Fatal(err)
				}
				if n := len(seqs); n > 0 && e.Seq != seqs[n-1]+1 {
					t.Errorf("%d follows %d", e.Seq, seqs[n-1])
				}
				seqs = append(seqs, e.Seq)
			}
			got := ""
			if n := len(seqs); n > 0 {
				got = fmt.Sprintf("%d-%d", seqs[0], seqs[n-1])
			}
			if got != tc.want || len(ends.Warnings()) != tc.warned {
				t.Errorf("%s: %q, want %q; %v", tc.journal, got, tc.want, ends.Warnings())
			}
		})
	}
}

// TestWhatCannotBeCheckedIsNoSealedExport: a table, a recap and a part of the people are
// refused, by the command as by the daemon.
func TestWhatCannotBeCheckedIsNoSealedExport(t *testing.T) {
	for name, f := range map[string]Flags{
		"a table":      {Format: CSV},
		"a recap":      {Format: HTML, Day: "2026-11-23"},
		"some persons": {Format: JSONLines, Badges: []string{"h:1"}},
	} {
		f.Sealed = true
		_, err := f.Request(time.Now(), time.UTC)
		x := Request{Format: f.Format, Badges: f.Badges, Sealed: true}
		if err == nil || !strings.Contains(err.Error(), "--sealed") || x.CheckFormat() == nil {
			t.Errorf("%s: %v, %v", name, err, x.CheckFormat())
		}
	}
	x, err := Flags{Format: JSONLines, Day: "2026-11-23", Sealed: true}.Request(time.Now(), time.UTC)
	if err != nil || !x.Sealed || x.CheckFormat() != nil || x.Until.Sub(x.Since) != 24*time.Hour {
		t.Errorf("a day: %+v, %v", x, err)
	}
}
