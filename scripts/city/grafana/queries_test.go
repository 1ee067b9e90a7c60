package grafana_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v3"

	"presence/scripts/city/database"
	"presence/scripts/postgrestest"
)

// question is what a panel or a variable asks of one data source.
type question struct{ title, source, sql string }

// questions are those of a dashboard.
func questions(t *testing.T, path string) (all []question) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	type source struct{ UID string }
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct {
				RawSQL     string
				Datasource source
			}
		}
		Templating struct {
			List []struct {
				Name, Type, Query string
				Datasource        source
			}
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all = append(all, question{p.Title, target.Datasource.UID, target.RawSQL})
		}
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			all = append(all, question{"variable " + v.Name, v.Datasource.UID, v.Query})
		}
	}
	return all
}

// filled is a question as Grafana asks it: its macros for time take all up to the first
// closing parenthesis, and a variable in the form sqlstring is quoted.
func (q question) filled(variables map[string]string) string {
	from, to := time.Now().AddDate(0, 0, -8).UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	sql := q.sql
	for name, value := range variables {
		quoted := "'" + strings.ReplaceAll(value, "'", "''") + "'"
		sql = strings.NewReplacer("${"+name+":sqlstring}", quoted, "$"+name, quoted).Replace(sql)
	}
	sql = regexp.MustCompile(`\$__timeFilter\(([^)]*)\)`).ReplaceAllStringFunc(sql, func(macro string) string {
		column, _, _ := strings.Cut(strings.TrimPrefix(macro[:len(macro)-1], "$__timeFilter("), ",")
		return fmt.Sprintf("%s BETWEEN '%s' AND '%s'", column, from, to)
	})
	return strings.NewReplacer("$__timeFrom()", "'"+from+"'", "$__timeTo()", "'"+to+"'").Replace(sql)
}

// source is a provisioned data source.
type source struct {
	UID, Type, User string
	JSONData        struct{ Database string } `yaml:"jsonData"`
}

// sources are those of a file, which says nothing else.
func sources(t *testing.T, path string) []source {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []source
	}
	if err := yaml.Unmarshal(text, &file); err != nil || file.APIVersion != 1 || len(file.Datasources) == 0 {
		t.Fatalf("%s: %v", path, err)
	}
	return file.Datasources
}

// logins are the roles of the data sources' users, as GRAFANA.md has them made.
func logins() map[string]string {
	return map[string]string{"grafana_fleet": "presence_grafana", "grafana_office": "presence_analyst", "grafana_personnel": "presence_personnel"}
}

// city is a PostgreSQL in which something has happened.
type city struct {
	t      *testing.T
	server *postgrestest.Database
	users  map[string]source // by uid
	owner  *pgx.Conn
}

func newCity(t *testing.T) *city {
	t.Helper()
	c := &city{t: t, server: postgrestest.Start(t), users: map[string]source{}}
	for _, path := range []string{"provisioning/datasources/presence.yaml", "personnel/provisioning/datasources/personnel.yaml"} {
		for _, s := range sources(t, path) {
			c.users[s.UID] = s
		}
	}
	c.server.Create("presence")
	c.server.Create("gateways")
	c.owner = c.connect("postgres", "presence")
	if _, _, err := database.Migrate(t.Context(), c.owner); err != nil {
		t.Fatal(err)
	}
	for user, role := range logins() {
		c.must("CREATE ROLE " + user + " LOGIN")
		c.must("GRANT " + role + " TO " + user)
	}
	tables, err := os.Open("../telegraf.sql")
	if err != nil {
		t.Fatal(err)
	}
	defer tables.Close()
	c.server.Load("gateways", tables)
	page, err := os.ReadFile("GRAFANA.md")
	if err != nil {
		t.Fatal(err)
	}
	grant := regexp.MustCompile("(?s)```sql\n-- gateways\n(.*?)```").FindSubmatch(page)
	if grant == nil {
		t.Fatal("GRAFANA.md does not say what the login for health may read")
	}
	c.server.Load("gateways", strings.NewReader(string(grant[1])))
	return c
}

func (c *city) connect(user, db string) *pgx.Conn {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), c.server.Connection(user, db))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the server ends with the test
	return conn
}

func (c *city) must(sql string, args ...any) {
	c.t.Helper()
	if _, err := c.owner.Exec(c.t.Context(), sql, args...); err != nil {
		c.t.Fatalf("%s: %v", sql, err)
	}
}

// morning is a Tuesday within the last week on which Sari came a minute late, a tag was
// heard, and one event is missing and one lost. Another office of the list is silent.
func (c *city) morning() (day string) {
	c.t.Helper()
	at := time.Now().UTC().Truncate(24 * time.Hour).Add(31*time.Minute + 5*time.Second) // 07:31:05 in Malang
	for at.Weekday() != time.Tuesday || time.Since(at) < time.Hour {                    // so that it came late
		at = at.AddDate(0, 0, -1)
	}
	c.must("INSERT INTO presence.office (dinas, gateway, name, since) VALUES ('dinkes', 'dinkes-01', 'Dinas Kesehatan', '2020-01-01'), ('dinkes', 'dinkes-02', 'Puskesmas', '2020-01-01')")
	const stream = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
	event := func(seq int, kind string, badge, tag, zone, more any, quality string) {
		c.must(`SELECT presence.ingest(ARRAY[$1::uuid], ARRAY[$2::bigint], '{0}', ARRAY[$3::text], '{dinkes}', '{dinkes-01}', ARRAY[$4::timestamptz], ARRAY[$5::text], '{5}',
			'{null}', '{null}', ARRAY[$6::text], ARRAY[$7::text], ARRAY[$8::text], '{null}', '{null}', '{null}', ARRAY[$9::jsonb])`,
			stream, seq, kind, at.Add(time.Duration(seq)*time.Second), quality, badge, tag, zone, more)
	}
	event(1, "start", nil, nil, nil, `{"boot":"b1","version":"2.0","previous":null}`, "synced")
	event(2, "badge", "h:00112233445566778899aabbccddeeff", nil, nil, `{"reader":"door"}`, "synced")
	event(3, "tag", nil, "kenwood:100-1001", "outside", nil, "synced")
	event(5, "gap", nil, nil, nil, `{"reason":"journal-full","ranges":[{"stream":"`+stream+`","from":7,"to":9}]}`, "unsynced")
	event(6, "badge", "h:00112233445566778899aabbccddeeff", nil, nil, `{"reader":"door"}`, "unsynced")
	c.must("INSERT INTO people.person (nip, name, dinas, office) VALUES ('1985-1', 'Sari', 'dinkes', 'dinkes-01')")
	c.must("INSERT INTO people.badge (gateway, badge, nip, during) VALUES ('dinkes-01', 'h:00112233445566778899aabbccddeeff', '1985-1', '(,)')")
	c.server.Load("gateways", strings.NewReader(`INSERT INTO gateway_health (time, dinas, gateway, level, level_code, clock_state, clock_unsynced_s, pi_sd_errors, pi_disk_days_left, journal_written_bytes_day, journal_pending, mqtt_bytes_day, mqtt_disconnected_s)
		VALUES (now() AT TIME ZONE 'UTC', 'dinkes', 'dinkes-01', 'warn', 1, 'unsynced', 77, 3, 12, 4000000, 5, 2000000, 0);
		INSERT INTO gateway_alert (time, dinas, gateway, code, value) VALUES (now() AT TIME ZONE 'UTC', 'dinkes', 'dinkes-01', 'tag-battery', '{"code":"tag-battery","id":"Baterai lemah","en":"Low battery"}')`))
	return at.Format(time.DateOnly)
}

// ask is what a data source answers to a question: its rows, columns set off by tabs.
func (c *city) ask(q question, variables map[string]string) (rows []string, err error) {
	c.t.Helper()
	s, known := c.users[q.source]
	if !known {
		return nil, fmt.Errorf("the data source %s is not provisioned", q.source)
	}
	conn := c.connect(s.User, s.JSONData.Database)
	defer conn.Close(c.t.Context())
	found, err := conn.Query(c.t.Context(), q.filled(variables), pgx.QueryExecModeSimpleProtocol) // as Grafana does
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, func(row pgx.CollectableRow) (string, error) {
		var columns []string
		for _, v := range row.RawValues() {
			columns = append(columns, string(v))
		}
		return strings.Join(columns, "\t"), nil
	})
}

// TestEveryQuestionIsAnswered, as the role that is to see the answer: each panel of each
// dashboard finds what happened.
func TestEveryQuestionIsAnswered(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	variables := map[string]string{"dinas": "dinkes", "gateway": "dinkes-01", "price": "25", "nip": "1985-1", "day": c.morning()}
	wants := map[string]string{ // of the first row
		"Silent against the list of offices": `^dinkes\tdinkes-02\tPuskesmas\t\t`,
		"Missing events":                     `^1$`, "Silent": `^1$`, "Offices on the list": `^2$`, "Not on the list": `^0$`,
		"Late delivery":                  `^dinkes\tdinkes-01\t`,
		"Clocks that are not set":        `^dinkes\tdinkes-01\tunsynced\t`,
		"Wear of SD cards":               `^dinkes\tdinkes-01\t4000000\t3\t12$`,
		"Batteries of tags":              `Baterai lemah\tLow battery$`,
		"Clocks: time without being set": `\tdinkes dinkes-01\t77$`,
		"Holes":                          `^(1|dinkes\tdinkes-01\t6ba7b810.*\t4\t4\t1\t.*)$`, "Lost for good": `^3$`, "Erased on request": `^0$`,
		"Losses by gateway and reason": `^dinkes\tdinkes-01\tjournal-full\t3\t1$`,
		"Losses":                       `journal-full\t7\t9\t3$`,
		"A month of all lines":         `^1500\.0+$`, "Bytes a day of all lines": `^2000000$`,
		"By gateway": `^dinkes\tdinkes-01\t2000000\t1500\.0+\t5\t0$`,
		"Taps":       `^2$`, "Badges": `^1$`, "Without a known time": `^\d+$`,
		"Tags by zone":                        `^kenwood:100-1001\toutside\t1\t`,
		"Starts and gaps":                     `\tgap\t\tjournal-full\t`,
		"The day":                             `^Sari\tdinkes\t`,
		"Every tap that can have been theirs": `\tdinkes-01\t6ba7b810`,
	}
	for _, path := range dashboards(t) {
		for _, q := range questions(t, path) {
			rows, err := c.ask(q, variables)
			if err != nil {
				t.Errorf("%s, %s: %v", path, q.title, err)
			} else if want := cmp.Or(wants[q.title], "."); len(rows) == 0 || !regexp.MustCompile(want).MatchString(rows[0]) {
				t.Errorf("%s, %s: no %s in %q", path, q.title, want, rows)
			}
		}
	}
}

// dashboards are the files of all dashboards.
func dashboards(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"dashboards/*.json", "personnel/dashboards/*.json"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		all = append(all, found...)
	}
	return all
}

// TestNobodyReadsMoreThanHisRole: the logins of the dashboards for all read no names, and
// that of the fleet no badges.
func TestNobodyReadsMoreThanHisRole(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	c.morning()
	for _, path := range []string{"personnel/dashboards/person-day.json", "dashboards/office-day.json"} {
		for _, q := range questions(t, path) {
			if !strings.Contains(q.sql, "people.") && !strings.Contains(q.sql, "presence.latest") {
				continue
			}
			for _, uid := range []string{"presence-fleet", "presence-office"} {
				if path == "dashboards/office-day.json" && uid == "presence-office" {
					continue
				}
				q.source = uid
				if rows, err := c.ask(q, map[string]string{"gateway": "dinkes-01", "nip": "1985-1", "day": "2026-11-24"}); err == nil || !strings.Contains(err.Error(), "permission denied") {
					t.Errorf("%s reads %q: %v, %v", uid, q.title, rows, err)
				}
			}
		}
	}
}

// TestWhoReadsNamesIsWrittenDown, and nobody where the fields of the page are empty.
func TestWhoReadsNamesIsWrittenDown(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	day := c.morning()
	for _, fields := range []map[string]string{{"nip": "", "day": ""}, {"nip": "1985-1", "day": ""}, {"nip": "", "day": day}, {"nip": "1985-1", "day": day}} {
		var all []string
		for _, q := range questions(t, "personnel/dashboards/person-day.json") {
			if _, err := c.ask(q, fields); err != nil {
				t.Error(err)
			}
		}
		rows, err := c.owner.Query(t.Context(), "SELECT who || ' ' || what || ' ' || nip FROM people.access ORDER BY id")
		if err != nil {
			t.Fatal(err)
		}
		if all, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			t.Fatal(err)
		}
		var want []string
		if fields["nip"] != "" && fields["day"] != "" {
			want = []string{"grafana_personnel days 1985-1", "grafana_personnel taps 1985-1", "grafana_personnel days 1985-1"}
		}
		if !slices.Equal(all, want) {
			t.Errorf("with %v it is written down: %q", fields, all)
		}
	}
}
