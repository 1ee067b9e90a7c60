package recap_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/recap"
	"presence/gatewayd/internal/spreadsheet"
)

// month makes the sheet of November 2026 of a diary.
func (d *diary) month(gateway string, badges ...string) recap.Sheet {
	o := origin
	o.Gateway = gateway
	c := recap.NewMonth(o, day, readings{})
	c.Only(badges)
	for _, e := range d.entries {
		c.Entry(e, readings{}.Timing(e.At))
	}
	c.Outage(outage.Outage{What: alerts.Outage{Failure: alerts.ReaderBroken, Name: "door"}, From: at(1, "2026-11-23 10:00:00"), Times: 1})
	return c.Sheet()
}

// lines are what a sheet says of badges: who, when, how often.
func lines(s recap.Sheet) (all []string) {
	for _, b := range s.Badges {
		clock := func(t recap.Tap) string { return t.At.Time.In(wib).Format("02 15:04") }
		all = append(all, fmt.Sprintf("%s %s %s-%s %d", b.Badge, b.Day.Format("2"), clock(b.First), clock(b.Last), b.Taps))
	}
	return all
}

func TestAMonthHasALineForEachBadgeAndDay(t *testing.T) {
	var d diary
	d.start(at(1, "2026-10-31 07:00:00"), true)
	for _, when := range []string{
		"2026-10-31 23:59:59", "2026-11-01 00:00:01", "2026-11-02 07:00:00", "2026-11-02 16:00:00",
		"2026-11-30 23:59:59", "2026-12-01 00:00:01",
	} {
		d.tap(at(1, when), "h:bb")
	}
	d.tap(at(1, "2026-11-02 07:30:00"), "h:aa")
	want := []string{"h:aa 2 02 07:30-02 07:30 1", "h:bb 1 01 00:00-01 00:00 1", "h:bb 2 02 07:00-02 16:00 2", "h:bb 30 30 23:59-30 23:59 1"}
	if got := lines(d.month("dinkes-01")); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	one := d.month("dinkes-01", "h:aa")
	if got := lines(one); !slices.Equal(got, want[:1]) {
		t.Errorf("of one badge %q, want %q", got, want[:1])
	}
	if len(one.Outages) != 1 {
		t.Errorf("of one badge the sheet has the outages %v", one.Outages)
	}
	// Midnight lies between a tap's bounds.
	d.tap(at(1, "2026-11-25 00:00:00"), "h:cc")
	if s := d.month("dinkes-01"); len(s.Uncertain) != 1 || s.Uncertain[0].Badge != "h:cc" {
		t.Errorf("a tap at midnight: %v", s.Uncertain)
	}
	var page bytes.Buffer
	if err := one.HTML(&page, recap.Indonesian); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Rekap kehadiran bulanan", "November 2026", "<td>2026-11-02</td><td>07:30:00", "2026-11-23 10:00:00", "<dd>h:aa</dd>"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("%q is not in\n%s", want, page.String())
		}
	}
	if strings.Contains(page.String(), "hari ini") || strings.Contains(page.String(), "%!") {
		t.Errorf("the page of a month says\n%s", page.String())
	}
}

// TestAMonthSaysWhereItsRecordBegins: what is not kept any more was no absence.
func TestAMonthSaysWhereItsRecordBegins(t *testing.T) {
	var whole, rest diary
	whole.start(at(1, "2026-10-31 07:00:00"), true)
	rest.tap(nowhen(9), "h:aa")
	for _, d := range []*diary{&whole, &rest} {
		d.tap(at(1, "2026-11-09 07:30:00"), "h:aa")
		d.tap(at(1, "2026-11-10 07:30:00"), "h:aa")
	}
	if s := whole.month("dinkes-01"); len(s.Begins) != 0 {
		t.Errorf("a record that is there: %v", s.Begins)
	}
	s := rest.month("dinkes-01")
	if len(s.Begins) != 1 || s.Begins[0].At.Time.In(wib).Format("02 15:04") != "09 07:30" {
		t.Fatalf("a record that begins within the month: %v", s.Begins)
	}
	var table, page bytes.Buffer
	if err := errors.Join(s.CSV(&table, spreadsheet.Plain), s.HTML(&page, recap.English)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "begin,") || !strings.Contains(page.String(), "no data from before 2026-11-09 07:30:00") {
		t.Errorf("the sheet says\n%s\n%s", table.String(), page.String())
	}
	if s := rest.sheet(readings{}); len(s.Begins) != 0 {
		t.Errorf("the sheet of a day: %v", s.Begins)
	}
}

// TestWhatIsOfOneBadgeNamesNobodyElse: not even by a tag.
func TestWhatIsOfOneBadgeNamesNobodyElse(t *testing.T) {
	var d diary
	d.start(at(1, "2026-11-01 07:00:00"), true)
	d.tap(at(1, "2026-11-02 07:00:00"), "h:bb")
	d.tap(nowhen(9), "h:bb")
	d.add(at(1, "2026-11-02 08:00:00"), presence.Draft{Kind: presence.KindTag, Tag: &presence.Tag{Tag: "reyax:7", Conflict: true}})
	var text bytes.Buffer
	if err := d.month("dinkes-01", "h:aa").CSV(&text, spreadsheet.Plain); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "h:bb") || strings.Contains(text.String(), "reyax:7") {
		t.Errorf("the sheet of h:aa says\n%s", text.String())
	}
}

// TestMerge: first and last tap wherever they were, and all else side by side.
func TestMerge(t *testing.T) {
	front, back := diary{stream: 10}, diary{stream: 20}
	front.start(at(1, "2026-11-01 07:00:00"), true)
	back.start(at(2, "2026-11-01 07:00:00"), true)
	front.tap(at(1, "2026-11-02 07:00:00"), "both")
	back.tap(at(2, "2026-11-02 16:00:00"), "both")
	back.tap(at(2, "2026-11-02 06:00:00"), "back")
	back.tap(nowhen(9), "both")
	a, b := front.month("dinkes-01"), back.month("dinkes-02")
	for name, sheets := range map[string][]recap.Sheet{"front first": {a, b}, "back first": {b, a}} {
		s, err := recap.Merge(sheets...)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"back 2 02 06:00-02 06:00 1", "both 2 02 07:00-02 16:00 2"}
		if got := lines(s); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if one := s.Badges[1]; one.First.Gateway != "dinkes-01" || one.Last.Gateway != "dinkes-02" {
			t.Errorf("%s: from %s to %s", name, one.First.Gateway, one.Last.Gateway)
		}
		if len(s.Outages) != 2 || s.Outages[0].Gateway == s.Outages[1].Gateway || len(s.Uncertain) != 1 || s.Uncertain[0].Gateway != "dinkes-02" {
			t.Errorf("%s: outages %v, uncertain %v", name, s.Outages, s.Uncertain)
		}
	}
	if _, err := recap.Merge(a, front.month("dinkes-01")); !errors.Is(err, recap.ErrSameEvents) {
		t.Errorf("a sheet and its copy: %v", err)
	}
	if _, err := recap.Merge(a, front.sheet(readings{})); err == nil {
		t.Error("a month and a day were merged")
	}
	if len(a.Badges) != 1 || a.Badges[0].Taps != 1 {
		t.Errorf("merging changed the sheet that it was given: %v", lines(a))
	}
}

// TestASheetSurvivesJSON: it comes so from a gateway that runs.
func TestASheetSurvivesJSON(t *testing.T) {
	s := full()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var again recap.Sheet
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	again.Origin.Location = s.Origin.Location
	same := cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }), cmp.Comparer(func(a, b *time.Location) bool { return a == b })}
	if diff := cmp.Diff(s, again, same); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
	var before, after bytes.Buffer
	if err := errors.Join(s.CSV(&before, spreadsheet.Indonesian), again.CSV(&after, spreadsheet.Indonesian)); err != nil {
		t.Fatal(err)
	}
	if before.String() != after.String() {
		t.Errorf("%s\nbecame\n%s", before.String(), after.String())
	}
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(before.String(), "\ufeff")))
	r.Comma = ';'
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if first := rows[1][slices.Index(rows[0], "first")]; first != "2026-11-23 07:31:00" {
		t.Errorf("for Excel the first tap was at %q", first)
	}
}
