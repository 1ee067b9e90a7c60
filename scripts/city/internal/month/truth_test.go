package month_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"presence/scripts/city/internal/month"
	"presence/scripts/skiptest"
)

// row is a row of people.days.
type row struct {
	NIP     string
	Day     time.Time
	Verdict string
	Why     []string
	Late    int // the first second of the rule that applies; 0: none
	Early   int
	Percent float64
	Minutes int
}

// days asks the database for all days, or for those of a department or a person.
func days(t testing.TB, conn *pgx.Conn, c *month.City, dinas, nip *string) map[string]row {
	t.Helper()
	rows, err := conn.Query(t.Context(), `select nip, day, verdict, why, late_rule, early_rule, percent::float8, contradiction_min from people.days($1, $2, $3, $4)`, c.First, c.Last, dinas, nip)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]row)
	for _, r := range list {
		all[key(r.NIP, r.Day)] = r
	}
	return all
}

func key(nip string, d time.Time) string { return nip + " " + d.Format(time.DateOnly) }

// expected is what the simulation knows of a person's day.
type expected struct {
	p        *month.Person
	d        time.Time
	evidence month.Verdict
	actual   month.Verdict
}

// truth is the whole month.
type truth []expected

func compared(c *month.City, dayStarts time.Duration) (all truth) {
	evidence := c.Evidence(dayStarts)
	for _, p := range c.People {
		for _, d := range c.Days() {
			if p.Hours(d).Works() && p.Employed(d) {
				all = append(all, expected{p, d, evidence.Truth(p, d), c.Actual(p, d, dayStarts)})
			}
		}
	}
	return all
}

// verdicts counts them.
func (all truth) verdicts() map[string]int {
	n := make(map[string]int)
	for _, e := range all {
		n[e.evidence.Name]++
	}
	return n
}

// against says of which days the database and the simulation say different things.
func (all truth) against(got map[string]row) (wrong []string) {
	for _, e := range all {
		if problem := e.against(got[key(e.p.NIP, e.d)]); problem != "" {
			wrong = append(wrong, fmt.Sprintf("%s at %s on %s: %s", e.p.NIP, e.p.Office.ID, e.d.Format("Mon 02"), problem))
		}
	}
	if len(all) != len(got) {
		wrong = append(wrong, fmt.Sprintf("%d rows, want %d", len(got), len(all)))
	}
	return wrong
}

func (e expected) against(r row) string {
	want, minutes := e.evidence, e.p.Contradiction(e.d)
	switch {
	case r.Verdict != want.Name:
		return fmt.Sprintf("%q %v, the evidence says %s", r.Verdict, r.Why, want.Name)
	case want.Name == "check" && len(r.Why) == 0:
		return "to be checked, and nothing says why"
	case want.Name != "check" && (r.Percent != want.Percent || len(r.Why) > 0):
		return fmt.Sprintf("%s of %g %% %v, want %g", r.Verdict, r.Percent, r.Why, want.Percent)
	case want.Name != "check" && !e.p.Decided(e.d) && (e.actual.Name != want.Name || e.actual.Percent != want.Percent):
		return fmt.Sprintf("decided as %s of %g %%, but truly it was %s of %g", want.Name, want.Percent, e.actual.Name, e.actual.Percent)
	case !e.p.Decided(e.d) && r.Minutes != minutes:
		return fmt.Sprintf("%d minutes of contradiction, want %d", r.Minutes, minutes)
	}
	return ""
}

// TestAMonthOfFiftyOffices: what the database says of each person and day is what a judge
// says who tries each way in which it can have been, and never something that it was not.
// And where the queries are broken on purpose, this test notices it.
func TestAMonthOfFiftyOffices(t *testing.T) {
	skiptest.Computation(t)
	t.Parallel()
	c := month.New(1, 50, 6)
	conn := loaded(t, c)
	var want truth
	for _, dayStarts := range []time.Duration{3 * time.Hour, 0} {
		execute(t, conn, "update people.setting set day_starts = $1", dayStarts)
		want = compared(c, dayStarts)
		t.Logf("days that begin at %v: %v", dayStarts, want.verdicts())
		wrong := want.against(days(t, conn, c, nil, nil))
		for i, w := range wrong {
			if i == 20 {
				t.Errorf("and %d more", len(wrong)-i)
				break
			}
			t.Error(w)
		}
	}
	if t.Failed() {
		return
	}
	t.Run("reasons", func(t *testing.T) { checkReasons(t, c, days(t, conn, c, nil, nil)) })
	t.Run("of some", func(t *testing.T) { askSome(t, conn, c) })
	t.Run("broken", func(t *testing.T) { breakQueries(t, conn, c, want) })
}

// checkReasons: each reason comes up, and where a gateway failed at an hour that decides, the
// failure is the reason that is given. What failed where and when, month.City says.
func checkReasons(t *testing.T, c *month.City, got map[string]row) {
	t.Helper()
	counts := make(map[string]int)
	for _, r := range got {
		for _, why := range r.Why {
			counts[why]++
		}
	}
	t.Log(counts)
	for _, why := range []string{
		"time-error", "bounded", "unsynced", "day-boundary", "corrected-later", "swapped-badge", "tag-far", "tag-conflict", "contradiction", "restart", "crash", "silent",
		"no-record", "hole", "gap-write-failed", "gap-journal-damaged", "gap-forgotten", "reported",
	} {
		if counts[why] == 0 {
			t.Errorf("no day is to be checked because of %s", why)
		}
		delete(counts, why)
	}
	if len(counts) > 0 {
		t.Errorf("reasons that nobody knows: %v", counts)
	}
	for _, tc := range []struct {
		office, day int // of thirteen offices
		why         string
	}{
		{0, 6, "crash"},
		{1, 7, "crash"},
		{3, 7, "gap-write-failed"},
		{5, 14, "gap-journal-damaged"},
		{6, 14, "hole"},
		{7, 26, "silent"},
		{8, 19, "gap-forgotten"},
		{9, 21, "hole"},
		{10, 21, "reported"},
		{11, 4, "no-record"},
	} {
		found := 0
		for _, p := range c.People {
			r := got[key(p.NIP, time.Date(2024, time.March, tc.day, 0, 0, 0, 0, time.UTC))]
			if i := slices.Index(c.Offices, p.Office); i%13 != tc.office || i == len(c.Offices)-1 || r.Verdict != "check" {
				continue
			}
			if slices.Contains(r.Why, tc.why) {
				found++
			}
		}
		if found == 0 {
			t.Errorf("nobody of office %d is to be checked on the %dth because of %s", tc.office, tc.day, tc.why)
		}
	}
}

// askSome: who asks about a department or a person is told the same as who asks about all.
func askSome(t *testing.T, conn *pgx.Conn, c *month.City) {
	t.Helper()
	all := days(t, conn, c, nil, nil)
	n := 0
	compare := func(some map[string]row) {
		t.Helper()
		for at, r := range some {
			if fmt.Sprint(r) != fmt.Sprint(all[at]) {
				t.Errorf("%v, want %v", r, all[at])
			}
		}
		n += len(some)
	}
	departments := make(map[string]bool)
	for _, o := range c.Offices {
		departments[o.Dinas] = true
	}
	for dinas := range departments {
		compare(days(t, conn, c, &dinas, nil))
	}
	if n != len(all) {
		t.Errorf("the departments have %d days, all of them %d", n, len(all))
	}
	for i := 0; i < len(c.People); i += 11 {
		compare(days(t, conn, c, nil, &c.People[i].NIP))
	}
}
