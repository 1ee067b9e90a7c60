package store_test

import (
	"testing"
	"time"

	"presence/scripts/city/internal/store"
	"presence/scripts/postgrestest"
)

// The recorder makes days ahead, and drops those that the database's owner does not want
// kept; that takes no more rights than its role has.
func TestMakeDaysDropsOldOnes(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	owner := &store.Config{Connection: server.Create("city")}
	if _, _, err := owner.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn := postgrestest.Connect(t, owner.Connection)
	old, kept := time.Now().AddDate(0, 0, -12), time.Now().AddDate(0, 0, -8)
	for _, at := range []time.Time{old, kept} {
		if _, err := conn.Exec(t.Context(), `insert into presence.event (received, seq, stream, rev, kind, quality)
			values ($1, 1, gen_random_uuid(), 0, 'tag', 'synced')`, at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), `update presence.retention set event_days = 10;
		create role recorder login in role presence_recorder`); err != nil {
		t.Fatal(err)
	}
	recorder := &store.Config{Connection: server.Connection("recorder", "city")}
	if err := recorder.MakeDays(t.Context()); err != nil {
		t.Fatal(err)
	}
	var rows, today int
	if err := conn.QueryRow(t.Context(), `select (select count(*) from presence.event), (select count(*) from pg_class where relname = 'event_' || to_char(now() at time zone 'UTC', 'YYYYMMDD'))`).Scan(&rows, &today); err != nil {
		t.Fatal(err)
	}
	if rows != 1 || today != 1 {
		t.Fatalf("%d events are left, want the one of 8 days ago; %d partitions of today", rows, today)
	}
}
