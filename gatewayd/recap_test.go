package main_test

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTheRecapProvesADeviceFailure: a tap, a reader that is deaf for a while, a
// kill -9, and one sheet that says so, whether the gateway runs or not.
func TestTheRecapProvesADeviceFailure(t *testing.T) {
	t.Parallel()
	withinOneDay(t)
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	g.tap("--uid", "04A1B2C3D4E5F6", "--count", "2")
	g.must("sim", "reader", "--reader", "door", "--fault", "deaf")
	day := time.Now()
	recap := func() [][]string {
		t.Helper()
		rows, err := csv.NewReader(strings.NewReader(g.must("export", "--day", day.In(jakarta(t)).Format(time.DateOnly), "--format", "csv"))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	column := func(row []string, name string, rows [][]string) string { return row[slices.Index(rows[0], name)] }
	outages := func() map[string]string {
		found := make(map[string]string)
		for rows := recap(); len(rows) > 1; rows = append(rows[:1], rows[2:]...) {
			if r := rows[1]; r[0] == "outage" {
				found[column(r, "what", rows)] = column(r, "detail", rows) + column(r, "to", rows)
			}
		}
		return found
	}
	g.awaitFor(20*time.Second, "the outage to be noted", func() bool { return outages()["reader-door"] == "open" })
	g.must("sim", "reader", "--reader", "door", "--fault", "none")
	g.awaitFor(20*time.Second, "the outage to end", func() bool {
		to := outages()["reader-door"]
		return to != "" && to != "open"
	})
	g.kill()
	g.start()

	check := func(when string) {
		t.Helper()
		rows := recap()
		badges := 0
		for _, r := range rows {
			if r[0] == "badge" {
				badges++
			}
		}
		found := outages()
		if badges != 2 || found["reader-door"] == "" || found["crashed"] == "" {
			t.Errorf("%s the recap is %q", when, rows)
		}
	}
	check("while the gateway runs")
	g.stop()
	check("while it does not")

	page := g.must("export", "--day", day.In(jakarta(t)).Format(time.DateOnly), "--format", "html")
	if !strings.Contains(page, "Pembaca kartu &#34;door&#34; tidak berfungsi") || !strings.Contains(page, "perangkat simulasi") {
		t.Errorf("the page says\n%s", page)
	}
	if english := g.must("export", "--day", day.In(jakarta(t)).Format(time.DateOnly), "--format", "html", "--lang", "en"); !strings.Contains(english, "did not work") {
		t.Errorf("the English page says\n%s", english)
	}
	for _, wrong := range [][]string{{"--format", "html"}, {"--day", "monday"}, {"--day", "2026-11-23", "--since", "1h"}, {"--day", "2026-11-23", "--lang", "fr"}} {
		if out, code := g.try(append([]string{"export"}, wrong...)...); code != 2 {
			t.Errorf("export %q: exit %d, %s", wrong, code, out)
		}
	}
}

// TestExportsAreLogged: whoever takes data out is in the log of exports, through
// the daemon and without it, and nobody whom the data is about.
func TestExportsAreLogged(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	g.tap("--uid", "04A1B2C3D4E5F6")
	g.must("export", "--since", "24h", "--format", "csv")
	g.stop()
	g.must("export", "--day", "2026-11-23", "--format", "html")

	text, err := os.ReadFile(filepath.Join(g.dir, "state", "exports.log"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 2 || strings.Contains(string(text), "h:") {
		t.Fatalf("the log of exports is\n%s", text)
	}
	for i, want := range []string{"csv", "html"} {
		var l struct {
			Time   *string
			UID    int
			Format string
		}
		if err := json.Unmarshal([]byte(lines[i]), &l); err != nil {
			t.Fatal(err)
		}
		if l.Time == nil || l.UID != os.Getuid() || l.Format != want {
			t.Errorf("line %d: %s", i, lines[i])
		}
	}
}

func jakarta(t *testing.T) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation("Asia/Jakarta")
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// withinOneDay waits, if it is just before the office's midnight, until that is over. A
// test that asks for the sheet of today would ask for one on which nothing has happened.
func withinOneDay(t *testing.T) {
	t.Helper()
	now := time.Now().In(jakarta(t))
	midnight := time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, now.Location())
	if left := time.Until(midnight); left < 2*time.Minute {
		<-time.After(left)
	}
}

// TestRestartsDoNotLengthenAnOutage: a reader that was deaf until the gateway was
// stopped was deaf until then, however often it is started afterwards, and the
// time in between is the gateway's own.
func TestRestartsDoNotLengthenAnOutage(t *testing.T) {
	t.Parallel()
	withinOneDay(t)
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	g.tap("--uid", "04A1B2C3D4E5F6")
	outages := func() (lines []string, stretches map[string][2]time.Time) {
		t.Helper()
		rows, err := csv.NewReader(strings.NewReader(g.must("export", "--day", time.Now().In(jakarta(t)).Format(time.DateOnly), "--format", "csv"))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		column := func(row []string, name string) string { return row[slices.Index(rows[0], name)] }
		stretches = make(map[string][2]time.Time)
		for _, r := range rows[1:] {
			if r[0] == "outage" {
				from, err := time.Parse(time.RFC3339Nano, column(r, "from"))
				if err != nil {
					t.Fatal(err)
				}
				to, _ := time.Parse(time.RFC3339Nano, column(r, "to")) // zero while it goes on
				stretches[column(r, "what")] = [2]time.Time{from, to}
				lines = append(lines, strings.Join(r, ","))
			}
		}
		return lines, stretches
	}
	g.must("sim", "reader", "--reader", "door", "--fault", "deaf")
	g.awaitFor(20*time.Second, "the outage to be noted", func() bool { lines, _ := outages(); return len(lines) > 0 })
	stopped := time.Now()
	g.stop()
	over := time.Now().Add(5 * time.Second) // from then on the stop is worth a line
	g.awaitFor(10*time.Second, "the stop to be worth a line", func() bool { return time.Now().After(over) })
	for range 3 { // after the first time it is over at once, and no line
		g.start() // the reader is well
		started := time.Now()
		g.tap("--uid", "04A1B2C3D4E5F7")
		lines, found := outages()
		reader := found["reader-door"]
		if to := reader[1]; to.Before(reader[0]) || to.Before(stopped.Add(-time.Second)) || to.After(started) {
			t.Errorf("the reader was deaf until the stop at %v, the sheet says\n%s", stopped, strings.Join(lines, "\n"))
		}
		if off := found["stopped"]; off[0].Before(reader[1].Add(-time.Second)) || off[1].Before(off[0]) || len(found) != 2 {
			t.Errorf("the gateway was stopped at %v, the sheet says\n%s", stopped, strings.Join(lines, "\n"))
		}
		if n := strings.Count(strings.Join(lines, "\n"), "reader-door"); n != 1 {
			t.Errorf("%d outages of the reader", n)
		}
		if n := strings.Count(strings.Join(lines, "\n"), "stopped"); n != 1 {
			t.Errorf("it was stopped for long once, the sheet says %d times\n%s", n, strings.Join(lines, "\n"))
		}
		g.stop()
	}
	// Of a gateway that does not run the sheet says so.
	if _, found := outages(); !found["stopped"][1].IsZero() {
		t.Errorf("of a stopped gateway the sheet says %v", found)
	}
}

// TestADayThatHasNotBegunHasNoOutage: what goes on now is no failure of a day to
// come, whether the gateway runs or not.
func TestADayThatHasNotBegunHasNoOutage(t *testing.T) {
	t.Parallel()
	withinOneDay(t)
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	g.must("sim", "reader", "--reader", "door", "--fault", "deaf")
	sheet := func(days int) string {
		t.Helper()
		day := time.Now().In(jakarta(t)).AddDate(0, 0, days)
		return g.must("export", "--day", day.Format(time.DateOnly), "--format", "csv")
	}
	g.awaitFor(20*time.Second, "the outage to be noted", func() bool { return strings.Contains(sheet(0), "reader-door") })
	check := func(when, what string) {
		t.Helper()
		if today := sheet(0); !strings.Contains(today, what) {
			t.Errorf("%s today's sheet is\n%s", when, today)
		}
		for _, days := range []int{2, 1000} {
			if later := sheet(days); strings.Count(later, "\n") != 1 {
				t.Errorf("%s the sheet in %d days is\n%s", when, days, later)
			}
		}
	}
	check("while the gateway runs", "reader-door")
	g.stop()
	check("while it does not", "stopped")
}
