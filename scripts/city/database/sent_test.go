package database_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	decoded "presence/scripts/city/internal/event"
)

// object is an event as JSON, member by member.
type object map[string]jsontext.Value

func (o object) set(name string, value any) {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	o[name] = raw
}

func (o object) text() string {
	raw, err := json.Marshal(o, json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func parse(t testing.TB, line string) object {
	t.Helper()
	var o object
	if err := json.Unmarshal([]byte(line), &o); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return o
}

// coreOf is the core by the contract, in a way of its own.
func coreOf(t testing.TB, o object) string {
	t.Helper()
	kept := object{}
	for name, value := range o {
		if !slices.Contains([]string{"link", "rev", "time", "time_quality", "time_error_ms", "time_min", "time_max"}, name) {
			kept[name] = value
		}
	}
	core := jsontext.Value(kept.text())
	if err := core.Canonicalize(); err != nil {
		t.Fatal(err)
	}
	return string(core)
}

func nextLink(before, core string) string {
	raw, err := hex.DecodeString(before)
	if err != nil {
		panic(err)
	}
	digest := sha256.Sum256([]byte(core))
	both := sha256.Sum256(append(raw, digest[:]...))
	return hex.EncodeToString(both[:16])
}

// chain makes a gateway's events, each behind the one before.
type chain struct {
	t       testing.TB
	gateway string
	stream  string
	seq     int64
	link    string // of the newest event
	events  []object
}

const noLink = "00000000000000000000000000000000"

func newChain(t testing.TB, gateway string) *chain {
	return &chain{t: t, gateway: gateway, link: noLink}
}

// begin begins a stream behind the newest event.
func (c *chain) begin() object {
	previous := jsontext.Value("null")
	if c.stream != "" {
		previous = jsontext.Value(fmt.Sprintf(`{"stream":%q,"seq":%d,"clean":true,"link":%q}`, c.stream, c.seq, c.link))
	}
	c.stream, c.seq = uuid.Must(uuid.NewV7()).String(), 0
	return c.add(object{"kind": jsontext.Value(`"start"`), "version": jsontext.Value(`"2.0"`), "previous": previous})
}

// tap adds a tap.
func (c *chain) tap(badge string) object {
	return c.add(object{"kind": jsontext.Value(`"badge"`), "badge": jsontext.Value(`"` + badge + `"`), "reader": jsontext.Value(`"door"`)})
}

// seal adds a seal.
func (c *chain) seal() object { return c.add(object{"kind": jsontext.Value(`"seal"`)}) }

// add completes an event of which the fields of its kind are there, and puts it behind the
// newest one.
func (c *chain) add(o object) object {
	c.seq++
	o.set("v", 1)
	o.set("id", fmt.Sprintf("%s-%d", c.stream, c.seq))
	o.set("gateway", c.gateway)
	o.set("dinas", "dinkes")
	o.set("stream", c.stream)
	o.set("seq", c.seq)
	for name, usual := range map[string]string{
		"rev": `0`, "boot": `"4f0e6f9e-5f2f-4a51-8fdd-7fb4c9f3c9a1"`, "boot_ms": fmt.Sprint(c.seq * 1000),
		"time": fmt.Sprintf(`"2026-11-30T12:%02d:%02d.000+07:00"`, c.seq/60, c.seq%60), "time_quality": `"synced"`, "time_error_ms": `5`,
	} {
		if o[name] == nil {
			o[name] = jsontext.Value(usual)
		}
	}
	if string(o["kind"]) == `"seal"` {
		o.set("upto", c.seq-1)
		o.set("link", c.link) // of the event before; its own is computed
		c.link = nextLink(c.link, coreOf(c.t, o))
	} else {
		c.link = nextLink(c.link, coreOf(c.t, o))
		o.set("link", c.link)
	}
	c.events = append(c.events, o)
	return o
}

// corrected is an event with another time.
func corrected(o object, rev int) object {
	c := object{}
	for name, value := range o {
		c[name] = value
	}
	c.set("rev", rev)
	c.set("time", fmt.Sprintf("2026-11-30T12:00:00.%03d+07:00", rev))
	c.set("time_quality", "corrected")
	c.set("time_error_ms", 1.5)
	delete(c, "time_min")
	delete(c, "time_max")
	return c
}

// deliver brings events through the recorder's decoder, alone or in batches, into the
// database.
func deliver(t testing.TB, conn *pgx.Conn, batched bool, events ...object) []receipt {
	t.Helper()
	decoder, err := decoded.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	var rows []event
	enter := func(kind string, payload []byte, gateway jsontext.Value) {
		topic := "presence/v1/dinkes/" + strings.Trim(string(gateway), `"`) + "/event/" + strings.Trim(kind, `"`)
		got, refused := decoder.Decode(decoded.Message{Topic: topic, Payload: payload})
		if len(refused) > 0 {
			t.Fatalf("refused %+v", refused)
		}
		for i := range got {
			rows = append(rows, rowOf(&got[i]))
		}
	}
	for _, o := range events {
		if !batched {
			enter(string(o["kind"]), []byte(o.text()), o["gateway"])
		}
	}
	if batched {
		w, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true), zstd.WithZeroFrames(true))
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, o := range events {
			text += o.text() + "\n"
		}
		enter("batch", w.EncodeAll([]byte(text), nil), events[0]["gateway"])
	}
	return store(t, conn, rows...)
}

// rowOf is an event as presence.ingest takes it.
func rowOf(e *decoded.Event) event {
	row := event{
		dinas: e.Dinas, gateway: e.Gateway, stream: e.Stream.String(), seq: e.Seq, rev: e.Rev, kind: e.Kind, quality: e.Quality, link: e.Link,
	}
	if e.At.Valid {
		row.at = to(e.At.V)
	}
	if e.AtMin.Valid {
		row.min = to(e.AtMin.V)
	}
	if e.AtMax.Valid {
		row.max = to(e.AtMax.V)
	}
	if e.ErrorMS.Valid {
		row.errorMS = to(e.ErrorMS.V)
	}
	for to, from := range map[**string]*struct {
		V     string
		Valid bool
	}{&row.badge: {e.Badge.V, e.Badge.Valid}, &row.tag: {e.Tag.V, e.Tag.Valid}, &row.zone: {e.Zone.V, e.Zone.Valid}} {
		if from.Valid {
			*to = &from.V
		}
	}
	if e.Lat.Valid {
		row.lat = to(e.Lat.V)
	}
	if e.Lon.Valid {
		row.lon = to(e.Lon.V)
	}
	if e.More != nil {
		row.more = to(string(e.More))
	}
	return row
}

// sent is what the database says that a gateway sent, from an instant up to another one.
func sent(t testing.TB, conn *pgx.Conn, gateway, since, until string) []object {
	t.Helper()
	rows, err := conn.Query(t.Context(), "select presence.sent('dinkes', $1, nullif($2, '')::timestamptz, nullif($3, '')::timestamptz)::text", gateway, since, until)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	all := make([]object, len(lines))
	for i, line := range lines {
		if strings.Contains(line, "\n") {
			t.Errorf("more than a line: %s", line)
		}
		all[i] = parse(t, line)
	}
	return all
}

// Every event comes out of the database as it went in, as far as its link rests on it:
// whatever is in its fields, alone or in a batch, in whatever order, twice, corrected before
// or after. Its link is there, and of a seal both the one that it was sent with and its own.
func TestTheDatabaseSaysWhatWasSent(t *testing.T) {
	t.Parallel()
	conn := migrated(t)
	schemas := eventSchemas(t)
	// Whatever who asks has set.
	execute(t, conn, "set extra_float_digits = -15; set timezone = 'Asia/Jakarta'; set datestyle = 'SQL, DMY'")
	rapid.Check(t, func(rt *rapid.T) {
		empty(t, conn)
		c := newChain(t, "dinkes-01")
		c.begin()
		for range rapid.IntRange(1, 12).Draw(rt, "events") {
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				c.begin()
				continue
			}
			kind := rapid.SampledFrom([]string{"badge", "tag", "presence", "gap", "seal", "visit"}).Draw(rt, "kind")
			o := object{}
			for name, value := range schemas.draw(rt, kind) {
				o.set(name, value)
			}
			o.set("kind", kind)
			c.add(o)
		}
		messages := slices.Clone(c.events)
		for _, o := range c.events {
			switch rapid.IntRange(0, 5).Draw(rt, "again") {
			case 0:
				messages = append(messages, o)
			case 1:
				messages = append(messages, corrected(o, rapid.IntRange(1, 3).Draw(rt, "rev")))
			}
		}
		messages = rapid.Permutation(messages).Draw(rt, "order")
		for len(messages) > 0 {
			n := rapid.IntRange(1, len(messages)).Draw(rt, "at once")
			deliver(t, conn, rapid.Bool().Draw(rt, "batched"), messages[:n]...)
			messages = messages[n:]
		}
		got := sent(t, conn, "dinkes-01", "", "")
		if len(got) != len(c.events) {
			rt.Fatalf("%d events of %d", len(got), len(c.events))
		}
		for i, want := range c.events {
			if is, was := coreOf(t, got[i]), coreOf(t, want); is != was {
				rt.Fatalf("the database says\n%s\nand what was sent is\n%s", is, was)
			}
			if string(got[i]["link"]) != string(want["link"]) {
				rt.Fatalf("link %s, sent %s: %s", got[i]["link"], want["link"], want.text())
			}
		}
		compare(rt, t, conn, "own link of the newest event", "select encode(e.link, 'hex') from presence.event e where e.stream = $1 and e.seq = $2", []string{"(" + c.link + ")"}, c.stream, c.seq)
	})
}
