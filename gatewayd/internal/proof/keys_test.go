package proof

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"presence/drivers/card"
	"presence/drivers/desfire"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func uuidOf(b [16]byte) string { return uuid.UUID(b).String() }

// tlsKey writes a gateway's key, as provision.sh makes one.
func tlsKey(t testing.TB, curve elliptic.Curve) (path string, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "gateway.key")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, key
}

// seal is what the city does.
func seal(t testing.TB, to *ecdsa.PublicKey, info, text string) []byte {
	t.Helper()
	exchange, err := to.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	return sealTo(t, to, exchange, info, text)
}

func sealTo(t testing.TB, named *ecdsa.PublicKey, exchange *ecdh.PublicKey, info, text string) []byte {
	t.Helper()
	public, err := hpke.NewDHKEMPublicKey(exchange)
	if err != nil {
		t.Fatal(err)
	}
	message, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES128GCM(), []byte(info), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(named)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(spki)
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `{"recipient":"%x","enc":"%s","ciphertext":"%s"}`, sum, b64(message[:65]), b64(message[65:]))
}

const (
	info7 = "gatewayd badge keys v1\ndinkes\ndinkes-01\n7"
	key1  = "00112233445566778899aabbccddeeff"
	plain = `{"v":1,"application":"F54230","entries":[` +
		`{"card":"desfire","uid":"04A1B2C3D4E5F6","key_no":1,"key":"` + key1 + `"},` +
		`{"card":"ntag424","uid":"04112233445566","key_no":2,"key":"0f112233445566778899aabbccddeeff"},` +
		`{"card":"desfire","number":"000102030405060708090a0b0c0d0e0f","key_no":0,"key":"00112233445566778899aabbccddee00"}]}`
)

func document(body []byte) KeyDocument {
	return KeyDocument{Dinas: "dinkes", Gateway: "dinkes-01", Serial: 7, Body: body}
}

// TestSealedKeys: what was sealed to this gateway's key is opened by it, in both forms in
// which the key may be written, and compares by its content.
func TestSealedKeys(t *testing.T) {
	path, key := tlsKey(t, elliptic.P256())
	ring, content, err := OpenKeys(document(seal(t, &key.PublicKey, info7, plain)), path)
	if err != nil {
		t.Fatal(err)
	}
	staff, ok := ring.byUID[uidOf(t, staffUID)]
	if want := (desfire.Key{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}); !ok || staff.Key != want || staff.No != 1 || staff.NTAG424 {
		t.Error("the first key is another one")
	}
	if other := ring.byUID[uidOf(t, otherUID)]; !other.NTAG424 || other.No != 2 || len(ring.byNumber) != 1 || ring.application != (desfire.AID{0xF5, 0x42, 0x30}) {
		t.Error("the others are")
	}
	var k Keys
	k.Use(ring)
	if n, ok := k.Entries(); n != 3 || !ok || !k.Names(uidOf(t, staffUID).Bytes()) || k.Names([]byte{1}) || !k.knows(card.UID(uidOf(t, "08A1B2C3"))) {
		t.Error("not all are in force")
	}
	// Sealed anew, it is the same document.
	_, again, err := OpenKeys(document(seal(t, &key.PublicKey, info7, plain)), path)
	if err != nil || string(again) != string(content) {
		t.Errorf("the same keys compare as others: %v", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenKeys(document(seal(t, &key.PublicKey, info7, plain)), path); err != nil {
		t.Errorf("a key as openssl ecparam writes it: %v", err)
	}
	if printed := fmt.Sprintf("%v %+v %#v %v", ring, ring, ring, staff); strings.Contains(strings.ToLower(printed), "112233445566778899aabb") || strings.Contains(printed, "153") {
		t.Error("keys are printed")
	}
}

// TestWrongKeyDocuments are refused, and nothing of them is repeated.
func TestWrongKeyDocuments(t *testing.T) {
	path, key := tlsKey(t, elliptic.P256())
	_, other := tlsKey(t, elliptic.P256())
	otherExchange, err := other.PublicKey.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	sealed := func(text string) KeyDocument { return document(seal(t, &key.PublicKey, info7, text)) }
	entry := func(e string) string { return `{"v":1,"application":"F54230","entries":[` + e + `]}` }
	good := seal(t, &key.PublicKey, info7, plain)
	for name, c := range map[string]struct {
		doc  KeyDocument
		file string
		says string
	}{
		"for any gateway":         {KeyDocument{Dinas: "dinkes", Gateway: "*", Serial: 7, Body: good}, path, "more than one gateway"},
		"for any department":      {KeyDocument{Dinas: "*", Gateway: "*", Serial: 7, Body: good}, path, "more than one gateway"},
		"of another serial":       {KeyDocument{Dinas: "dinkes", Gateway: "dinkes-01", Serial: 8, Body: good}, path, "sealed for another document"},
		"of another gateway":      {KeyDocument{Dinas: "dinkes", Gateway: "dinkes-02", Serial: 7, Body: good}, path, "sealed for another document"},
		"to another key":          {document(seal(t, &other.PublicKey, info7, plain)), path, "sealed to another key"},
		"that lies about its key": {document(sealTo(t, &key.PublicKey, otherExchange, info7, plain)), path, "sealed for another document"},
		"no key here":             {document(good), filepath.Join(t.TempDir(), "none"), "mqtt.key_file"},
		"none configured":         {document(good), "", "mqtt.key_file"},
		"no JSON":                 {document([]byte("x")), path, "wrong body"},
		"too much JSON":           {document([]byte(`{"recipient":"","enc":"","ciphertext":"","master":"x"}`)), path, "wrong body"},
		"nothing sealed":          {document([]byte(`{}`)), path, "another key"},
		"no JSON inside":          {sealed("x"), path, "form that is not known"},
		"another version":         {sealed(`{"v":2,"application":"F54230","entries":[]}`), path, "form that is not known"},
		"a master key":            {sealed(`{"v":1,"application":"F54230","entries":[],"master":"x"}`), path, "form that is not known"},
		"no entries":              {sealed(`{"v":1,"application":"F54230"}`), path, "form that is not known"},
		"no application":          {sealed(`{"v":1,"entries":[]}`), path, "application"},
		"an unknown card":         {sealed(entry(`{"card":"classic","uid":"04A1B2C3D4E5F6","key_no":1,"key":"` + key1 + `"}`)), path, "entry 1 is of a card"},
		"no key number":           {sealed(entry(`{"card":"desfire","uid":"04A1B2C3D4E5F6","key":"` + key1 + `"}`)), path, "key_no"},
		"a large key number":      {sealed(entry(`{"card":"desfire","uid":"04A1B2C3D4E5F6","key_no":14,"key":"` + key1 + `"}`)), path, "key_no"},
		"a short key":             {sealed(entry(`{"card":"desfire","uid":"04A1B2C3D4E5F6","key_no":1,"key":"0011"}`)), path, "32 hex digits"},
		"a short uid":             {sealed(entry(`{"card":"desfire","uid":"04A1B2C3","key_no":1,"key":"` + key1 + `"}`)), path, "uid"},
		"both names":              {sealed(entry(`{"card":"desfire","uid":"04A1B2C3D4E5F6","number":"` + key1 + `","key_no":1,"key":"` + key1 + `"}`)), path, "both"},
		"no name":                 {sealed(entry(`{"card":"desfire","key_no":1,"key":"` + key1 + `"}`)), path, "none"},
		"a number of an NTAG":     {sealed(entry(`{"card":"ntag424","number":"` + key1 + `","key_no":1,"key":"` + key1 + `"}`)), path, "number"},
		"a card twice":            {sealed(entry(`{"card":"desfire","uid":"04A1B2C3D4E5F6","key_no":1,"key":"` + key1 + `"},{"card":"ntag424","uid":"04a1b2c3d4e5f6","key_no":1,"key":"` + key1 + `"}`)), path, "entry 2 has the uid of an earlier one"},
		"a number twice":          {sealed(entry(`{"card":"desfire","number":"` + key1 + `","key_no":1,"key":"` + key1 + `"},{"card":"desfire","number":"` + key1 + `","key_no":1,"key":"` + key1 + `"}`)), path, "entry 2 has the number"},
	} {
		_, _, err := OpenKeys(c.doc, c.file)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(strings.ToLower(err.Error()), "001122") || strings.Contains(err.Error(), "04A1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := OpenKeys(document(good), ""); !errors.Is(err, ErrKeyFile) {
		t.Errorf("without a key: %v", err)
	}
	big, _ := tlsKey(t, elliptic.P384())
	if _, _, err := OpenKeys(document(good), big); !errors.Is(err, ErrKeyFile) {
		t.Errorf("with a key over P-384: %v", err)
	}
}
