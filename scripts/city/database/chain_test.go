package database_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"
)

func TestChain(t *testing.T) {
	t.Parallel()
	conn := migrated(t)
	for name, test := range map[string]func(*testing.T, *pgx.Conn){
		"a span begins and ends with a seal":              testSentSpan,
		"streams stand in the order of the chain":         testSentOrder,
		"a circle of streams hides none":                  testSentCircle,
		"what was erased leaves its place and its link":   testErasedStub,
		"old days go, with what was erased of them":       testSentAfterDrop,
		"events of gateways without links":                testSentUnchained,
		"the link of a receipt is that of the event":      testReceiptLink,
		"a start is answered with the head beside":        testHeadBeside,
		"a start that comes again is not answered again":  testHeadOnce,
		"what was rolled back is not lost and parts none": testRolledBack,
		"chains that part":                                testFork,
	} {
		t.Run(name, func(t *testing.T) {
			empty(t, conn)
			execute(t, conn, "delete from presence.erased_event")
			test(t, conn)
		})
	}
}

// places is the numbers of events, with the letter of the kind: s start, b badge, S seal,
// e erased.
func places(all []object) string {
	var b strings.Builder
	for _, o := range all {
		kind := strings.Trim(string(o["kind"]), `"`)
		letter := kind[:1]
		if kind == "seal" {
			letter = "S"
		}
		fmt.Fprintf(&b, " %s%s", letter, o["seq"])
	}
	return strings.TrimSpace(b.String())
}

func testSentSpan(t *testing.T, conn *pgx.Conn) {
	c := newChain(t, "dinkes-01") // seq n is at n seconds after noon
	c.begin()
	c.seal()
	c.tap(badge)
	c.tap(badge)
	c.seal()
	c.tap(badge)
	c.tap(badge)
	c.seal()
	c.tap(badge)
	deliver(t, conn, false, c.events...)
	at := func(s int) string { return noon().Add(time.Duration(s) * time.Second).Format(time.RFC3339) }
	for _, span := range []struct{ since, until, want string }{
		{"", "", "s1 S2 b3 b4 S5 b6 b7 S8 b9"},
		{at(6), at(7), "S5 b6 b7 S8"},
		{at(3), at(5), "S2 b3 b4 S5"},
		{at(5), at(6), "S5 b6 b7 S8"}, // nothing seals a seal but the next one
		{at(1), at(2), "s1 S2"},
		{at(9), "", "S8 b9"},
		{at(60), at(70), ""},
		{"", at(0), ""},
	} {
		if got := places(sent(t, conn, "dinkes-01", span.since, span.until)); got != span.want {
			t.Errorf("from %q up to %q: %s, want %s", span.since, span.until, got, span.want)
		}
	}
	if got := sent(t, conn, "dinkes-02", "", ""); len(got) != 0 {
		t.Errorf("of another gateway: %v", got)
	}
	// The first seal behind may be in a later stream.
	tail := c.begin()
	seal := c.seal()
	deliver(t, conn, false, tail, seal)
	if got := places(sent(t, conn, "dinkes-01", at(9), at(10))); got != "S8 b9 s1 S2" {
		t.Errorf("with the seal of the next stream: %s", got)
	}
}

func testSentOrder(t *testing.T, conn *pgx.Conn) {
	c := newChain(t, "dinkes-01")
	for range 3 {
		c.begin()
		c.tap(badge)
	}
	// The newest stream comes first, then the oldest.
	deliver(t, conn, false, c.events[4:]...)
	deliver(t, conn, false, c.events[:2]...)
	deliver(t, conn, false, c.events[2:4]...)
	got := sent(t, conn, "dinkes-01", "", "")
	if !slices.EqualFunc(got, c.events, func(a, b object) bool { return string(a["id"]) == string(b["id"]) }) {
		t.Errorf("got %v", got)
	}
}

func testSentCircle(t *testing.T, conn *pgx.Conn) {
	store(t, conn, begin(streamA, previous(streamB, "1")), begin(streamB, previous(streamA, "1")), tap(streamB, 2, 0))
	if got := places(sent(t, conn, "dinkes-01", "", "")); got != "s1 s1 b2" {
		t.Error(got)
	}
}

func testErasedStub(t *testing.T, conn *pgx.Conn) {
	c := newChain(t, "dinkes-01")
	c.begin()
	c.tap(badge)
	gone := c.tap(mine)
	c.tap(badge)
	c.tap(mine)
	deliver(t, conn, true, c.events...)
	if n := number(t, conn, `select presence.erase('{null}', $1, '{null}', '{null}', '{null}')`, []string{mine}); n != 2 {
		t.Fatalf("%d erased", n)
	}
	got := sent(t, conn, "dinkes-01", "", "")
	if places(got) != "s1 b2 e3 b4 e5" {
		t.Fatal(places(got))
	}
	want := object{}
	for _, name := range []string{"v", "id", "gateway", "dinas", "stream", "seq", "link"} {
		want[name] = gone[name]
	}
	want["kind"] = jsontext.Value(`"erased"`)
	if got[2].text() != want.text() {
		t.Errorf("of an erased event there is %s, want %s", got[2].text(), want.text())
	}
	for table, n := range mentions(t, conn, mine) {
		t.Errorf("%d rows of %s mention the person", n, table)
	}
	// Its link is receipted still, and it does not come back.
	again := deliver(t, conn, false, c.events[4])
	if again[0].Upto != 5 || hex.EncodeToString(again[0].Link) != c.link {
		t.Errorf("receipt %+v, want the link %s", again[0], c.link)
	}
	if got := places(sent(t, conn, "dinkes-01", "", "")); got != "s1 b2 e3 b4 e5" {
		t.Error(got)
	}
}

func testSentAfterDrop(t *testing.T, conn *pgx.Conn) {
	c := newChain(t, "dinkes-01")
	c.begin()
	c.tap(mine)
	deliver(t, conn, false, c.events...)
	execute(t, conn, `select presence.erase('{null}', $1, '{null}', '{null}', '{null}')`, []string{mine})
	for _, table := range []string{"event", "erased_event"} { // as if they had come long ago
		execute(t, conn, "update presence."+table+" set received = received - interval '500 days'")
	}
	execute(t, conn, "update presence.stream set first_seen = first_seen - interval '500 days'")
	rest := []object{c.tap(badge), c.seal()}
	deliver(t, conn, false, rest...)
	if got := places(sent(t, conn, "dinkes-01", "", "")); got != "s1 e2 b3 S4" {
		t.Error(got)
	}
	execute(t, conn, "select presence.drop_days(400, 30)")
	if got := places(sent(t, conn, "dinkes-01", "", "")); got != "b3 S4" {
		t.Error(got)
	}
	same(t, conn, "select count(*) from presence.erased_event", "(0)")
}

func testSentUnchained(t *testing.T, conn *pgx.Conn) {
	store(t, conn, begin(streamA, "null"), tap(streamA, 2, 0), tap(streamA, 3, 0))
	execute(t, conn, `select presence.erase('{null}', $1, '{null}', $2, '{null}')`, []string{badge}, []time.Time{noon().Add(3 * time.Second)})
	got := sent(t, conn, "dinkes-01", "", "")
	if places(got) != "s1 b2" || got[1]["link"] != nil {
		t.Errorf("%s: %v", places(got), got)
	}
}

func testReceiptLink(t *testing.T, conn *pgx.Conn) {
	c := newChain(t, "dinkes-01")
	c.begin()
	links := []string{c.link}
	for range 3 {
		c.tap(badge)
		links = append(links, c.link)
	}
	c.seal()
	links = append(links, c.link)
	upto := func(got []receipt, want int64, link string) {
		t.Helper()
		if got[0].Upto != want || hex.EncodeToString(got[0].Link) != link {
			t.Errorf("receipt up to %d with %x, want %d with %s", got[0].Upto, got[0].Link, want, link)
		}
	}
	upto(deliver(t, conn, false, c.events[0]), 1, links[0])
	upto(deliver(t, conn, false, c.events[2]), 1, links[0])
	upto(deliver(t, conn, false, corrected(c.events[2], 1)), 1, links[0])
	upto(deliver(t, conn, false, c.events[1]), 3, links[2])
	// What comes again under the same number with another link is not what is stored.
	other := corrected(c.events[2], 0)
	other.set("link", "0123456789abcdef0123456789abcdef")
	upto(deliver(t, conn, false, other), 3, links[2])
	upto(deliver(t, conn, false, c.events[3], c.events[4]), 5, links[4]) // of a seal its own
	// What a gap covers has no link here.
	store(t, conn, gap(streamA, 2, lost(c.stream, "6", "9")))
	covered := store(t, conn, gap(c.stream, 12, lost(c.stream, "6", "11")), gap(c.stream, 13, lost(c.stream, "14", "15")))
	upto(covered, 15, "")
}

func testHeadBeside(t *testing.T, conn *pgx.Conn) {
	c := newChain(t, "dinkes-01")
	other := newChain(t, "dinkes-02") // has nothing to do with it
	other.begin()
	deliver(t, conn, false, other.events...)
	c.begin()
	c.tap(badge)
	head, first := c.link, c.stream
	deliver(t, conn, false, c.events...)
	restored := newChain(t, "dinkes-01") // knows nothing of that any more
	start := restored.begin()
	other.begin()
	other.tap(badge)
	got := deliver(t, conn, true, start, restored.tap(badge))
	got = append(got, deliver(t, conn, false, other.events[1:]...)...)
	var answers []string
	for _, r := range got {
		if r.Stored == 0 {
			answers = append(answers, fmt.Sprintf("%s %s %d %x", r.Gateway, r.Stream, r.Upto, r.Link))
		}
	}
	slices.Sort(answers)
	want := []string{
		fmt.Sprintf("dinkes-01 %s 2 %s", first, head),
		fmt.Sprintf("dinkes-02 %s 1 %s", strings.Trim(string(other.events[0]["stream"]), `"`), strings.Trim(string(other.events[0]["link"]), `"`)),
	}
	if !slices.Equal(answers, want) {
		t.Errorf("answered\n%s\nwant\n%s", strings.Join(answers, "\n"), strings.Join(want, "\n"))
	}
}

func testHeadOnce(t *testing.T, conn *pgx.Conn) {
	c := newChain(t, "dinkes-01")
	c.begin()
	c.begin()
	deliver(t, conn, false, c.events[0])
	if got := deliver(t, conn, false, c.events[1]); len(got) != 2 {
		t.Errorf("receipts %+v, want one of the stream before as well", got)
	}
	for range 2 {
		if got := deliver(t, conn, false, c.events[1], corrected(c.events[1], 1)); len(got) != 1 {
			t.Errorf("receipts %+v, want no second answer", got)
		}
	}
}

// rolledBack is a gateway whose storage was put back: the city has the first stream up to
// 6, the gateway up to 3. It has gone on in a second one, and learns of it in a third.
func rolledBack(t *testing.T) (all []object) {
	c := newChain(t, "dinkes-01")
	c.begin()
	c.tap(badge)
	c.tap(badge)
	restored := *c
	restored.events = nil
	for range 3 {
		c.tap(badge)
	}
	restored.begin()
	restored.tap(badge)
	branch := restored
	restored.stream, restored.seq, restored.link = c.stream, c.seq, c.link // follows the city's head
	restored.begin()
	restored.add(object{
		"kind": jsontext.Value(`"gap"`), "reason": jsontext.Value(`"journal-rolled-back"`), "kinds": jsontext.Value(`{}`),
		"first": jsontext.Value("null"), "last": jsontext.Value("null"),
		"ranges": jsontext.Value(fmt.Sprintf(`[{"stream":%q,"from":4,"to":6,"link":%q}]`, c.stream, c.link)),
		"branch": jsontext.Value(fmt.Sprintf(`{"stream":%q,"seq":2,"link":%q}`, branch.stream, branch.link)),
	})
	return append(c.events, restored.events...)
}

func testRolledBack(t *testing.T, conn *pgx.Conn) {
	all := rolledBack(t)
	deliver(t, conn, false, all[:6]...)
	deliver(t, conn, false, all[6:8]...)
	same(t, conn, `select problem, "from", "to" from presence.fork`, `("the city has more of the stream before",4,6)`)
	got := deliver(t, conn, false, all[8:]...)
	if len(got) != 2 || got[0].Upto != 2 || got[1].Upto != 2 { // and the head of the second stream
		t.Errorf("receipts %+v", got)
	}
	same(t, conn, holes)
	same(t, conn, losses)
	same(t, conn, "select upto, hole_since is null from presence.stream order by upto", "(2,t)", "(2,t)", "(6,t)")
	same(t, conn, "select problem from presence.fork")
	if got := places(sent(t, conn, "dinkes-01", "", "")); got != "s1 b2 b3 b4 b5 b6 s1 b2 s1 g2" {
		t.Error(got)
	}
	// What the city does not have of it is lost.
	store(t, conn, gap(strings.Trim(string(all[9]["stream"]), `"`), 3, lost(strings.Trim(string(all[0]["stream"]), `"`), "7", "8")))
	same(t, conn, `select reason, "from", "to" from presence.loss`, "(journal-full,7,8)")
}

func testFork(t *testing.T, conn *pgx.Conn) {
	all := rolledBack(t)
	store(t, conn, tap(streamB, 1, 0).of("dinkes-02"), begin(streamA, previous(streamB, "1")).of("dinkes-02"))
	same(t, conn, "select * from presence.fork") // a stream goes on where the last one ended
	deliver(t, conn, false, all[:3]...)
	deliver(t, conn, false, all[6:8]...) // the second stream
	same(t, conn, "select * from presence.fork")
	twin := *newChain(t, "dinkes-01")
	twin.stream, twin.seq, twin.link = strings.Trim(string(all[2]["stream"]), `"`), 3, strings.Trim(string(all[2]["link"]), `"`)
	deliver(t, conn, false, twin.begin())
	same(t, conn, "select problem, count(*) from presence.fork group by 1", `("another stream follows the same event",2)`)
	deliver(t, conn, false, all[3:6]...) // which the second stream does not know
	same(t, conn, `select problem, count(*), min("from"), max("to") from presence.fork group by 1 order by 1`,
		`("another stream follows the same event",2,,)`, `("the city has more of the stream before",2,4,6)`)
	deliver(t, conn, false, all[8:]...) // the gap names one of the two as left, and not the other
	same(t, conn, "select problem, stream = '"+twin.stream+`', "from", "to" from presence.fork`, `("the city has more of the stream before",t,4,6)`)
}
