package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// folder is a folder with a right configuration and all the files that it
// names.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cert, key := certificate(t)
	for name, content := range map[string]string{
		"gatewayd.toml": `[gateway]
id = "dinkes-01"
dinas = "dinkes"
[[reader]]
name = "door"
bus = "/dev/spidev0.0"
[badges]
key_file = "badge.key"
[office]
fence_file = "office.geojson"
[mqtt]
broker = "tls://mqtt.example.go.id"
ca_file = "ca.pem"
cert_file = "cert.pem"
key_file = "key.pem"
username = "dinkes-01"
password_file = "password"
`,
		"badge.key":      strings.Repeat("0aF1", 16) + "\n",
		"office.geojson": `{"type":"Polygon","coordinates":[]}`,
		"ca.pem":         cert,
		"cert.pem":       cert,
		"key.pem":        key,
		"password":       "rahasia \n",
	} {
		write(t, filepath.Join(dir, name), content)
	}
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// certificate is a new self-signed certificate and its key, both in PEM form.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "dinkes-01"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func TestLoad(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "gatewayd.toml")
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Badges.Key == nil || !bytes.HasPrefix(c.Badges.Key[:], []byte{0x0a, 0xf1, 0x0a, 0xf1}) {
		t.Error("the badge key was not read")
	}
	if c.MQTT.CertFile != filepath.Join(dir, "cert.pem") {
		t.Errorf("certificate is looked for at %s", c.MQTT.CertFile)
	}
	if password, err := c.MQTT.Password(); err != nil || password != "rahasia " {
		t.Errorf("password %q, %v", password, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(data); c.Digest != hex.EncodeToString(sum[:]) {
		t.Errorf("digest %s", c.Digest)
	}

	// From within the folder, by a relative path.
	t.Chdir(dir)
	c, err = Load("gatewayd.toml")
	if err != nil {
		t.Fatal(err)
	}
	if c.Office.FenceFile != filepath.Join(dir, "office.geojson") {
		t.Errorf("fence is looked for at %s", c.Office.FenceFile)
	}
}

func TestLoadOnlyLeavesFilesAlone(t *testing.T) {
	dir := folder(t)
	c, err := LoadOnly(filepath.Join(dir, "gatewayd.toml"))
	if err != nil || c.Badges.Key != nil || c.Badges.KeyFile == "" {
		t.Fatalf("%+v, %v", c, err)
	}
	if err := os.Remove(c.Badges.KeyFile); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOnly(filepath.Join(dir, "gatewayd.toml")); err != nil {
		t.Error(err)
	}
}

func TestLoadWrongFiles(t *testing.T) {
	otherCert, _ := certificate(t)
	for _, tt := range []struct {
		name, file string
		content    string // "-": no such file
		want       []string
	}{
		{"no badge key", "badge.key", "-", []string{"8 badges.key_file: no such file or directory"}},
		{"short badge key", "badge.key", "abcd\n", []string{"8 badges.key_file: has 4 characters"}},
		{"badge key is no hex", "badge.key", strings.Repeat("xy", 32), []string{"8 badges.key_file: no hex digits"}},
		{"badge key of 33 bytes", "badge.key", strings.Repeat("ab", 33), []string{"8 badges.key_file: has 66 characters"}},
		{"no fence", "office.geojson", "-", []string{"10 office.fence_file: no such file"}},
		{"fence is no JSON", "office.geojson", "lat,lon", []string{"10 office.fence_file: no GeoJSON"}},
		{"fence is a point", "office.geojson", `{"type":"Point"}`, []string{`10 office.fence_file: type "Point"`}},
		{"no CA", "ca.pem", "-", []string{"13 mqtt.ca_file: no such file"}},
		{"empty CA", "ca.pem", "", []string{"13 mqtt.ca_file: no certificate"}},
		{"no certificate", "cert.pem", "-", []string{"14 mqtt.cert_file: no such file"}},
		{"certificate of another key", "cert.pem", otherCert, []string{"14 mqtt.cert_file: does not go with key_file"}},
		{"no key", "key.pem", "-", []string{"15 mqtt.key_file: no such file"}},
		{"no password", "password", "-", []string{"17 mqtt.password_file: no such file"}},
		{"empty password", "password", "\n", []string{"17 mqtt.password_file: is empty"}},
		{"password of two lines", "password", "a\nb\n", []string{"17 mqtt.password_file: more than one line"}},
		{"password is a pipe", "password", "|", []string{"17 mqtt.password_file: no ordinary file"}},
		{"huge password", "password", strings.Repeat("a", 1<<16), []string{"17 mqtt.password_file: longer than"}},
		{"huge fence", "office.geojson", strings.Repeat(" ", maxFile+1), []string{"10 office.fence_file: larger than"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t)
			path := filepath.Join(dir, tt.file)
			switch tt.content {
			case "-", "|":
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if tt.content == "|" {
					if err := syscall.Mkfifo(path, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			default:
				write(t, path, tt.content)
			}
			_, err := Load(filepath.Join(dir, "gatewayd.toml"))
			var got Problems
			if !errors.As(err, &got) {
				t.Fatalf("error %v, want Problems", err)
			}
			matchProblems(t, got, tt.want)
			if tt.file == "badge.key" && tt.content != "-" && strings.Contains(err.Error(), strings.TrimSpace(tt.content)) {
				t.Errorf("the problem repeats the key: %v", err)
			}
		})
	}
}

// cityKey is a public key as openssl writes it.
const cityKey = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"

func TestCityKey(t *testing.T) {
	private, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.MarshalPKIXPublicKey(p256.Public())
	if err != nil {
		t.Fatal(err)
	}
	inPEM := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for name, tc := range map[string]struct{ content, want string }{
		"PEM":             {cityKey, ""},
		"base64":          {"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n", ""},
		"the private key": {inPEM("PRIVATE KEY", private), "is the PRIVATE key"},
		"another kind":    {inPEM("PUBLIC KEY", other), "another kind"},
		"a certificate":   {inPEM("CERTIFICATE", other[:20]), "no public key"},
		"31 bytes":        {"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZg==", "no public key"},
		"no key at all":   {"secret words\n", "no public key"},
		"an empty file":   {"", "no public key"},
		"no file":         {"-", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "gatewayd.toml")
			write(t, path, base+"[city]\nkey_file = \"city.pem\"\n")
			if tc.content != "-" {
				write(t, filepath.Join(dir, "city.pem"), tc.content)
			}
			c, err := Load(path)
			if tc.want == "" {
				if err != nil || !bytes.HasPrefix(c.City.Key, []byte{0x19, 0xbf, 0x44, 0x09}) {
					t.Errorf("read as %v, %v", c, err)
				}
				return
			}
			var got Problems
			if !errors.As(err, &got) {
				t.Fatalf("error %v, want Problems", err)
			}
			matchProblems(t, got, []string{"16 city.key_file: " + tc.want})
		})
	}
}

// A roster that is not there now may come: the gateway runs without, and the
// desk is told.
func TestMissingRosterFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gatewayd.toml")
	write(t, path, base+"[tags]\nroster_file = \"roster.csv\"\n")
	if _, err := Load(path); err != nil {
		t.Errorf("Load: %v", err)
	}
	_, err := Check(path)
	var got Problems
	if !errors.As(err, &got) {
		t.Fatalf("Check: %v", err)
	}
	matchProblems(t, got, []string{"16 tags.roster_file: no such file"})
}

func TestLoadTellsFilesAndValuesAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "g.toml")
	write(t, path, strings.Replace(base, "plain_uid = true", "key_file = \"nowhere\"\nrepeat_window = 5", 1)+"ca_file = \"nowhere\"\n")
	_, err := Load(path)
	var got Problems
	if !errors.As(err, &got) {
		t.Fatalf("error %v, want Problems", err)
	}
	matchProblems(t, got, []string{"12 badges.key_file: no such file", "13 badges.repeat_window: length of time", "16 mqtt.ca_file: no such file"})
	if !strings.HasPrefix(err.Error(), path+":12: badges.key_file: ") {
		t.Errorf("printed as %v", err)
	}
}

func TestLoadUnreadable(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "none.toml"), dir} {
		_, err := Load(path)
		var got Problems
		if !errors.As(err, &got) || len(got) != 1 || got[0].Line != 0 || !strings.HasPrefix(err.Error(), path+": cannot be read: ") {
			t.Errorf("Load(%s): %v", path, err)
		}
	}
	huge := filepath.Join(dir, "huge.toml")
	write(t, huge, strings.Repeat("#", 2*maxSize))
	if _, err := Load(huge); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("huge file: %v", err)
	}
}

// What any file that the configuration names holds, or whether it is there, is
// part of the digest; nothing else is.
func TestEveryNamedFileCounts(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "gatewayd.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(text)+"[tags]\nroster_file = \"roster.csv\"\n[city]\nkey_file = \"city.pem\"\n")
	badges, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(badges), "[office]", "ca_file = \"badge-ca.pem\"\n[office]", 1))
	authority, _ := certificate(t)
	write(t, filepath.Join(dir, "badge-ca.pem"), authority)
	write(t, filepath.Join(dir, "city.pem"), cityKey)
	write(t, filepath.Join(dir, "roster.csv"), "badge,tag\n")
	digest := func() string {
		t.Helper()
		c, err := LoadToStart(path)
		if err != nil {
			t.Fatal(err)
		}
		return c.FilesDigest
	}
	before := digest()
	if len(before) != 64 || digest() != before {
		t.Errorf("digests %s and %s", before, digest())
	}
	write(t, filepath.Join(dir, "other"), "x")
	if digest() != before {
		t.Error("a file that nobody names counts")
	}
	names := []string{"badge.key", "office.geojson", "ca.pem", "cert.pem", "key.pem", "password", "roster.csv", "city.pem", "badge-ca.pem"}
	for _, name := range names {
		old, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(old)+"\n") // means the same, and is another file
		if digest() == before {
			t.Errorf("%s has changed, and the digest has not", name)
		}
		write(t, filepath.Join(dir, name), string(old))
		if digest() != before {
			t.Errorf("%s is as it was, and the digest is not", name)
		}
	}
	for _, name := range []string{"office.geojson", "roster.csv"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if gone := digest(); gone == before {
			t.Errorf("%s is gone, and the digest is the same", name)
		} else {
			before = gone
		}
	}
}

// A gateway that starts does not need its fence.
func TestLoadToStartLeavesTheFenceToItsUser(t *testing.T) {
	for name, content := range map[string]string{"gone": "-", "no JSON": "lat,lon", "a point": `{"type":"Point"}`} {
		dir := folder(t)
		write(t, filepath.Join(dir, "office.geojson"), content)
		if content == "-" {
			if err := os.Remove(filepath.Join(dir, "office.geojson")); err != nil {
				t.Fatal(err)
			}
		}
		c, err := LoadToStart(filepath.Join(dir, "gatewayd.toml"))
		if err != nil || c.Office == nil || c.Badges.Key == nil {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
		if _, err := Load(filepath.Join(dir, "gatewayd.toml")); err == nil {
			t.Errorf("%s: Load takes it", name)
		}
	}
	dir := folder(t)
	write(t, filepath.Join(dir, "badge.key"), "abcd")
	if _, err := LoadToStart(filepath.Join(dir, "gatewayd.toml")); err == nil {
		t.Error("without a badge key it starts")
	}
}

// A gateway that starts does not need a certificate that the city has yet to issue, but
// what it has must be right.
func TestLoadToStartWaitsForTheFirstCertificate(t *testing.T) {
	for name, tc := range map[string]struct {
		gone   []string
		cert   string
		starts bool
	}{
		"not issued yet": {[]string{"cert.pem"}, "", true},
		"no key":         {[]string{"cert.pem", "key.pem"}, "", false},
		"no authority":   {[]string{"cert.pem", "ca.pem"}, "", false},
		"not one":        {nil, "<html>", false},
		"empty":          {nil, "\n", false},
	} {
		dir := folder(t)
		if tc.cert != "" {
			write(t, filepath.Join(dir, "cert.pem"), tc.cert)
		}
		for _, file := range tc.gone {
			if err := os.Remove(filepath.Join(dir, file)); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, "gatewayd.toml")
		if _, err := LoadToStart(path); (err == nil) != tc.starts {
			t.Errorf("%s: to start: %v", name, err)
		}
		for what, load := range map[string]func(string) (*Config, error){"Load": Load, "Check": Check} {
			if _, err := load(path); err == nil {
				t.Errorf("%s: %s takes it", name, what)
			}
		}
	}
}
