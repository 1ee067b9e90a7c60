package presence_test

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/presence/presencetest"
	"presence/scripts/city"
)

var (
	malang = time.FixedZone("WIB", 7*3600)
	origin = presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes", Location: malang}
	stream = mustID("019ab2c3-0000-7000-8000-000000000001")
	boot   = mustID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	noon   = time.Date(2026, 11, 23, 12, 0, 0, 123_456_789, malang)
)

func mustID(s string) presence.ID {
	id, err := presence.ParseID(s)
	if err != nil {
		panic(err)
	}
	return id
}

func ptr[T any](v T) *T { return &v }

// bodies are drafts of all kinds, with everything set and with as little as may
// be.
func bodies() map[string]presence.Draft {
	at := presence.Reading{Boot: boot, Boottime: time.Hour, Wall: noon.UnixNano(), State: presence.ClockSynced}
	return map[string]presence.Draft{
		"badge": {Kind: presence.KindBadge, At: at, Simulated: true, Badge: &presence.Badge{
			Reader: "door", Badge: "h:00112233445566778899aabbccddeeff", Card: "mifare-classic-1k", Assurance: "uid",
		}},
		"proven badge": {Kind: presence.KindBadge, At: at, Badge: &presence.Badge{
			Reader: "door", Badge: "h:00112233445566778899aabbccddeeff", Card: "iso14443-4", Assurance: "authenticated-piv",
			Proof: &presence.Proof{Random: [16]byte{0: 0x0A, 15: 0xFF}, Signature: []byte{0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x02}, Certificate: [32]byte{0: 0xCE, 31: 0x27}},
		}},
		"badge with a key of the city": {Kind: presence.KindBadge, At: at, Badge: &presence.Badge{
			Reader: "door", Badge: "04A1B2C3D4E5F6", Card: "iso14443-4", Assurance: "authenticated-desfire",
		}},
		"checked badge": {Kind: presence.KindBadge, At: at, Badge: &presence.Badge{
			Reader: "door", Badge: "04A1B2C3", Card: "iso14443-4", Assurance: "uid",
			Check: &presence.TagCheck{Tag: "reyax:50", State: presence.TagFar, Distance: ptr(1234.5), Age: ptr(12300 * time.Millisecond)},
		}},
		"badge of a silent tag": {Kind: presence.KindBadge, At: at, Badge: &presence.Badge{
			Reader: "door", Badge: "04A1B2C3", Card: "unknown", Assurance: "uid", Check: &presence.TagCheck{Tag: "reyax:50"},
		}},
		"person": {Kind: presence.KindPresence, At: at, Person: &presence.Person{
			Badge: "04A1B2C3", Tag: "reyax:50", State: presence.Contradiction, Distance: ptr(1234.5),
			Events: []presence.EventID{{Stream: stream, Seq: 3}, {Stream: stream, Seq: 17}},
		}},
		"person nobody saw": {Kind: presence.KindPresence, At: at, Person: &presence.Person{Badge: "04A1B2C3", Tag: "reyax:50"}},
		"full tag": {Kind: presence.KindTag, At: at, Tag: &presence.Tag{
			Receiver: "yard", Tag: "kenwood:100-1001", Lat: ptr(-7.9778), Lon: ptr(112.634), Accuracy: ptr(5.0),
			FixTime: noon.UnixMilli(), Fix: presence.FreshnessLive, Zone: presence.ZoneInside, RSSI: ptr(-99), SNR: ptr(7.5),
		}},
		"bare tag":    {Kind: presence.KindTag, At: at, Tag: &presence.Tag{Receiver: "yard", Tag: "waypoint:BI4PGN-11"}},
		"first start": {Kind: presence.KindStart, At: at, Start: &presence.Start{Version: "1.0"}},
		"later start": {Kind: presence.KindStart, At: at, Start: &presence.Start{
			Version: "1.0", Previous: &presence.Previous{Stream: stream, Seq: 9, Clean: true},
		}},
		"gap": {Kind: presence.KindGap, At: at, Gap: &presence.Gap{
			Reason: presence.GapJournalFull, Kinds: map[string]int{"tag": 120}, First: &at,
			Ranges: []presence.Range{{Stream: stream, From: 5, To: 124}, {Stream: stream, From: 200}},
		}},
		"bare gap": {Kind: presence.KindGap, At: at, Gap: &presence.Gap{Reason: presence.GapWriteFailed, Kinds: map[string]int{}}},
		"chained start": {Kind: presence.KindStart, At: at, Start: &presence.Start{
			Version: "1.0", Previous: &presence.Previous{Stream: stream, Seq: 9, Link: presence.Link{0: 0xAB, 15: 1}},
		}},
		"chained gap": {Kind: presence.KindGap, At: at, Gap: &presence.Gap{
			Reason: presence.GapRolledBack, Kinds: map[string]int{},
			Ranges: []presence.Range{{Stream: stream, From: 5, To: 124, Before: presence.Link{0: 0xBE}, Link: presence.Link{15: 0xEF}}},
		}},
		"seal": {Kind: presence.KindSeal, At: at, Seal: &presence.Seal{
			Upto: 16, Link: presence.Link{0: 0x5E, 15: 0xA1}, Key: presence.KeyIDOf([]byte("a key")), Sig: make([]byte, 64),
			Anchors: []presence.Anchor{{Boottime: time.Hour, UTC: noon.UnixNano(), Error: 1500 * time.Microsecond, Source: "system"}},
		}},
		"bare seal": {Kind: presence.KindSeal, At: at, Seal: &presence.Seal{Upto: 1, Link: presence.Link{0: 1}, Sig: make([]byte, 64)}},
	}
}

func TestEveryEventIsAsTheCityExpects(t *testing.T) {
	v, err := city.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	timings := map[string]presence.Timing{
		"synced":    {Quality: presence.QualitySynced, Time: noon, Error: 1500 * time.Microsecond},
		"trusted":   {Quality: presence.QualityTrusted, Time: noon},
		"unsynced":  {Quality: presence.QualityUnsynced},
		"corrected": {Quality: presence.QualityCorrected, Time: noon, Error: time.Second, Rev: 2},
		"bounded":   {Quality: presence.QualityBounded, Time: noon, Error: time.Hour, Min: noon.Add(-time.Hour), Max: noon.Add(time.Hour), Rev: 1},
	}
	for body, draft := range bodies() {
		for timing, known := range timings {
			t.Run(body+" "+timing, func(t *testing.T) {
				r := presence.Record{Stream: stream, Seq: 1, Draft: draft}
				b, err := origin.Event(&r, known)
				if err != nil {
					t.Fatal(err)
				}
				if err := v.Validate("presence/v1/dinkes/dinkes-01/event/"+draft.Kind.String(), b); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// The link can be computed again from what was sent, whatever revision of it, and from
// nothing else. A seal sends the link of the event before it, and its own is computed.
func TestTheLinkRestsOnWhatIsSent(t *testing.T) {
	before := presence.Link{0: 7, 15: 9}
	all := bodies()
	maps.Copy(all, oddBodies())
	for name, draft := range all {
		r := presence.Record{Stream: stream, Seq: 17, Draft: draft}
		if r.Seal != nil {
			before = r.Seal.Link
		}
		chain, err := origin.Chain(&r, before)
		if err != nil {
			t.Fatal(err)
		}
		r.Chain = chain
		jakarta := origin // moved since
		jakarta.Location = time.FixedZone("WIT", 9*3600)
		for _, timing := range []presence.Timing{{Quality: presence.QualityUnsynced}, presencetest.Timing()} {
			sent, err := jakarta.Event(&r, timing)
			if err != nil {
				t.Fatal(err)
			}
			said, link := linkOf(t, sent, before)
			if r.Kind == presence.KindSeal {
				if said != before.String() || link == before {
					t.Errorf("%s says the link %s, want that of the event before it", name, said)
				}
			} else if said != link.String() {
				t.Errorf("%s says the link %s, computed %s", name, said, link)
			}
			if link != r.Chain.Link {
				t.Errorf("%s: %s is kept for %s", name, r.Chain.Link, sent)
			}
		}
	}
}

// linkOf is the link that an event says, and what it is by the contract.
func linkOf(t *testing.T, sent []byte, before presence.Link) (said string, computed presence.Link) {
	t.Helper()
	if !jsontext.Value(sent).IsValid() { // a name twice, too
		t.Fatalf("no JSON: %s", sent)
	}
	var fields map[string]jsontext.Value
	if err := jsonv2.Unmarshal(sent, &fields); err != nil {
		t.Fatal(err)
	}
	said = strings.Trim(string(fields["link"]), `"`)
	for _, name := range []string{"link", "rev", "time", "time_quality", "time_error_ms", "time_min", "time_max"} {
		delete(fields, name)
	}
	core, err := jsonv2.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	canonical := jsontext.Value(core)
	if err := canonical.Canonicalize(); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(canonical)
	both := sha256.Sum256(append(before[:], digest[:]...))
	return said, presence.Link(both[:16])
}

func TestEventTimesCarryMillisecondsAndTheOfficesOffset(t *testing.T) {
	d := bodies()["full tag"]
	b, err := origin.Event(&presence.Record{Stream: stream, Seq: 7, Draft: d},
		presence.Timing{Quality: presence.QualitySynced, Time: noon.UTC(), Error: 1500 * time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"id":"019ab2c3-0000-7000-8000-000000000001-7"`,
		`"time":"2026-11-23T12:00:00.123+07:00"`, `"time_error_ms":1.5`,
		`"fix_time":"2026-11-23T12:00:00.123+07:00"`, `"zone":"inside"`, `"fix":"live"`,
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in %s", want, b)
		}
	}
	if strings.Contains(string(b), "simulated") {
		t.Error("a real event is marked as simulated")
	}
}

func TestRecordWithoutItsBodyIsAnError(t *testing.T) {
	for kind := range presence.Kind(7) {
		if b, err := origin.Event(&presence.Record{Stream: stream, Seq: 1, Draft: presence.Draft{Kind: kind}}, presence.Timing{}); err == nil {
			t.Errorf("kind %d: %s", kind, b)
		}
	}
}

func TestMessagesAreAsTheCityExpects(t *testing.T) {
	v, err := city.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	for topic, message := range map[string]any{
		"status": presence.Status{State: "offline", Session: boot, Reason: "lost"},
		"info": presence.Info{
			V: 1, Gateway: "dinkes-01", Dinas: "dinkes", Place: "Jl. Ijen 1", Contact: "0341 1", ConfigDigest: strings.Repeat("0a", 32), Schema: 1, BadgeKey: presence.HashedBadges([32]byte{}).Fingerprint(),
			Readers: []presence.InfoReader{{Name: "door", Chip: "mfrc522", Bus: "sim"}}, Receivers: []presence.InfoReceiver{}, Simulated: true,
			RolledBack: &presence.InfoRollback{Version: "v1.3.0", Package: "1.3.0"},
			Seal: &presence.InfoSeal{
				Key: presence.KeyID{1}.String(), PublicKey: "-----BEGIN PUBLIC KEY-----\n", Certificate: "-----BEGIN CERTIFICATE-----\n",
			},
		},
		"health": presence.Health{
			V: 1, IntervalS: 60, Level: presence.LevelOK, Clock: presence.ClockHealth{State: "synced", Quality: presence.QualitySynced},
			Roster: presence.RosterHealth{Source: "none"}, Hours: presence.HoursHealth{Source: "file"},
			Readers:   []presence.ReaderHealth{{Name: "door", State: "ok"}},
			Receivers: []presence.ReceiverHealth{{Name: "yard", State: "ok", Bad: map[string]int64{"checksum": 1}}}, Alerts: []string{},
		},
		"alert/reader-door": presence.Alert{Code: "reader-door", Level: presence.LevelFault, ID: "rusak", EN: "broken"},
		"reply/ping":        presence.Reply{TX: "1", OK: true, Result: json.RawMessage(`{}`)},
		"log":               presence.LogLine{Level: "WARN", Text: "x", Details: map[string]string{"a": "b"}},
		"receipt":           presence.Receipt{Stream: stream, Upto: 5, Documents: map[string]uint64{"roster": 7}},
		"cmd/ping":          presence.Command{TX: "1", Expires: "2026-11-23T12:00:00Z", Documents: map[string]uint64{"policy/hours": 7}},
	} {
		b, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Validate("presence/v1/dinkes/dinkes-01/"+topic, b); err != nil {
			t.Error(err)
		}
	}
}

// TestPromise7BadgesAreKeyedHashes: who has the event and not the key cannot
// tell the card.
func TestPromise7BadgesAreKeyedHashes(t *testing.T) {
	uid := []byte{0x04, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6}

	one, other := presence.HashedBadges([32]byte{}), presence.HashedBadges([32]byte{1})
	a, b := one.Identity(uid), other.Identity(uid)
	if a == b || len(a) != 34 || !strings.HasPrefix(a, "h:") {
		t.Errorf("identities %s and %s", a, b)
	}
	if want := "h:" + hmacOfZeroKey; a != want {
		t.Errorf("identity %s, want %s", a, want)
	}
	if strings.Contains(strings.ToUpper(a), "A1B2C3") {
		t.Errorf("the UID shows in %s", a)
	}
	if p := presence.PlainBadges().Identity(uid); p != "04A1B2C3D4E5F6" {
		t.Errorf("plain identity %s", p)
	}
}

func TestSinceIsKnownWithinABootOrBetweenKnownClocks(t *testing.T) {
	other := presence.ID{2}
	base := presence.Reading{Boot: boot, Boottime: time.Hour, Wall: noon.UnixNano(), State: presence.ClockSynced}
	for name, tc := range map[string]struct {
		later presence.Reading
		want  time.Duration
		known bool
	}{
		"same boot":                   {presence.Reading{Boot: boot, Boottime: time.Hour + time.Minute}, time.Minute, true},
		"same boot, clock set back":   {presence.Reading{Boot: boot, Boottime: 2 * time.Hour, Wall: 0}, time.Hour, true},
		"another boot, both known":    {presence.Reading{Boot: other, Wall: noon.Add(time.Minute).UnixNano(), State: presence.ClockTrusted}, time.Minute, true},
		"another boot, clock unknown": {presence.Reading{Boot: other, Wall: noon.Add(time.Minute).UnixNano()}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			if d, ok := tc.later.Since(base); d != tc.want || ok != tc.known {
				t.Errorf("%v %v", d, ok)
			}
		})
	}
}

func TestParseID(t *testing.T) {
	const text = "019ab2c3-0000-7000-8000-000000000001"
	if s := mustID(text).String(); s != text {
		t.Errorf("%s became %s", text, s)
	}
	for _, bad := range []string{"", "019ab2c3", strings.ReplaceAll(text, "-", "_"), strings.Replace(text, "a", "g", 1), text + "0"} {
		if id, err := presence.ParseID(bad); err == nil {
			t.Errorf("%q was taken as %s", bad, id)
		}
	}
}

// FuzzEvent makes events of names and numbers that a radio could make up: each
// is one valid JSON object, and what is in it comes back.
func FuzzEvent(f *testing.F) {
	f.Add("waypoint:BI4PGN-11", "yard", -7.9778, 112.634, int64(1795412345678))
	f.Add("waypoint:a\"b\\c\n\x00\xff", "", math.NaN(), math.Inf(1), int64(-1))
	f.Add("waypoint:é,*\u2028", "x", 1e-9, 1e21, int64(1<<62))
	f.Fuzz(func(t *testing.T, tag, receiver string, lat, lon float64, ms int64) {
		d := bodies()["full tag"]
		d.Tag = &presence.Tag{Receiver: receiver, Tag: tag, Lat: &lat, Lon: &lon, FixTime: ms}
		b, err := origin.Event(&presence.Record{Stream: stream, Seq: 7, Draft: d}, presence.Timing{})
		if err != nil {
			t.Fatal(err)
		}
		var back struct {
			Tag string
			Lat *float64
		}
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		if utf8.ValidString(tag) && back.Tag != tag {
			t.Errorf("tag %q became %q", tag, back.Tag)
		}
		if back.Lat != nil && *back.Lat != lat || back.Lat == nil && !math.IsNaN(lat) && !math.IsInf(lat, 0) {
			t.Errorf("lat %v became %v", lat, back.Lat)
		}
	})
}

func BenchmarkEvent(b *testing.B) {
	r := presence.Record{Stream: stream, Seq: 7, Draft: bodies()["full tag"]}
	t := presence.Timing{Quality: presence.QualitySynced, Time: noon, Error: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := origin.Event(&r, t); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChain is what the chain costs an event when it is recorded. Delivery pays only
// for printing the link.
func BenchmarkChain(b *testing.B) {
	r := presence.Record{Stream: stream, Seq: 7, Draft: bodies()["full tag"]}
	var before presence.Link
	b.ReportAllocs()
	for b.Loop() {
		chain, err := origin.Chain(&r, before)
		if err != nil {
			b.Fatal(err)
		}
		before = chain.Link
	}
}

// hmacOfZeroKey was computed with openssl.
const hmacOfZeroKey = "cc07f2da6ac3dfa7e3cdb98f97bda230"
