package pivbadge_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"presence/scripts/city"
	"presence/scripts/city/internal/pivbadge"
	"presence/scripts/city/internal/pivbadge/pivbadgetest"
)

func TestParseGUID(t *testing.T) {
	want := uuid.MustParse("f43bf29a-7816-8578-8e8a-232fe1e514fc")
	for text, ok := range map[string]bool{
		want.String():                                true,
		"F43BF29A781685788E8A232FE1E514FC":           true,
		"f43bf29a781685788e8a232fe1e514f":            false,
		"f43bf29a-7816-8578-8e8a-232fe1e514f-":       false,
		"{f43bf29a-7816-8578-8e8a-232fe1e514fc}":     false,
		"urn:uuid:" + want.String():                  false,
		"f43bf29a78-16-8578-8e8a-232fe1e514fc":       false,
		"f43bf29a-7816-8578-8e8a-232fe1e514fg":       false,
		"":                                           false,
		"04A1B2C3D4E5F6":                             false,
		"f43bf29a781685788e8a232fe1e514fc0000000000": false,
	} {
		got, err := pivbadge.ParseGUID(text)
		if (err == nil) != ok || ok && got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestRevokedListIsReadAndWritten(t *testing.T) {
	const list = `[{"guid":"F43BF29A781685788E8A232FE1E514FC","since":"2026-12-01T07:30:00+07:00","why":"lost"},` +
		`{"serial":"0A0B"},{"badge":"h:00112233445566778899aabbccddeeff"},{"uid":"04:A1:B2:C3"}]`
	document := `{"v":1,"payload":"` + base64.StdEncoding.EncodeToString([]byte(`{"kind":"badge-revoked","revoked":`+list+`}`)) + `","signature":"AA=="}`
	for _, text := range []string{list, `{"revoked":` + list + `}`, document} {
		revoked, err := pivbadge.ParseRevoked([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		const head = `[{"guid":"f43bf29a-7816-8578-8e8a-232fe1e514fc","since":"2026-12-01T07:30:00+07:00","why":"lost"},{"serial":"0a0b"},{"badge":"h:00112233445566778899aabbccddeeff"},`
		if got, err := pivbadge.FormatRevoked(revoked, nil); err != nil || string(got) != head+`{"uid":"04A1B2C3"}]` {
			t.Errorf("%s, %v", got, err)
		}
		key := [32]byte{1}
		want := head + `{"badge":"` + city.BadgeIdentity(key, []byte{4, 0xa1, 0xb2, 0xc3}) + `"}]`
		if got, err := pivbadge.FormatRevoked(revoked, &key); err != nil || string(got) != want {
			t.Errorf("%s, %v", got, err)
		}
	}
	if revoked, err := pivbadge.ParseRevoked([]byte("[\n]\n")); err != nil || len(revoked) != 0 {
		t.Errorf("an empty list: %v, %v", revoked, err)
	}
}

func TestRevokedListRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":        ``,
		"null":           `null`,
		"an object":      `{"guid":"f43bf29a781685788e8a232fe1e514fc"}`,
		"two lists":      `[] []`,
		"nobody":         `[{}]`,
		"two at once":    `[{"uid":"04A1B2C3","serial":"01"}]`,
		"a name":         `[{"uid":"04A1B2C3","name":"Sari"}]`,
		"a long why":     `[{"uid":"04A1B2C3","why":"lost on the bus"}]`,
		"a since":        `[{"uid":"04A1B2C3","since":"yesterday"}]`,
		"a short guid":   `[{"guid":"f43bf29a"}]`,
		"a serial of 0":  `[{"serial":"00"}]`,
		"a long serial":  `[{"serial":"` + strings.Repeat("1", 41) + `"}]`,
		"a signed one":   `[{"serial":"-1"}]`,
		"a random uid":   `[{"uid":"08A1B2C3"}]`,
		"a decimal uid":  `[{"uid":"123456789"}]`,
		"an identity":    `[{"badge":"h:0011"}]`,
		"a payload":      `{"payload":"bm8=","signature":""}`,
		"another body":   `{"payload":"eyJlbnRyaWVzIjpbXX0=","signature":""}`,
		"a broken array": `[{"uid":"04A1B2C3"}`,
	} {
		if got, err := pivbadge.ParseRevoked([]byte(text)); err == nil {
			t.Errorf("%s: read as %v", name, got)
		}
	}
}

// Only what ca.sh badge issues is a badge's certificate, however well it is signed.
func TestCertificateHasTheFormOfABadge(t *testing.T) {
	guid := uuid.MustParse("f43bf29a-7816-8578-8e8a-232fe1e514fc")
	other := uuid.MustParse("f43bf29a-7816-4578-8e8a-232fe1e514fc")
	a := pivbadgetest.NewAuthority(t, "Kota Malang")
	foreign := pivbadgetest.NewAuthority(t, "Kota Malang")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	strange := pivbadgetest.NewAuthorityOf(t, "Kota Batu", key)
	file := filepath.Join(t.TempDir(), "badge-ca.pem")
	if err := os.WriteFile(file, append(a.PEM(), strange.PEM()...), 0o600); err != nil {
		t.Fatal(err)
	}
	authority, err := pivbadge.ReadAuthority(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		by     *pivbadgetest.Authority
		change func(*x509.Certificate)
		want   string // "": it is one
	}{
		"as issued":                 {a, nil, ""},
		"an authority with RSA":     {strange, nil, "signed with SHA256-RSA"},
		"another authority":         {foreign, nil, "not of this badge authority"},
		"a name":                    {a, func(c *x509.Certificate) { c.Subject.Organization = []string{"Sari"} }, "subject"},
		"another subject":           {a, func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: other.String()} }, "subject"},
		"another GUID":              {a, func(c *x509.Certificate) { c.URIs[0] = &url.URL{Scheme: "urn", Opaque: "uuid:" + other.String()} }, "subject"},
		"a GUID in capital letters": {a, func(c *x509.Certificate) { c.URIs[0].Opaque = strings.ToUpper(c.URIs[0].Opaque) }, "one GUID"},
		"two GUIDs":                 {a, func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }, "one GUID"},
		"a host":                    {a, func(c *x509.Certificate) { c.DNSNames = []string{"mqtt.example.go.id"} }, "one GUID"},
		"no GUID":                   {a, func(c *x509.Certificate) { c.URIs = nil }, "one GUID"},
		"for a client of TLS":       {a, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "card authentication"},
		"for anything":              {a, func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil }, "card authentication"},
		"for something else":        {a, func(c *x509.Certificate) { c.UnknownExtKeyUsage[0] = asn1.ObjectIdentifier{1, 2, 3} }, "card authentication"},
		"to encrypt":                {a, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyAgreement }, "signing alone"},
		"for ten years":             {a, func(c *x509.Certificate) { c.NotAfter = c.NotAfter.AddDate(8, 0, 0) }, "three years"},
		"an authority":              {a, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }, "end entity"},
	} {
		t.Run(name, func(t *testing.T) {
			badge, err := authority.Check(tc.by.Badge(guid, elliptic.P256(), tc.change).Certificate)
			switch {
			case tc.want == "" && (err != nil || badge.GUID != guid || badge.Until.Sub(badge.From) < 700*24*time.Hour):
				t.Errorf("got %v, %v", badge, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := authority.Check(a.Badge(guid, elliptic.P521(), nil).Certificate); err == nil {
		t.Error("a key of P-521 is taken")
	}
}

func TestReadAuthorityNeedsOne(t *testing.T) {
	dir := t.TempDir()
	a := pivbadgetest.NewAuthority(t, "Kota Malang")
	badge := a.Badge(uuid.New(), elliptic.P256(), nil)
	for name, text := range map[string][]byte{
		"badge.pem": a.PEM(badge)[len(a.PEM()):], "broken.pem": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
		"text": []byte("badge-ca"), "empty": nil,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := pivbadge.ReadAuthority(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is taken for an authority", name)
		}
	}
}
