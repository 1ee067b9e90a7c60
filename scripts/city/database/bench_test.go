package database_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// morning makes what many gateways send, batch by batch: tags, and a tap in every tenth.
type morning struct {
	streams []string
	seq     int64
	event   []event
	n       int // events made
}

func newMorning(gateways int) *morning {
	m := &morning{}
	for range gateways {
		m.streams = append(m.streams, uuid.Must(uuid.NewV7()).String())
	}
	return m
}

// batch is the next events, so many of each gateway.
func (m *morning) batch(each int) []event {
	m.event = m.event[:0]
	for range each {
		m.seq++
		at := noon().Add(time.Duration(m.seq) * time.Second)
		for g, stream := range m.streams {
			m.n++
			link := uuid.New()
			e := event{dinas: "dinkes", gateway: fmt.Sprintf("dinkes-%03d", g), stream: stream, seq: m.seq, at: &at, quality: "synced", errorMS: to(float32(12.5))}
			if m.n%10 == 0 {
				e.kind, e.badge = "badge", to(fmt.Sprintf("h:%032x", m.n%30_000))
				e.more = to(fmt.Sprintf(`{"reader":"door","card":"mifare-classic-1k","assurance":"uid","boot":"5f0c1d9e-6d5c-4be0-9c1e-0a3b7b8c9d10","boot_ms":%d}`, m.seq*1000))
			} else {
				e.kind, e.tag, e.zone = "tag", to(fmt.Sprintf("mesh:%08x", m.n%20_000)), to("inside")
				e.lat, e.lon = to(-7.9778123), to(112.6340456)
				e.more = to(fmt.Sprintf(`{"boot":"5f0c1d9e-6d5c-4be0-9c1e-0a3b7b8c9d10","boot_ms":%d,"receiver":"yard","accuracy_m":5,"fix_time":"2026-11-29T08:15:29.000+07:00","fix":"live","rssi":-97,"snr":7.5}`, m.seq*1000))
			}
			e.link = link[:]
			m.event = append(m.event, e)
		}
	}
	return m.event
}

// BenchmarkIngest stores batches of 5,000 events of 500 gateways, into an empty database
// and into one that has 2,000,000 already.
func BenchmarkIngest(b *testing.B) {
	conn := migrated(b)
	m := newMorning(500)
	run := func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			batch := columns(m.batch(10))
			b.StartTimer()
			put(b, conn, batch)
		}
		b.ReportMetric(float64(b.N)*5000/b.Elapsed().Seconds(), "events/s")
	}
	b.Run("empty", run)
	for m.n < 2_000_000 {
		put(b, conn, columns(m.batch(10)))
	}
	b.Run("2000000", run)
	var table, indexes, rows int64
	if err := conn.QueryRow(b.Context(), `select sum(pg_table_size(c.oid)), sum(pg_indexes_size(c.oid)), (select count(*) from presence.event)
		from pg_class c join pg_inherits i on i.inhrelid = c.oid where i.inhparent = 'presence.event'::regclass`).Scan(&table, &indexes, &rows); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d rows: %d bytes a row in tables, %d in indexes", rows, table/rows, indexes/rows) // with -v
	if rows != int64(m.n) {
		b.Fatalf("%d rows of %d events", rows, m.n)
	}
}

// put is a batch in a transaction, as the recorder stores it.
func put(b *testing.B, conn *pgx.Conn, batch []any) {
	b.Helper()
	tx, err := conn.Begin(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	rows, err := tx.Query(b.Context(), ingest, batch...)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := pgx.CollectRows(rows, pgx.RowToStructByPos[receipt]); err != nil {
		b.Fatal(err)
	}
	if err := tx.Commit(b.Context()); err != nil {
		b.Fatal(err)
	}
}
