package city_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"presence/scripts/city"
	"presence/scripts/city/internal/pivbadge"
	"presence/scripts/city/internal/pivbadge/pivbadgetest"
)

// run runs a program in the desk's folder, with the authority there.
func (d desk) run(program string, args ...string) (said string, ok bool) {
	d.t.Helper()
	if !filepath.IsAbs(program) {
		var err error
		if program, err = filepath.Abs(program); err != nil {
			d.t.Fatal(err)
		}
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "CA_DIR="+d.dir, "CA_PASSPHRASE=rahasia")
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func (d desk) authority(args ...string) string {
	d.t.Helper()
	said, ok := d.run("ca.sh", args...)
	if !ok {
		d.t.Fatalf("ca.sh %v: %s", args, said)
	}
	return said
}

func (d desk) read(name string) string {
	d.t.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

// card makes a key as a card does, and writes its public half.
func (d desk) card(name string, curve elliptic.Curve) *ecdsa.PrivateKey {
	d.t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		d.t.Fatal(err)
	}
	d.write(name, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	return key
}

// request makes a certificate request for a key of P-256.
func (d desk) request(name string) {
	d.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		d.t.Fatal(err)
	}
	d.write(name, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})))
}

// issued is the badge whose certificate ca.sh named in what it said.
func (d desk) issued(said string, key *ecdsa.PrivateKey) *pivbadgetest.Badge {
	d.t.Helper()
	m := regexp.MustCompile(`(?m)^([0-9a-f-]{36}): (\S+\.pem), until`).FindStringSubmatch(said)
	if m == nil {
		d.t.Fatalf("it says %s", said)
	}
	text, err := os.ReadFile(m[2])
	if err != nil {
		d.t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		d.t.Fatal(err)
	}
	guid := uuid.MustParse(m[1])
	// GUID and end stand in the CHUID, which has the length that its head says.
	chuid := "3410" + hex.EncodeToString(guid[:]) + "3508" + hex.EncodeToString([]byte(certificate.NotAfter.UTC().Format("20060102"))) + "3e00fe00\n"
	if !strings.Contains(said, chuid) || !strings.Contains(said, "column badge: "+hex.EncodeToString(guid[:])+"\n") {
		d.t.Errorf("it says %s, want %s", said, chuid)
	}
	return &pivbadgetest.Badge{GUID: guid, Key: key, Certificate: certificate}
}

// A badge from the card's key to a tap that is checked long afterwards, and revoked.
func TestBadgesAreIssuedProvenAndRevoked(t *testing.T) {
	d := newDesk(t)
	d.write("badge.key", badgeKey+"\n")
	if said, ok := d.run("ca.sh", "badge", "none.pem"); ok || !strings.Contains(said, "badge-init") {
		t.Errorf("a badge of no authority: %s", said)
	}
	d.authority("badge-init", "Kota Malang")
	if said, ok := d.run("ca.sh", "badge-init", "Kota Malang"); ok || !strings.Contains(said, "made once") {
		t.Errorf("two authorities: %s", said)
	}
	if text := d.read("badge-ca.key"); !strings.Contains(text, "ENCRYPTED") {
		t.Error("the authority's key is not encrypted")
	}

	saris, budis := d.card("sari.pem", elliptic.P256()), d.card("budi.pem", elliptic.P384())
	sari := d.issued(d.authority("badge", "--uid", "04:A1:B2:C3:D4:E5:F6", "sari.pem"), saris)
	budi := d.issued(d.authority("badge", "budi.pem", "--days", "30"), budis)
	if sari.GUID != city.GUIDOf([]byte{4, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6}) || budi.GUID.Version() != 4 || budi.GUID.Variant() != uuid.RFC4122 {
		t.Errorf("the GUIDs are %s and %s", sari.GUID, budi.GUID)
	}
	a, err := pivbadge.ReadAuthority(filepath.Join(d.dir, "badge-ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for _, badge := range []*pivbadgetest.Badge{sari, budi} {
		if got, err := a.Check(badge.Certificate); err != nil || got.GUID != badge.GUID {
			t.Errorf("the certificate has not the form of a badge's: %v", err)
		}
		if serial := badge.Certificate.SerialNumber; serial.BitLen() < 90 || serial.BitLen() > 128 {
			t.Errorf("the serial number is %X", serial)
		}
	}
	if got := budi.Certificate.NotAfter.Sub(budi.Certificate.NotBefore); got != 30*24*time.Hour {
		t.Errorf("it lasts for %s", got)
	}

	now := pivbadgetest.Fields{"time": time.Now().Add(time.Minute).Format("2006-01-02T15:04:05.000Z07:00")}
	d.write("events.jsonl", sari.Tap(t, 2, 5_000, now)+"\n"+budi.Tap(t, 3, 6_000, now)+"\n")
	prove := func(args ...string) (string, bool) {
		return d.run(program(t, "prove"), append(append([]string{"-ca", "badge-ca.pem", "-certificates", "badge-certificates"}, args...), "events.jsonl")...)
	}
	if said, ok := prove(); !ok || !strings.Contains(said, "hold=2 undecided=0 failed=0") {
		t.Errorf("prove says %s", said)
	}

	// Sari's by UID, which is her GUID as well; Budi's certificate alone.
	said := d.authority("badge-revoke", "--why", "lost", "--since", "2026-01-01T00:00:00Z", "04a1b2c3d4e5f6", budi.Certificate.SerialNumber.Text(16))
	if strings.Count(said, "revoked since 2026-01-01T00:00:00Z") != 3 {
		t.Errorf("it says %s", said)
	}
	if said, ok := prove("-revoked", "badge-revoked.json"); ok || strings.Count(said, "had been revoked on 2026-01-01T00:00:00Z (lost)") != 2 {
		t.Errorf("prove says %s", said)
	}
	message, said, ok := d.sign(d.read("badge-revoked.json"), "-k", "city.key", "-b", "badge.key", "-d", "dinkes", "-g", "dinkes-01", "badge-revoked", "in")
	if !ok {
		t.Fatal(said)
	}
	own := city.GatewayBadgeKey(cityKey(t), "dinkes-01")
	want := `"revoked":[{"badge":"` + city.BadgeIdentity(own, []byte{4, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6}) + `","since":"2026-01-01T00:00:00Z","why":"lost"},` +
		`{"guid":"` + sari.GUID.String() + `","since":"2026-01-01T00:00:00Z","why":"lost"},` +
		`{"serial":"` + hex.EncodeToString(budi.Certificate.SerialNumber.Bytes()) + `","since":"2026-01-01T00:00:00Z","why":"lost"}]}`
	if payload := d.opened(message); !strings.HasSuffix(payload, want) || !strings.HasPrefix(payload, `{"kind":"badge-revoked","dinas":"dinkes","gateway":"dinkes-01",`) {
		t.Errorf("signed %s\nwant %s", payload, want)
	}
	d.write("revoked.json", string(message)) // as it is published
	if said, ok := prove("-revoked", "revoked.json"); ok || strings.Count(said, "had been revoked") != 2 {
		t.Errorf("prove says %s", said)
	}
}

// opened is the payload of a signed document whose signature is right.
func (d desk) opened(message []byte) string {
	d.t.Helper()
	var e struct{ Payload, Signature []byte }
	if err := json.Unmarshal(message, &e); err != nil || !ed25519.Verify(d.key, e.Payload, e.Signature) {
		d.t.Fatalf("%v, or the signature is wrong: %s", err, message)
	}
	return string(e.Payload)
}

func TestBadgesAreRefused(t *testing.T) {
	d := newDesk(t)
	d.authority("badge-init", "Kota Malang")
	d.card("one.pem", elliptic.P256())
	d.card("two.pem", elliptic.P256())
	d.card("long.pem", elliptic.P521())
	d.request("request.csr")
	request := d.read("request.csr")
	d.write("changed.csr", strings.Replace(request, request[60:64], "AAAA", 1))
	d.authority("badge", "--uid", "04A1B2C3D4E5F6", "one.pem")
	guid := city.GUIDOf([]byte{4, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6}).String()
	d.authority("badge", "--guid", guid, "one.pem") // to renew it
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"no two cards have one key", []string{"badge", "--uid", "04A1B2C3D4E5F7", "one.pem"}},
		{"has a certificate for another key", []string{"badge", "--uid", "04A1B2C3D4E5F6", "two.pem"}},
		{"another kind than ECDSA", []string{"badge", "long.pem"}},
		{"was changed on its way", []string{"badge", "changed.csr"}},
		{"no public key in PEM", []string{"badge", "badge-ca.key"}},
		{"cannot read none.pem", []string{"badge", "none.pem"}},
		{"is missing", []string{"badge", "--uid", "04A1B2C3D4E5F7"}},
		{"not both", []string{"badge", "--uid", "04A1B2C3D4E5F7", "--guid", guid, "two.pem"}},
		{"the number behind --uid is missing", []string{"badge", "two.pem", "--uid", ""}},
		{"the number behind --uid is missing", []string{"badge", "two.pem", "--uid"}},
		{"the number behind --guid is missing", []string{"badge", "--guid", "", "two.pem"}},
		{"is no UID", []string{"badge", "--uid", "04A1B2C3D4", "two.pem"}},
		{"is random", []string{"badge", "--uid", "08A1B2C3", "two.pem"}},
		{"is no GUID", []string{"badge", "--guid", "04A1B2C3", "two.pem"}},
		{"three years", []string{"badge", "--days", "1096", "two.pem"}},
		{"three years", []string{"badge", "--days", "0", "two.pem"}},
		{"there is no --name", []string{"badge", "--name", "Sari", "two.pem"}},
		{"one key at a time", []string{"badge", "one.pem", "two.pem"}},
		{"is missing", []string{"badge-revoke"}},
		{"is no GUID, no serial number", []string{"badge-revoke", "Sari"}},
		{"no badge of here", []string{"badge-revoke", "00112233445566778899aabbccddeeff"}},
		{"that is no time", []string{"badge-revoke", "--since", "someday", guid}},
		{"one word", []string{"badge-revoke", "--why", "on the bus", guid}},
	} {
		if said, ok := d.run("ca.sh", tc.args...); ok || !strings.Contains(said, tc.want) {
			t.Errorf("ca.sh %v: %s, want %q", tc.args, said, tc.want)
		}
	}
	if got := strings.Count(d.read("badge-index.txt"), "\n"); got != 2 {
		t.Errorf("%d badges were issued: %s", got, d.read("badge-index.txt"))
	}
	d.authority("badge-revoke", guid)
	for _, key := range []string{"one.pem", "two.pem"} {
		if said, ok := d.run("ca.sh", "badge", "--guid", guid, key); ok || !strings.Contains(said, "was revoked as a whole") {
			t.Errorf("a badge that was revoked: %s", said)
		}
	}
	if said := d.authority("badge-revoke", guid, "04A1B2C3"); !strings.Contains(said, "already") || strings.Count(d.read("badge-revoked.json"), `"since"`) != 2 {
		t.Errorf("it says %s, and lists %s", said, d.read("badge-revoked.json"))
	}
	list := d.read("badge-revoked.json")
	d.write("badge-revoked.json", strings.ReplaceAll(list, "\n", ""))
	if said, ok := d.run("ca.sh", "badge-revoke", "04A1B2C4"); ok || !strings.Contains(said, "an entry on each line") {
		t.Errorf("a list in another form: %s", said)
	}
	d.write("badge-revoked.json", "[]\n")
	d.authority("badge-revoke", "04A1B2C4") // the first
	d.write("badge-revoked.json", list)
	d.authority("badge", "request.csr")
	// One whose serial number begins with a 0, which other programs do not show.
	index := d.read("badge-index.txt")
	d.write("badge-index.txt", index+"V\t291128125537Z\t\t0C78\tunknown\t/CN=00112233-4455-4677-8899-aabbccddeeff\n")
	if said := d.authority("badge-revoke", "c78"); !strings.Contains(said, `"serial":"0C78": revoked`) {
		t.Errorf("it says %s", said)
	}
	if err := os.Remove(filepath.Join(d.dir, "badge-index.txt")); err != nil {
		t.Fatal(err)
	}
	if said, ok := d.run("ca.sh", "badge", "two.pem"); ok || !strings.Contains(said, "restore it from the backup") {
		t.Errorf("without the index: %s", said)
	}
}

// newKeyDesk is a desk with a gateway's certificate, a master key and a list of staff.
func newKeyDesk(t *testing.T) (d desk, gateway *ecdsa.PrivateKey, seal func(args ...string) (string, bool)) {
	t.Helper()
	d = newDesk(t)
	d.authority("init", "Kota Malang")
	d.write("badge-master.key", "00112233445566778899AABBCCDDEEFF\n")
	d.write("staff.csv", "uid,card\n04A1B2C3D4E5F6,\n")
	gateway, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "dinkes-01"}}, gateway)
	if err != nil {
		t.Fatal(err)
	}
	d.write("dinkes-01.csr", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})))
	d.authority("sign", "dinkes-01.csr")
	return d, gateway, func(args ...string) (string, bool) {
		return d.run(program(t, "badgedocs"), append([]string{
			"keys", "-dinas", "dinkes", "-gateway", "dinkes-01", "-serial", "1764380000",
			"-certificate", "issued/dinkes-01.pem",
		}, args...)...)
	}
}

// The keys of an office's badges: made, sealed and signed, and opened by nobody but its
// gateway.
func TestBadgeKeysAreSealedAndSigned(t *testing.T) {
	d, key, seal := newKeyDesk(t)
	text, ok := seal("-master", "badge-master.key", "staff.csv")
	if !ok {
		t.Fatal(text)
	}
	message, said, ok := d.sign(text, "-k", "city.key", "-d", "dinkes", "-g", "dinkes-01", "badge-keys", "in")
	if !ok {
		t.Fatal(said)
	}
	var payload struct {
		Kind, Dinas, Gateway string
		Serial               uint64
		Sealed               struct {
			Recipient       string
			Enc, Ciphertext []byte
		}
	}
	if err := json.Unmarshal([]byte(d.opened(message)), &payload); err != nil {
		t.Fatal(err)
	}
	spki, _ := x509.MarshalPKIXPublicKey(&key.PublicKey)
	sum := sha256.Sum256(spki)
	if payload.Kind != "badge-keys" || payload.Serial != 1764380000 || payload.Sealed.Recipient != hex.EncodeToString(sum[:]) {
		t.Errorf("signed %s", d.opened(message))
	}
	private, err := key.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	own, err := hpke.NewDHKEMPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	r, err := hpke.NewRecipient(payload.Sealed.Enc, own, hpke.HKDFSHA256(), hpke.AES128GCM(), []byte("gatewayd badge keys v1\ndinkes\ndinkes-01\n1764380000"))
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := r.Open(nil, payload.Sealed.Ciphertext); err != nil || !bytes.Contains(keys, []byte(`"uid":"04A1B2C3D4E5F6","key_no":1`)) || bytes.Contains(keys, []byte("00112233445566778899AABBCCDDEEFF")) {
		t.Errorf("the keys are %s, %v", keys, err)
	}
}

// What is sealed fits into no other document, and keys are read from no careless file.
func TestBadgeKeysAreRefused(t *testing.T) {
	d, _, seal := newKeyDesk(t)
	text, ok := seal("-master", "badge-master.key", "staff.csv")
	if !ok {
		t.Fatal(text)
	}
	for name, args := range map[string][]string{
		"is for dinkes/dinkes-01":     {"-d", "dinkes", "-g", "dinkes-02"},
		"is for the serial":           {"-d", "dinkes", "-g", "dinkes-01", "-s", "7"},
		"is not what badgedocs keys":  {"-d", "dinkes", "-g", "dinkes-01"},
		"badgedocs: read revoked bad": {"-d", "dinkes", "-g", "dinkes-01"},
	} {
		text, kind := text, "badge-keys"
		switch {
		case strings.HasPrefix(name, "is not"):
			text = strings.Replace(text, `"sealed"`, `"opened"`, 1)
		case strings.HasPrefix(name, "badgedocs"):
			kind = "badge-revoked"
		}
		if message, said, ok := d.sign(text, append(append([]string{"-k", "city.key"}, args...), kind, "in")...); ok || !strings.Contains(said, name) {
			t.Errorf("signed %s, said %s, want %q", message, said, name)
		}
	}
	d.write("short.key", "0011")
	d.write("names.csv", "uid,nama\n")
	d.write("empty.csv", "")
	d.write("both.csv", "uid,number,card\n04A1B2C3D4E5F6,00112233445566778899AABBCCDDEEFF,desfire\n")
	for want, args := range map[string][]string{
		"not 32 hex digits":         {"-master", "short.key", "staff.csv"},
		"none of uid, number, card": {"-master", "badge-master.key", "names.csv"},
		"empty.csv is empty":        {"-master", "badge-master.key", "empty.csv"},
		"has a UID and a number":    {"-master", "badge-master.key", "both.csv"},
		"want -dinas":               {"staff.csv"},
		"no such file":              {"-master", "badge-master.key", "none.csv"},
		"is no application":         {"-application", "F5", "-master", "badge-master.key", "staff.csv"},
		"has no column key":         {"-keys", "staff.csv", "staff.csv"},
	} {
		if said, ok := seal(args...); ok || !strings.Contains(said, want) {
			t.Errorf("badgedocs keys %v: %s, want %q", args, said, want)
		}
	}
	if err := os.Chmod(filepath.Join(d.dir, "badge-master.key"), 0o640); err != nil {
		t.Fatal(err)
	}
	if said, ok := seal("-master", "badge-master.key", "staff.csv"); ok || !strings.Contains(said, "chmod 600") {
		t.Errorf("a master key that others can read: %s", said)
	}
}
