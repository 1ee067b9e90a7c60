package export

import (
	"bytes"
	"context"
	"encoding/csv"
	"slices"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

// shelf is a journal of some entries.
type shelf []presence.Entry

func (s shelf) Scan(_ context.Context, fn func(presence.Entry) error) error {
	for _, e := range s {
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// offBy is a clock that is so far off what was published.
type offBy time.Duration

func (o offBy) Timing(r presence.Reading) presence.Timing {
	t := presence.Raw(r)
	t.Time = t.Time.Add(time.Duration(o))
	return t
}

func (o offBy) Revise(before presence.Timing, r presence.Reading) presence.Timing {
	return presence.Revise(before, o.Timing(r))
}

// TestRecapAndEventsSayTheSame: late or not, of which day or not, every export
// goes by what the city was told last, whatever the clock makes of it by now.
func TestRecapAndEventsSayTheSame(t *testing.T) {
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	published := []time.Time{
		day.Add(-30 * time.Millisecond), day.Add(30 * time.Millisecond),
		day.Add(7*time.Hour + 30*time.Minute - 40*time.Millisecond), day.Add(7*time.Hour + 30*time.Minute + 60*time.Millisecond),
		day.Add(24*time.Hour - 30*time.Millisecond), day.Add(24*time.Hour + 30*time.Millisecond), day.Add(24*time.Hour + 50*time.Minute),
	}
	for _, by := range []offBy{0, offBy(90 * time.Millisecond), offBy(-90 * time.Millisecond), offBy(50 * time.Minute)} {
		var journal shelf
		revisions := make(map[uint64]presence.Revision)
		for i, at := range published {
			pos := uint64(i + 1)
			journal = append(journal, presence.Entry{Pos: pos, Record: presence.Record{Stream: presence.ID{1}, Seq: pos, Draft: presence.Draft{
				Kind: presence.KindBadge, At: presence.Reading{Boot: presence.ID{1}, Boottime: time.Duration(pos) * time.Second, Wall: at.UnixNano(), State: presence.ClockSynced},
				Badge: &presence.Badge{Reader: "door", Badge: string(rune('a' + i)), Card: "unknown", Assurance: "uid"},
			}}})
			revisions[pos] = presence.Revision{Pos: pos, Timing: presence.Timing{Quality: presence.QualityCorrected, Time: at, Error: 5 * time.Millisecond, Rev: 1}}
		}
		revise := func(of func(presence.Entry) presence.Revision) Reviser {
			return func(_ context.Context, entries []presence.Entry) ([]presence.Revision, error) {
				var all []presence.Revision
				for _, e := range entries {
					all = append(all, of(e))
				}
				return all, nil
			}
		}
		from := Source{
			Origin: csvOrigin, Times: by, Journal: journal,
			Revisions: revise(func(e presence.Entry) presence.Revision { return revisions[e.Pos] }),
			Estimates: revise(func(e presence.Entry) presence.Revision {
				return presence.Revision{Pos: e.Pos, Timing: by.Timing(e.At)}
			}),
		}
		table := func(x Request) [][]string {
			t.Helper()
			var text bytes.Buffer
			if err := from.Write(t.Context(), &text, x); err != nil {
				t.Fatal(err)
			}
			rows, err := csv.NewReader(&text).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			return rows
		}
		events, recap, want := make(map[string]string), make(map[string]string), make(map[string]string)
		for i, at := range published {
			if !at.Before(day) && at.Before(day.AddDate(0, 0, 1)) {
				want[string(rune('a'+i))] = at.Format(presence.TimeLayout)
			}
		}
		rows := table(Request{Format: "csv", Since: day, Until: day.AddDate(0, 0, 1)})
		for _, r := range rows[1:] {
			events[r[slices.Index(rows[0], "badge")]] = r[slices.Index(rows[0], "time")]
		}
		rows = table(Request{Format: "csv", Day: day})
		for _, r := range rows[1:] {
			switch r[0] {
			case "badge":
				recap[r[slices.Index(rows[0], "badge")]] = r[slices.Index(rows[0], "first")]
			case "uncertain":
				t.Errorf("off by %v: what was published is certain: %v", time.Duration(by), r)
			}
		}
		for badge, at := range want {
			if events[badge] != at || recap[badge] != at {
				t.Errorf("off by %v: the city was told %s of %s, the events say %q, the recap %q", time.Duration(by), at, badge, events[badge], recap[badge])
			}
		}
		if len(events) != len(want) || len(recap) != len(want) {
			t.Errorf("off by %v: %d taps of the day, %d events, %d in the recap", time.Duration(by), len(want), len(events), len(recap))
		}
	}
}
