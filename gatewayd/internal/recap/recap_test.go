package recap_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/recap"
	"presence/gatewayd/internal/spreadsheet"
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
	if err := s.CSV(&table, spreadsheet.Plain); err != nil || !strings.Contains(table.String(), "\ntag-conflict,") {
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
	if err := s.CSV(&table, spreadsheet.Plain); err != nil {
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

// TestASealIsNothingOnASheet: it is the gateway's own signature, which no person and no
// failure is behind; the sheet is the same with and without seals.
func TestASealIsNothingOnASheet(t *testing.T) {
	sheets := make(map[bool]string)
	for _, sealed := range []bool{false, true} {
		var d diary
		seal := func(r presence.Reading) {
			if sealed { // a seal does not count here, so that the events keep their ids
				d.add(r, presence.Draft{Kind: presence.KindSeal, Seal: &presence.Seal{Upto: d.seq, Sig: make([]byte, 64)}})
				d.seq--
			}
		}
		d.start(at(1, "2026-11-23 06:00:00"), false)
		seal(at(1, "2026-11-23 06:00:00"))
		d.tap(at(1, "2026-11-23 07:00:00"), "h:1")
		seal(at(1, "2026-11-23 07:00:00")) // later, it would bound the undated tap that follows, as any event does
		d.tap(nowhen(2), "h:2")
		d.tap(at(1, "2026-11-23 16:00:00"), "h:1")
		seal(at(1, "2026-11-23 16:00:00"))
		d.start(at(1, "2026-11-23 17:00:00"), true)
		var table bytes.Buffer
		if err := d.sheet(readings{}).CSV(&table, spreadsheet.Plain); err != nil {
			t.Fatal(err)
		}
		sheets[sealed] = table.String()
	}
	if sheets[true] != sheets[false] {
		t.Errorf("with seals\n%s\nwithout\n%s", sheets[true], sheets[false])
	}
}
