package database_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"presence/scripts/city/database"
	"presence/scripts/postgrestest"
)

// newCity is a PostgreSQL with an empty database.
func newCity(t testing.TB) (server *postgrestest.Database, connection string) {
	t.Helper()
	server = postgrestest.Start(t)
	connection = server.Create("city")
	return server, connection
}

// city is a PostgreSQL with a database that has the schema, of which each test gets a
// copy.
type city struct {
	server *postgrestest.Database
	admin  *pgx.Conn
	copies int
}

func newSchema(t testing.TB) *city {
	t.Helper()
	server, connection := newCity(t)
	conn, err := pgx.Connect(t.Context(), connection)
	if err != nil {
		t.Fatal(err)
	}
	migrate(t, conn)
	if err := conn.Close(t.Context()); err != nil { // nobody may be in what is copied
		t.Fatal(err)
	}
	return &city{server: server, admin: postgrestest.Connect(t, server.Connection("postgres", "postgres"))}
}

// fresh is a connection, as the schema's owner, to an empty database with the schema. No
// two at once.
func (c *city) fresh(t testing.TB) *pgx.Conn {
	t.Helper()
	c.copies++
	name := fmt.Sprintf("city%d", c.copies)
	execute(t, c.admin, "create database "+name+" template city")
	return postgrestest.Connect(t, c.server.Connection("postgres", name))
}

// empty removes all that was stored.
func empty(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	for _, table := range []string{"stream", "named", "event", "correction", "refused", "office"} { // truncate takes longer for few rows
		execute(t, conn, "delete from presence."+table)
	}
}

// execute runs a statement that must succeed.
func execute(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// same fails the test unless a query's rows are these.
func same(t testing.TB, conn *pgx.Conn, sql string, want ...string) {
	t.Helper()
	if got := lines(t, conn, sql); !slices.Equal(got, want) {
		t.Fatalf("%s:\n got %v\nwant %v", sql, got, want)
	}
}

// migrated is a connection, as the schema's owner, to a database with the schema.
func migrated(t testing.TB) *pgx.Conn {
	t.Helper()
	_, connection := newCity(t)
	conn := postgrestest.Connect(t, connection)
	migrate(t, conn)
	return conn
}

// migrate brings a database to the newest version.
func migrate(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	if _, _, err := database.Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
}

// event is one element of a batch.
type event struct {
	dinas, gateway string
	stream         string
	seq            int64
	rev            int32
	kind           string
	at             *time.Time
	quality        string
	errorMS        *float32
	min, max       *time.Time
	badge, tag     *string
	zone           *string
	lat, lon       *float64
	link           []byte
	more           *string
}

// receipt is a row of what ingest returns.
type receipt struct {
	Dinas, Gateway           string
	Stream                   string
	Upto                     int64
	Link                     []byte
	Stored, Doubled, Refused int64
}

const ingest = `select dinas, gateway, stream::text, upto, link, stored, doubled, refused from presence.ingest(
	$1::uuid[], $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18::jsonb[])
	order by stream, dinas, gateway`

// columns is a batch as the function takes it.
func columns(batch []event) []any {
	var (
		streams, kinds, dinas, gateways, qualities []string
		seqs                                       []int64
		revs                                       []int32
		at, lower, upper                           []*time.Time
		errorsMS                                   []*float32
		badges, tags, zones, more                  []*string
		lats, lons                                 []*float64
		links                                      [][]byte
	)
	for _, e := range batch {
		streams, seqs, revs, kinds = append(streams, e.stream), append(seqs, e.seq), append(revs, e.rev), append(kinds, e.kind)
		dinas, gateways = append(dinas, e.dinas), append(gateways, e.gateway)
		at, qualities, errorsMS = append(at, e.at), append(qualities, e.quality), append(errorsMS, e.errorMS)
		lower, upper = append(lower, e.min), append(upper, e.max)
		badges, tags, zones = append(badges, e.badge), append(tags, e.tag), append(zones, e.zone)
		lats, lons, links, more = append(lats, e.lat), append(lons, e.lon), append(links, e.link), append(more, e.more)
	}
	return []any{streams, seqs, revs, kinds, dinas, gateways, at, qualities, errorsMS, lower, upper, badges, tags, zones, lats, lons, links, more}
}

// store puts a batch into the database.
func store(t testing.TB, conn *pgx.Conn, batch ...event) []receipt {
	t.Helper()
	rows, err := conn.Query(t.Context(), ingest, columns(batch)...)
	if err != nil {
		t.Fatal(err)
	}
	receipts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[receipt])
	if err != nil {
		t.Fatal(err)
	}
	return receipts
}

func to[T any](v T) *T { return &v }

// number is the single number that a query returns.
func number(t testing.TB, conn *pgx.Conn, sql string, args ...any) int64 {
	t.Helper()
	var n int64
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// awaitLock returns when another connection waits for a lock.
func awaitLock(t testing.TB, conn, other *pgx.Conn) {
	t.Helper()
	for number(t, conn, "select count(*) from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'", other.PgConn().PID()) == 0 {
		<-time.After(10 * time.Millisecond)
	}
}

// lines is a query's rows as PostgreSQL writes a row: (a,b,c).
func lines(t testing.TB, conn *pgx.Conn, sql string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), "select (x)::text from ("+sql+") x", args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return all
}
