package main_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// table reads an export as rows by column.
func table(t *testing.T, text string, comma rune) (rows []map[string]string) {
	t.Helper()
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	r.Comma = comma
	all, err := r.ReadAll()
	if err != nil || len(all) == 0 {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, row := range all[1:] {
		cells := make(map[string]string)
		for i, column := range all[0] {
			cells[column] = row[i]
		}
		rows = append(rows, cells)
	}
	return rows
}

// only are the rows with a value in a column.
func only(rows []map[string]string, column, value string) []map[string]string {
	return slices.DeleteFunc(slices.Clone(rows), func(r map[string]string) bool { return r[column] != value })
}

// TestExportForExcel: events and recaps with semicolons, and times and numbers as Excel
// reads them under Indonesian settings, while the gateway runs and while it does not.
func TestExportForExcel(t *testing.T) {
	t.Parallel()
	withinOneDay(t)
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	g.tap("--uid", "04A1B2C3D4E5F6")
	today := time.Now().In(jakarta(t)).Format(time.DateOnly)
	check := func(when string) {
		t.Helper()
		for what, args := range map[string][]string{
			"events":  {"--since", "1h"},
			"a day":   {"--day", today},
			"a month": {"--month", today[:7]},
		} {
			out := g.must(append([]string{"export", "--format", "csv-id"}, args...)...)
			if !strings.HasPrefix(out, "\ufeff") || !strings.Contains(out, ";") || strings.Count(out, "\r\n") != strings.Count(out, "\n") {
				t.Errorf("%s, %s: no byte order mark, semicolons and CR LF:\n%q", when, what, out)
			}
			column, stamp := "kind", "time"
			if what != "events" {
				column, stamp = "row", "first"
			}
			rows := only(table(t, out, ';'), column, "badge")
			if len(rows) != 1 {
				t.Fatalf("%s, %s: %d taps\n%s", when, what, len(rows), out)
			}
			if _, err := time.ParseInLocation(time.DateTime, rows[0][stamp], jakarta(t)); err != nil || !strings.HasPrefix(rows[0]["badge"], "h:") {
				t.Errorf("%s, %s: %v", when, what, rows[0])
			}
		}
	}
	check("while the gateway runs")
	g.stop()
	check("while it does not")
}

// TestExportOfAMonthAndABadge: through the daemon and without it; a badge by its id or
// its card's number.
func TestExportOfAMonthAndABadge(t *testing.T) {
	t.Parallel()
	withinOneDay(t)
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	g.tap("--uid", "04A1B2C3D4E5F6")
	g.tap("--uid", "04A1B2C3D4E5F7")
	id := strings.TrimSpace(g.must("badge", "04A1B2C3D4E5F6"))
	month := time.Now().In(jakarta(t)).Format("2006-01")
	check := func(when string) {
		t.Helper()
		if rows := only(table(t, g.must("export", "--month", month, "--format", "csv"), ','), "row", "badge"); len(rows) != 2 || !strings.HasPrefix(rows[0]["day"], month) || rows[0]["gateway"] != "dinkes-01" {
			t.Errorf("%s: the month is %v", when, rows)
		}
		if out := g.must("export", "--month", month, "--format", "html"); !strings.Contains(out, "Rekap kehadiran bulanan") || strings.Contains(out, "hari ini") {
			t.Errorf("%s: the month's page is\n%s", when, out)
		}
		for _, badge := range []string{id, "04:A1:B2:C3:D4:E5:F6"} {
			out := g.must("export", "--month", month, "--badge", badge)
			if strings.Count(out, "\n") != 1 || !strings.Contains(out, id) {
				t.Errorf("%s: the events of %s are\n%s", when, badge, out)
			}
			if rows := only(table(t, g.must("export", "--month", month, "--badge", badge, "--format", "csv-id"), ';'), "row", "badge"); len(rows) != 1 || rows[0]["badge"] != id {
				t.Errorf("%s: the month of %s is %v", when, badge, rows)
			}
		}
	}
	check("while the gateway runs")
	g.stop()
	check("while it does not")
	for _, wrong := range [][]string{
		{"--month", "2026-13", "--format", "csv"},
		{"--month", "2026-11", "--day", "2026-11-23"},
		{"--month", "2026-11", "--since", "1h"},
		{"--badge", "Sari"},
		{"--badge", "h:12"},
		{"--state", filepath.Join(g.dir, "nowhere")},
		{"--state", g.dir},
	} {
		if out, code := g.try(append([]string{"export"}, wrong...)...); code != 2 {
			t.Errorf("export %q: exit %d, %s", wrong, code, out)
		}
	}
	log, err := os.ReadFile(filepath.Join(g.dir, "state", "exports.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), `"month":"`+month+`"`) || !strings.Contains(string(log), `"badges":1`) || strings.Contains(string(log), id) {
		t.Errorf("the log of exports is\n%s", log)
	}
}

// TestExportOfSeveralGateways: who comes by one door and leaves by the other has one
// line, whichever of the gateways run; events come in the order of their times.
func TestExportOfSeveralGateways(t *testing.T) {
	t.Parallel()
	withinOneDay(t)
	door := func(id string) *gateway {
		g := newGateway(t, "tcp://127.0.0.1:1", "")
		g.configure(strings.NewReplacer(`id = "dinkes-01"`, fmt.Sprintf("id = %q", id), `key_file = "badge.key"`, "plain_uid = true").Replace(g.text()))
		g.start()
		return g
	}
	front, back := door("dinkes-01"), door("dinkes-02")
	front.tap("--uid", "04A1B2C3D4E5F6")
	back.tap("--uid", "04A1B2C3D4E5F6")
	front.tap("--uid", "04A1B2C3D4E5F7")
	// As on a card of another machine: the configuration lies beside the folder.
	card := filepath.Join(t.TempDir(), "card")
	today := time.Now().In(jakarta(t)).Format(time.DateOnly)
	check := func(when, other string) {
		t.Helper()
		both := []string{"export", "--state", filepath.Join(front.dir, "state"), "--state", other, "--day", today}
		rows := only(table(t, front.must(append(both, "--format", "csv")...), ','), "row", "badge")
		if len(rows) != 2 {
			t.Fatalf("%s: %v", when, rows)
		}
		if r := rows[0]; r["badge"] != "04A1B2C3D4E5F6" || r["taps"] != "2" || r["gateway"] != "dinkes-01" || r["last_gateway"] != "dinkes-02" || r["first"] >= r["last"] {
			t.Errorf("%s: the line of who went from door to door is %v", when, r)
		}
		if r := rows[1]; r["taps"] != "1" || r["gateway"] != "dinkes-01" || r["last_gateway"] != "dinkes-01" {
			t.Errorf("%s: the other line is %v", when, r)
		}
		if page := front.must(append(both, "--format", "html")...); !strings.Contains(page, "dinkes-01, dinkes-02") || !strings.Contains(page, "<td>dinkes-02</td>") {
			t.Errorf("%s: the page is\n%s", when, page)
		}
		var taps []string
		for line := range strings.Lines(front.must(both...)) {
			var e struct{ Kind, Gateway, Dinas, Badge string }
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			if e.Kind == "badge" {
				taps = append(taps, e.Dinas+" "+e.Gateway+" "+e.Badge)
			}
		}
		want := []string{"dinkes dinkes-01 04A1B2C3D4E5F6", "dinkes dinkes-02 04A1B2C3D4E5F6", "dinkes dinkes-01 04A1B2C3D4E5F7"}
		if !slices.Equal(taps, want) {
			t.Errorf("%s: the taps are %q, want %q", when, taps, want)
		}
		if out, code := front.try("export", "--state", filepath.Join(front.dir, "state"), "--state", other, "--format", "csv"); code != 2 {
			t.Errorf("%s: events of several as one table: exit %d, %s", when, code, out)
		}
	}
	check("while both run", filepath.Join(back.dir, "state"))
	back.stop()
	check("while one runs", "dinkes-02="+filepath.Join(back.dir, "state"))
	front.stop()
	check("while none runs", "dinkes/dinkes-02="+filepath.Join(back.dir, "state"))

	state := filepath.Join(card, "var", "lib", "gatewayd")
	if err := os.CopyFS(state, os.DirFS(filepath.Join(back.dir, "state"))); err != nil {
		t.Fatal(err)
	}
	check("of a copy", state) // its journal says whose it is
	if out, code := front.try("export", "--state", "dinkes/dinkes-03="+state); code != 2 || !strings.Contains(out, "which gateway is this folder of? Its journal says dinkes/dinkes-02") {
		t.Errorf("a folder of another one: exit %d, %s", code, out)
	}
	if err := os.MkdirAll(filepath.Join(card, "etc", "gatewayd"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(card, "etc", "gatewayd", "gatewayd.toml"), []byte(back.text()), 0o600); err != nil {
		t.Fatal(err)
	}
	check("of a card", state)
	for _, twice := range [][]string{{state, state}, {state, "dinkes-02=" + filepath.Join(back.dir, "state")}} {
		if out, code := front.try("export", "--day", today, "--format", "csv", "--state", twice[0], "--state", twice[1]); code == 0 || !strings.Contains(out, "same") {
			t.Errorf("one gateway twice: exit %d, %s", code, out)
		}
	}
}
