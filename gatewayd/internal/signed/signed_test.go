package signed

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// keyOf makes a key from a seed.
func keyOf(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

var here = Form{Kind: "roster", Body: "entries", Dinas: "dinkes", Gateway: "dinkes-01"}

// payload is a document of the city for the gateway here.
func payload(serial int, body string) string {
	return fmt.Sprintf(`{"kind":"roster","dinas":"dinkes","gateway":"dinkes-01","serial":%d,"issued":"2026-11-23T08:00:00+07:00","entries":%s}`, serial, body)
}

// seal signs a payload.
func seal(key ed25519.PrivateKey, payload string) []byte {
	return wrap(payload, ed25519.Sign(key, []byte(payload)))
}

func wrap(payload string, signature []byte) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `{"v":1,"payload":"%s","signature":"%s"}`, b64([]byte(payload)), b64(signature))
}

// office is a keeper that counts with what is in force.
type office struct {
	*Keeper
	path  string
	key   ed25519.PublicKey
	force string // the body in force

	secret *[32]byte
	log    bytes.Buffer
}

func newOffice(t testing.TB) *office {
	t.Helper()
	o := &office{path: filepath.Join(t.TempDir(), "roster.json"), key: public(keyOf(1))}
	o.restart()
	return o
}

// restart begins anew with what is on the disk.
func (o *office) restart() {
	o.force = ""
	o.Keeper = New(Options{
		Form: here, Key: o.key, Path: o.path, Secret: o.secret,
		Parse: func(d Document) ([]byte, func(), error) {
			var b bytes.Buffer
			if err := json.Compact(&b, d.Body); err != nil {
				return nil, nil, err
			}
			if b.Bytes()[0] != '[' {
				return nil, nil, errors.New("has no list")
			}
			return b.Bytes(), func() { o.force = b.String() }, nil
		},
		Log: slog.New(slog.NewTextHandler(&o.log, nil)),
	})
}

func TestAcceptedDocumentSurvives(t *testing.T) {
	o := newOffice(t)
	o.Receive(seal(keyOf(1), payload(7, `[1]`)))
	if s := o.State(); s.Serial != 7 || s.Problem != nil || o.force != "[1]" {
		t.Fatalf("%+v, in force %q", s, o.force)
	}
	info, err := os.Stat(o.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kept as %v, %v", info.Mode(), err)
	}
	o.restart()
	if s := o.State(); s.Serial != 7 || o.force != "[1]" {
		t.Errorf("after a restart %+v, in force %q", s, o.force)
	}
	o.Receive(seal(keyOf(1), payload(8, `[2]`)))
	o.restart()
	if s := o.State(); s.Serial != 8 || o.force != "[2]" {
		t.Errorf("after the next one %+v, in force %q", s, o.force)
	}
}

func TestRefused(t *testing.T) {
	good := payload(7, `[1]`)
	next := payload(8, `[2]`)
	changed := func(old, to string) string {
		if !strings.Contains(next, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(next, old, to, 1)
	}
	city := keyOf(1)
	signature := ed25519.Sign(city, []byte(next))
	for name, tc := range map[string]struct {
		message []byte
		why     string
	}{
		"forged with another key":     {seal(keyOf(2), next), "not signed by the city's key"},
		"another payload's signature": {wrap(payload(9, `[3]`), signature), "not signed by the city's key"},
		"a changed byte":              {wrap(changed("[2]", "[3]"), signature), "not signed by the city's key"},
		"a cut signature":             {wrap(next, signature[:40]), "not signed by the city's key"},
		"unsigned":                    {wrap(next, nil), "is not signed"},
		"without an envelope":         {[]byte(next), "no signed document"},
		"only the entries":            {[]byte(`[1]`), "no signed document"},
		"no JSON":                     {[]byte("hello"), "no signed document"},
		"another version":             {bytes.Replace(seal(city, next), []byte(`"v":1`), []byte(`"v":2`), 1), "no signed document"},
		"something behind it":         {append(seal(city, next), '1'), "no signed document"},
		"something unsigned in it":    {bytes.Replace(seal(city, next), []byte(`"v":1`), []byte(`"v":1,"serial":9`), 1), "no signed document"},
		"huge":                        {bytes.Repeat([]byte(" "), maxEnvelope+1), "larger"},
		"older":                       {seal(city, payload(6, `[2]`)), "older than 7"},
		"replayed with other content": {seal(city, payload(7, `[2]`)), "another content"},
		"of another kind":             {seal(city, changed(`"roster"`, `"hours"`)), "of kind"},
		"for another gateway":         {seal(city, changed("dinkes-01", "dinkes-02")), "not for this one"},
		"for another department":      {seal(city, changed(`"dinkes"`, `"dispendik"`)), "not for this one"},
		"for any department's 01":     {seal(city, changed(`"dinkes"`, `"*"`)), "not for this one"},
		"serial 0":                    {seal(city, payload(0, `[2]`)), "must be from 1"},
		"a negative serial":           {seal(city, payload(-1, `[2]`)), "wrong header"},
		"a serial that is not exact":  {seal(city, changed(`8`, `9007199254740993`)), "must be from 1"},
		"without serial":              {seal(city, changed(`"serial":8,`, ``)), `no "serial"`},
		"without a date":              {seal(city, changed(`"issued":"2026-11-23T08:00:00+07:00",`, ``)), `no "issued"`},
		"an odd date":                 {seal(city, changed(`2026-11-23T08:00:00+07:00`, `today`)), "wrong header"},
		"without entries":             {seal(city, changed(`,"entries":[2]`, ``)), `no "entries"`},
		"with more":                   {seal(city, changed(`"serial"`, `"note":"x","serial"`)), `"note"`},
		"with another case":           {seal(city, changed(`"serial"`, `"Serial":9,"serial"`)), `"Serial"`},
		"a wrong body":                {seal(city, payload(8, `{}`)), "no list"},
		"a payload that is no JSON":   {seal(city, "roster"), "no JSON object"},
		"a payload that is null":      {seal(city, "null"), `no "kind"`},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			o.Receive(seal(city, good))
			before, err := os.ReadFile(o.path)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				o.Receive(tc.message)
			}
			s := o.State()
			if s.Problem == nil || !strings.Contains(s.Problem.Error(), tc.why) {
				t.Errorf("refused with %v, want %q", s.Problem, tc.why)
			}
			after, err := os.ReadFile(o.path)
			if err != nil || !bytes.Equal(before, after) || o.force != "[1]" || s.Serial != 7 || s.Refused != 2 {
				t.Errorf("it changed something: %+v, in force %q, %v", s, o.force, err)
			}
			if n := strings.Count(o.log.String(), "is refused"); n != 1 {
				t.Errorf("logged %d times", n)
			}
			o.restart()
			if o.force != "[1]" || o.State().Serial != 7 {
				t.Errorf("after a restart %+v, in force %q", o.State(), o.force)
			}
			// A replay after the restart is as old as before it.
			o.Receive(seal(city, payload(6, `[0]`)))
			if o.force != "[1]" || o.State().Problem == nil {
				t.Errorf("a replay after a restart counts: in force %q", o.force)
			}
			// The valid one, which is retained, heals the alert.
			o.Receive(seal(city, good))
			if s := o.State(); s.Problem != nil {
				t.Errorf("a valid document leaves %v", s.Problem)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	for _, address := range [][2]string{{"dinkes", "dinkes-01"}, {"dinkes", "*"}, {"*", "*"}} {
		o := newOffice(t)
		o.Receive(seal(keyOf(1), strings.NewReplacer(`"dinkes"`, `"`+address[0]+`"`, "dinkes-01", address[1]).Replace(payload(1, "[1]"))))
		if o.force != "[1]" {
			t.Errorf("%v: %v", address, o.State().Problem)
		}
	}
}

func TestEmptyMessageChangesNothing(t *testing.T) {
	o := newOffice(t)
	o.Receive(seal(keyOf(1), payload(7, `[1]`)))
	o.Receive(nil)
	if s := o.State(); o.force != "[1]" || s.Serial != 7 || s.Refused != 0 || s.Problem != nil {
		t.Errorf("%+v, in force %q", s, o.force)
	}
}

func TestRetainedMessageComesAgain(t *testing.T) {
	o := newOffice(t)
	for range 3 {
		// Signed anew or spaced otherwise, it is still the same content.
		o.Receive(seal(keyOf(1), payload(7, `[1]`)))
		o.Receive(seal(keyOf(1), payload(7, `[ 1 ]`)))
	}
	if s := o.State(); s.Refused != 0 || s.Problem != nil || s.Serial != 7 {
		t.Errorf("%+v", s)
	}
}

func TestDamagedFileIsTold(t *testing.T) {
	o := newOffice(t)
	o.Receive(seal(keyOf(1), payload(7, `[1]`)))
	for name, data := range map[string]string{
		"empty": "", "cut": `{"v":1,"key":"`, "other": `[]`,
	} {
		if err := os.WriteFile(o.path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		o.restart()
		if s := o.State(); s.Problem == nil || s.Serial != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	o.Receive(seal(keyOf(1), payload(7, `[1]`)))
	if s := o.State(); s.Problem != nil || s.Serial != 7 || o.force != "[1]" {
		t.Errorf("a valid document does not heal it: %+v", s)
	}
}

func TestNewKeyBeginsAnew(t *testing.T) {
	o := newOffice(t)
	o.Receive(seal(keyOf(1), payload(7, `[1]`)))
	o.key = public(keyOf(2))
	o.restart()
	if s := o.State(); o.force != "" || s.Serial != 0 {
		t.Errorf("what the old key signed is still in force: %+v", s)
	}
	o.Receive(seal(keyOf(2), payload(1, `[2]`)))
	if o.force != "[2]" {
		t.Errorf("%v", o.State().Problem)
	}
}

func TestWhatCannotBeKeptIsNotInForce(t *testing.T) {
	o := newOffice(t)
	o.Receive(seal(keyOf(1), payload(7, `[1]`)))
	// A folder in the way stands for a disk that refuses.
	if err := os.Mkdir(o.path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	o.Receive(seal(keyOf(1), payload(8, `[2]`)))
	if s := o.State(); s.Problem == nil || s.Serial != 7 || o.force != "[1]" {
		t.Errorf("%+v, in force %q", s, o.force)
	}
	if err := os.Remove(o.path + ".new"); err != nil {
		t.Fatal(err)
	}
	o.Receive(seal(keyOf(1), payload(8, `[2]`)))
	if s := o.State(); s.Problem != nil || s.Serial != 8 || o.force != "[2]" {
		t.Errorf("%+v, in force %q", s, o.force)
	}
}

// TestPowerCutWhileKeeping: what was on its way to the disk is not there.
func TestPowerCutWhileKeeping(t *testing.T) {
	o := newOffice(t)
	o.Receive(seal(keyOf(1), payload(7, `[1]`)))
	if err := os.WriteFile(o.path+".new", []byte(`{"v":1,"key":`), 0o600); err != nil {
		t.Fatal(err)
	}
	o.restart()
	if s := o.State(); s.Serial != 7 || s.Problem != nil || o.force != "[1]" {
		t.Errorf("%+v, in force %q", s, o.force)
	}
	o.Receive(seal(keyOf(1), payload(8, `[2]`)))
	o.restart()
	if o.force != "[2]" {
		t.Errorf("in force %q", o.force)
	}
}

// TestWhatMayNotBeReadAnyMoreGoes: a document that was kept open is sealed after a
// change of the configuration, and is in force all the same.
func TestWhatMayNotBeReadAnyMoreGoes(t *testing.T) {
	o := newOffice(t)
	o.Receive(seal(keyOf(1), payload(7, `["raw"]`)))
	raw := []byte(base64.StdEncoding.EncodeToString([]byte(`["raw"]`))[:6])
	o.secret = &[32]byte{1}
	for range 2 {
		o.restart()
		if s := o.State(); s.Serial != 7 || s.Problem != nil || o.force != `["raw"]` {
			t.Errorf("%+v, in force %q", s, o.force)
		}
		data, err := os.ReadFile(o.path)
		if err != nil || bytes.Contains(data, raw) || bytes.Contains(data, []byte("payload")) {
			t.Errorf("kept: %s, %v", data, err)
		}
	}
	for name, secret := range map[string]*[32]byte{"another": {2}, "none": nil} {
		o.secret = secret
		o.restart()
		if s := o.State(); s.Problem == nil || o.force != "" {
			t.Errorf("with %s secret: %+v, in force %q", name, s, o.force)
		}
	}
}

// TestAnEditedDocumentIsNotInForce: who writes to the disk is not the city. The
// city's own comes again under the same serial, and heals it.
func TestAnEditedDocumentIsNotInForce(t *testing.T) {
	for _, secret := range []*[32]byte{nil, {1}} {
		o := newOffice(t)
		o.secret = secret
		o.restart()
		genuine := seal(keyOf(1), payload(7, `[1]`))
		o.Receive(genuine)
		good, err := os.ReadFile(o.path)
		if err != nil {
			t.Fatal(err)
		}
		keyName := o.keyName()
		edit := func(old, to string) string { return strings.Replace(string(good), old, to, 1) }
		for name, text := range map[string]string{
			"as it was kept once": fmt.Sprintf(`{"v":1,"key":%q,"kind":"roster","dinas":"dinkes","gateway":"dinkes-01","serial":7,"issued":"2026-11-23T08:00:00+07:00","body":[9]}`, keyName),
			"signed by another":   fmt.Sprintf(`{"v":2,"key":%q,"envelope":%s}`, keyName, seal(keyOf(2), payload(7, `[9]`))),
			"without a signature": fmt.Sprintf(`{"v":2,"key":%q,"envelope":%s}`, keyName, wrap(payload(7, `[9]`), nil)),
			"without a document":  fmt.Sprintf(`{"v":2,"key":%q}`, keyName),
			"of the other kind":   fmt.Sprintf(`{"v":2,"key":%q,"envelope":%s}`, keyName, seal(keyOf(1), strings.Replace(payload(7, `[9]`), "roster", "hours", 1))),
			"sealed by nobody":    fmt.Sprintf(`{"v":2,"key":%q,"sealed":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, keyName),
			"changed":             edit(`"sealed":"`, `"sealed":"AAAA`) + edit(`"payload":"`, `"payload":"AAAA`),
		} {
			if err := os.WriteFile(o.path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			o.restart()
			if s := o.State(); s.Problem == nil || s.Serial != 0 || o.force != "" {
				t.Errorf("%s: %+v, in force %q", name, s, o.force)
			}
			o.Receive(genuine)
			if s := o.State(); s.Problem != nil || s.Serial != 7 || o.force != "[1]" {
				t.Errorf("%s: the city's own does not heal it: %+v, in force %q", name, s, o.force)
			}
			o.restart()
			if s := o.State(); s.Problem != nil || o.force != "[1]" {
				t.Errorf("%s: after another restart %+v, in force %q", name, s, o.force)
			}
		}
	}
}

// TestSerialsOnlyRise plays any order of documents, forgeries and restarts: in
// force is always the highest serial that the city signed and that came.
func TestSerialsOnlyRise(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(r *rapid.T) {
		runs++
		o := &office{path: filepath.Join(dir, fmt.Sprint(runs)), key: public(keyOf(1))}
		o.restart()
		highest := 0
		for range rapid.IntRange(1, 15).Draw(r, "steps") {
			serial := rapid.IntRange(1, 9).Draw(r, "serial")
			switch rapid.SampledFrom([]string{"genuine", "forged", "restart", "other"}).Draw(r, "step") {
			case "genuine":
				o.Receive(seal(keyOf(1), payload(serial, fmt.Sprintf("[%d]", serial))))
				highest = max(highest, serial)
			case "other":
				if serial <= highest {
					o.Receive(seal(keyOf(1), payload(serial, "[0]")))
				}
			case "forged":
				o.Receive(seal(keyOf(2), payload(serial, "[0]")))
			case "restart":
				o.restart()
			}
			want := ""
			if highest > 0 {
				want = fmt.Sprintf("[%d]", highest)
			}
			if o.force != want || o.State().Serial != uint64(highest) {
				r.Fatalf("in force %q with serial %d, want %q", o.force, o.State().Serial, want)
			}
		}
	})
}

func FuzzOpen(f *testing.F) {
	key := keyOf(1)
	f.Add(seal(key, payload(1, "[]")))
	f.Add(seal(keyOf(2), payload(1, "[]")))
	f.Add(wrap(payload(1, "[]"), nil))
	f.Add([]byte(`{"v":1,"payload":"e30=","signature":"AA=="}`))
	f.Add([]byte(`{"v":1,"payload":"","signature":""}`))
	f.Add([]byte(`{"payload":null}`))
	f.Fuzz(func(t *testing.T, message []byte) {
		d, err := Open(message, public(key), here)
		if err != nil {
			return
		}
		// Only what the key signed opens, and the fuzzer was given one such.
		if d.Serial != 1 || string(d.Body) != "[]" {
			t.Fatalf("opened %+v", d)
		}
	})
}

func FuzzPayload(f *testing.F) {
	key := keyOf(1)
	f.Add(payload(1, "[]"))
	f.Add(`{"kind":"roster","dinas":"*","gateway":"*","serial":9007199254740991,"issued":"2026-11-23T08:00:00Z","entries":null}`)
	f.Add(`{"kind":"hours","dinas":"dinkes","gateway":"*","serial":1e3,"issued":"","entries":{}}`)
	f.Add(`{"kind":"roster","Kind":"hours"}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Open(seal(key, text), public(key), here)
		if err != nil {
			return
		}
		if d.Kind != "roster" || d.Serial < 1 || d.Serial > maxSerial || !json.Valid(d.Body) ||
			!(d.Dinas == "*" && d.Gateway == "*" || d.Dinas == "dinkes" && (d.Gateway == "*" || d.Gateway == "dinkes-01")) {
			t.Fatalf("opened %+v", d)
		}
	})
}
