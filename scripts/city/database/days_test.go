package database_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"presence/scripts/postgrestest"
)

// days is the partitions of presence.event, as days from today in UTC, with their bounds.
const days = `select to_date(right(c.relname, 8), 'YYYYMMDD') - (now() at time zone 'UTC')::date as d, pg_get_expr(c.relpartbound, c.oid) as bounds
	from pg_inherits i join pg_class c on c.oid = i.inhrelid
	where i.inhparent = 'presence.event'::regclass and c.relname <> 'event_default' order by 1`

// bounds is what days says of a day.
func bounds(day int) string {
	from := time.Now().UTC().AddDate(0, 0, day)
	return fmt.Sprintf(`(%d,"FOR VALUES FROM ('%s 00:00:00+00') TO ('%s 00:00:00+00')")`, day, from.Format(time.DateOnly), from.AddDate(0, 0, 1).Format(time.DateOnly))
}

// Partitions by the day of arrival: made ahead, filled later where there was none, and
// dropped.
func TestDays(t *testing.T) {
	t.Parallel()
	c := newSchema(t)
	for name, test := range map[string]func(*testing.T, *pgx.Conn){
		"made ahead, in UTC wherever the caller is":                  testMakeDays,
		"what came on a day without a partition":                     testNoPartition,
		"what comes while a partition is made":                       testMakeDaysWhileEventsCome,
		"dropped days are no holes, and do not come again":           testDropDays,
		"each once over days":                                        testOnceOverDays,
		"who reads for long holds up ingest for two seconds at most": testReaderHoldsUp,
	} {
		t.Run(name, func(t *testing.T) {
			if now := time.Now().UTC(); now.Hour() == 23 && now.Minute() >= 58 {
				time.Sleep(2*time.Minute + time.Second) // the days of this test must not change under it
			}
			test(t, c.fresh(t))
		})
	}
}

func testMakeDays(t *testing.T, conn *pgx.Conn) {
	execute(t, conn, "set timezone = 'UTC'")
	var want []string
	for day := -1; day <= 7; day++ { // the migration has made these
		want = append(want, bounds(day))
	}
	same(t, conn, days, want...)
	for _, zone := range []string{"Asia/Jayapura", "America/Los_Angeles", "UTC"} {
		execute(t, conn, "set timezone = '"+zone+"'")
		if made := number(t, conn, "select presence.make_days(7)"); made != 0 {
			t.Fatalf("%s: %d days made again", zone, made)
		}
	}
	execute(t, conn, "set timezone = 'Asia/Jayapura'")
	if made := number(t, conn, "select presence.make_days(9)"); made != 2 {
		t.Fatalf("%d days made, want 2", made)
	}
	execute(t, conn, "set timezone = 'UTC'")
	same(t, conn, days, append(want, bounds(8), bounds(9))...)
}

// The recorder and its calls of make_days were off for long: events are caught, found by
// whoever asks, and moved to days of their own.
func testNoPartition(t *testing.T, conn *pgx.Conn) {
	execute(t, conn, "set timezone = 'UTC'")
	for day := -1; day <= 7; day++ {
		execute(t, conn, "drop table presence.event_"+time.Now().UTC().AddDate(0, 0, day).Format("20060102"))
	}
	store(t, conn, tap(streamA, 1, 0), tap(streamA, 2, 1))
	// As if they had come on other days, one just before midnight and one at midnight.
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	for i, at := range []time.Time{midnight.AddDate(0, 0, -8), midnight.AddDate(0, 0, -3).Add(-time.Microsecond), midnight.AddDate(0, 0, -3)} {
		execute(t, conn, `insert into presence.event (received, seq, stream, rev, kind, quality) values ($1, $2, $3, 0, 'tag', 'synced')`, at, 10+i, streamA)
	}
	same(t, conn, "select count(*) from presence.event_default", "(5)")
	if made := number(t, conn, "select presence.make_days(1)"); made != 6 {
		t.Fatalf("%d days made, want 6", made)
	}
	same(t, conn, "select count(*) from presence.event_default", "(0)")
	same(t, conn, days, bounds(-8), bounds(-4), bounds(-3), bounds(-1), bounds(0), bounds(1))
	same(t, conn, `select (received at time zone 'UTC')::date - (now() at time zone 'UTC')::date as d, seq from presence.event order by 1, 2`,
		"(-8,10)", "(-4,11)", "(-3,12)", "(0,1)", "(0,2)")
	same(t, conn, `select seq, rev from presence.latest order by 1`, "(1,0)", "(2,1)", "(10,0)", "(11,0)", "(12,0)")
	// Rev 0 finds its event where that was moved to.
	if got := store(t, conn, tap(streamA, 2, 0)); got[0].Stored != 1 {
		t.Fatalf("receipts %+v", got)
	}
}

// An event that a recorder is storing into the default partition at this moment is moved
// too.
func testMakeDaysWhileEventsCome(t *testing.T, conn *pgx.Conn) {
	execute(t, conn, "drop table presence.event_"+time.Now().UTC().Format("20060102"))
	recorder, keeper := postgrestest.Connect(t, conn.Config().ConnString()), postgrestest.Connect(t, conn.Config().ConnString())
	execute(t, recorder, "begin")
	store(t, recorder, tap(streamA, 1, 0))
	made := make(chan error, 1)
	go func() {
		_, err := keeper.Exec(t.Context(), "select presence.make_days()")
		made <- err
	}()
	awaitLock(t, conn, keeper)
	execute(t, recorder, "commit")
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	same(t, conn, "select count(*) from presence.event_default", "(0)")
	same(t, conn, "select seq from presence.latest", "(1)")
}

// age moves all that is stored so many days into the past.
func age(t *testing.T, conn *pgx.Conn, by int) {
	t.Helper()
	execute(t, conn, fmt.Sprintf(`create temp table old as select * from presence.event;
		delete from presence.event;
		update old set received = received - interval '%[1]d days';
		insert into presence.event select * from old;
		drop table old;
		update presence.correction set received = received - interval '%[1]d days';
		update presence.refused set received = received - interval '%[1]d days';
		update presence.stream set first_seen = first_seen - interval '%[1]d days', last_seen = last_seen - interval '%[1]d days';
		select presence.make_days()`, by))
}

func testDropDays(t *testing.T, conn *pgx.Conn) {
	store(t, conn, begin(streamA, "null"), tap(streamA, 2, 0), tap(streamA, 2, 1), tap(streamA, 4, 0))
	execute(t, conn, "select presence.refuse('{a}', '{b}', array['c'::bytea])")
	age(t, conn, 10)
	store(t, conn, tap(streamA, 3, 0))
	if n := number(t, conn, "select presence.drop_days(10, 10)"); n != 0 {
		t.Fatalf("%d days dropped that are to be kept", n)
	}
	execute(t, conn, "update presence.retention set event_days = 9, refused_days = 9")
	if n := number(t, conn, "select presence.drop_old_days()"); n != 1 {
		t.Fatalf("%d days dropped, want 1", n)
	}
	same(t, conn, "select seq from presence.event", "(3)")
	same(t, conn, "select count(*) from presence.correction", "(0)")
	same(t, conn, "select count(*) from presence.refused", "(0)")
	same(t, conn, holes)
	same(t, conn, losses)
	// What a gateway sends again after years is not stored again.
	got := store(t, conn, begin(streamA, "null"), tap(streamA, 2, 0), tap(streamA, 4, 0), tap(streamA, 3, 0))
	if got[0].Stored != 0 || got[0].Doubled != 4 || got[0].Upto != 4 {
		t.Fatalf("receipts %+v", got)
	}
	same(t, conn, "select seq from presence.latest", "(3)")
	same(t, conn, "select * from presence.audit()")
	if _, err := conn.Exec(t.Context(), "select presence.drop_days(0, 1)"); code(err) != "22023" {
		t.Fatalf("zero days to keep: %v", err)
	}
	execute(t, conn, "update presence.retention set event_days = null")
	if _, err := conn.Exec(t.Context(), "select presence.drop_old_days()"); err != nil {
		t.Fatalf("kept for ever: %v", err)
	}
	same(t, conn, "select seq from presence.event", "(3)")
}

func testOnceOverDays(t *testing.T, conn *pgx.Conn) {
	for day := range 3 {
		got := store(t, conn, tap(streamA, 1, 0), tap(streamA, 1, 1), tap(streamA, int64(day)+2, 1))
		if want := int64(max(1, 3-2*day)); got[0].Stored != want {
			t.Fatalf("day %d: %+v", day, got)
		}
		age(t, conn, 1)
	}
	got := store(t, conn, tap(streamA, 2, 0), tap(streamA, 3, 0), tap(streamA, 4, 0), tap(streamA, 4, 0))
	if got[0].Stored != 3 || got[0].Doubled != 1 {
		t.Fatalf("receipts %+v", got)
	}
	same(t, conn, "select seq, rev from presence.latest order by 1, 2", "(1,1)", "(2,1)", "(3,1)", "(4,1)")
	same(t, conn, "select seq, rev from presence.event order by 1, 2", "(1,0)", "(2,0)", "(3,0)", "(4,0)")
	same(t, conn, "select * from presence.audit()")
}

// A partition cannot be made or dropped while somebody reads the table, and whoever comes
// after waits behind. So make_days gives up, and events go to the default partition.
func testReaderHoldsUp(t *testing.T, conn *pgx.Conn) {
	reader := postgrestest.Connect(t, conn.Config().ConnString())
	execute(t, reader, "begin")
	execute(t, reader, "select count(*) from presence.event")
	began := time.Now()
	if _, err := conn.Exec(t.Context(), "select presence.make_days(8)"); code(err) != "55P03" {
		t.Fatalf("make_days: %v", err)
	}
	if waited := time.Since(began); waited < 1900*time.Millisecond {
		t.Fatalf("gave up after %v", waited)
	}
	store(t, conn, tap(streamA, 1, 0))
	execute(t, reader, "rollback")
	if made := number(t, conn, "select presence.make_days(8)"); made != 1 {
		t.Fatalf("%d days made", made)
	}
}
