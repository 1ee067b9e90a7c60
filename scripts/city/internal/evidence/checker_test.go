package evidence_test

import (
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	strict "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"presence/scripts/city"
	"presence/scripts/city/internal/evidence"
	"presence/scripts/city/internal/pivbadge"
	"presence/scripts/city/internal/pivbadge/pivbadgetest"
)

type fields = pivbadgetest.Fields

// office is an authority with two badges that are known to the checkers of a test.
type office struct {
	t          testing.TB
	file       string
	authority  *pivbadgetest.Authority
	sari, budi *pivbadgetest.Badge // Budi's key is of P-384
}

func newOffice(t testing.TB) *office {
	t.Helper()
	o := &office{t: t, file: filepath.Join(t.TempDir(), "badge-ca.pem"), authority: pivbadgetest.NewAuthority(t, "Kota Malang")}
	o.sari = o.authority.Badge(city.GUIDOf([]byte{4, 0xa1, 0xb2, 0xc3}), elliptic.P256(), nil)
	o.budi = o.authority.Badge(uuid.New(), elliptic.P384(), nil)
	if err := os.WriteFile(o.file, o.authority.PEM(o.sari, o.budi), 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *office) checker(revoked []pivbadge.Revocation, key *[32]byte) *evidence.Checker {
	o.t.Helper()
	a, err := pivbadge.ReadAuthority(o.file)
	if err != nil {
		o.t.Fatal(err)
	}
	return evidence.NewChecker(a, revoked, key)
}

// proofOf changes a field of the proof in an event.
func proofOf(t testing.TB, event, name string, value any) string {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal([]byte(event), &e); err != nil {
		t.Fatal(err)
	}
	e["proof"].(map[string]any)[name] = value
	line, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

func TestTapsHold(t *testing.T) {
	o := newOffice(t)
	key := [32]byte{7}
	hashed := city.BadgeIdentity(city.GatewayBadgeKey(key, "dinkes-01"), o.sari.GUID[:])
	for name, tc := range map[string]struct {
		event string
		note  string
	}{
		"P-256":              {o.sari.Tap(t, 2, 5_000, nil), ""},
		"P-384":              {o.budi.Tap(t, 2, 5_000, nil), ""},
		"a hashed badge":     {o.sari.Tap(t, 2, 5_000, fields{"badge": hashed}), ""},
		"at the boot":        {o.sari.Tap(t, 2, 0, nil), ""},
		"corrected":          {o.sari.Tap(t, 2, 5_000, fields{"rev": 1, "time_quality": "corrected"}), ""},
		"between two times":  {o.sari.Tap(t, 2, 5_000, fields{"time_quality": "bounded", "time_min": "2026-11-01T00:00:00Z", "time_max": "2026-11-23T00:00:00Z"}), ""},
		"at an unknown time": {o.sari.Tap(t, 2, 5_000, fields{"time_quality": "unsynced", "time": nil, "time_error_ms": nil}), "its time is unknown"},
		"before or after the certificate's end": {
			o.sari.Tap(t, 2, 5_000, fields{"time_quality": "bounded", "time_min": "2027-12-01T00:00:00Z", "time_max": "2028-01-23T00:00:00Z"}), "ended within the bounds",
		},
		"before or after its beginning": {o.sari.Tap(t, 2, 5_000, fields{"time": "2026-01-01T00:00:01Z", "time_error_ms": 5000}), "began within the bounds"},
		"with its topic":                {"presence/v1/dinkes/dinkes-01/event/badge " + o.sari.Tap(t, 2, 5_000, nil), ""},
		"fields of a later version":     {o.sari.Tap(t, 2, 5_000, fields{"link": "00", "lunch": []int{1}}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := o.checker(nil, &key)
			got := c.Check([]byte(tc.event))
			if got.Fails || (got.Why == "") != (tc.note == "") || !strings.Contains(got.Why, tc.note) {
				t.Errorf("got %v, want %q", got, tc.note)
			}
			if undecided := tc.note != ""; c.Counts.Hold != 1 || c.Counts.Failed != 0 || (c.Counts.Undecided == 1) != undecided {
				t.Errorf("counted %+v", c.Counts)
			}
		})
	}
}

// Whatever is changed in an event, or does not belong together, does not hold.
func TestTapsDoNotHold(t *testing.T) {
	o := newOffice(t)
	foreign := pivbadgetest.NewAuthority(t, "Kota Malang").Badge(o.sari.GUID, elliptic.P256(), nil)
	signature := new(big.Int).SetBytes([]byte("no signature")).Bytes()
	tap := func(change fields) string { return o.sari.Tap(t, 2, 5_000, change) }
	const stream = "019ab2c3-0000-7000-8000-000000000002"
	for name, tc := range map[string]struct{ event, want string }{
		"another gateway":           {tap(fields{"gateway": "dinkes-02"}), "signature"},
		"another gateway's topic":   {"presence/v1/dinkes/dinkes-02/event/badge " + tap(nil), "its topic is another one's"},
		"no topic of an event":      {"presence/v1/dinkes-01 " + tap(nil), "its topic is another one's"},
		"another stream":            {tap(fields{"stream": stream, "id": stream + "-2"}), "signature"},
		"another boot_ms":           {tap(fields{"boot_ms": 5_001}), "signature"},
		"another random":            {proofOf(t, tap(nil), "random", "00000000000000000000000000000000"), "signature"},
		"another badge's proof":     {proofOf(t, tap(nil), "certificate", hex.EncodeToString(fingerprint(o.budi))), "signature"},
		"a broken signature":        {proofOf(t, tap(nil), "signature", signature), "signature"},
		"no proof":                  {tap(fields{"proof": nil}), "no proof"},
		"a null proof":              {strings.Replace(tap(fields{"proof": nil}), `"seq"`, `"proof":null,"seq"`, 1), "no proof"},
		"no boot_ms":                {tap(fields{"boot_ms": nil}), "no boot_ms"},
		"a proof, and no claim":     {tap(fields{"assurance": "uid"}), `says "uid"`},
		"another person's badge":    {tap(fields{"badge": strings.ToUpper(hex.EncodeToString(o.budi.GUID[:]))}), "not that of the certificate"},
		"a UID":                     {tap(fields{"badge": "04A1B2C3"}), "not that of the certificate"},
		"another hashed badge":      {tap(fields{"badge": "h:00112233445566778899aabbccddeeff"}), "not that of the certificate"},
		"of another authority":      {foreign.Tap(t, 2, 5_000, nil), "not among those"},
		"after the end":             {tap(fields{"time": "2028-01-01T07:29:58.120+07:00"}), "had ended"},
		"before the beginning":      {tap(fields{"time": "2025-12-01T07:29:58.120+07:00"}), "valid only from"},
		"bounds after the end":      {tap(fields{"time_quality": "bounded", "time_min": "2028-01-01T00:00:00Z", "time_max": "2028-01-23T00:00:00Z"}), "had ended"},
		"no bounds":                 {tap(fields{"time_quality": "bounded"}), "no bounds"},
		"no time":                   {tap(fields{"time": nil}), "time is missing"},
		"no error":                  {tap(fields{"time_error_ms": nil}), "no error"},
		"a negative error":          {tap(fields{"time_error_ms": -1}), "no error"},
		"a huge error":              {tap(fields{"time_error_ms": 1e300}), "no error"},
		"an unknown quality":        {tap(fields{"time_quality": "good"}), "quality"},
		"a foreign id":              {tap(fields{"id": stream + "-2"}), "id is not"},
		"no stream":                 {tap(fields{"stream": "x"}), "no stream"},
		"seq 0":                     {tap(fields{"seq": 0}), "no stream and seq"},
		"a gateway's name":          {tap(fields{"gateway": "dinkes 01"}), "name its gateway"},
		"a short random":            {proofOf(t, tap(nil), "random", "00"), "form"},
		"a random that is no hex":   {proofOf(t, tap(nil), "random", strings.Repeat("xy", 16)), "hex"},
		"a long signature":          {proofOf(t, tap(nil), "signature", strings.Repeat("A", 1<<16)), "form"},
		"no signature":              {proofOf(t, tap(nil), "signature", ""), "base64"},
		"a signature, not base64":   {proofOf(t, tap(nil), "signature", "\n===="), "base64"},
		"boot_ms with a fraction":   {strings.Replace(tap(nil), `"boot_ms":5000`, `"boot_ms":5000.5`, 1), "not a JSON object"},
		"a field that stands twice": {strings.Replace(tap(nil), `"seq"`, `"boot_ms":5000,"seq"`, 1), "not a JSON object"},
		"other letters":             {strings.Replace(tap(nil), `"boot_ms"`, `"Boot_ms"`, 1), "no boot_ms"},
		"no JSON":                   {`hello`, "not a JSON object"},
		"a list":                    {`[]`, "not a JSON object"},
		"two objects":               {tap(nil) + tap(nil), "not a JSON object"},
		"nothing":                   {`{}`, "no kind"},
		"half of one":               {tap(nil)[:200], "not a JSON object"},
		"nested":                    {strings.Repeat(`{"a":`, 20_000), "not a JSON object"},
		"bytes":                     {"\xff\xfe\x00", "not a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			key := [32]byte{7}
			c := o.checker(nil, &key)
			got := c.Check([]byte(tc.event))
			if !got.Fails || !strings.Contains(got.Why, tc.want) {
				t.Errorf("got %+v, want %q", got, tc.want)
			}
			if c.Counts.Hold != 0 || c.Counts.Failed != 1 {
				t.Errorf("counted %+v", c.Counts)
			}
		})
	}
}

func fingerprint(b *pivbadgetest.Badge) []byte {
	sum := sha256.Sum256(b.Certificate.Raw)
	return sum[:]
}

// A proof serves for one tap. The same event again, also with a later time, is no other tap.
func TestNothingProvesTwoTaps(t *testing.T) {
	o := newOffice(t)
	event := o.sari.Tap(t, 2, 5_000, nil)
	c := o.checker(nil, nil)
	for _, line := range []string{
		event, event,
		strings.NewReplacer(`"rev":0`, `"rev":1`, "07:29:58.120", "07:29:58.100").Replace(event),
	} {
		if got := c.Check([]byte(line)); got.Fails {
			t.Errorf("the same tap again: %v", got)
		}
	}
	copied := strings.NewReplacer(`"seq":2`, `"seq":3`, pivbadgetest.Stream+"-2", pivbadgetest.Stream+"-3").Replace(event)
	if got := c.Check([]byte(copied)); !got.Fails || !strings.Contains(got.Why, pivbadgetest.Stream+"-2: one proof for two taps") {
		t.Errorf("a copied tap: %v", got)
	}
	if got := c.Check([]byte(o.sari.Tap(t, 2, 5_000, nil))); !got.Fails || !strings.Contains(got.Why, "with another proof") {
		t.Errorf("another proof under the same id: %v", got)
	}
	if c.Counts.Hold != 3 || c.Counts.Unmatched != 0 || c.Counts.Failed != 2 {
		t.Errorf("counted %+v", c.Counts)
	}
}

func TestRevokedBadges(t *testing.T) {
	o := newOffice(t)
	tapped := time.Date(2026, 11, 23, 0, 29, 58, 120e6, time.UTC)
	key := [32]byte{7}
	hashed := city.BadgeIdentity(city.GatewayBadgeKey(key, "dinkes-01"), o.sari.GUID[:])
	bounded := fields{"time_quality": "bounded", "time_min": "2026-11-20T00:00:00Z", "time_max": "2026-11-23T00:00:00Z"}
	unknown := fields{"time_quality": "unsynced", "time": nil, "time_error_ms": nil}
	before, after := tapped.Add(-time.Hour), tapped.Add(time.Hour)
	for name, tc := range map[string]struct {
		revoked pivbadge.Revocation
		change  fields
		want    string // "": it holds
	}{
		"its GUID before":     {pivbadge.Revocation{GUID: &o.sari.GUID, Since: before, Why: "lost"}, nil, "had been revoked on 2026-11-22T23:29:58Z (lost)"},
		"its GUID after":      {pivbadge.Revocation{GUID: &o.sari.GUID, Since: after}, nil, ""},
		"its GUID for ever":   {pivbadge.Revocation{GUID: &o.sari.GUID}, nil, "was revoked"},
		"its serial":          {pivbadge.Revocation{Serial: o.sari.Certificate.SerialNumber, Since: before}, nil, "had been revoked"},
		"its UID":             {pivbadge.Revocation{UID: []byte{4, 0xa1, 0xb2, 0xc3}, Since: before}, nil, "had been revoked"},
		"its identity":        {pivbadge.Revocation{Badge: hashed, Since: before}, fields{"badge": hashed}, "had been revoked"},
		"another GUID":        {pivbadge.Revocation{GUID: &o.budi.GUID}, nil, ""},
		"another serial":      {pivbadge.Revocation{Serial: o.budi.Certificate.SerialNumber}, nil, ""},
		"at the same instant": {pivbadge.Revocation{GUID: &o.sari.GUID, Since: tapped}, nil, "within the bounds"},
		"within the bounds":   {pivbadge.Revocation{GUID: &o.sari.GUID, Since: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)}, bounded, "within the bounds"},
		"after the bounds":    {pivbadge.Revocation{GUID: &o.sari.GUID, Since: after}, bounded, ""},
		"time unknown":        {pivbadge.Revocation{GUID: &o.sari.GUID, Since: after}, unknown, "nobody knows"},
		"another, unknown":    {pivbadge.Revocation{GUID: &o.budi.GUID, Since: after}, unknown, "its time is unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			got := o.checker([]pivbadge.Revocation{tc.revoked}, &key).Check([]byte(o.sari.Tap(t, 2, 5_000, tc.change)))
			if fails := tc.want != "" && name != "another, unknown"; got.Fails != fails || !strings.Contains(got.Why, tc.want) || tc.want == "" && got.Why != "" {
				t.Errorf("got %+v, want %q", got, tc.want)
			}
		})
	}
}

// A row of presence.latest, as row_to_json prints it, is read like the event.
func TestRowsOfTheDatabase(t *testing.T) {
	o := newOffice(t)
	row := func(change fields) []byte {
		var e map[string]any
		if err := json.Unmarshal([]byte(o.sari.Tap(t, 2, 5_000, change)), &e); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string]any{
			"stream": e["stream"], "seq": e["seq"], "rev": 0, "kind": "badge", "dinas": "dinkes", "gateway": e["gateway"],
			"at": "2026-11-23T00:29:58.12+00:00", "quality": "synced", "error_ms": 1.5, "at_min": nil, "at_max": nil, "badge": e["badge"], "tag": nil,
			"more": map[string]any{"boot_ms": e["boot_ms"], "assurance": e["assurance"], "proof": e["proof"], "reader": "door"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	c := o.checker(nil, nil)
	if got := c.Check(row(nil)); got.Why != "" || c.Counts.Hold != 1 {
		t.Errorf("got %v, %+v", got, c.Counts)
	}
	if got := c.Check(row(fields{"gateway": "dinkes-02"})); !got.Fails {
		t.Error("a row of another gateway holds")
	}
	// An event's own fields are not overruled by a field that no gateway sends.
	tap := o.sari.Tap(t, 4, 5_000, nil)
	if got := c.Check([]byte(strings.Replace(tap, `"seq"`, `"more":{"gateway":"dinkes-02","boot_ms":1},"seq"`, 1))); got.Fails {
		t.Errorf("got %v", got)
	}
}

func TestWhatProvesNothingIsCounted(t *testing.T) {
	o := newOffice(t)
	c := o.checker(nil, nil)
	for _, change := range []fields{
		{"assurance": "uid", "proof": nil},
		{"assurance": "random-uid", "proof": nil},
		{"assurance": "authenticated-desfire", "proof": nil},
		{"kind": "tag", "proof": nil},
	} {
		if got := c.Check([]byte(o.sari.Tap(t, 2, 5_000, change))); got != (evidence.Finding{}) {
			t.Errorf("%v: %v", change, got)
		}
	}
	c.Check([]byte(o.sari.Tap(t, 2, 5_000, fields{"badge": "h:00112233445566778899aabbccddeeff"})))
	if want := (evidence.Counts{Events: 5, Hold: 1, Desfire: 1, Plain: 2, Unmatched: 1}); c.Counts != want {
		t.Errorf("counted %+v, want %+v", c.Counts, want)
	}
}

// kept are taps with P-256 and P-384 that were made once, as evidence is: what checks them
// must go on doing so.
func kept(t testing.TB) (*office, []string) {
	t.Helper()
	text, err := os.ReadFile("testdata/taps.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return &office{t: t, file: "testdata/badge-ca.pem"}, strings.Split(strings.TrimSpace(string(text)), "\n")
}

func TestOldEvidenceStillHolds(t *testing.T) {
	o, taps := kept(t)
	c := o.checker(nil, nil)
	for _, tap := range taps {
		if got := c.Check([]byte(tap)); got.Why != "" {
			t.Errorf("got %v", got)
		}
	}
	if c.Counts.Hold != 2 {
		t.Errorf("counted %+v", c.Counts)
	}
}

// Nothing in a file makes the checker panic, and nothing but the badge's own signature for
// this gateway, stream and boot_ms makes a tap hold.
func FuzzCheck(f *testing.F) {
	o, taps := kept(f)
	a, err := pivbadge.ReadAuthority(o.file)
	if err != nil {
		f.Fatal(err)
	}
	for _, tap := range taps {
		f.Add([]byte(tap))
	}
	f.Add([]byte(strings.Replace(taps[0], "synced", "bounded", 1)))
	f.Add([]byte(`{"kind":"badge","more":{"proof":{}}}`))
	f.Add([]byte(`{"kind":"badge","assurance":"authenticated-piv"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		c := evidence.NewChecker(a, nil, nil)
		got := c.Check(line)
		if n := c.Counts; n.Hold+n.Failed > 1 || got.Fails != (n.Failed == 1) {
			t.Fatalf("%+v, %+v", got, n)
		}
		if c.Counts.Hold == 0 {
			return
		}
		// A row of the database has some of it in more.
		var said struct {
			Gateway string         `json:"gateway"`
			Stream  string         `json:"stream"`
			BootMS  uint64         `json:"boot_ms"`
			More    jsontext.Value `json:"more"`
		}
		if err := strict.Unmarshal(line, &said); err != nil {
			t.Fatal(err)
		}
		boot := said.BootMS == 5_000 || said.BootMS == 6_000 || said.More.Kind() == '{'
		if said.Gateway != "dinkes-01" || said.Stream != pivbadgetest.Stream || !boot {
			t.Fatalf("holds: %q", line)
		}
	})
}
