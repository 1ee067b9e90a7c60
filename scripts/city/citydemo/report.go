package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
)

// question is something that a city asks its database.
type question struct {
	about string
	sql   string // its rows have one column of text
	args  []any
}

// questions are what the report prints beside people.report_today.
func (t *town) questions() []question {
	day := t.opens.Format("2006-01-02")
	return []question{
		{"The morning, as the personnel office reads it", "select line from people.report_today($1::date)", []any{day}},
		{
			"Times at which a door was closed to everybody: they excuse who was late",
			`select format('%s  from %s to %s: %s', gateway, to_char(lo at time zone $2, 'HH24:MI:SS'), to_char(hi at time zone $2, 'HH24:MI:SS'), reason)
			from people.outages($1::date, $1::date) where reason not in ('no-record', 'silent') order by gateway, lo`,
			[]any{day, t.zone.String()},
		},
		{
			"Badges that were shown while the person's tag was far away: somebody should ask",
			`select format('%s  %s: badge shown at %s, tag %s m away', p.name, l.gateway,
				to_char(l.at at time zone $1, 'HH24:MI:SS'), round((l.more->'tag_check'->>'distance_m')::numeric))
			from presence.latest l join people.badge b on (b.gateway, b.badge) = (l.gateway, l.badge) join people.person p using (nip)
			where l.kind = 'badge' and l.more->'tag_check'->>'state' = 'far' order by l.at`,
			[]any{t.zone.String()},
		},
		{
			"Is anything missing? Gateways, their events, and numbers that never came",
			`select format('%s  %s gateways, %s events, %s missing, %s lost', s.dinas, count(distinct s.gateway),
				sum((select count(*) from presence.event e where e.stream = s.stream)),
				coalesce((select sum(h.n) from presence.hole h where h.dinas = s.dinas), 0),
				coalesce((select sum(l.n) from presence.loss l where l.dinas = s.dinas), 0))
			from presence.stream s where s.begun group by s.dinas order by s.dinas`,
			nil,
		},
	}
}

// width is how many characters of a line are printed at most.
const width = 80

// report prints the answers to all questions.
func (t *town) report(ctx context.Context, conn *pgx.Conn, out io.Writer) error {
	for _, q := range t.questions() {
		rows, err := conn.Query(ctx, q.sql, q.args...)
		if err != nil {
			return fmt.Errorf("%s: %w", q.about, err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("%s: %w", q.about, err)
		}
		fmt.Fprintf(out, "\n%s\n", q.about)
		for _, line := range lines {
			fmt.Fprintln(out, fold("  "+strings.TrimSpace(line)))
		}
		if len(lines) == 0 {
			fmt.Fprintln(out, "  none")
		}
	}
	return nil
}

// fold breaks a line where it is too long, between words.
func fold(line string) string {
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	var folded strings.Builder
	column := 0
	for word := range strings.SplitSeq(line[len(indent):], " ") {
		switch {
		case column == 0:
			folded.WriteString(indent)
			column = len(indent)
		case column+1+len(word) > width:
			folded.WriteString("\n" + indent + "    ")
			column = len(indent) + 4
		default:
			folded.WriteByte(' ')
			column++
		}
		folded.WriteString(word)
		column += len(word)
	}
	return folded.String()
}

// proof is what the database holds, against what the gateways recorded.
type proof struct{ events, rows, missing, doubled, taps, tapsMissing int64 }

func (p proof) whole() bool {
	return p.missing == 0 && p.doubled == 0 && p.tapsMissing == 0 && p.rows == p.events && p.taps > 0
}

// prove looks for every event, and for every tap for which a lamp was green.
func (t *town) prove(ctx context.Context, conn *pgx.Conn, events int64) (proof, error) {
	p := proof{events: events}
	err := conn.QueryRow(ctx, `select count(*), count(*) - count(distinct (stream, seq)), (select coalesce(sum(n), 0)::bigint from presence.hole)
		from presence.event`).Scan(&p.rows, &p.doubled, &p.missing)
	if err != nil {
		return p, err
	}
	var green []string
	for _, o := range t.offices {
		for _, person := range o.people {
			if person.came != "" {
				green = append(green, person.came)
			}
		}
	}
	p.taps = int64(len(green))
	err = conn.QueryRow(ctx, `select count(*) from unnest($1::text[]) id
		where not exists (select from presence.event e where e.stream || '-' || e.seq = id and e.kind = 'badge')`, green).Scan(&p.tapsMissing)
	return p, err
}
