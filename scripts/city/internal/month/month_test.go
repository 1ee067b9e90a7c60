package month_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"presence/scripts/city/database"
	"presence/scripts/city/internal/event"
	"presence/scripts/city/internal/month"
	storage "presence/scripts/city/internal/store"
	"presence/scripts/postgrestest"
)

// loaded is a database with everything of a simulated month.
func loaded(t testing.TB, c *month.City) *pgx.Conn {
	t.Helper()
	connection := postgrestest.Start(t).Create("city")
	conn := postgrestest.Connect(t, connection)
	if _, _, err := database.Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	store(t, connection, c)
	for _, f := range c.HoursFiles() {
		var problem *string
		if err := conn.QueryRow(t.Context(), "select people.load_hours($1, $2, $3, $4)", f.Dinas, f.Gateway, f.Since, f.Body).Scan(&problem); err != nil || problem != nil {
			t.Fatal(err, *problem)
		}
	}
	for _, file := range files(c) {
		load(t, conn, file)
	}
	execute(t, conn, "analyze")
	return conn
}

func execute(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// table is a file as it is loaded: its kind, and the cells of its lines.
type table struct {
	kind  string
	lines []map[string]string
}

// files are what the personnel office loads.
func files(c *month.City) []table {
	offices, persons, badges, notes, rules, outages := table{kind: "offices"}, table{kind: "persons"}, table{kind: "badges"}, table{kind: "notes"}, table{kind: "rules"}, table{kind: "outages"}
	day := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format("02/01/2006")
	}
	instant := func(o *month.Office, t time.Time) string {
		if t.IsZero() {
			return ""
		}
		zone, err := time.LoadLocation(o.Zone)
		if err != nil {
			panic(err)
		}
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone).Format(time.RFC3339)
	}
	for _, o := range c.Offices {
		offices.lines = append(offices.lines, map[string]string{"id": o.ID, "dinas": o.Dinas, "zone": o.Zone})
		for _, s := range o.Reported() {
			outages.lines = append(outages.lines, map[string]string{"gateway": o.ID, "from": instant(o, s[0]), "to": instant(o, s[1]), "why": "reader deaf", "by": "sheet"})
		}
	}
	for _, p := range c.People {
		line := map[string]string{"nip": p.NIP, "name": p.Name, "dinas": p.Office.Dinas, "office": p.Office.ID, "joined_on": day(p.Joined), "left_on": day(p.Left)}
		if p.Anywhere {
			line["office"] = ""
		}
		if p.Second != nil {
			line["posts"] = p.Second.ID
		}
		persons.lines = append(persons.lines, line)
		for _, b := range p.Badges {
			badges.lines = append(badges.lines, map[string]string{"gateway": b.Office.ID, "badge": b.ID, "nip": p.NIP, "from": instant(b.Office, b.From), "to": instant(b.Office, b.To)})
		}
		for _, n := range p.Notes {
			line := map[string]string{"nip": p.NIP, "day": day(n.Day), "kind": n.Kind, "by": "Bu Sari", "why": "letter"}
			if !n.At.IsZero() {
				line["at"] = n.At.Format(time.TimeOnly)
			}
			notes.lines = append(notes.lines, line)
		}
	}
	for _, r := range c.Rules {
		rules.lines = append(rules.lines, map[string]string{"kind": r.Kind, "from_s": fmt.Sprint(r.FromS), "percent": strings.Replace(fmt.Sprint(r.Percent), ".", ",", 1)})
	}
	return []table{offices, persons, badges, notes, rules, outages}
}

// problem is a row of a function that loads.
type problem struct {
	Line    int
	Problem string
}

// try loads a file and returns what the database says of it.
func try(t testing.TB, conn *pgx.Conn, file table) []problem {
	t.Helper()
	var id string
	if err := conn.QueryRow(t.Context(), "select gen_random_uuid()").Scan(&id); err != nil {
		t.Fatal(err)
	}
	rows := make([][]any, len(file.lines))
	for i, cells := range file.lines {
		rows[i] = []any{id, i + 2, cells}
	}
	if _, err := conn.CopyFrom(t.Context(), pgx.Identifier{"people", "staging"}, []string{"load", "line", "cells"}, pgx.CopyFromRows(rows)); err != nil {
		t.Fatal(err)
	}
	found, err := conn.Query(t.Context(), "select line, problem from people.load_"+file.kind+"($1)", id)
	if err != nil {
		t.Fatal(err)
	}
	problems, err := pgx.CollectRows(found, pgx.RowToStructByPos[problem])
	if err != nil {
		t.Fatalf("load %s: %v", file.kind, err)
	}
	return problems
}

// load loads a file that is right.
func load(t testing.TB, conn *pgx.Conn, file table) {
	t.Helper()
	if p := try(t, conn, file); len(p) != 1 || p[0].Line != 0 {
		t.Fatalf("load %s: %v", file.kind, p)
	}
}

// store puts all that gateways send into the database, as the recorder does.
func store(t testing.TB, connection string, c *month.City) {
	t.Helper()
	where := &storage.Config{Connection: connection}
	lease, err := storage.Lead(t.Context(), where, "simulated month", func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release(t.Context())
	into, err := storage.Open(t.Context(), where, lease.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	defer into.Close(t.Context())
	decoder, err := event.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	var all []event.Event
	for _, o := range c.Offices {
		for _, m := range o.Messages() {
			events, refused := decoder.Decode(event.Message{Topic: m.Topic, Payload: m.Payload})
			if len(refused) > 0 {
				t.Fatalf("the recorder refuses %s: %s", m.Payload, refused[0].Reason)
			}
			all = append(all, events...)
		}
	}
	for batch := range slices.Chunk(all, 500) {
		if r, err := into.Commit(t.Context(), batch, nil); err != nil || len(r.Refused) > 0 {
			t.Fatal(err, r.Refused)
		}
	}
}
