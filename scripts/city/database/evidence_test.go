package database_test

import (
	"crypto/elliptic"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	decoded "presence/scripts/city/internal/event"
	"presence/scripts/city/internal/evidence"
	"presence/scripts/city/internal/pivbadge"
	"presence/scripts/city/internal/pivbadge/pivbadgetest"
)

// What a badge has proven goes through the recorder's decoder and the database, and is
// proven still.
func TestEvidenceSurvivesInTheDatabase(t *testing.T) {
	t.Parallel()
	c := newSchema(t)
	owner := c.fresh(t)
	authority := pivbadgetest.NewAuthority(t, "Kota Malang")
	badge := authority.Badge(uuid.New(), elliptic.P256(), nil)
	file := filepath.Join(t.TempDir(), "badge-ca.pem")
	if err := os.WriteFile(file, authority.PEM(badge), 0o600); err != nil {
		t.Fatal(err)
	}
	decoder, err := decoded.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	var events []event
	for _, line := range []string{
		badge.Tap(t, 1, 5_000, nil),
		badge.Tap(t, 2, 6_000, pivbadgetest.Fields{"time_quality": "unsynced", "time": nil, "time_error_ms": nil}),
		badge.Tap(t, 3, 7_000, pivbadgetest.Fields{"time_quality": "bounded", "time_min": "2026-11-20T00:00:00.000+07:00", "time_max": "2026-11-23T00:00:00.000+07:00"}),
		badge.Tap(t, 4, 8_000, pivbadgetest.Fields{"assurance": "uid", "proof": nil}),
		badge.Tap(t, 5, 9_000, pivbadgetest.Fields{"boot_ms": 9_001}), // forged
	} {
		got, refused := decoder.Decode(decoded.Message{Topic: "presence/v1/dinkes/dinkes-01/event/badge", Payload: []byte(line)})
		if len(got) != 1 || len(refused) != 0 {
			t.Fatalf("decoded %v, refused %v", got, refused)
		}
		e := got[0]
		row := event{
			dinas: e.Dinas, gateway: e.Gateway, stream: e.Stream.String(), seq: e.Seq, rev: e.Rev, kind: e.Kind,
			quality: e.Quality, badge: to(e.Badge.V), more: to(string(e.More)),
		}
		if e.At.Valid {
			row.at, row.errorMS = to(e.At.V), to(e.ErrorMS.V)
		}
		if e.AtMin.Valid {
			row.min, row.max = to(e.AtMin.V), to(e.AtMax.V)
		}
		events = append(events, row)
	}
	store(t, owner, events...)

	analyst := c.as(t, owner, "presence_analyst")
	checked := func(question string) evidence.Counts {
		t.Helper()
		a, err := pivbadge.ReadAuthority(file)
		if err != nil {
			t.Fatal(err)
		}
		checker := evidence.NewChecker(a, nil, nil)
		rows, err := analyst.Query(t.Context(), question)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			t.Log(checker.Check([]byte(line)))
		}
		return checker.Counts
	}
	want := evidence.Counts{Events: 5, Hold: 3, Undecided: 1, Failed: 1, Plain: 1}
	if got := checked("select event::text from presence.evidence order by seq"); got != want {
		t.Errorf("of presence.evidence: %+v, want %+v", got, want)
	}
	if got := checked("select row_to_json(l)::text from presence.latest l order by seq"); got != want {
		t.Errorf("of rows of presence.latest: %+v, want %+v", got, want)
	}
	same(t, owner, "select seq, assurance from presence.evidence order by 1",
		"(1,authenticated-piv)", "(2,authenticated-piv)", "(3,authenticated-piv)", "(4,uid)", "(5,authenticated-piv)")
}
