package database_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"
)

const (
	modelEnd   = 14     // numbers of the model's streams
	openEnd    = 1 << 8 // stands for the open end of a gap
	modelBatch = 20
)

// claim is what one gateway says of one stream.
type claim struct {
	gateway, stream string
}

// model is what ingest should make of events, written as plainly as can be: sets of
// numbers, one by one.
type model struct {
	owner    map[string]string               // stream -> the gateway that came first
	revs     map[string]map[int64][]int32    // stream, seq -> revisions that came, each once
	named    map[claim]map[[2]int64]struct{} // ranges that gaps named, both ends included
	saidLast map[claim]int64
}

func newModel() *model {
	return &model{owner: map[string]string{}, revs: map[string]map[int64][]int32{}, named: map[claim]map[[2]int64]struct{}{}, saidLast: map[claim]int64{}}
}

// said is an event with what it says of other streams.
type said struct {
	event
	of       string // the stream that a gap or a start speaks of
	from, to int64  // of a gap
	last     int64  // of a start
}

// take enters one event, and returns whether it is new, or was refused.
func (m *model) take(e said) (isNew, refused bool) {
	if m.owner[e.stream] == "" {
		m.owner[e.stream] = e.gateway
		m.revs[e.stream] = map[int64][]int32{}
	}
	if m.owner[e.stream] != e.gateway {
		return false, true
	}
	about := claim{e.gateway, e.of}
	switch e.kind {
	case "gap":
		if m.named[about] == nil {
			m.named[about] = map[[2]int64]struct{}{}
		}
		m.named[about][[2]int64{e.from, e.to}] = struct{}{}
	case "start":
		m.saidLast[about] = max(m.saidLast[about], e.last)
	}
	if slices.Contains(m.revs[e.stream][e.seq], e.rev) {
		return false, false
	}
	m.revs[e.stream][e.seq] = append(m.revs[e.stream][e.seq], e.rev)
	return true, false
}

// claims is who speaks of which stream.
func (m *model) claims() []claim {
	all := map[claim]struct{}{}
	for stream, gateway := range m.owner {
		all[claim{gateway, stream}] = struct{}{}
	}
	for c := range m.named {
		all[c] = struct{}{}
	}
	for c := range m.saidLast {
		all[c] = struct{}{}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.gateway, b.gateway), cmp.Compare(a.stream, b.stream))
	})
}

func (m *model) has(c claim, seq int64) bool {
	return m.owner[c.stream] == c.gateway && len(m.revs[c.stream][seq]) > 0
}

func (m *model) isNamed(c claim, seq int64) bool {
	for r := range m.named[c] {
		if r[0] <= seq && seq <= r[1] {
			return true
		}
	}
	return false
}

// last is the last number that the gateway has spoken of.
func (m *model) last(c claim) int64 {
	last := m.saidLast[c]
	for r := range m.named[c] {
		if r[1] == openEnd {
			last = max(last, r[0]-1)
		} else {
			last = max(last, r[1])
		}
	}
	for seq := int64(1); seq <= modelEnd; seq++ {
		if m.has(c, seq) {
			last = max(last, seq)
		}
	}
	return last
}

// holes is each missing number, in a line.
func (m *model) holes() (all []string) {
	for _, c := range m.claims() {
		for seq := int64(1); seq <= m.last(c); seq++ {
			if !m.has(c, seq) && !m.isNamed(c, seq) {
				all = append(all, fmt.Sprintf("(%s,%s,%d)", c.gateway, c.stream, seq))
			}
		}
	}
	return all
}

// losses is each lost number up to the open end of a gap, in a line.
func (m *model) losses() (all []string) {
	for _, c := range m.claims() {
		for seq := int64(1); seq <= openEnd; seq++ {
			if m.isLost(c, seq) && !m.has(c, seq) {
				all = append(all, fmt.Sprintf("(%s,%s,%d)", c.gateway, c.stream, seq))
			}
		}
	}
	return all
}

// isLost says whether a gap names a number. The number after which all are lost is the
// smallest one that one unbroken piece to the end begins with; where the next start knows
// of that one, nothing beyond what it knows of is lost.
func (m *model) isLost(c claim, seq int64) bool {
	if !m.isNamed(c, seq) {
		return false
	}
	from := int64(openEnd)
	if !m.isNamed(c, from) {
		return true
	}
	for from > 1 && m.isNamed(c, from-1) {
		from--
	}
	return m.saidLast[c] < from || seq <= m.saidLast[c]
}

// upto is up to where a stream is complete.
func (m *model) upto(c claim) int64 {
	upto := int64(0)
	for m.has(c, upto+1) || m.isNamed(c, upto+1) {
		upto++
		if upto == openEnd { // everything: up to the last number that came or that a start knows of
			for upto = modelEnd; upto > 0 && !m.has(c, upto); {
				upto--
			}
			return max(upto, m.saidLast[c])
		}
	}
	return upto
}

// latest is each event with its highest revision.
func (m *model) latest() (all []string) {
	for _, stream := range slices.Sorted(maps.Keys(m.revs)) {
		for _, seq := range slices.Sorted(maps.Keys(m.revs[stream])) {
			rev := slices.Max(m.revs[stream][seq])
			all = append(all, fmt.Sprintf("(%s,%s,%d,%d,%d)", m.owner[stream], stream, seq, rev, seq*1000+int64(rev)))
		}
	}
	return all
}

// drawEvent makes an event of a few streams and two gateways, which contradict each other
// at times.
func drawEvent(t *rapid.T) said {
	streams := []string{streamA, streamB, "019ab2c3-0000-7000-8000-00000000000c"}
	one := rapid.IntRange(0, 2).Draw(t, "stream")
	e := said{event: tap(streams[one], rapid.Int64Range(1, modelEnd).Draw(t, "seq"), 0)}
	e.gateway = []string{"dinkes-01", "dinkes-01", "dinkes-02"}[one]
	if rapid.IntRange(0, 9).Draw(t, "stranger") == 0 {
		e.gateway = "dinkes-02"
	}
	e.of = rapid.SampledFrom(streams).Draw(t, "of")
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		e.from = rapid.Int64Range(1, modelEnd).Draw(t, "from")
		e.to = min(e.from+rapid.Int64Range(0, 3).Draw(t, "n"), modelEnd)
		upto := fmt.Sprint(e.to)
		if rapid.IntRange(0, 4).Draw(t, "open") == 0 {
			e.to, upto = openEnd, "null"
		}
		e.kind, e.more = "gap", gap(e.stream, e.seq, lost(e.of, fmt.Sprint(e.from), upto)).more
	case 1:
		e.last = rapid.Int64Range(0, modelEnd).Draw(t, "last")
		e.kind, e.more = "start", begin(e.stream, previous(e.of, fmt.Sprint(e.last))).more
	}
	if rapid.Bool().Draw(t, "revised") {
		e.rev = rapid.Int32Range(1, 3).Draw(t, "rev")
	}
	e.at = to(noon().Add(tapTime(e.seq, e.rev)))
	return e
}

// Whatever comes, in whatever order and batches and however often: the database says
// what the model says.
func TestIngestLikeModel(t *testing.T) {
	t.Parallel()
	conn := migrated(t)
	rapid.Check(t, func(rt *rapid.T) {
		empty(t, conn)
		m := newModel()
		sent := int64(0)
		for range rapid.IntRange(1, 3).Draw(rt, "batches") {
			drawn := rapid.SliceOfN(rapid.Custom(drawEvent), 1, modelBatch).Draw(rt, "batch")
			checkBatch(rt, conn, t, m, drawn)
			sent += int64(len(drawn))
		}
		compare(rt, t, conn, "latest", `select gateway, stream, seq, rev, (extract(epoch from at - $1::timestamptz) * 1000)::bigint from presence.latest order by stream, seq`, m.latest(), noon())
		compare(rt, t, conn, "hole", `select gateway, stream, generate_series("from", "to") from presence.hole order by 1, 2, 3`, m.holes())
		compare(rt, t, conn, "loss", `select distinct gateway, stream, generate_series("from", coalesce("to", $1)) from presence.loss order by 1, 2, 3`, m.losses(), openEnd)
		compare(rt, t, conn, "audit", `select * from presence.audit()`, nil)
		// What ingest keeps up to date says the same as the numbers themselves.
		compare(rt, t, conn, "hole_since", `select stream, gateway from presence.stream s where (hole_since is not null) <>
			(int8multirange(int8range(1, presence.last_known(s.have + s.named, s.said_last) + 1)) - s.have - s.named <> '{}')`, nil)
		stored := 0
		for _, numbers := range m.revs {
			for _, revs := range numbers {
				stored += len(revs)
			}
		}
		if n := number(t, conn, "select (select count(*) from presence.event where rev = 0) + (select count(*) from presence.correction)"); n != int64(stored) {
			rt.Fatalf("%d (id, rev) stored of %d", n, stored)
		}
	})
}

// checkBatch stores a batch and compares what ingest returns with the model.
func checkBatch(rt *rapid.T, conn *pgx.Conn, t *testing.T, m *model, drawn []said) {
	batch := make([]event, len(drawn))
	want := map[claim]*receipt{}
	for i, e := range drawn {
		batch[i] = e.event
		c := claim{e.gateway, e.stream}
		if want[c] == nil {
			want[c] = &receipt{}
		}
		switch isNew, refused := m.take(e); {
		case refused:
			want[c].Refused++
		case isNew:
			want[c].Stored++
		default:
			want[c].Doubled++
		}
	}
	got := store(t, conn, batch...)
	for _, r := range got {
		c := claim{r.Gateway, r.Stream}
		w := want[c]
		if w == nil {
			w = &receipt{} // a gap or a start spoke of it
		}
		if w.Upto = m.upto(c); w.Refused > 0 {
			w.Upto = 0
		}
		if r.Upto != w.Upto || r.Stored != w.Stored || r.Doubled != w.Doubled || r.Refused != w.Refused {
			rt.Fatalf("receipt %+v, want %+v", r, *w)
		}
		delete(want, c)
	}
	if len(want) > 0 {
		rt.Fatalf("no row for %v", want)
	}
}

// compare holds the rows of a query against lines of the model.
func compare(rt *rapid.T, t *testing.T, conn *pgx.Conn, what, sql string, want []string, args ...any) {
	got := lines(t, conn, sql, args...)
	if !slices.Equal(got, want) {
		rt.Fatalf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
