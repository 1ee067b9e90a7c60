package database_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"presence/scripts/postgrestest"
)

const (
	streamA = "019ab2c3-0000-7000-8000-00000000000a"
	streamB = "019ab2c3-0000-7000-8000-00000000000b"
	badge   = "h:0123456789abcdef0123456789abcdef"

	holes  = `select right(stream::text, 1) as s, "from", "to", n from presence.hole order by stream, 2`
	losses = `select right(stream::text, 1) as s, reason, "from", "to", n from presence.loss order by stream, reason, 3`
	latest = `select seq, rev, kind, extract(epoch from at)::bigint % 100 as s, extract(milliseconds from at)::int % 1000 as ms, quality from presence.latest order by stream, seq`
)

// noon is some instant.
func noon() time.Time { return time.Date(2026, 11, 30, 5, 0, 0, 0, time.UTC) }

// tap is a badge event of dinkes-01, whose time is seq seconds and rev milliseconds after
// noon.
func tap(stream string, seq int64, rev int32) event {
	return event{
		dinas: "dinkes", gateway: "dinkes-01", stream: stream, seq: seq, rev: rev, kind: "badge",
		at: to(noon().Add(tapTime(seq, rev))), quality: "synced", errorMS: to(float32(5)),
		badge: to(badge), more: to(`{"reader":"door"}`),
	}
}

func tapTime(seq int64, rev int32) time.Duration {
	return time.Duration(seq)*time.Second + time.Duration(rev)*time.Millisecond
}

// begin is the first event of a stream. previous is JSON.
func begin(stream string, previous string) event {
	return event{
		dinas: "dinkes", gateway: "dinkes-01", stream: stream, seq: 1, kind: "start", quality: "unsynced",
		more: to(`{"boot":"b1","version":"2.0","previous":` + previous + `}`),
	}
}

// gap names lost numbers. ranges is JSON.
func gap(stream string, seq int64, ranges string) event {
	return event{
		dinas: "dinkes", gateway: "dinkes-01", stream: stream, seq: seq, kind: "gap", quality: "unsynced",
		more: to(`{"reason":"journal-full","kinds":{"tag":3},"ranges":` + ranges + `}`),
	}
}

// of is the same event from another gateway.
func (e event) of(gateway string) event {
	e.gateway = gateway
	return e
}

func previous(stream, seq string) string {
	return `{"stream":"` + stream + `","seq":` + seq + `,"clean":true}`
}

func lost(stream, from, upto string) string {
	return `[{"stream":"` + stream + `","from":` + from + `,"to":` + upto + `}]`
}

// code is the SQLSTATE of an error.
func code(err error) string {
	var problem *pgconn.PgError
	if errors.As(err, &problem) {
		return problem.Code
	}
	return ""
}

// What ingest makes of the events of one gateway, and of two that contradict each other.
func TestIngest(t *testing.T) {
	t.Parallel()
	conn := migrated(t)
	for name, test := range map[string]func(*testing.T, *pgx.Conn){
		"holes and gaps":                      testHolesAndGaps,
		"an event ahead of others":            testAhead,
		"a later revision first":              testLaterRevisionFirst,
		"a gap to the end of a stream":        testOpenGap,
		"an end that nobody knows":            testEndUnknown,
		"a stream of which nothing came":      testNothingCame,
		"a stream whose start is missing":     testStartMissing,
		"a kind that nobody knows yet":        testUnknownKind,
		"the numbers of another gateway":      testForeignGap,
		"the stream of another gateway":       testForeignStream,
		"one stream from two at once":         testTwoOwnersInOneBatch,
		"the chain's link at upto":            testLink,
		"numbers out of range":                testOutOfRange,
		"ranges that cannot be":               testStrangeRanges,
		"holes to ask for":                    testHolesToAsk,
		"what cannot be read":                 testRefuse,
		"audit finds what is not there":       testAudit,
		"ten thousand streams":                testManyStreams,
		"years of streams are not read":       testYearsOfStreams,
		"times and text at their limits":      testExtremes,
		"two connections at the same streams": testTwoConnections,
	} {
		t.Run(name, func(t *testing.T) {
			empty(t, conn)
			test(t, conn)
		})
	}
}

// A range of numbers is asked for while nobody has it, and named once a gap says so.
func testHolesAndGaps(t *testing.T, conn *pgx.Conn) {
	got := store(t, conn, begin(streamA, "null"), tap(streamA, 2, 0), tap(streamA, 2, 0), tap(streamA, 5, 0))
	if len(got) != 1 || got[0].Upto != 2 || got[0].Stored != 3 || got[0].Doubled != 1 || got[0].Refused != 0 {
		t.Fatalf("receipts %+v", got)
	}
	same(t, conn, holes, "(a,3,4,2)")
	if got = store(t, conn, gap(streamA, 6, lost(streamA, "3", "4"))); got[0].Upto != 6 {
		t.Fatalf("receipts %+v", got)
	}
	same(t, conn, holes)
	same(t, conn, losses, "(a,journal-full,3,4,2)")
	// It was not lost after all.
	if got = store(t, conn, tap(streamA, 4, 0)); got[0].Stored != 1 {
		t.Fatalf("receipts %+v", got)
	}
	same(t, conn, losses, "(a,journal-full,3,3,1)")
}

// A tap that overtakes a backlog is there once, and counts in upto when the backlog has
// come.
func testAhead(t *testing.T, conn *pgx.Conn) {
	store(t, conn, begin(streamA, "null"), tap(streamA, 9, 0))
	for seq := int64(2); seq < 9; seq++ {
		if got := store(t, conn, tap(streamA, seq, 0)); got[0].Upto != seq && (seq != 8 || got[0].Upto != 9) {
			t.Fatalf("after %d: %+v", seq, got)
		}
	}
	if got := store(t, conn, tap(streamA, 9, 0)); got[0].Upto != 9 || got[0].Stored != 0 || got[0].Doubled != 1 {
		t.Fatalf("receipts %+v", got)
	}
}

// Rev 1 and 2 overtake rev 0: the event is there at once, and rev 0 neither hides them nor
// is lost.
func testLaterRevisionFirst(t *testing.T, conn *pgx.Conn) {
	if got := store(t, conn, tap(streamA, 1, 1)); got[0].Upto != 1 || got[0].Stored != 1 {
		t.Fatalf("receipts %+v", got)
	}
	same(t, conn, latest, "(1,1,badge,1,1,synced)")
	for _, step := range []struct {
		rev                   int32
		stored, doubled, best int64
	}{{1, 0, 1, 1}, {0, 1, 0, 1}, {0, 0, 1, 1}, {3, 1, 0, 3}, {2, 1, 0, 3}, {3, 0, 1, 3}, {0, 0, 1, 3}} {
		got := store(t, conn, tap(streamA, 1, step.rev))
		if got[0].Stored != step.stored || got[0].Doubled != step.doubled {
			t.Fatalf("rev %d: %+v", step.rev, got)
		}
		if best := number(t, conn, "select rev from presence.latest"); best != step.best {
			t.Fatalf("after rev %d the newest is %d", step.rev, best)
		}
	}
	// The event's own row has the time of rev 0.
	same(t, conn, "select rev, extract(milliseconds from at)::int % 1000 from presence.event", "(0,0)")
	// All in one batch, the wrong way round.
	got := store(t, conn, tap(streamA, 2, 2), tap(streamA, 2, 1), tap(streamA, 2, 2), tap(streamA, 2, 0))
	if got[0].Stored != 3 || got[0].Doubled != 1 || got[0].Upto != 2 {
		t.Fatalf("receipts %+v", got)
	}
	same(t, conn, latest, "(1,3,badge,1,3,synced)", "(2,2,badge,2,2,synced)")
	same(t, conn, "select seq, rev, newest from presence.correction order by 1, 2", "(1,1,f)", "(1,2,f)", "(1,3,t)", "(2,1,f)", "(2,2,t)")
}

// A gap to a stream's end covers whatever comes, and the next start says where that was.
func testOpenGap(t *testing.T, conn *pgx.Conn) {
	store(t, conn, begin(streamA, "null"), tap(streamA, 2, 0))
	store(t, conn, gap(streamB, 2, lost(streamA, "3", "null")))
	same(t, conn, holes, "(b,1,1,1)")
	same(t, conn, losses, "(a,journal-full,3,,)")
	got := store(t, conn, begin(streamB, previous(streamA, "7")))
	if len(got) != 2 || got[0].Stream != streamA || got[0].Upto != 7 || got[0].Stored != 0 || got[1].Upto != 2 {
		t.Fatalf("receipts %+v", got)
	}
	same(t, conn, holes)
	same(t, conn, losses, "(a,journal-full,3,7,5)")
	same(t, conn, `select said_last, clean, right(next::text, 1) from presence.stream where said_last is not null`, "(7,t,b)")
}

// Where a damaged journal has lost a stream's end, the next start can only name the last
// event that is left. How many are lost stays open then.
func testEndUnknown(t *testing.T, conn *pgx.Conn) {
	store(t, conn, begin(streamA, "null"), tap(streamA, 2, 0))
	store(t, conn, begin(streamB, previous(streamA, "2")), gap(streamB, 2, lost(streamA, "3", "null")))
	same(t, conn, holes)
	same(t, conn, losses, "(a,journal-full,3,,)")
}

// The next start knows of a stream of which nothing ever came.
func testNothingCame(t *testing.T, conn *pgx.Conn) {
	got := store(t, conn, begin(streamB, previous(streamA, "12")))
	if len(got) != 1 || got[0].Stream != streamB {
		t.Fatalf("receipts %+v", got)
	}
	same(t, conn, holes, "(a,1,12,12)")
	got = store(t, conn, gap(streamB, 2, lost(streamA, "1", "12")))
	if len(got) != 2 || got[0].Upto != 12 {
		t.Fatalf("receipts %+v", got)
	}
	same(t, conn, holes)
}

func testStartMissing(t *testing.T, conn *pgx.Conn) {
	if got := store(t, conn, tap(streamA, 3, 0), tap(streamA, 2, 0)); got[0].Upto != 0 {
		t.Fatalf("receipts %+v", got)
	}
	same(t, conn, holes, "(a,1,1,1)")
	if got := store(t, conn, begin(streamA, "null")); got[0].Upto != 3 {
		t.Fatalf("receipts %+v", got)
	}
}

func testUnknownKind(t *testing.T, conn *pgx.Conn) {
	e := tap(streamA, 1, 0)
	e.kind, e.quality, e.more = "weather", "guessed", to(`{"rain":true,"ranges":7,"previous":"x"}`)
	if got := store(t, conn, e); got[0].Upto != 1 || got[0].Refused != 0 {
		t.Fatalf("receipts %+v", got)
	}
	same(t, conn, "select kind, quality, more->>'rain' from presence.latest", "(weather,guessed,true)")
}

// What a gateway says of a stream that is another one's changes nothing for that one,
// whether it says so before or after.
func testForeignGap(t *testing.T, conn *pgx.Conn) {
	liar := gap(streamB, 1, lost(streamA, "1", "null")).of("dinkes-02")
	store(t, conn, liar)
	store(t, conn, tap(streamA, 1, 0), tap(streamA, 4, 0))
	liar.seq = 2
	store(t, conn, liar)
	e := begin(streamB, previous(streamA, "99")).of("dinkes-02")
	e.seq = 3
	store(t, conn, e)
	same(t, conn, `select gateway, "from", "to" from presence.hole`, "(dinkes-01,2,3)")
	same(t, conn, `select gateway, reason, "from", "to" from presence.loss`, "(dinkes-02,journal-full,1,99)")
	if got := store(t, conn, tap(streamA, 2, 0)); got[0].Upto != 2 {
		t.Fatalf("receipts %+v", got)
	}
}

// A stream belongs to the gateway that came first. What another one sends under it is
// refused, kept where somebody looks, and does not stop the rest of the batch.
func testForeignStream(t *testing.T, conn *pgx.Conn) {
	store(t, conn, tap(streamA, 1, 0))
	got := store(t, conn, tap(streamA, 2, 0), tap(streamA, 3, 0).of("dinkes-02"), tap(streamA, 3, 1).of("dinkes-02"), tap(streamB, 1, 0).of("dinkes-02"))
	want := []receipt{
		{Dinas: "dinkes", Gateway: "dinkes-01", Stream: streamA, Upto: 2, Stored: 1},
		{Dinas: "dinkes", Gateway: "dinkes-02", Stream: streamA, Refused: 2},
		{Dinas: "dinkes", Gateway: "dinkes-02", Stream: streamB, Upto: 1, Stored: 1},
	}
	if !slices.EqualFunc(got, want, func(a, b receipt) bool {
		return a.Gateway == b.Gateway && a.Stream == b.Stream && a.Upto == b.Upto && a.Stored == b.Stored && a.Doubled == b.Doubled && a.Refused == b.Refused
	}) {
		t.Fatalf("receipts\n%+v, want\n%+v", got, want)
	}
	same(t, conn, "select topic, reason, convert_from(payload, 'UTF8')::jsonb->>'seq' as seq from presence.refused",
		"(presence/v1/dinkes/dinkes-02/event/badge,\"stream "+streamA+" is that of dinkes/dinkes-01\",3)",
		"(presence/v1/dinkes/dinkes-02/event/badge,\"stream "+streamA+" is that of dinkes/dinkes-01\",3)")
	same(t, conn, holes)
	same(t, conn, "select count(*) from presence.correction", "(0)")
}

func testTwoOwnersInOneBatch(t *testing.T, conn *pgx.Conn) {
	got := store(t, conn, tap(streamA, 1, 0).of("dinkes-02"), tap(streamA, 1, 0), tap(streamA, 2, 0).of("dinkes-02"))
	if len(got) != 2 || got[0].Refused != 1 || got[1].Stored != 2 || got[1].Upto != 2 {
		t.Fatalf("receipts %+v", got)
	}
}

// A receipt can name the link of the event that it goes up to, also of one that came in
// an earlier batch.
func testLink(t *testing.T, conn *pgx.Conn) {
	linked := func(seq int64) event {
		e := tap(streamA, seq, 0)
		e.link = []byte{byte(seq), 15: 0xff}
		return e
	}
	for _, step := range []struct {
		seq, upto int64
		link      byte
	}{{1, 1, 1}, {3, 1, 1}, {2, 3, 3}, {2, 3, 3}} {
		got := store(t, conn, linked(step.seq))
		if got[0].Upto != step.upto || len(got[0].Link) != 16 || got[0].Link[0] != step.link {
			t.Fatalf("after %d: %+v", step.seq, got)
		}
	}
	// The numbers after it are lost: no event, no link.
	if got := store(t, conn, gap(streamA, 5, lost(streamA, "4", "4")), tap(streamB, 1, 0)); got[0].Upto != 5 || got[0].Link != nil || got[1].Link != nil {
		t.Fatalf("receipts %+v", got)
	}
}

func testOutOfRange(t *testing.T, conn *pgx.Conn) {
	for _, e := range []event{tap(streamA, 0, 0), tap(streamA, -1, 0), tap(streamA, 1, -1), tap(streamA, 1<<62+1, 0)} {
		if _, err := conn.Exec(t.Context(), ingest, columns([]event{e})...); code(err) != "22003" {
			t.Fatalf("seq %d, rev %d: %v", e.seq, e.rev, err)
		}
	}
	args := columns([]event{tap(streamA, 1, 0), tap(streamA, 2, 0)})
	args[1] = []int64{1}
	if _, err := conn.Exec(t.Context(), ingest, args...); code(err) != "22023" {
		t.Fatalf("arrays of different lengths: %v", err)
	}
	same(t, conn, "select stream from presence.stream")
	// The largest number is no more than a large hole.
	store(t, conn, tap(streamA, 1, 0), tap(streamA, 1<<62, 0))
	same(t, conn, holes, "(a,2,4611686018427387903,4611686018427387902)")
}

// A gap is stored whatever ranges it has, where they can be read at all.
func testStrangeRanges(t *testing.T, conn *pgx.Conn) {
	store(t, conn, gap(streamA, 1, `[]`), gap(streamA, 2, `null`), gap(streamA, 3, lost(streamA, "0", "0")), gap(streamA, 6, lost(streamA, "9", "8")),
		gap(streamA, 4, lost(streamA, "-5", "5e300")), gap(streamA, 5, `[{"stream":null,"from":1,"to":2},{"stream":"`+streamB+`","to":3}]`))
	same(t, conn, holes)
	for _, ranges := range []string{lost("nobody", "1", "2"), lost(streamA, `"x"`, "2"), `[7]`} {
		_, err := conn.Exec(t.Context(), ingest, columns([]event{gap(streamA, 7, ranges)})...)
		if c := code(err); len(c) != 5 || c[:2] != "22" {
			t.Fatalf("%s: %v", ranges, err)
		}
	}
}

// A hole is asked for when it has been there for a while without the stream getting on.
func testHolesToAsk(t *testing.T, conn *pgx.Conn) {
	ask := `select gateway, right(stream::text, 1) as s, "from", "to" from presence.holes_to_ask('1 hour')`
	later := func(hours string) {
		execute(t, conn, "update presence.stream set hole_since = hole_since - $1::interval", hours+" hours")
	}
	store(t, conn, begin(streamA, "null"), tap(streamA, 9, 0), tap(streamB, 2, 0).of("dinkes-02"))
	same(t, conn, ask)
	later("2")
	same(t, conn, ask, "(dinkes-01,a,2,8)", "(dinkes-02,b,1,1)")
	store(t, conn, tap(streamA, 2, 0)) // the backlog drains
	same(t, conn, ask, "(dinkes-02,b,1,1)")
	later("2")
	store(t, conn, tap(streamA, 5, 0)) // it does not get on
	same(t, conn, ask, "(dinkes-01,a,3,4)", "(dinkes-01,a,6,8)", "(dinkes-02,b,1,1)")
	store(t, conn, gap(streamA, 10, lost(streamA, "3", "8")))
	same(t, conn, ask, "(dinkes-02,b,1,1)")
	same(t, conn, "select count(*) from presence.stream where hole_since is not null", "(1)")
}

func testRefuse(t *testing.T, conn *pgx.Conn) {
	long := make([]byte, 10_000)
	execute(t, conn, "select presence.refuse($1, $2, $3)", []string{"a", "b"}, []string{"no JSON", "bad text"}, [][]byte{long, {0xff, 0}})
	same(t, conn, "select topic, reason, length(payload) from presence.refused order by 1", `(a,"no JSON",4096)`, `(b,"bad text",2)`)
}

// A database that was restored in part says so.
func testAudit(t *testing.T, conn *pgx.Conn) {
	audit := `select right(stream::text, 1) as s, "from", "to", problem from presence.audit() order by 1, 2, 3`
	store(t, conn, begin(streamA, "null"), tap(streamA, 2, 0), tap(streamA, 3, 0), tap(streamB, 1, 0))
	same(t, conn, audit)
	execute(t, conn, "delete from presence.event where seq = 2")
	execute(t, conn, "insert into presence.event select * from presence.event where seq = 3")
	execute(t, conn, "delete from presence.stream where stream = $1", streamB)
	same(t, conn, audit, `(a,2,2,"not in presence.event")`, `(a,,,"stored 1 times too often")`, `(b,1,1,"not known to the stream")`)
}

// Many streams, many of them with a hole, in one batch.
func testManyStreams(t *testing.T, conn *pgx.Conn) {
	m := newMorning(5000)
	for range 2 {
		got := store(t, conn, m.batch(1)...)
		if len(got) != 5000 {
			t.Fatalf("%d receipts", len(got))
		}
	}
	m.seq++
	store(t, conn, m.batch(1)...)
	same(t, conn, "select count(*), min(\"from\"), max(\"to\") from presence.hole", "(5000,3,3)")
}

// A batch looks up its own streams and reads no others, also with a plan that was made
// when there were few, and before the first ANALYZE.
func testYearsOfStreams(t *testing.T, conn *pgx.Conn) {
	m := newMorning(100)
	store(t, conn, m.batch(2)...)
	execute(t, conn, `insert into presence.stream (stream, dinas, gateway, begun, have, upto)
		select gen_random_uuid(), 'dinkes', 'dinkes-' || g % 500, true, '{[1,1000)}', 999 from generate_series(1, 20000) g`)
	execute(t, conn, "begin")
	m.streams[0], m.seq = streamA, 2 // one that is new
	drawn := m.batch(2)
	drawn[100].rev = 1
	drawn[101] = gap(m.streams[1], 4, lost(m.streams[2], "1", "2")).of(drawn[101].gateway)
	store(t, conn, drawn...)
	same(t, conn, "select seq_tup_read < 20000 as few from pg_stat_xact_user_tables where relid = 'presence.stream'::regclass", "(t)")
	execute(t, conn, "commit")
	execute(t, conn, "truncate presence.stream")
}

// Whatever fits into the columns comes out as it went in.
func testExtremes(t *testing.T, conn *pgx.Conn) {
	e := tap(streamA, 1, 0)
	e.at = to(time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC))
	e.max = to(time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC))
	e.lat, e.lon = to(-7.977812345678901), to(112.63404561234567)
	e.zone = to("'\"\\\t→💳")
	e.tag = to("waypoint:Pak 'Budi' %_")
	store(t, conn, e)
	var at, upper time.Time
	var lat, lon float64
	var zone, tag string
	if err := conn.QueryRow(t.Context(), "select at, at_max, lat, lon, zone, tag from presence.latest").Scan(&at, &upper, &lat, &lon, &zone, &tag); err != nil {
		t.Fatal(err)
	}
	if !at.Equal(*e.at) || !upper.Equal(*e.max) || lat != *e.lat || lon != *e.lon || zone != *e.zone || tag != *e.tag {
		t.Fatalf("came out: %v %v %v %v %q %q", at, upper, lat, lon, zone, tag)
	}
}

// Two that store the same batches at once, as two recorders might in the instant of a
// takeover: each event is there once.
func testTwoConnections(t *testing.T, one *pgx.Conn) {
	two := postgrestest.Connect(t, one.Config().ConnString())
	done := make(chan error)
	const batches = 30
	run := func(conn *pgx.Conn) {
		m := &morning{streams: []string{streamA, streamB}}
		for range batches {
			if _, err := conn.Exec(t.Context(), ingest, columns(m.batch(50))...); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}
	go run(one)
	go run(two)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	same(t, one, "select count(*), count(distinct (stream, seq)) from presence.event", "(3000,3000)")
}
