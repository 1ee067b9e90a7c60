package recap_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/recap"
	"presence/gatewayd/internal/spreadsheet"
)

// full is a sheet with a line of each kind.
func full() recap.Sheet {
	const bounded = 8
	var d diary
	d.start(at(1, "2026-11-22 06:00:00"), true)
	d.start(at(2, "2026-11-23 07:10:00"), false)
	d.tap(at(2, "2026-11-23 07:31:00"), "h:00112233445566778899aabbccddeeff")
	d.tap(nowhen(bounded), "h:bb")
	d.tap(nowhen(9), "h:cc")
	d.add(at(2, "2026-11-23 12:00:00"), presence.Draft{Kind: presence.KindGap, Gap: &presence.Gap{
		Reason: presence.GapJournalDamaged, Kinds: map[string]int{"tag": 120, "badge": 2},
	}})
	return d.sheet(readings{presence.ID{bounded}: {
		Quality: presence.QualityBounded, Time: day.Add(8 * time.Hour), Error: time.Minute,
		Min: day.Add(8*time.Hour - time.Minute), Max: day.Add(8*time.Hour + time.Minute),
	}}, func(c *recap.Collector) {
		c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReaderBroken, Name: "door"}, From: at(2, "2026-11-23 10:00:00"), Times: 1})
	})
}

func TestCSVIsOneTable(t *testing.T) {
	var b bytes.Buffer
	if err := full().CSV(&b, spreadsheet.Plain); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, r := range rows {
		kinds = append(kinds, r[0])
	}
	if got, want := strings.Join(kinds, " "), "row badge badge uncertain outage outage gap"; got != want {
		t.Errorf("rows %q, want %q", got, want)
	}
	if first := rows[1]; first[3] != "2026-11-23T07:31:00.000+07:00" || first[4] != "synced" || first[5] != "20" {
		t.Errorf("first badge: %q", first)
	}
}

func TestHTMLSaysItInBothLanguages(t *testing.T) {
	for lang, want := range map[recap.Language][]string{
		recap.Indonesian: {
			`lang="id"`, "23 November 2026", "Tap pertama", "07:31:00 ±20 ms", "antara 07:59:00 dan 08:01:00",
			"Pembaca kartu &#34;door&#34; tidak berfungsi", "masih berlangsung", "berkas data rusak", "2 badge, 120 tag", "2026-11-22 06:00:00",
		},
		recap.English: {
			`lang="en"`, "First tap", "between 07:59:00 and 08:01:00", "Badge reader &#34;door&#34; did not work",
			"The device was off", "data file damaged", "between 07:59:00 and 12:00:00",
		},
	} {
		var b bytes.Buffer
		if err := full().HTML(&b, lang); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%s: %q is not in\n%s", lang, w, b.String())
			}
		}
	}
}

// Badges, readers, names and what damage left of them are text, whatever they
// look like.
func TestNoCellOfARecapIsAFormula(t *testing.T) {
	for _, formula := range []string{"=HYPERLINK(\"http://x\")", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1+1", "\r=1+1"} {
		var d diary
		d.start(at(1, "2026-11-22 06:00:00"), true)
		d.add(at(1, "2026-11-23 07:31:00"), presence.Draft{Kind: presence.KindBadge, Badge: &presence.Badge{Reader: formula, Badge: formula}})
		d.add(nowhen(9), presence.Draft{Kind: presence.KindBadge, Badge: &presence.Badge{Reader: formula, Badge: formula}})
		d.add(at(1, "2026-11-23 12:00:00"), presence.Draft{Kind: presence.KindGap, Gap: &presence.Gap{
			Reason: presence.GapReason(formula), Kinds: map[string]int{formula: 2},
		}})
		s := d.sheet(readings{}, func(c *recap.Collector) {
			c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.Failure(formula)}, From: at(1, "2026-11-23 10:00:00"), Times: 1})
		})
		var b bytes.Buffer
		if err := s.CSV(&b, spreadsheet.Plain); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		escaped := 0
		for _, row := range rows {
			for _, cell := range row {
				switch {
				case cell == formula || cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])):
					t.Errorf("a cell of %q is %q", row, cell)
				case cell == "'"+formula:
					escaped++
				}
			}
		}
		if escaped != 6 { // badge and reader twice, the outage and the gap's reason
			t.Errorf("%q stands in %d cells", formula, escaped)
		}
	}
}

// TestEveryReasonOfALossHasWords: the sheet is read by people who know no codes.
func TestEveryReasonOfALossHasWords(t *testing.T) {
	for _, r := range []presence.GapReason{presence.GapJournalFull, presence.GapJournalDamaged, presence.GapWriteFailed, presence.GapForgotten, presence.GapRolledBack, presence.GapForked} {
		var d diary
		d.add(at(1, "2026-11-23 07:00:00"), presence.Draft{Kind: presence.KindGap, Gap: &presence.Gap{Reason: r, Kinds: map[string]int{"badge": 1}}})
		for _, lang := range []recap.Language{recap.Indonesian, recap.English} {
			var page bytes.Buffer
			if err := d.sheet(readings{}).HTML(&page, lang); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(page.String(), "<td>"+string(r)+"</td>") {
				t.Errorf("%s in %q is a code", r, lang)
			}
		}
	}
}

// TestAnEndBetweenTwoInstantsIsNoInstant: the middle alone would read as one that
// is known. The columns that were there before stay where they were.
func TestAnEndBetweenTwoInstantsIsNoInstant(t *testing.T) {
	const early, late = 7, 8
	about := func(hour int) presence.Timing {
		at := day.Add(time.Duration(hour) * time.Hour)
		return presence.Timing{Quality: presence.QualityBounded, Time: at, Error: time.Minute, Min: at.Add(-time.Minute), Max: at.Add(time.Minute)}
	}
	times := readings{presence.ID{early}: about(8), presence.ID{late}: about(10)}
	from, to := nowhen(early), nowhen(late)
	var d diary
	d.start(at(1, "2026-11-22 06:00:00"), true)
	d.add(at(1, "2026-11-23 12:00:00"), presence.Draft{Kind: presence.KindGap, Gap: &presence.Gap{
		Reason: presence.GapJournalFull, Kinds: map[string]int{"tag": 1}, First: &from, Last: &to,
	}})
	d.add(from, presence.Draft{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: "yard", Tag: "reyax:2", Conflict: true}})
	d.add(to, presence.Draft{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: "yard", Tag: "reyax:2", Conflict: true}})
	s := d.sheet(times, func(c *recap.Collector) {
		c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReaderBroken, Name: "both"}, From: from, To: &to, Times: 1})
		known := at(1, "2026-11-23 09:00:00")
		c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReaderBroken, Name: "from"}, From: from, To: &known, Times: 1})
		c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReaderBroken, Name: "to"}, From: known, To: &to, Times: 1})
		c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReaderBroken, Name: "open"}, From: from, Times: 1})
	})
	var table bytes.Buffer
	if err := s.CSV(&table, spreadsheet.Plain); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	old := "row,badge,reader,first,first_quality,first_error_ms,last,last_quality,last_error_ms,taps,what,from,from_quality,to,to_quality,detail,event,first_rev,last_rev,last_event"
	if got := strings.Join(rows[0], ","); got != old+",from_min,from_max,to_min,to_max,day,gateway,last_gateway" {
		t.Errorf("the columns are %s", got)
	}
	eight := [2]string{"2026-11-23T07:59:00.000+07:00", "2026-11-23T08:01:00.000+07:00"}
	ten := [2]string{"2026-11-23T09:59:00.000+07:00", "2026-11-23T10:01:00.000+07:00"}
	want := map[string][2][2]string{
		"reader-both": {eight, ten}, "reader-from": {eight}, "reader-to": {{}, ten}, "reader-open": {eight},
		"journal-full": {eight, ten}, "reyax:2": {eight, ten},
	}
	for _, row := range rows[1:] {
		what := row[10]
		if got := [2][2]string{{row[20], row[21]}, {row[22], row[23]}}; got != want[what] {
			t.Errorf("%s lies %q, want %q", what, got, want[what])
		}
		delete(want, what)
	}
	if len(want) > 0 {
		t.Errorf("no lines of %v", want)
	}
}
