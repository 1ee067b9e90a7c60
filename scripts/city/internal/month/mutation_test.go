package month_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"presence/scripts/city/internal/month"
)

// mutations are ways to break the queries, each such that somebody would be treated
// unjustly.
func mutations() []struct{ name, function, old, new string } {
	return []struct{ name, function, old, new string }{
		{"an error of the clock is passed over", "people.earliest", "coalesce(error_ms, 0)", "0"},
		{"the error is halved", "people.latest", "coalesce(error_ms, 0)", "coalesce(error_ms, 0) / 2"},
		{"a rule begins a second early", "people.days", "width_bucket(j.late_b, j.late_s)", "width_bucket(j.late_b + 1, j.late_s)"},
		{"seconds are rounded", "people.seconds", "floor(", "round("},
		{"the day is cut in UTC", "people.taps", "at time zone o.zone", "at time zone 'UTC'"},
		{"one zone for all", "people.taps", "at time zone o.zone", "at time zone 'Asia/Jakarta'"},
		{"a tap without a time is none", "people.taps", "where l.kind = 'badge'", "where l.at is not null and l.kind = 'badge'"},
		{"a doubted tap is certain", "people.days", "t.mine and t.doubt is null and", "t.mine and"},
		{"a badge is whose it is now", "people.taps", "and b.during && tstzrange(x.lo, x.hi, '[]')", "and upper_inf(b.during)"},
		{"a badge is somebody's who had it perhaps", "people.taps", "b.during @> tstzrange(x.lo, x.hi, '[]')", "true"},
		{"a tap of two days is of the first", "people.days", "from tap t where t.a = t.b", "from tap t where true"},
		{"a tap at one office only", "people.taps", "where l.kind = 'badge'", "where l.gateway = (select office from people.person q where q.nip = b.nip) and l.kind = 'badge'"},
		{"restarts excuse nobody", "people.outages", "where before is null or before < first_hi", "where before is null"},
		{"days before the record begins are absences", "people.outages", "where before is null or before < first_hi", "where before < first_hi"},
		{"silence is absence", "people.outages", "select dinas, gateway, 'silent', max(last_lo), 'infinity' from runs group by 1, 2", "select dinas, gateway, 'silent', max(last_lo), 'infinity' from runs where false group by 1, 2"},
		{"an office without any event is empty", "people.outages", "where not exists (select from runs r where (r.dinas, r.gateway) = (o.dinas, o.gateway))", "where false"},
		{"holes excuse nobody", "people.outages", "from presence.hole h", "from (select * from presence.hole where false) h"},
		{"gaps excuse nobody", "people.outages", "where l.kind = 'gap'", "where false and l.kind = 'gap'"},
		{"lost tags excuse everybody", "people.outages", "(coalesce(l.more->'kinds', '{}') = '{}' or l.more->'kinds' ? 'badge')", "true"},
		{"what was forgotten and is here excuses", "people.outages", "not (l.more->>'reason' in ('forgotten', 'journal-rolled-back', 'journal-forked') and coalesce(r.here, false))", "true"},
		{"what was rolled back and is here excuses", "people.outages", "in ('forgotten', 'journal-rolled-back', 'journal-forked')", "in ('forgotten')"},
		{"what the sheet says excuses nobody", "people.outages", "from people.outage x", "from (select * from people.outage where false) x"},
		{"an outage at any time of the day excuses", "people.days", "greatest(h.lo, d.opens - setting.counts_before)", "d.opens - setting.counts_before"},
		{"outages at the second office excuse nobody", "people.days", "union select o.nip, o.gateway from people.post o where o.nip in (select p.nip from persons p)", ""},
		{"outages excuse nobody without an office", "people.days", "where p.office = '' and not exists", "where false and not exists"},
		{"the last tap is as late as the first", "people.days", "max(p.lo) filter (where p.sure) as last_lo", "min(p.lo) filter (where p.sure) as last_lo"},
		{"the worse end counts", "people.days", "coalesce(d.came, least(d.first_lo, m.lo), d.left) as in_best", "coalesce(d.came, d.first_hi, d.left) as in_best"},
		{"notes are not read", "people.days", "where n.day between first_day and last_day", "where false"},
		{"what is entered by hand is a tap like others", "people.days", "coalesce(d.came, d.first_hi, d.left) as in_worst", "coalesce(d.first_hi, d.came, d.left) as in_worst"},
		{"Ramadan is like other months", "people.spans_of", "where day between (p->>'from')::date and (p->>'to')::date", "where false"},
		{"a holiday is a working day", "people.spans_of", "? day::text", "? ''"},
		{"breaks are working hours", "people.spans_of", "- tsmultirange(people.span(day,", "- tsmultirange(people.span(day, null)) - tsmultirange(people.span(null,"},
		{"the oldest hours count", "people.hours_of", "h.since desc", "h.since"},
		{"a gateway's own hours are those of the department", "people.hours_of", "h.gateway = '' or h.gateway = $2", "h.gateway = ''"},
		{"who has left goes on", "people.days", "w.day between p.joined_on and p.left_on", "true"},
		{"a contradiction lasts until the evening", "people.contradictions", "coalesce(n.lo, k.lo)", "k.lo"},
		{"a contradiction decides nothing and is not shown", "people.days", "or t.accused > 0", ""},
		{"the first revision counts", "presence.latest", "AND c.newest", "AND false"},
	}
}

// breakQueries breaks the queries on purpose, one after the other, and expects each time
// that they are not what the simulation expects any more.
func breakQueries(t *testing.T, conn *pgx.Conn, c *month.City, want truth) {
	for _, m := range mutations() {
		var text string
		source := "select pg_get_functiondef($1::regproc)"
		if m.function == "presence.latest" {
			source = "select 'create or replace view presence.latest as ' || pg_get_viewdef($1::regclass)"
		}
		if err := conn.QueryRow(t.Context(), source, m.function).Scan(&text); err != nil {
			t.Fatal(err)
		}
		broken := strings.ReplaceAll(text, m.old, m.new)
		if broken == text {
			t.Errorf("%s: %q is not in %s", m.name, m.old, m.function)
			continue
		}
		execute(t, conn, "begin")
		execute(t, conn, broken)
		if wrong := want.against(days(t, conn, c, nil, nil)); len(wrong) == 0 {
			t.Errorf("nobody notices when %s", m.name)
		} else {
			t.Logf("%s: %d days, such as %s", m.name, len(wrong), wrong[0])
		}
		execute(t, conn, "rollback")
	}
}
