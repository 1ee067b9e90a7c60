package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"presence/scripts/city/database"
	"presence/scripts/postgrestest"
)

// office is a city with one office, and the personnel officer Sari, who may do what the
// role presence_personnel may.
type office struct {
	t      *testing.T
	server *postgrestest.Database
	owner  *pgx.Conn
	sari   string // how she connects
	dir    string
}

const card = "h:0123456789abcdef0123456789abcdef"

func newOffice(t *testing.T) *office {
	t.Helper()
	server := postgrestest.Start(t)
	connection := server.Create("city")
	o := &office{t: t, server: server, sari: strings.Replace(connection, "user=postgres", "user=sari", 1), dir: t.TempDir()}
	o.owner = o.connect(connection)
	if _, _, err := database.Migrate(t.Context(), o.owner); err != nil {
		t.Fatal(err)
	}
	o.execute("create role sari login in role presence_personnel")
	return o
}

func (o *office) connect(connection string) *pgx.Conn {
	o.t.Helper()
	conn, err := pgx.Connect(o.t.Context(), connection)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

func (o *office) execute(sql string, args ...any) {
	o.t.Helper()
	if _, err := o.owner.Exec(o.t.Context(), sql, args...); err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
}

func (o *office) number(sql string) (n int) {
	o.t.Helper()
	if err := o.owner.QueryRow(o.t.Context(), sql).Scan(&n); err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// run runs the command as Sari.
func (o *office) run(args ...string) (code int, out, errs string) {
	o.t.Helper()
	var stdout, stderr bytes.Buffer
	code = command(o.t.Context(), append([]string{"--database", o.sari}, args...), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// must runs a command that has to succeed.
func (o *office) must(args ...string) string {
	o.t.Helper()
	code, out, errs := o.run(args...)
	if code != exitDone {
		o.t.Fatalf("recap %v: %d, %s", args, code, errs)
	}
	return out
}

// file writes a file of these lines.
func (o *office) file(name string, lines ...string) string {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

// tap stores a tap of the card in the stream of the gateway.
func (o *office) tap(seq int, at string) {
	o.t.Helper()
	o.event(seq, "badge", at, card, `{"reader":"door"}`)
}

func (o *office) event(seq int, kind, at, badge, more string) {
	o.t.Helper()
	o.execute(`select presence.ingest(array['0190c0de-0000-7000-8000-000000000001'::uuid], array[$1::bigint], array[0], array[$2], array['dinkes'], array['dinkes-01'],
		array[$3::timestamptz], array['synced'], array[20::real], array[null::timestamptz], array[null::timestamptz], array[nullif($4, '')], array[null], array[null],
		array[null::float8], array[null::float8], array[null::bytea], array[$5::jsonb])`, seq, kind, at, badge, more)
}

// settle loads everything for one person, and two days of taps: on Monday late by five
// minutes, on Tuesday absent.
func (o *office) settle(name string) {
	o.t.Helper()
	o.must("load", "offices", o.file("offices.csv", "id;dinas;place;zone", "dinkes-01;dinkes;Lantai 1;Asia/Jakarta"))
	o.must("load", "persons", o.file("persons.csv", "nip,name,dinas,office", `198001012005011001,"`+name+`",dinkes,dinkes-01`))
	o.must("load", "badges", o.file("badges.csv", "gateway,badge,uid,nip", "dinkes-01,"+card+",04A1B2C3D4E5F6,198001012005011001"))
	o.must("load", "tags", o.file("tags.csv", "tag,nip", "reyax:50,198001012005011001"))
	o.must("load", "rules", o.file("rules.csv", "kind;from_s;percent", "late;31;0,5", "late;1801;1", "early;31;0,5", "absent;0;3"))
	o.must("load-hours", "--since", "2023-01-01", o.file("hours.json", `{"mon":"07:30-16:00","tue":"07:30-16:00","wed":"07:30-16:00"}`))
	o.event(1, "start", "2024-03-01T04:00:00+07:00", "", `{"previous":null}`)
	o.tap(2, "2024-03-04T07:35:00.400+07:00")
	o.tap(3, "2024-03-04T16:02:00.400+07:00")
	o.event(4, "tag", "2024-04-01T04:00:00+07:00", "", `{}`)
}

// TestTheRecapOfAMonth: what Excel reads under Indonesian settings, and that a name is no
// formula and a personnel number keeps all its digits.
func TestTheRecapOfAMonth(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.settle("=HYPERLINK(1;2)")
	out := o.must("month", "2024-03")
	want := "\ufeffmonth;dinas;nip;name;days;ok;late;late_s;early;early_s;absent;cuti;dinas_luar;sakit;wfa;checks;contradiction_min;percent;check_percent;check_percent_worst;why\r\n" +
		"01/03/2024;dinkes;'198001012005011001;\"'=HYPERLINK(1;2)\";12;0;1;300;0;0;11;0;0;0;0;0;0;33,5;0;0;\r\n"
	if out != want {
		t.Errorf("the recap is\n%q, want\n%q", out, want)
	}
	out = o.must("days", "04/03/2024", "2024-03-05", "--nip", "198001012005011001")
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(out, "\ufeff")))
	r.Comma = ';'
	rows, err := r.ReadAll()
	if err != nil || len(rows) != 3 {
		t.Fatal(err, out)
	}
	for column, want := range map[string]string{"day": "04/03/2024", "first_at": "04/03/2024 07:35:00", "first_quality": "synced", "first_error_ms": "20", "first_gateway": "dinkes-01", "late_s": "300", "percent": "0,5", "verdict": "late", "last_at": "04/03/2024 16:02:00"} {
		if got := rows[1][slices.Index(rows[0], column)]; got != want {
			t.Errorf("%s is %q, want %q", column, got, want)
		}
	}
	for _, args := range [][]string{{"check", "2024-03-01", "2024-03-31"}, {"undated", "2024-03-01", "2024-03-31"}, {"unknown", "2024-03-01", "2024-03-31"}} {
		if out := o.must(args...); strings.Count(out, "\n") != 1 {
			t.Errorf("%v prints %q", args, out)
		}
	}
	out = o.must("report", "2024-03-04")
	for _, want := range []string{"Attendance on 04/03/2024", "1 people, 1 came, 1 of them late, 0 to be checked", "came 07:35:00 (synced, within 20.0 ms), 300 s late", "0 holes: every event"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// TestNamesAreReadOnlyWhereItIsWrittenDown: no table of the schema can be read, and each
// function that tells names says who asked, also where the transaction is rolled back.
func TestNamesAreReadOnlyWhereItIsWrittenDown(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.settle("Sari")
	sari := o.connect(o.sari)
	rows, err := o.owner.Query(t.Context(), `select relname::text from pg_class where relnamespace = 'people'::regnamespace and relkind in ('r', 'v', 'm', 'p')`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 10 {
		t.Fatal(err, tables)
	}
	for _, table := range tables {
		if _, err := sari.Exec(t.Context(), "select * from people."+table); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("Sari reads people.%s: %v", table, err)
		}
	}
	reads := []string{
		"select * from people.read_days('2024-03-04', '2024-03-04')", "select * from people.read_disputes('2024-03-04', '2024-03-04')",
		"select * from people.read_undated('2024-03-04', '2024-03-04')", "select * from people.read_taps('198001012005011001', '2024-03-04', '2024-03-04')",
		"select * from people.read_recap('2024-03-01')", "select * from people.report_today('2024-03-04')",
	}
	for _, sql := range reads {
		before := o.number("select count(*) from people.access where who = 'sari'")
		if _, err := sari.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		if after := o.number("select count(*) from people.access where who = 'sari'"); after != before+1 {
			t.Errorf("%s is written down %d times", sql, after-before)
		}
	}
	// Whatever else Sari may call tells no names.
	rows, err = o.owner.Query(t.Context(), `select proname::text from pg_proc where pronamespace = 'people'::regnamespace and has_function_privilege('sari', oid, 'execute')
		and proname !~ '^load_' and not exists (select from pg_depend d where d.objid = pg_proc.oid and d.deptype = 'e') order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	callable, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if want := "read_days read_disputes read_recap read_taps read_undated report_today unknown_badges"; err != nil || strings.Join(callable, " ") != want {
		t.Errorf("Sari may call %v, want %s (%v)", callable, want, err)
	}
	if _, err := sari.Exec(t.Context(), "begin; select * from people.read_taps('198001012005011001', '2024-03-11', '2024-03-11'); rollback"); err != nil {
		t.Error(err)
	}
	// What the server writes comes over a pipe, some time after its answer.
	const written = "names read: taps by sari, department all, person 198001012005011001, 2024-03-11 to 2024-03-11"
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(o.server.Log(), written); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what was rolled back is not in the server's log")
		}
	}
	o.execute("create role ana login in role presence_analyst")
	analyst := o.connect(strings.Replace(o.sari, "user=sari", "user=ana", 1))
	if _, err := analyst.Exec(t.Context(), "select count(*) from presence.latest"); err != nil {
		t.Error(err)
	}
	for _, sql := range append(reads, "select * from people.person") {
		if _, err := analyst.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("the analyst asks %s: %v", sql, err)
		}
	}
}

// TestErasingAPerson: nothing of the person stays, and no hole comes of it.
func TestErasingAPerson(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.settle("Sari")
	o.must("month", "2024-03")
	o.must("days", "2024-03-04", "2024-03-04", "--nip", "198001012005011001")
	if code, _, errs := o.run("erase", "198001012005011001", "--why", "on request"); code != exitFailed || !strings.Contains(errs, "permission denied") {
		t.Errorf("Sari erases a person: %d %s", code, errs)
	}
	o.sari = strings.Replace(o.sari, "user=sari", "user=postgres", 1)
	if out := o.must("erase", "198001012005011001", "--why", "on request"); out != "erased: the person, and 2 events\n" {
		t.Errorf("erase says %q", out)
	}
	for _, sql := range []string{
		"select count(*) from people.person", "select count(*) from people.badge", "select count(*) from people.tag", "select count(*) from presence.hole",
		"select count(*) from presence.event where badge is not null", "select count(*) from people.access where nip = '198001012005011001'",
	} {
		if n := o.number(sql); n != 0 {
			t.Errorf("%s: %d", sql, n)
		}
	}
	if n := o.number("select count(*) from people.access where what = 'erase' and why = 'on request'"); n != 1 {
		t.Errorf("the erasure is written down %d times", n)
	}
	if code, _, errs := o.run("erase", "198001012005011001", "--why", "again"); code != exitFailed || !strings.Contains(errs, "nobody has the personnel number") {
		t.Errorf("erased again: %d %s", code, errs)
	}
}

// TestFilesAreLoadedWholeOrNotAtAll: each wrong line is named, and a file that is loaded
// again changes nothing.
func TestFilesAreLoadedWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.settle("Sari")
	const other = "h:ffffffffffffffffffffffffffffffff"
	for _, tc := range []struct {
		kind  string
		lines []string
		want  []string // what is said of the lines 2, 3, ...; "" nothing
	}{
		{"offices", []string{"id,dinas,zone", "x-1,dinkes,Asia/Malang", "X,dinkes,", "x-2,dinkes,Asia/Makassar"}, []string{"is no time zone", "id is missing or none of a-z", ""}},
		{"persons", []string{"nip;name;dinas;office;joined_on;left_on", "1;A;dinkes;nowhere;;", "2;;dinkes;;;", "3;C;dinkes;;31/12/2024;2024-01-01", "4;D;dinkes;;32/01/2024;", "5;E;dinkes;;;", "5;E;dinkes;;;"}, []string{"office nowhere is no gateway", "name is missing", "left_on is before joined_on", "joined_on is no date", "5 is there twice", "5 is there twice"}},
		{"badges", []string{
			"gateway,badge,nip,from,to", "nowhere," + other + ",198001012005011001,,", "dinkes-01,04a1,198001012005011001,,", "dinkes-01," + other + ",77,2030-01-01,",
			"dinkes-01," + other + ",198001012005011001,2024-05-01,2024-04-01", "dinkes-01," + other + ",198001012005011001,2024-01-01,2024-01-02T10:00:00+07:00", "dinkes-01," + other + ",198001012005011001,2024-01-02,yesterday",
		}, []string{"gateway nowhere is not in the list", "no identity of a card", "nobody has the nip 77", "to is not after from", "", "to is no instant"}},
		{"tags", []string{"tag,nip", "phone:1,198001012005011001", "reyax:51,", "reyax:52,198001012005011001", "reyax:52,198001012005011001"}, []string{"no tag's name", "nobody has the nip (missing)", "another line gives this tag", "another line gives this tag"}},
		{"notes", []string{
			"nip,day,kind,at,by,why", "198001012005011001,2024-03-05,holiday,,Sari,x", "198001012005011001,2024-03-05,manual-in,,Sari,x", "198001012005011001,2024-03-05,cuti,07:00,Sari,x", "198001012005011001,,cuti,,Sari,x", "198001012005011001,2024-03-05,cuti,,,x", "198001012005011001,2024-03-05,sakit,,Sari,x",
		}, []string{"kind is none of", "at is a time of day", "at is a time of day", "day is missing", "by is missing", ""}},
		{"rules", []string{"kind,from_s,percent,from,to", "late,31,0.7,,", "late,0,1,,", "late,x,1,,", "absent,0,much,,", "early,61,1,2024-02-01,2024-01-01"}, []string{"", "from_s is a number", "from_s is a number", "percent is missing or no number", "to is before from"}},
		{"outages", []string{"gateway,from,to,why,by", "dinkes-01,2024-03-05,2024-03-04,deaf,Sari", "x,2024-03-04,2024-03-05,deaf,Sari", "dinkes-01,2024-03-04,2024-03-05,deaf,"}, []string{"to is not after from", "gateway x is not in the list", "by is missing"}},
	} {
		file := o.file(tc.kind+"-wrong.csv", tc.lines...)
		code, out, errs := o.run("load", tc.kind, file)
		if code != exitFailed || out != "" {
			t.Errorf("%s: exit %d, %s", tc.kind, code, out)
		}
		for i, want := range tc.want {
			at := strings.Index(errs, file+": line "+strconv.Itoa(i+2)+": ")
			if said, _, _ := strings.Cut(errs[max(at, 0):], "\n"); (at >= 0) != (want != "") || !strings.Contains(said, want) {
				t.Errorf("%s: of line %d it says %q, want %q", tc.kind, i+2, said, want)
			}
		}
	}
	if n := o.number("select (select count(*) from people.person) + (select count(*) from people.badge) + (select count(*) from people.note) + (select count(*) from people.staging)"); n != 2 {
		t.Errorf("of files with mistakes something was loaded: %d rows, want 2", n)
	}
	for kind, file := range map[string]string{"persons": "persons.csv", "badges": "badges.csv", "tags": "tags.csv", "rules": "rules.csv", "offices": "offices.csv"} {
		if out := o.must("load", kind, filepath.Join(o.dir, file)); !strings.Contains(out, "0 new or changed") {
			t.Errorf("%s again: %s", kind, out)
		}
	}
}

// TestABadgeMayBeAGUID: where a gateway sends card numbers as they are, a badge that has
// proven itself comes as its GUID.
func TestABadgeMayBeAGUID(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.settle("Sari")
	guid := o.file("guid.csv", "gateway,badge,nip", "dinkes-01,F43BF29A781685788E8A232FE1E514FC,198001012005011001")
	if out := o.must("load", "badges", guid); !strings.Contains(out, "1 new or changed") {
		t.Errorf("a GUID: %s", out)
	}
	if code, _, errs := o.run("load", "badges", o.file("short.csv", "gateway,badge,nip", "dinkes-01,F43BF29A781685788E8A232FE1E514,198001012005011001")); code != exitFailed || !strings.Contains(errs, "no identity of a card") {
		t.Errorf("30 digits: %d %s", code, errs)
	}
}

// TestABadgeIsReplaced: it ends for the one with a line that has its end, and only then
// it is another one's.
func TestABadgeIsReplaced(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.settle("Sari")
	o.must("load", "persons", o.file("more.csv", "nip,name,dinas,office", "2,Budi,dinkes,dinkes-01"))
	next := o.file("next.csv", "gateway,badge,nip,from", "dinkes-01,"+card+",2,05/03/2024")
	if code, _, errs := o.run("load", "badges", next); code != exitFailed || !strings.Contains(errs, "the badge is 198001012005011001's at that time") {
		t.Errorf("a badge of two people: %d %s", code, errs)
	}
	both := o.file("both.csv", "gateway,badge,nip,from,to", "dinkes-01,"+card+",198001012005011001,,05/03/2024", "dinkes-01,"+card+",2,05/03/2024,")
	if out := o.must("load", "badges", both); !strings.Contains(out, "2 new or changed") {
		t.Errorf("replaced: %s", out)
	}
	o.tap(5, "2024-03-05T07:20:00+07:00")
	out := o.must("days", "2024-03-04", "2024-03-05")
	for _, want := range []string{"04/03/2024;dinkes;'198001012005011001;Sari;04/03/2024 07:30:00;04/03/2024 16:00:00;04/03/2024 07:35:00", "05/03/2024;dinkes;'2;Budi;05/03/2024 07:30:00;05/03/2024 16:00:00;05/03/2024 07:20:00"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// TestMockedReadersDoNotCount, unless somebody says that they do.
func TestMockedReadersDoNotCount(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.settle("Sari")
	o.event(5, "badge", "2024-03-05T07:20:00+07:00", card, `{"reader":"door","simulated":true}`)
	o.event(6, "tag", "2024-04-01T04:00:00+07:00", "", `{}`)
	for _, want := range []string{";absent;", ";early;"} {
		if out := o.must("days", "2024-03-05", "2024-03-05"); !strings.Contains(out, want) {
			t.Errorf("%q is not in %q", want, out)
		}
		o.execute("update people.setting set simulated = true")
	}
}

// TestWrongUsage: what cannot be meant is refused with exit status 2, before anybody is
// asked.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"month", "March"}, {"days", "2024-03-05", "2024-03-04"}, {"days", "x", "2024-03-04"}, {"load", "things", "main.go"}, {"load", "notes", "not-there.csv"}, {"report", "x"}, {}, {"load-hours", "--since", "2024-01-01", "--gateway", "x", "main.go"}} {
		var out, errs bytes.Buffer
		if code := command(t.Context(), args, &out, &errs); code != exitUsage || errs.Len() == 0 {
			t.Errorf("%v: exit %d, %s", args, code, errs.String())
		}
	}
}

// TestNoCellIsAFormula: nor a number that Excel would shorten.
func TestNoCellIsAFormula(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-2+3": "'-2+3", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "198001012005011001": "'198001012005011001", "1E5": "'1E5",
		"Sari": "Sari", "": "", "h:00ff": "h:00ff", "restart, silent": "restart, silent",
	} {
		if got := harmless(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
