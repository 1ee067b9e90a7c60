package database_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"presence/scripts/postgrestest"
)

const (
	mine  = "h:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" // the badge of the person who is erased
	mine2 = "04A1B2C3D4E5F6"                     // and the card before that
	tag   = "reyax:5"                            // and the tag; at another office it is somebody else's
)

// Erasure removes whatever is stored of a person, and nothing of anybody else.
func TestErase(t *testing.T) {
	t.Parallel()
	conn := migrated(t)
	for name, test := range map[string]func(*testing.T, *pgx.Conn){
		"everything of a person, and nothing of others": testErasePerson,
		"from an instant up to another":                 testErasePeriod,
		"refused messages":                              testEraseRefused,
		"nonsense is an error":                          testEraseNonsense,
		"while events come":                             testEraseWhileEventsCome,
		"while the event's rev 0 comes late":            testEraseBesideLateRevision,
	} {
		t.Run(name, func(t *testing.T) {
			empty(t, conn)
			test(t, conn)
		})
	}
}

// with makes an event of another kind of a tap.
func (e event) with(kind string, badge, tag *string, more string) event {
	e.kind, e.badge, e.tag, e.more = kind, badge, tag, to(more)
	return e
}

func testErasePerson(t *testing.T, conn *pgx.Conn) {
	store(t, conn, begin(streamA, "null"),
		tap(streamA, 2, 0).with("badge", to(mine), nil, `{"tag_check":{"tag":"reyax:5","state":"near"}}`),
		tap(streamA, 3, 0).with("tag", nil, to(tag), `null`),
		tap(streamA, 4, 0).with("presence", to(mine), to(tag), `{"state":"on_site","events":[]}`),
		tap(streamA, 5, 0).with("badge", to(mine2), nil, `{}`),
		tap(streamA, 6, 0).with("badge", to(badge), nil, `{"tag_check":{"tag":"reyax:50","state":"near"}}`), // somebody else, whose tag's name begins like this one's
		tap(streamA, 7, 0).with("tag", nil, to("reyax:50"), `null`),
		tap(streamA, 8, 0).with("visit", nil, nil, `{"guests":[{"who":["x","`+mine+`"]}]}`), // a kind that nobody knows yet
		tap(streamA, 9, 0).with("visit", nil, nil, `{"by_badge":{"`+mine2+`":7}}`),
		tap(streamA, 2, 1), tap(streamA, 6, 1), tap(streamA, 8, 2),
		tap(streamA, 10, 3).with("badge", to(mine), nil, `{}`),                 // its rev 0 is still to come
		tap(streamB, 1, 0).of("dinkes-02").with("tag", nil, to(tag), `null`),   // somebody else's tag
		tap(streamB, 2, 0).of("dinkes-02").with("badge", to(mine2), nil, `{}`), // the card at another office
	)
	if n := number(t, conn, `select presence.erase($1, $2, $3, $4, $5)`,
		[]any{"dinkes-01", nil, "dinkes-01"}, []any{mine, mine2, nil}, []any{nil, nil, tag}, []any{nil, nil, nil}, []any{nil, nil, nil}); n != 8 {
		t.Fatalf("%d events erased, want 8", n)
	}
	same(t, conn, `select gateway, seq, rev, badge, tag from presence.latest order by stream, seq`,
		"(dinkes-01,1,0,,)", "(dinkes-01,6,1,"+badge+",)", "(dinkes-01,7,0,,reyax:50)", "(dinkes-02,1,0,,reyax:5)")
	same(t, conn, "select seq, rev from presence.correction", "(6,1)")
	for table, count := range mentions(t, conn, mine, mine2) {
		t.Errorf("%d rows of %s still mention the person", count, table)
	}
	// The numbers are no holes, and named.
	same(t, conn, holes)
	same(t, conn, losses, "(a,erased,2,5,4)", "(a,erased,8,10,3)", "(b,erased,2,2,1)")
	same(t, conn, "select * from presence.audit()")
	// Nothing of it comes back.
	got := store(t, conn, tap(streamA, 2, 0), tap(streamA, 2, 2), tap(streamA, 10, 0), tap(streamA, 10, 3), tap(streamA, 11, 0))
	if got[0].Stored != 1 || got[0].Doubled != 4 || got[0].Upto != 11 {
		t.Fatalf("receipts %+v", got)
	}
	same(t, conn, "select seq, rev from presence.correction", "(6,1)")
	same(t, conn, "select lost from presence.gateway_state where gateway = 'dinkes-01'", "(0)")
}

// mentions counts the rows of each table of the schema that have one of these texts
// anywhere, in clear or as bytes.
func mentions(t *testing.T, conn *pgx.Conn, texts ...string) map[string]int64 {
	t.Helper()
	rows, err := conn.Query(t.Context(), `select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname = 'presence' and c.relkind = 'r'`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) < 10 {
		t.Fatalf("only %d tables: %v", len(tables), tables)
	}
	found := map[string]int64{}
	for _, table := range tables {
		for _, text := range texts {
			if n := number(t, conn, fmt.Sprintf(`select count(*) from %s x where strpos(x::text, $1) > 0 or strpos(x::text, encode(convert_to($1, 'UTF8'), 'hex')) > 0`, table), text); n > 0 {
				found[table] += n
			}
		}
	}
	return found
}

// A badge or a tag that somebody else had before or has now.
func testErasePeriod(t *testing.T, conn *pgx.Conn) {
	unknown := tap(streamA, 4, 0)
	unknown.at, unknown.quality = nil, "unsynced" // counts as when it came
	bounded := tap(streamA, 5, 0)
	bounded.at, bounded.quality, bounded.min, bounded.max = nil, "bounded", to(noon().Add(2*time.Second)), to(noon().Add(time.Hour))
	corrected := tap(streamA, 6, 0)
	corrected.rev, corrected.at = 1, to(noon().Add(2*time.Second))
	store(t, conn, tap(streamA, 1, 0), tap(streamA, 2, 0), tap(streamA, 3, 0), unknown, bounded, tap(streamA, 6, 0), corrected)
	if n := number(t, conn, `select presence.erase($1, $2, $3, $4, $5)`,
		[]any{"dinkes-01"}, []any{badge}, []any{nil}, []any{noon().Add(2 * time.Second)}, []any{noon().Add(3 * time.Second)}); n != 3 {
		t.Fatalf("%d events erased, want 3", n)
	}
	same(t, conn, "select seq from presence.latest order by 1", "(1)", "(3)", "(4)")
	same(t, conn, losses, "(a,erased,2,2,1)", "(a,erased,5,6,2)")
}

func testEraseRefused(t *testing.T, conn *pgx.Conn) {
	store(t, conn, tap(streamA, 1, 0).with("badge", to(mine), nil, `{}`))
	var topics, reasons []string
	var payloads [][]byte
	refuse := func(topic, reason, payload string) {
		topics, reasons, payloads = append(topics, topic), append(reasons, reason), append(payloads, []byte(payload))
	}
	refuse("presence/v1/dinkes/dinkes-01/event/badge", "mentions", `{"badge":"`+mine+`"`)
	refuse("presence/v1/dinkes/dinkes-01/event/badge", "with bytes that are no text", "\xff\x00"+mine)
	refuse("presence/v1/dinkes/dinkes-01/event/badge", "escaped", `{"badge":"\u0068:aaaa"`)
	refuse("presence/v1/dinkes/dinkes-01/event/batch", "compressed", "(zstd)")
	refuse("presence/v1/dinkes/dinkes-01/event/badge", "unknown field "+mine, `{`)
	refuse("presence/v1/dinkes/dinkes-01/event/badge", "cut off", strings.Repeat("x", 4090)+mine)
	refuse("presence/v1/dinkes/dinkes-09/event/badge", "of a gateway that has nothing else of the person", `{"x":"`+mine+`"}`)
	refuse("presence/v1/dinkes/dinkes-01/event/badge", "kept: somebody else", `{"badge":"`+badge+`"}`)
	refuse("presence/v1/dinkes/dinkes-09/event/batch", "kept: compressed, of another gateway", "(zstd)")
	execute(t, conn, "select presence.refuse($1, $2, $3)", topics, reasons, payloads)
	execute(t, conn, `select presence.erase($1, $2, $3, $4, $5)`, []any{"dinkes-01"}, []any{mine}, []any{nil}, []any{nil}, []any{nil})
	same(t, conn, "select reason from presence.refused order by 1", `("kept: compressed, of another gateway")`, `("kept: somebody else")`)
}

func testEraseNonsense(t *testing.T, conn *pgx.Conn) {
	store(t, conn, tap(streamA, 1, 0))
	for _, args := range [][]any{
		{[]any{}, []any{}, []any{}, []any{}, []any{}},
		{[]any{"g"}, []any{badge, badge}, []any{nil}, []any{nil}, []any{nil}},
		{[]any{"g"}, []any{nil}, []any{nil}, []any{nil}, []any{nil}},
		{[]any{"g"}, []any{badge}, []any{tag}, []any{nil}, []any{nil}},
		{[]any{"g"}, []any{""}, []any{nil}, []any{nil}, []any{nil}},
	} {
		if _, err := conn.Exec(t.Context(), "select presence.erase($1, $2, $3, $4, $5)", args...); code(err) != "22023" {
			t.Errorf("%v: %v", args, err)
		}
	}
	same(t, conn, "select count(*) from presence.event", "(1)")
}

// Who is erased while a recorder stores the same events, in all revisions and all orders,
// is gone when both are through, and nothing is stored twice or missing.
func testEraseWhileEventsCome(t *testing.T, conn *pgx.Conn) {
	recorder := postgrestest.Connect(t, conn.Config().ConnString())
	const events, rounds = 60, 40
	done := make(chan error)
	go func() {
		defer close(done)
		for round := range rounds {
			var batch []event
			for seq := int64(1); seq <= events; seq++ {
				e := tap(streamA, seq, int32((round+int(seq))%3))
				if seq%3 == 0 {
					e.badge = to(mine)
				}
				batch = append(batch, e)
			}
			_, err := recorder.Exec(t.Context(), ingest, columns(batch[:(round+2)%events])...)
			if err != nil && code(err) != "40P01" { // a deadlock: the recorder tries again
				done <- err
				return
			}
		}
	}()
	erase := func() {
		_, err := conn.Exec(t.Context(), "select presence.erase($1, $2, $3, $4, $5)", []any{nil}, []any{mine}, []any{nil}, []any{nil}, []any{nil})
		if err != nil && code(err) != "40P01" {
			t.Error(err)
		}
	}
	for open := true; open; {
		select {
		case err, more := <-done:
			if open = more; err != nil {
				t.Error(err)
			}
		default:
			erase()
		}
	}
	erase()
	same(t, conn, "select count(*) from presence.event where badge = '"+mine+"'", "(0)")
	same(t, conn, "select * from presence.correction c where not exists (select from presence.event e where (e.stream, e.seq) = (c.stream, c.seq))")
	same(t, conn, "select * from presence.audit()")
	same(t, conn, holes)
	same(t, conn, "select sum(n) from presence.loss where reason = 'erased'", "(13)")
}

// An event whose time a recorder is changing at this moment is erased too.
func testEraseBesideLateRevision(t *testing.T, conn *pgx.Conn) {
	store(t, conn, tap(streamA, 1, 1))
	recorder, eraser := postgrestest.Connect(t, conn.Config().ConnString()), postgrestest.Connect(t, conn.Config().ConnString())
	execute(t, recorder, "begin")
	store(t, recorder, tap(streamA, 1, 0))
	erased := make(chan int64, 1)
	go func() {
		var n int64
		if err := eraser.QueryRow(t.Context(), "select presence.erase('{null}', $1, '{null}', '{null}', '{null}')", []string{badge}).Scan(&n); err != nil {
			t.Error(err)
		}
		erased <- n
	}()
	awaitLock(t, conn, eraser)
	execute(t, recorder, "commit")
	if n := <-erased; n != 1 {
		t.Errorf("%d events erased, want 1", n)
	}
	same(t, conn, "select count(*) from presence.latest", "(0)")
	same(t, conn, losses, "(a,erased,1,1,1)")
}
