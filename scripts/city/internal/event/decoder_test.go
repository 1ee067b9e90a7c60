package event_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"

	"presence/scripts/city/internal/event"
)

const (
	streamID = "019ab2c3-0000-7000-8000-000000000001"
	head     = `{"v":1,"id":"` + streamID + `-17","gateway":"dinkes-01","dinas":"dinkes","stream":"` + streamID + `","seq":17,"rev":0,"kind":"tag",`
	tagEvent = head + `"boot":"4f0e6f9e-5f2f-4a51-8fdd-7fb4c9f3c9a1","time":"2026-11-29T08:15:30.123+07:00","time_quality":"synced","time_error_ms":12,"boot_ms":1234567,"receiver":"yard","tag":"mesh:1c2f13fc","lat":-7.9778,"lon":112.634,"accuracy_m":5,"fix_time":"2026-11-29T08:15:29.000+07:00","fix":"live","zone":"inside","rssi":-97,"snr":7.5}`
)

func decoder(t testing.TB) *event.Decoder {
	t.Helper()
	d, err := event.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func message(kind, payload string) event.Message {
	return event.Message{Topic: "presence/v1/dinkes/dinkes-01/event/" + kind, Payload: []byte(payload)}
}

// frame is a batch of some lines.
func frame(t testing.TB, lines ...string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true), zstd.WithZeroFrames(true))
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, line := range lines {
		text += line + "\n"
	}
	return string(w.EncodeAll([]byte(text), nil))
}

// one decodes a message that holds one event.
func one(t *testing.T, d *event.Decoder, m event.Message) event.Event {
	t.Helper()
	events, refused := d.Decode(m)
	if len(events) != 1 || len(refused) != 0 {
		t.Fatalf("%d events, refused: %+v", len(events), refused)
	}
	return events[0]
}

func TestColumnsOfATag(t *testing.T) {
	m := message("tag", tagEvent)
	got := one(t, decoder(t), m)
	want := event.Event{
		Topic: m.Topic, Raw: m.Payload,
		Stream: uuid.MustParse(streamID), Seq: 17, Kind: "tag", Dinas: "dinkes", Gateway: "dinkes-01",
		At:      sql.Null[time.Time]{V: time.Date(2026, 11, 29, 1, 15, 30, 123e6, time.UTC), Valid: true},
		Quality: "synced", ErrorMS: sql.Null[float32]{V: 12, Valid: true},
		Tag: sql.Null[string]{V: "mesh:1c2f13fc", Valid: true}, Zone: sql.Null[string]{V: "inside", Valid: true},
		Lat: sql.Null[float64]{V: -7.9778, Valid: true}, Lon: sql.Null[float64]{V: 112.634, Valid: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	d := decoder(t)
	d.TagDetails = true
	more := fieldsOf(t, one(t, d, m).More)
	for _, name := range []string{"boot", "boot_ms", "receiver", "accuracy_m", "fix_time", "fix", "rssi", "snr"} {
		if _, there := more[name]; !there {
			t.Errorf("with TagDetails %s is not kept", name)
		}
	}
	if len(more) != 8 {
		t.Errorf("more holds what has a column: %v", more)
	}
}

// The link of an event rests on all that it says: of one that has a link everything is kept,
// null as well, in whatever form it came.
func TestATagWithALinkIsKeptWhole(t *testing.T) {
	const link = "00112233445566778899aabbccddeeff"
	text := strings.Replace(tagEvent, `"zone":"inside"`, `"zone":null,"link":"`+link+`"`, 1)
	e := one(t, decoder(t), message("tag", text))
	if hex.EncodeToString(e.Link) != link || e.Zone.Valid {
		t.Errorf("link %x, zone %v", e.Link, e.Zone)
	}
	more := fieldsOf(t, e.More)
	for _, name := range []string{"boot", "boot_ms", "receiver", "accuracy_m", "fix_time", "fix", "rssi", "snr", "zone"} {
		if _, there := more[name]; !there {
			t.Errorf("%s is not kept", name)
		}
	}
	if len(more) != 9 {
		t.Errorf("more holds what has a column: %v", more)
	}
	for _, odd := range []string{strings.ToUpper(link), link[1:], "", strings.Repeat("x", 32)} {
		e := one(t, decoder(t), message("tag", strings.Replace(text, link, odd, 1)))
		if more := fieldsOf(t, e.More); e.Link != nil || more["link"] != odd {
			t.Errorf("the link %q is taken for %x, and kept as %v", odd, e.Link, more["link"])
		}
	}
}

// A seal is sent with the link of the event before it, which is kept. Its own is computed.
func TestASealsOwnLink(t *testing.T) {
	const before = "00112233445566778899aabbccddeeff"
	body := `"time":null,"time_quality":"unsynced","time_error_ms":null,"link":"` + before + `","upto":16,"anchors":[{"error_ms":0.50,"boot_ms":1}],"key":"0011223344556677","sig":"x"}`
	text := strings.Replace(head, `"kind":"tag"`, `"kind":"seal"`, 1) + body
	e := one(t, decoder(t), message("seal", text))
	// In the order of RFC 8785, and numbers as in ECMAScript.
	core := `{"anchors":[{"boot_ms":1,"error_ms":0.5}],"dinas":"dinkes","gateway":"dinkes-01","id":"` + streamID + `-17","key":"0011223344556677","kind":"seal","seq":17,"sig":"x","stream":"` + streamID + `","upto":16,"v":1}`
	digest := sha256.Sum256([]byte(core))
	raw, err := hex.DecodeString(before)
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(append(raw, digest[:]...))
	if !bytes.Equal(e.Link, want[:16]) {
		t.Errorf("own link %x, want %x", e.Link, want[:16])
	}
	if more := fieldsOf(t, e.More); more["link"] != before {
		t.Errorf("the link before is kept as %v", more["link"])
	}
}

// Of a badge everything is kept that its signature is checked with years later.
func TestTheProofOfABadgeIsKept(t *testing.T) {
	const body = `"boot":"4f0e6f9e-5f2f-4a51-8fdd-7fb4c9f3c9a1","boot_ms":1234567,"reader":"door","card":"iso14443-4","assurance":"authenticated-piv",` +
		`"proof":{"random":"0a0000000000000000000000000000ff","signature":"MAYCAQECAQI=","certificate":"ce00000000000000000000000000000000000000000000000000000000000027"}`
	text := strings.Replace(head, `"kind":"tag"`, `"kind":"badge"`, 1) + `"time":"2026-11-29T08:15:30.123+07:00","time_quality":"synced","time_error_ms":12,"badge":"h:00112233445566778899aabbccddeeff",` + body + `}`
	e := one(t, decoder(t), message("badge", text))
	want := fieldsOf(t, []byte("{"+body+"}"))
	if diff := cmp.Diff(want, fieldsOf(t, e.More)); diff != "" {
		t.Errorf("-sent +kept:\n%s", diff)
	}
}

func fieldsOf(t *testing.T, more []byte) map[string]any {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(more, &all); err != nil {
		t.Fatalf("%s: %v", more, err)
	}
	return all
}

// with is a tag's event with other fields than the usual.
func with(fields string) string {
	return head + `"time":null,"time_quality":"unsynced","time_error_ms":null` + fields + `}`
}

// What matters later, what nobody knew when this was written, and what has another type
// than its column: an event is not refused for it, and nothing of it is lost.
func TestWhatHasNoColumnIsKept(t *testing.T) {
	for fields, want := range map[string]string{
		`,"simulated":true`:                        `{"simulated":true}`,
		`,"fix":"replay"`:                          `{"fix":"replay"}`,
		`,"signed":true,"status":99`:               `{"signed":true,"status":99}`,
		`,"battery":{"v":3.7,"days":[1,2]}`:        `{"battery":{"v":3.7,"days":[1,2]}}`,
		`,"tag":5,"zone":["a"],"lat":"north"`:      `{"tag":5,"zone":["a"],"lat":"north"}`,
		`,"link":"tooshort"`:                       `{"link":"tooshort"}`,
		`,"link":"zz112233445566778899aabbccddee"`: `{"link":"zz112233445566778899aabbccddee"}`,
		`,"lat":null,"zone":null,"link":null`:      ``,
		`,"rssi":-97,"snr":7.5,"fix":"live"`:       ``,
		`,"t\u0061g":"mesh:1"`:                     ``, // an escaped name is the same name
		`,"umlaut":"\ud83d\ude00 ä"`:               `{"umlaut":"\ud83d\ude00 ä"}`,
		`,"path":"C:\\u0000"`:                      `{"path":"C:\\u0000"}`, // a backslash, and no U+0000
	} {
		got := one(t, decoder(t), message("tag", with(fields)))
		if string(got.More) != want {
			t.Errorf("%s: kept %s, want %s", fields, got.More, want)
		}
	}
	got := one(t, decoder(t), message("tag", with(`,"link":"00112233445566778899aabbccddeeff"`)))
	if !bytes.Equal(got.Link, []byte{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}) {
		t.Errorf("link is %x", got.Link)
	}
	unknown := strings.Replace(with(`,"anything":1`), `"kind":"tag"`, `"kind":"parking"`, 1)
	if got := one(t, decoder(t), message("parking", unknown)); got.Kind != "parking" || string(got.More) != `{"anything":1}` {
		t.Errorf("an event of an unknown kind became %+v", got)
	}
}

func TestBatches(t *testing.T) {
	d := decoder(t)
	second := strings.Replace(strings.Replace(tagEvent, streamID+`-17"`, streamID+`-18"`, 1), `"seq":17`, `"seq":18`, 1)
	events, refused := d.Decode(message("batch", frame(t, tagEvent, `{"v":1}`, second)))
	if len(events) != 2 || events[0].Seq != 17 || events[1].Seq != 18 {
		t.Errorf("a batch became %+v", events)
	}
	if len(refused) != 1 || string(refused[0].Payload) != `{"v":1}` || !strings.HasSuffix(refused[0].Topic, "/event/batch") {
		t.Errorf("refused of it: %+v", refused)
	}
	// A gateway's question to the broker whether batches get through.
	if events, refused := d.Decode(message("batch", frame(t))); len(events)+len(refused) != 0 {
		t.Errorf("a batch of no events became %v and %v", events, refused)
	}
}

// refusals are messages that cannot be stored, and what is said about them.
func refusals(t testing.TB) map[string]struct {
	m     event.Message
	cause event.Cause
	says  string
} {
	t.Helper()
	change := func(from, to string) event.Message {
		if !strings.Contains(tagEvent, from) {
			t.Fatalf("%s is not in the event", from)
		}
		return message("tag", strings.Replace(tagEvent, from, to, 1))
	}
	retained := message("tag", tagEvent)
	retained.Retained = true
	long := message("tag", tagEvent)
	long.Topic = "presence/v1/dinkes/" + strings.Repeat("x", 33) + "/event/tag"
	return map[string]struct {
		m     event.Message
		cause event.Cause
		says  string
	}{
		"empty":               {message("tag", ""), event.CauseSize, "empty"},
		"retained":            {retained, event.CauseRetained, "retained"},
		"a long gateway":      {long, event.CauseTopic, "the topic is not"},
		"1 MB":                {message("tag", `"`+strings.Repeat("x", 1<<20)+`"`), event.CauseSize, "1048578 bytes"},
		"no JSON":             {message("tag", `hello`), event.CauseJSON, "not JSON"},
		"an array":            {message("tag", `[1]`), event.CauseJSON, "not a JSON object"},
		"cut":                 {message("tag", tagEvent[:100]), event.CauseJSON, "not JSON"},
		"two objects":         {message("tag", tagEvent+tagEvent), event.CauseJSON, "more behind"},
		"bad UTF-8":           {change("yard", "y\xffrd"), event.CauseJSON, "invalid UTF-8"},
		"half a surrogate":    {change("yard", `\ud800`), event.CauseJSON, "surrogate"},
		"a name twice":        {change(`"rev":0`, `"rev":0,"rev":0`), event.CauseJSON, "duplicate"},
		"twice within":        {change(`"snr":7.5`, `"x":{"a":1,"a":2}`), event.CauseJSON, "duplicate"},
		"twice, escaped":      {change(`"snr":7.5`, `"\u0074ag":"mesh:2"`), event.CauseJSON, "duplicate"},
		"U+0000":              {change("mesh:1c2f13fc", `mesh:\u0000`), event.CauseValue, "U+0000"},
		"U+0000 within":       {change(`"snr":7.5`, `"x":[{"a":"\\\u0000"}]`), event.CauseValue, "U+0000"},
		"a huge number":       {change(`"snr":7.5`, `"x":1e400`), event.CauseValue, "too large"},
		"many digits":         {change(`"snr":7.5`, `"x":`+strings.Repeat("9", 400)), event.CauseValue, "too large"},
		"NaN":                 {change(`"snr":7.5`, `"snr":NaN`), event.CauseJSON, "not JSON"},
		"deep":                {change(`"snr":7.5`, `"x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)), event.CauseValue, "deep"},
		"another gateway":     {change(`"gateway":"dinkes-01"`, `"gateway":"dinkes-02"`), event.CauseSender, "dinkes-02"},
		"another dinas":       {change(`"dinas":"dinkes"`, `"dinas":"dishub"`), event.CauseSender, "dishub"},
		"another kind":        {change(`"kind":"tag"`, `"kind":"badge"`), event.CauseSender, "badge"},
		"version 2":           {change(`"v":1`, `"v":2`), event.CauseField, "v is 2"},
		"seq 0":               {change(`"seq":17`, `"seq":0`), event.CauseField, "seq is 0"},
		"seq below 0":         {change(`"seq":17`, `"seq":-17`), event.CauseField, "seq is -17"},
		"seq a fraction":      {change(`"seq":17`, `"seq":17.0`), event.CauseField, "seq is 17.0"},
		"seq beyond":          {change(`"seq":17`, `"seq":9007199254740992`), event.CauseField, "whole number"},
		"seq beyond int64":    {change(`"seq":17`, `"seq":18446744073709551617`), event.CauseField, "whole number"},
		"rev beyond":          {change(`"rev":0`, `"rev":2147483648`), event.CauseField, "rev is"},
		"no stream":           {change(`"stream":"`+streamID+`",`, ``), event.CauseField, "stream is"},
		"stream no UUID":      {change(`"stream":"`+streamID, `"stream":"hello`), event.CauseField, "UUID"},
		"stream in capitals":  {change(`"stream":"`+streamID, `"stream":"`+strings.ToUpper("019ab2c3-0000-7000-8000-00000000000a")), event.CauseField, "UUID"},
		"another id":          {change(streamID+`-17"`, streamID+`-18"`), event.CauseField, "id is"},
		"time no time":        {change("2026-11-29T08:15:30.123+07:00", "yesterday"), event.CauseField, "RFC 3339"},
		"time out of range":   {change("2026-11-29T08:15:30.123+07:00", "+294277-01-01T00:00:00Z"), event.CauseField, "RFC 3339"},
		"time a number":       {change(`"2026-11-29T08:15:30.123+07:00"`, `17`), event.CauseField, "RFC 3339"},
		"no quality":          {change(`"time_quality":"synced",`, ``), event.CauseField, "time_quality"},
		"zip bomb":            {message("batch", frame(t, strings.Repeat("0", 64<<20))), event.CauseBatch, "unpacks to more"},
		"a truncated batch":   {message("batch", frame(t, tagEvent)[:100]), event.CauseBatch, "batch"},
		"a batch without end": {message("batch", "\x28\xb5\x2f\xfd"), event.CauseBatch, "zstd"},
		"no batch":            {message("batch", tagEvent), event.CauseBatch, "zstd"},
		"a batch of text":     {message("batch", frame(t, "hello")), event.CauseBatch, "JSON object"},
		"ranges no list":      {message("gap", strings.Replace(with(`,"ranges":5`), `"kind":"tag"`, `"kind":"gap"`, 1)), event.CauseField, "ranges"},
		"a range backwards":   {message("gap", strings.Replace(with(`,"ranges":[{"stream":"`+streamID+`","from":5,"to":4}]`), `"kind":"tag"`, `"kind":"gap"`, 1)), event.CauseField, "ranges"},
		"a range of nobody":   {message("gap", strings.Replace(with(`,"ranges":[{"stream":"x","from":5,"to":null}]`), `"kind":"tag"`, `"kind":"gap"`, 1)), event.CauseField, "ranges"},
		"previous no object":  {message("start", strings.Replace(with(`,"previous":"x"`), `"kind":"tag"`, `"kind":"start"`, 1)), event.CauseField, "previous"},
		"previous below 0":    {message("start", strings.Replace(with(`,"previous":{"stream":"`+streamID+`","seq":-1,"clean":true}`), `"kind":"tag"`, `"kind":"start"`, 1)), event.CauseField, "previous"},
	}
}

func TestRefusals(t *testing.T) {
	d := decoder(t)
	for name, c := range refusals(t) {
		events, refused := d.Decode(c.m)
		if len(events) != 0 || len(refused) != 1 {
			t.Errorf("%s: %d events, %d refused", name, len(events), len(refused))
			continue
		}
		r := refused[0]
		if r.Cause != c.cause || !strings.Contains(r.Reason, c.says) {
			t.Errorf("%s: refused as %s: %s, want %s: %s", name, r.Cause, r.Reason, c.cause, c.says)
		}
		if want := c.m.Payload[:min(len(c.m.Payload), event.MaxKept)]; !bytes.Equal(r.Payload, want) {
			t.Errorf("%s: kept %d bytes, want %d", name, len(r.Payload), len(want))
		}
	}
	// The decoder is as good as new after all that.
	one(t, d, message("tag", tagEvent))
}

// FuzzDecode looks for messages that break the decoder, and for events and refusals that
// would break a database.
func FuzzDecode(f *testing.F) {
	f.Add("presence/v1/dinkes/dinkes-01/event/tag", []byte(tagEvent), false)
	f.Add("presence/v1/dinkes/dinkes-01/event/batch", []byte(frame(f, tagEvent, tagEvent)), false)
	for _, c := range refusals(f) {
		if len(c.m.Payload) < 10_000 {
			f.Add(c.m.Topic, c.m.Payload, c.m.Retained)
		}
	}
	f.Fuzz(func(t *testing.T, topic string, payload []byte, retained bool) {
		d := decoder(t)
		d.TagDetails = true
		events, refused := d.Decode(event.Message{Topic: topic, Payload: payload, Retained: retained})
		for _, e := range events {
			if err := storable(&e); err != nil {
				t.Errorf("%v in %+v", err, e)
			}
		}
		for _, r := range refused {
			if !plain(r.Topic) || !plain(r.Reason) || len(r.Payload) > event.MaxKept || r.Cause == event.CauseDatabase {
				t.Errorf("a refusal that cannot be stored: %+v", r)
			}
		}
	})
}

func plain(s string) bool { return utf8.ValidString(s) && !strings.ContainsAny(s, "\x00\n\r\x1b") }

// storable tells why PostgreSQL could not store an event.
func storable(e *event.Event) error {
	for _, text := range []string{e.Kind, e.Dinas, e.Gateway, e.Quality, e.Badge.V, e.Tag.V, e.Zone.V, string(e.More)} {
		if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			return fmt.Errorf("the text %q", text)
		}
	}
	if e.Seq < 1 || e.Rev < 0 || e.Kind == "" || e.Quality == "" || e.Link != nil && len(e.Link) != 16 {
		return fmt.Errorf("a field without a value")
	}
	for _, at := range []sql.Null[time.Time]{e.At, e.AtMin, e.AtMax} {
		if at.Valid && (at.V.Year() < -1 || at.V.Year() > 10_000) {
			return fmt.Errorf("the year %d", at.V.Year())
		}
	}
	if e.More == nil {
		return nil
	}
	var more map[string]json.RawMessage
	if err := json.Unmarshal(e.More, &more); err != nil || len(more) == 0 {
		return fmt.Errorf("more: %w", err)
	}
	for _, name := range []string{"v", "id", "seq", "stream", "time_quality"} {
		if _, there := more[name]; there {
			return fmt.Errorf("%s in more", name)
		}
	}
	return nil
}

func BenchmarkDecodeTag(b *testing.B) {
	d := decoder(b)
	m := message("tag", tagEvent)
	b.SetBytes(int64(len(m.Payload)))
	b.ReportAllocs()
	for b.Loop() {
		if events, refused := d.Decode(m); len(events) != 1 || len(refused) != 0 {
			b.Fatal(refused)
		}
	}
}
