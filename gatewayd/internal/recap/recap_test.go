package recap_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/recap"
)

var (
	wib    = time.FixedZone("WIB", 7*3600)
	origin = presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes", Location: wib}
	day    = time.Date(2026, 11, 23, 0, 0, 0, 0, wib)
)

// readings are judged by their own wall clock, or by what a boot was found to
// be worth.
type readings map[presence.ID]presence.Timing

func (known readings) Timing(r presence.Reading) presence.Timing {
	if t, ok := known[r.Boot]; ok {
		return t
	}
	if !r.Known() {
		return presence.Timing{Quality: presence.QualityUnsynced}
	}
	return presence.Timing{Quality: presence.QualitySynced, Time: r.WallTime(), Error: r.MaxError}
}

// diary makes the entries of a journal.
type diary struct {
	entries []presence.Entry
	stream  byte
	seq     uint64
}

func at(boot byte, clock string) presence.Reading {
	t, err := time.ParseInLocation("2006-01-02 15:04:05", clock, wib)
	if err != nil {
		panic(err)
	}
	return presence.Reading{Boot: presence.ID{boot}, Wall: t.UnixNano(), State: presence.ClockSynced, MaxError: 20 * time.Millisecond}
}

func nowhen(boot byte) presence.Reading { return presence.Reading{Boot: presence.ID{boot}} }

func (d *diary) add(r presence.Reading, body presence.Draft) {
	d.seq++
	body.At = r
	d.entries = append(d.entries, presence.Entry{
		Pos:    uint64(len(d.entries) + 1),
		Record: presence.Record{Stream: presence.ID{d.stream}, Seq: d.seq, Draft: body},
	})
}

func (d *diary) start(r presence.Reading, clean bool) {
	s := &presence.Start{Version: "1"}
	if d.seq > 0 {
		s.Previous = &presence.Previous{Stream: presence.ID{d.stream}, Seq: d.seq, Clean: clean}
	}
	d.stream++
	d.seq = 0
	d.add(r, presence.Draft{Kind: presence.KindStart, Start: s})
}

func (d *diary) tap(r presence.Reading, badge string) {
	d.add(r, presence.Draft{Kind: presence.KindBadge, Badge: &presence.Badge{Reader: "door", Badge: badge, Card: "unknown", Assurance: "uid"}})
}

func (d *diary) sheet(times recap.Times, outages ...func(*recap.Collector)) recap.Sheet {
	c := recap.New(origin, day.Add(12*time.Hour), times)
	for _, e := range d.entries {
		c.Entry(e, times.Timing(e.At))
	}
	for _, o := range outages {
		o(c)
	}
	return c.Sheet()
}

func TestFirstAndLastTapOfTheDay(t *testing.T) {
	var d diary
	d.start(at(1, "2026-11-22 07:00:00"), true)
	d.tap(at(1, "2026-11-22 23:59:59"), "h:aa")
	d.tap(at(1, "2026-11-23 07:29:00"), "h:aa")
	d.tap(at(1, "2026-11-23 07:31:00"), "h:bb")
	d.tap(at(1, "2026-11-23 12:00:00"), "h:aa")
	d.tap(at(1, "2026-11-23 16:02:00"), "h:aa")
	d.tap(at(1, "2026-11-24 07:00:00"), "h:aa")
	s := d.sheet(readings{})
	if len(s.Badges) != 2 {
		t.Fatalf("badges: %+v", s.Badges)
	}
	a, b := s.Badges[0], s.Badges[1]
	clock := func(tap recap.Tap) string { return tap.At.Time.In(wib).Format("15:04:05") }
	if a.Badge != "h:aa" || a.Taps != 3 || clock(a.First) != "07:29:00" || clock(a.Last) != "16:02:00" {
		t.Errorf("first badge: %+v", a)
	}
	if b.Taps != 1 || clock(b.First) != "07:31:00" || clock(b.Last) != "07:31:00" {
		t.Errorf("second badge: %+v", b)
	}
	if len(s.Uncertain) != 0 || len(s.Outages) != 0 || len(s.Gaps) != 0 {
		t.Errorf("nothing else happened: %+v", s)
	}
}

func TestATapWithoutATimeIsOnTheSheetsOfItsPossibleDays(t *testing.T) {
	const asleep, bounded = 7, 8
	edge := presence.Timing{
		Quality: presence.QualityBounded, Time: day, Error: time.Hour, Min: day.Add(-time.Hour), Max: day.Add(time.Hour),
	}
	for name, tc := range map[string]struct {
		before, after string
		boot          byte
		want          bool
	}{
		"between two taps of the day":        {"2026-11-23 07:00:00", "2026-11-23 09:00:00", asleep, true},
		"between the day before and the day": {"2026-11-22 20:00:00", "2026-11-23 09:00:00", asleep, true},
		"the day before":                     {"2026-11-22 20:00:00", "2026-11-22 21:00:00", asleep, false},
		"the day after":                      {"2026-11-24 07:00:00", "2026-11-24 08:00:00", asleep, false},
		"nothing came after":                 {"2026-11-22 20:00:00", "", asleep, true},
		"about midnight":                     {"2026-11-22 20:00:00", "2026-11-23 09:00:00", bounded, true},
	} {
		t.Run(name, func(t *testing.T) {
			var d diary
			d.start(at(1, tc.before), true)
			d.tap(nowhen(tc.boot), "h:aa")
			if tc.after != "" {
				d.tap(at(1, tc.after), "h:bb")
			}
			s := d.sheet(readings{presence.ID{bounded}: edge})
			if got := len(s.Uncertain) == 1; got != tc.want {
				t.Errorf("uncertain taps: %+v", s.Uncertain)
			}
			for _, b := range s.Badges {
				if b.Badge == "h:aa" {
					t.Errorf("a tap of an unknown time is listed with one: %+v", b)
				}
			}
		})
	}
}

func TestOutagesOfTheDay(t *testing.T) {
	var d diary
	d.start(at(1, "2026-11-22 06:00:00"), true)
	d.tap(at(1, "2026-11-22 16:00:00"), "h:aa")
	d.start(at(2, "2026-11-23 07:10:00"), false) // a power cut in the night
	d.tap(at(2, "2026-11-23 08:00:00"), "h:aa")
	d.start(at(2, "2026-11-23 08:00:05"), false) // it crashed
	d.start(at(2, "2026-11-23 09:00:00"), true)  // it was stopped
	d.tap(at(2, "2026-11-24 07:00:00"), "h:aa")
	d.start(at(3, "2026-11-24 08:00:00"), false) // not of this day
	end := at(2, "2026-11-23 10:30:00")
	other := at(2, "2026-11-22 11:30:00")
	s := d.sheet(readings{}, func(c *recap.Collector) {
		c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReaderBroken, Name: "door"}, From: at(2, "2026-11-23 10:00:00"), To: &end, Times: 1})
		c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReaderBroken, Name: "door"}, From: at(2, "2026-11-22 10:00:00"), To: &other, Times: 1})
		c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.JournalNoRoom}, From: at(2, "2026-11-23 15:00:00"), Times: 1})
	})
	var got []string
	for _, o := range s.Outages {
		got = append(got, o.What.Code()+" "+o.From.Time.In(wib).Format("02 15:04"))
	}
	want := "power-off 22 16:00, crashed 23 08:00, stopped 23 08:00, reader-door 23 10:00, journal-full 23 15:00"
	if strings.Join(got, ", ") != want {
		t.Errorf("outages %q, want %q", got, want)
	}
}

func TestGapsOfTheDay(t *testing.T) {
	first, last := at(1, "2026-11-23 10:00:00"), at(1, "2026-11-23 11:00:00")
	oldFirst, oldLast := at(1, "2026-11-21 10:00:00"), at(1, "2026-11-21 11:00:00")
	gap := func(first, last *presence.Reading) presence.Draft {
		return presence.Draft{Kind: presence.KindGap, Gap: &presence.Gap{
			Reason: presence.GapJournalFull, Kinds: map[string]int{"tag": 120, "badge": 2}, First: first, Last: last,
		}}
	}
	for name, tc := range map[string]struct {
		gap   presence.Draft
		found string
		want  int
	}{
		"of the day, found later":    {gap(&first, &last), "2026-11-25 07:00:00", 1},
		"of an earlier day":          {gap(&oldFirst, &oldLast), "2026-11-23 07:00:00", 0},
		"of nobody knows when":       {gap(nil, nil), "2026-11-23 07:00:00", 1},
		"nobody knows, found before": {gap(nil, nil), "2026-11-22 07:00:00", 0},
		"nobody knows, found after":  {gap(nil, nil), "2026-11-25 07:00:00", 1},
	} {
		t.Run(name, func(t *testing.T) {
			var d diary
			d.start(at(1, "2026-11-20 07:00:00"), true)
			d.add(at(1, tc.found), tc.gap)
			if s := d.sheet(readings{}); len(s.Gaps) != tc.want {
				t.Errorf("gaps: %+v", s.Gaps)
			}
		})
	}
}

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
	if err := full().CSV(&b); err != nil {
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
		if err := s.CSV(&b); err != nil {
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

// The sheet goes by what the city was told, not by what is known meanwhile.
func TestTheSheetGoesByWhatWasTold(t *testing.T) {
	var d diary
	d.start(at(1, "2026-11-23 06:00:00"), true)
	d.tap(at(1, "2026-11-23 07:29:59"), "h:aa")
	d.tap(at(1, "2026-11-24 00:00:01"), "h:bb")
	c := recap.New(origin, day, readings{})
	told := []string{"2026-11-23 06:00:00", "2026-11-23 07:30:01", "2026-11-23 23:59:59"}
	for i, e := range d.entries {
		r := at(1, told[i])
		c.Entry(e, presence.Timing{Quality: presence.QualityCorrected, Time: r.WallTime(), Error: time.Second, Rev: 2})
	}
	s := c.Sheet()
	if len(s.Badges) != 1 || s.Badges[0].First.At.Time.In(wib).Format("15:04:05") != "07:30:01" || s.Badges[0].First.At.Rev != 2 {
		t.Errorf("badges: %+v", s.Badges)
	}
	if len(s.Uncertain) != 1 || s.Uncertain[0].Badge != "h:bb" {
		t.Errorf("uncertain: %+v", s.Uncertain)
	}
}

func TestCopiedTagsAreShown(t *testing.T) {
	var d diary
	sighting := func(clock, tag string, conflict bool) {
		d.add(at(1, clock), presence.Draft{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: "yard", Tag: tag, Conflict: conflict}})
	}
	sighting("2026-11-22 23:59:59", "reyax:1", true)
	sighting("2026-11-23 08:00:00", "reyax:2", true)
	sighting("2026-11-23 09:00:00", "reyax:2", false)
	sighting("2026-11-23 10:00:00", "mesh:1c2f13fc", false)
	d.add(at(1, "2026-11-23 11:00:00"), presence.Draft{Kind: presence.KindBadge, Badge: &presence.Badge{
		Reader: "door", Badge: "h:aa", Check: &presence.TagCheck{Tag: "reyax:2", State: presence.TagConflict},
	}})
	s := d.sheet(readings{})
	if len(s.Conflicts) != 1 || s.Conflicts[0].Tag != "reyax:2" || s.Conflicts[0].Event.Seq != 2 ||
		s.Conflicts[0].First.Time.In(wib).Hour() != 8 || s.Conflicts[0].Last.Time.In(wib).Hour() != 11 {
		t.Fatalf("%+v", s.Conflicts)
	}
	var page, table bytes.Buffer
	if err := s.HTML(&page, recap.English); err != nil || !strings.Contains(page.String(), "Copied tags") || !strings.Contains(page.String(), "reyax:2") {
		t.Errorf("%v\n%s", err, page.String())
	}
	if err := s.CSV(&table); err != nil || !strings.Contains(table.String(), "\ntag-conflict,") {
		t.Errorf("%v\n%s", err, table.String())
	}
}

// TestADamagedJournalMakesNoCompleteSheet: what nobody can read may be of the day,
// and both forms of the sheet name it as lost.
func TestADamagedJournalMakesNoCompleteSheet(t *testing.T) {
	var d diary
	d.start(at(1, "2026-11-23 07:00:00"), false)
	d.tap(at(1, "2026-11-23 07:30:00"), "h:01")
	s := d.sheet(readings{}, func(c *recap.Collector) { c.Damaged() })
	var table, page bytes.Buffer
	if err := s.CSV(&table); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if last := rows[len(rows)-1]; last[0] != "gap" || last[10] != "journal-damaged" || last[16] != "" {
		t.Errorf("the table ends with %q", last)
	}
	if err := s.HTML(&page, recap.English); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"this sheet is not complete", "<tr><td>data file damaged</td><td>unknown</td><td>unknown</td><td>unknown</td></tr>"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page does not say %q:\n%s", want, page.String())
		}
	}
}

// TestEveryReasonOfALossHasWords: the sheet is read by people who know no codes.
func TestEveryReasonOfALossHasWords(t *testing.T) {
	for _, r := range []presence.GapReason{presence.GapJournalFull, presence.GapJournalDamaged, presence.GapWriteFailed, presence.GapForgotten} {
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
	if err := s.CSV(&table); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	old := "row,badge,reader,first,first_quality,first_error_ms,last,last_quality,last_error_ms,taps,what,from,from_quality,to,to_quality,detail,event,first_rev,last_rev,last_event"
	if got := strings.Join(rows[0], ","); got != old+",from_min,from_max,to_min,to_max" {
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

// TestADayThatHasNotBegunHasNoFailures: what goes on now, or has no end that is
// known, goes on until now and no further, as far as now is known.
func TestADayThatHasNotBegunHasNoFailures(t *testing.T) {
	about := func(clock string, give time.Duration) presence.Timing {
		return presence.Timing{Quality: presence.QualityCorrected, Time: at(1, clock).WallTime(), Error: give}
	}
	for name, tc := range map[string]struct {
		now    presence.Timing
		events string // the newest event
		want   bool
	}{
		"the day before":                 {about("2026-11-22 12:00:00", time.Second), "2026-11-22 11:00:00", false},
		"years before":                   {about("2024-01-01 00:00:00", time.Second), "2023-12-31 07:00:00", false},
		"perhaps the day":                {about("2026-11-22 23:00:00", 2*time.Hour), "2026-11-22 11:00:00", true},
		"the day itself":                 {about("2026-11-23 00:00:01", 0), "2026-11-22 11:00:00", true},
		"years later":                    {about("2030-01-01 00:00:00", 0), "2026-11-22 11:00:00", true},
		"nobody knows":                   {presence.Timing{Quality: presence.QualityUnsynced}, "2026-11-22 11:00:00", true},
		"the events say that it is over": {about("2026-11-22 12:00:00", time.Second), "2026-11-23 11:00:00", true},
	} {
		t.Run(name, func(t *testing.T) {
			began, asleep := at(1, "2023-12-31 06:00:00"), nowhen(7)
			var d diary
			d.start(began, true)
			d.tap(at(1, tc.events), "h:aa")
			d.tap(asleep, "h:bb")
			d.add(asleep, presence.Draft{Kind: presence.KindGap, Gap: &presence.Gap{Reason: presence.GapWriteFailed}})
			s := d.sheet(readings{}, func(c *recap.Collector) {
				c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReceiverLost, Name: "yard"}, From: began, Times: 1})
				c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReaderBroken, Name: "door"}, From: began, To: &asleep, Times: 1})
				c.Now(tc.now)
			})
			if got := [3]int{len(s.Outages), len(s.Gaps), len(s.Uncertain)}; tc.want && got != [3]int{2, 1, 1} || !tc.want && got != [3]int{} {
				t.Errorf("outages, gaps and uncertain taps: %v", got)
			}
		})
	}
}

// TestABriefRestartIsNoFailure: a new configuration starts the program anew, which
// is over before anybody stands at the door. All else that ends it is worth a line.
func TestABriefRestartIsNoFailure(t *testing.T) {
	up := func(boot byte, after time.Duration) presence.Reading {
		began := at(boot, "2026-11-23 06:00:00")
		began.Boottime = time.Hour + after
		began.Wall += int64(after)
		return began
	}
	moved := up(1, time.Hour+time.Second)
	moved.Wall += int64(time.Hour)
	asleep := func(r presence.Reading) presence.Reading {
		r.State = presence.ClockUnsynced
		return r
	}
	for name, tc := range map[string]struct {
		alive, start presence.Reading
		clean        bool
		want         string
	}{
		"a reload":                   {up(1, time.Hour), up(1, time.Hour+200*time.Millisecond), true, ""},
		"just under five seconds":    {up(1, time.Hour), up(1, time.Hour+4999*time.Millisecond), true, ""},
		"five seconds":               {up(1, time.Hour), up(1, time.Hour+5*time.Second), true, "stopped"},
		"a crash":                    {up(1, time.Hour), up(1, time.Hour+200*time.Millisecond), false, "crashed"},
		"another boot":               {up(1, time.Hour), up(2, time.Hour+200*time.Millisecond), true, "stopped"},
		"the sheet's times say so":   {up(1, time.Hour), moved, true, "stopped"},
		"the stop's time is unknown": {asleep(up(1, time.Hour)), up(1, time.Hour+time.Second), true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var d diary
			d.start(up(1, 0), true)
			d.start(tc.start, tc.clean)
			d.entries[1].Start.Alive = &tc.alive
			s := d.sheet(readings{})
			var got string
			for _, o := range s.Outages {
				got += o.What.Code()
			}
			if got != tc.want {
				t.Errorf("outages %q, want %q", got, tc.want)
			}
		})
	}
}

// TestWhatTheClockForgotLastsForNoDayTooMany: a clock knows its last boots only. What
// was read in another is dated by what the city was told of that boot's entries, or
// at least by the order.
func TestWhatTheClockForgotLastsForNoDayTooMany(t *testing.T) {
	const forgotten, never = 7, 8
	on := func(day int, clock string) time.Time {
		at, err := time.ParseInLocation("2006-01-02 15:04:05", fmt.Sprintf("2026-11-%02d %s", day, clock), wib)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	// In that boot nobody set the clock, and what its entries were is known from
	// when it still was.
	in := func(boot byte, hours float64) presence.Reading {
		return presence.Reading{Boot: presence.ID{boot}, Boottime: time.Duration(hours * float64(time.Hour))}
	}
	synced := func(day int, clock string) presence.Reading {
		return at(1, on(day, clock).Format("2006-01-02 15:04:05"))
	}
	alive, first, last := in(forgotten, 9), in(forgotten, 2), in(forgotten, 3)
	var d diary
	told := make(map[uint64]presence.Timing)
	add := func(r presence.Reading, t presence.Timing, add func()) {
		add()
		told[uint64(len(d.entries))] = t
	}
	corrected := func(at time.Time) presence.Timing {
		return presence.Timing{Quality: presence.QualityCorrected, Time: at, Error: time.Second}
	}
	unknown := presence.Timing{Quality: presence.QualityUnsynced}
	plain := func(day int, clock string, do func(presence.Reading)) {
		r := synced(day, clock)
		add(r, presence.Raw(r), func() { do(r) })
	}
	plain(20, "07:00:00", func(r presence.Reading) { d.start(r, true) })
	add(in(forgotten, 1), corrected(on(21, "08:00:00")), func() { d.start(in(forgotten, 1), true) })
	// A power cut, after which the next start names when the process was last alive.
	plain(23, "07:00:00", func(r presence.Reading) {
		d.start(r, false)
		d.entries[len(d.entries)-1].Start.Alive = &alive
		d.entries[len(d.entries)-1].Start.Previous.Clean = false
	})
	plain(23, "07:00:01", func(r presence.Reading) {
		d.add(r, presence.Draft{Kind: presence.KindGap, Gap: &presence.Gap{Reason: presence.GapWriteFailed, First: &first, Last: &last}})
	})
	// A start of which nobody knows when it was, and one after it.
	add(in(never, 0), unknown, func() { d.start(in(never, 0), false) })
	plain(24, "07:00:00", func(r presence.Reading) { d.start(r, false) })
	plain(27, "07:00:00", func(r presence.Reading) { d.tap(r, "h:aa") })

	end := in(forgotten, 10)
	lines := make(map[int]string)
	for n := 18; n < 28; n++ {
		c := recap.New(origin, on(n, "12:00:00"), readings{})
		for _, e := range d.entries {
			c.Entry(e, told[e.Pos])
		}
		c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReaderBroken, Name: "door"}, From: in(forgotten, 3), To: &end, Times: 1})
		c.Now(corrected(on(27, "12:00:00")))
		var all []string
		s := c.Sheet()
		for _, o := range s.Outages {
			from, to, _ := o.From.Bounds()
			began, ended, _ := o.To.Bounds()
			all = append(all, fmt.Sprintf("%s %s~%s to %s~%s", o.What.Code(), from.In(wib).Format("02-15"), to.In(wib).Format("02-15"), began.In(wib).Format("02-15"), ended.In(wib).Format("02-15")))
		}
		for _, g := range s.Gaps {
			all = append(all, "gap "+g.First.Time.In(wib).Format("02-15")+" "+g.Last.Time.In(wib).Format("02-15"))
		}
		lines[n] = strings.Join(all, ", ")
	}
	off := "power-off 21-15~21-16 to 23-06~23-07"
	restart := "power-off 23-07~23-07 to 23-07~24-07"
	want := map[int]string{
		20: "stopped 20-06~20-07 to 21-07~21-08",
		21: "stopped 20-06~20-07 to 21-07~21-08, reader-door 21-09~21-10 to 21-16~21-17, " + off + ", gap 21-09 21-10",
		22: off,
		23: off + ", " + restart + ", power-off 23-07~24-07 to 24-06~24-07",
		24: restart + ", power-off 23-07~24-07 to 24-06~24-07",
	}
	for n := 18; n < 28; n++ {
		if lines[n] != want[n] {
			t.Errorf("the sheet of day %d has %q, want %q", n, lines[n], want[n])
		}
	}
}
