package city_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/scripts/city"
	"presence/scripts/skiptest"
)

// desk is a folder in the city with its key.
type desk struct {
	t   *testing.T
	dir string
	key ed25519.PublicKey
}

func newDesk(t *testing.T) desk {
	t.Helper()
	skiptest.Program(t, "openssl")
	d := desk{t: t, dir: t.TempDir()}
	for _, args := range [][]string{
		{"genpkey", "-algorithm", "ed25519", "-out", "city.key"},
		{"pkey", "-in", "city.key", "-pubout", "-out", "city.pem"},
		{"genpkey", "-algorithm", "ed448", "-out", "other.key"},
	} {
		cmd := exec.Command("openssl", args...)
		cmd.Dir = d.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl: %v\n%s", err, out)
		}
	}
	text, err := os.ReadFile(filepath.Join(d.dir, "city.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	d.key = key.(ed25519.PublicKey)
	return d
}

func (d desk) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// sign runs the script over a file with a text.
func (d desk) sign(text string, args ...string) (message []byte, said string, ok bool) {
	d.t.Helper()
	d.write("in", text)
	script, err := filepath.Abs("sign.sh")
	if err != nil {
		d.t.Fatal(err)
	}
	cmd := exec.Command(script, args...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "GATEWAYD="+program(d.t, "gatewayd"), "BADGEDOCS="+program(d.t, "badgedocs"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.Bytes(), errs.String(), err == nil
}

// badgeKey is the badge key of a test's city.
const badgeKey = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// cityKey is the same as bytes.
func cityKey(t *testing.T) (key [32]byte) {
	t.Helper()
	if _, err := hex.Decode(key[:], []byte(badgeKey)); err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSign(t *testing.T) {
	d := newDesk(t)
	d.write("badge.key", badgeKey+"\n")
	ownKey := city.GatewayBadgeKey(cityKey(t), "dinkes-01")
	v, err := city.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	const hours = `{"mon": "07:30-16:00", "break": "12:00-13:00", "fri_break": "",
		"holidays": ["2026-12-25"], "period": [{"from": "2027-02-08", "to": "2027-03-09", "mon": "08:00-15:00", "break": ""}]}`
	for name, tc := range map[string]struct {
		text string
		args []string
		want string // the end of the payload
	}{
		"what badges must show": {
			"badge,tag,assurance\n04:a1:b2:c3,,authenticated-desfire\n3d2a7c5e-90b1-4f8e-8a61-f0b2c4d6e8fa,reyax:1,authenticated-piv\n",
			[]string{"-k", "city.key", "-b", "badge.key", "-d", "dinkes", "-g", "dinkes-01", "roster", "in"},
			`,"entries":[{"badge":"` + city.BadgeIdentity(ownKey, []byte{0x04, 0xA1, 0xB2, 0xC3}) + `","tag":"","assurance":"authenticated-desfire"},` +
				`{"badge":"` + city.BadgeIdentity(ownKey, []byte{0x3D, 0x2A, 0x7C, 0x5E, 0x90, 0xB1, 0x4F, 0x8E, 0x8A, 0x61, 0xF0, 0xB2, 0xC4, 0xD6, 0xE8, 0xFA}) + `","tag":"reyax:1","assurance":"authenticated-piv"}]}`,
		},
		"card numbers for one gateway": {
			"badge,tag\n04:a1:b2:c3:d4:e5:f6,kenwood:100-1001\n04A1B2C3,reyax:1\nh:00112233445566778899aabbccddeeff,reyax:2\n",
			[]string{"-k", "city.key", "-b", "badge.key", "-d", "dinkes", "-g", "dinkes-01", "roster", "in"},
			`"entries":[{"badge":"` + city.BadgeIdentity(ownKey, []byte{4, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6}) + `","tag":"kenwood:100-1001"},` +
				`{"badge":"` + city.BadgeIdentity(ownKey, []byte{4, 0xa1, 0xb2, 0xc3}) + `","tag":"reyax:1"},` +
				`{"badge":"h:00112233445566778899aabbccddeeff","tag":"reyax:2"}]}`,
		},
		"a roster": {
			"badge,tag\nh:00112233445566778899aabbccddeeff,kenwood:100-1001\n",
			[]string{"-k", "city.key", "-d", "dinkes", "-g", "dinkes-01", "roster", "in"},
			`"entries":[{"badge":"h:00112233445566778899aabbccddeeff","tag":"kenwood:100-1001"}]}`,
		},
		"of a spreadsheet": {
			"\xef\xbb\xbfBadge;Tag\r\n# the staff\r\n\r\n 04:A1:B2:C3 ;waypoint:Bu Sari\r\nh:00112233445566778899aabbccddeeff;mesh:1c2f13fc;\r\n;\r\n",
			[]string{"-k", "city.key", "-d", "dinkes", "-g", "*", "roster", "in"},
			`"entries":[{"badge":"04A1B2C3","tag":"waypoint:Bu Sari"},{"badge":"h:00112233445566778899aabbccddeeff","tag":"mesh:1c2f13fc"}]}`,
		},
		"of Excel under Indonesian settings": {
			"\xef\xbb\xbfsep=;\r\nNo. Kartu;Nomor Tag\r\n04A1B2C3;reyax:1\r\n12:34:56:00;reyax:2\r\n",
			[]string{"-k", "city.key", "-d", "dinkes", "-g", "dinkes-01", "roster", "in"},
			`"entries":[{"badge":"04A1B2C3","tag":"reyax:1"},{"badge":"12345600","tag":"reyax:2"}]}`,
		},
		"nobody": {"badge,tag\n", []string{"-k", "city.key", "-d", "dinkes", "-g", "dinkes-01", "roster", "in"}, `"entries":[]}`},
		"hours":  {hours, []string{"-k", "city.key", "-d", "*", "-g", "*", "hours", "in"}, `"hours":` + hours + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			message, said, ok := d.sign(tc.text, tc.args...)
			if !ok {
				t.Fatal(said)
			}
			if err := v.Validate("presence/v1/dinkes/dinkes-01/roster", message); err != nil {
				t.Error(err)
			}
			var e struct{ Payload, Signature []byte }
			if err := json.Unmarshal(message, &e); err != nil {
				t.Fatal(err)
			}
			if !ed25519.Verify(d.key, e.Payload, e.Signature) {
				t.Error("the signature is wrong")
			}
			if err := v.ValidateDocument(e.Payload); err != nil {
				t.Error(err)
			}
			if !strings.HasSuffix(string(e.Payload), tc.want) {
				t.Errorf("signed %s\nwant %s", e.Payload, tc.want)
			}
			var header struct {
				Serial int64
				Issued time.Time
			}
			if err := json.Unmarshal(e.Payload, &header); err != nil || time.Since(header.Issued).Abs() > time.Minute || header.Serial < header.Issued.Unix()-60 {
				t.Errorf("serial %d of %v, %v", header.Serial, header.Issued, err)
			}
			if raw := strings.Contains(tc.text, "04:A1") && !slices.Contains(tc.args, "-b"); raw != strings.Contains(said, "1 raw card numbers") {
				t.Errorf("it says %q", said)
			}
		})
	}
}

func TestSignRefuses(t *testing.T) {
	d := newDesk(t)
	d.write("badge.key", badgeKey+"\n")
	d.write("short.key", "0123")
	to := []string{"-k", "city.key", "-d", "dinkes", "-g", "dinkes-01"}
	for name, tc := range map[string]struct {
		text, want string
		args       []string
	}{
		"names":                       {"04A1B2C3,reyax:1,Sari\n", "in:1: has an assurance that there is not", append(to, "roster", "in")},
		"hashed for all":              {"04A1B2C3,reyax:1\n", "is for one gateway", []string{"-k", "city.key", "-b", "badge.key", "-d", "dinkes", "-g", "*", "roster", "in"}},
		"hours with a dot":            {`{"mon":"07.30-16:00"}`, `hours.mon: "07.30-16:00" is no span of hours`, append(to, "hours", "in")},
		"hours with an unknown day":   {`{"senin":"07:30-16:00"}`, "senin", append(to, "hours", "in")},
		"hours with a holiday's name": {`{"mon":"07:30-16:00","holidays":["Natal"]}`, "is no date", append(to, "hours", "in")},
		"hours that are no JSON":      {`mon = "07:30-16:00"`, "is no JSON object", append(to, "hours", "in")},
		"a tag that there cannot be":  {"04A1B2C3,sari\n", "in:1: has no tag", append(to, "roster", "in")},
		"a card's number in decimal":  {"04A1B2C3,reyax:1\n123456789,reyax:2\n", "in:2: has no badge", append([]string{"-b", "badge.key"}, append(to, "roster", "in")...)},
		"one card in two spellings":   {"04A1B2C3,reyax:1\n04:a1:b2:c3,reyax:2\n", "in:2: has the badge of line 1 again", append([]string{"-b", "badge.key"}, append(to, "roster", "in")...)},
		"no badge key":                {"04A1B2C3,reyax:1\n", "64 hex digits", append([]string{"-b", "short.key"}, append(to, "roster", "in")...)},
		"a badge twice":               {"04A1B2C3,reyax:1\n\n04A1B2C3,reyax:2\n", "in:3: has the badge of line 1 again", append(to, "roster", "in")},
		"a number made by Excel":      {"kartu;tag\n98765400;reyax:1\n", "in:2: has a number that a spreadsheet may have made", append([]string{"-b", "badge.key"}, append(to, "roster", "in")...)},
		"a separator in the middle":   {"04A1B2C3,reyax:1\nsep=;\n", "in:2: has 1 columns", append(to, "roster", "in")},
		"an empty file":               {"\n", "is empty: write the heading badge,tag alone", append(to, "roster", "in")},
		"another key":                 {"04A1B2C3,reyax:1\n", "no Ed25519 key", append([]string{"-k", "other.key"}, append(to[2:], "roster", "in")...)},
		"the public key":              {"04A1B2C3,reyax:1\n", "", append([]string{"-k", "city.pem"}, append(to[2:], "roster", "in")...)},
		"no key":                      {"", "cannot read the key", append([]string{"-k", "none.key"}, append(to[2:], "roster", "in")...)},
		"no file":                     {"", "cannot read", append(to, "roster", "none")},
		"another document":            {"", "usage", append(to, "names", "in")},
		"nobody":                      {"", "usage", []string{"-k", "city.key", "roster", "in"}},
		"an odd gateway":              {"", "no gateway", []string{"-k", "city.key", "-d", "dinkes", "-g", "a/b", "roster", "in"}},
		"all gateways 01":             {"", "goes with", []string{"-k", "city.key", "-d", "*", "-g", "dinkes-01", "roster", "in"}},
		"an odd serial":               {"", "no number", append(to, "-s", "-1", "roster", "in")},
	} {
		t.Run(name, func(t *testing.T) {
			message, said, ok := d.sign(tc.text, tc.args...)
			if ok || len(message) > 0 || !strings.Contains(said, tc.want) {
				t.Errorf("signed %q, said %q, want %q", message, said, tc.want)
			}
		})
	}
}
