package badgekeys_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"presence/drivers/desfire"
	"presence/scripts/city/internal/badgekeys"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The published example of NXP AN10922 (section 2.2.1), and others that were computed
// independently. With short input the result is not a plain CMAC.
func TestDiversifyByVectors(t *testing.T) {
	for _, v := range []struct{ master, input, want string }{
		{"00112233445566778899AABBCCDDEEFF", "04782E21801D80 3042F5 4E585020416275", "A8DD63A3B89D54B37CA802473FDA9175"},
		{"00112233445566778899AABBCCDDEEFF", "04782E21801D80", "4FD3364753B8142980E8203C75AD83BE"},
		{"00112233445566778899AABBCCDDEEFF", "04782E21801D80 3042F5", "0DAA19EEEA04340DE38A20330013090D"},
		{"83A66CF43605111802A2616FA0C5E2FF", "044D0702195E80 DADADA 715517", "555F624020C5789340350914E92A64F9"},
		// With 16 bytes or more it is the plain CMAC of 01 and the input, which openssl mac
		// computed: of a UID, of a number, and where both blocks are full.
		{"00112233445566778899AABBCCDDEEFF", "04A1B2C3D4E5F6 F54230 6761746577617964", "40B69C15DAFDF34A24771053191655ED"},
		{"00112233445566778899AABBCCDDEEFF", "00112233445566778899aabbccddeeff F54230 6761746577617964", "21E020DEE00CB9B615C89C7F30367058"},
		{"00112233445566778899AABBCCDDEEFF", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e", "21C28CD89BB3147F66C7DBD4851CAB20"},
	} {
		got, err := desfire.Diversify(badgekeys.Key(unhex(t, v.master)), unhex(t, v.input))
		if err != nil || !bytes.Equal(got[:], unhex(t, v.want)) {
			t.Errorf("%s: %X, %v, want %s", v.input, got, err, v.want)
		}
	}
	for _, n := range []int{0, 32} {
		if _, err := desfire.Diversify(badgekeys.Key{}, make([]byte, n)); err == nil {
			t.Errorf("an input of %d bytes is taken", n)
		}
	}
}

func TestInputIsLongEnough(t *testing.T) {
	app := desfire.AID{0xf5, 0x42, 0x30}
	got, err := badgekeys.Input(unhex(t, "04A1B2C3D4E5F6"), app)
	if err != nil || !bytes.Equal(got, unhex(t, "04A1B2C3D4E5F6 F54230 6761746577617964")) || len(got) < 16 {
		t.Errorf("%X, %v", got, err)
	}
	if _, err := badgekeys.Input(unhex(t, "04A1B2C3"), app); err == nil {
		t.Error("a UID of 4 bytes is taken")
	}
}

const number = "00112233445566778899aabbccddeeff"

func TestCardsAreRead(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"uids":         {"04A1B2C3D4E5F6\n04:A1:B2:C3:D4:E5:F7\n", "desfire 04a1b2c3d4e5f6, desfire 04a1b2c3d4e5f7"},
		"a heading":    {"\xef\xbb\xbfcard;kartu;number\r\nntag424;04A1B2C3D4E5F6;\r\n;;" + number + "\r\n;;\r\n", "ntag424 04a1b2c3d4e5f6, desfire number " + number},
		"positions":    {"04A1B2C3D4E5F6,,ntag424\n," + strings.ToUpper(number) + "\n", "ntag424 04a1b2c3d4e5f6, desfire number " + number},
		"another way":  {"uid,uid_format=hex-reversed\nF6E5D4C3B2A104\n", "desfire 04a1b2c3d4e5f6"},
		"keys":         {"uid,key,key_no\n04A1B2C3D4E5F6," + number + ",2\n", "desfire 04a1b2c3d4e5f6 key " + number + " 2"},
		"nobody":       {"uid\n", ""},
		"with remarks": {"# the staff\nuid\n04A1B2C3D4E5F6\n", "desfire 04a1b2c3d4e5f6"},
	} {
		t.Run(name, func(t *testing.T) {
			cards, err := badgekeys.ParseCards("staff.csv", []byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range cards {
				text := string(c.Kind) + " " + hex.EncodeToString(c.UID)
				if c.Number != nil {
					text = string(c.Kind) + " number " + hex.EncodeToString(c.Number[:])
				}
				if c.Key != nil {
					text += " key " + hex.EncodeToString(c.Key[:]) + " " + string(rune('0'+*c.KeyNo))
				}
				got = append(got, text)
			}
			if strings.Join(got, ", ") != tc.want {
				t.Errorf("read %q, want %q", got, tc.want)
			}
		})
	}
}

// What is wrong is named by its line, and neither numbers nor keys are repeated.
func TestCardsAreRefused(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"4 bytes":            {"uid\n04A1B2C3\n", "line 2 of staff.csv has a UID of another length"},
		"a random one":       {"uid\n08A1B2C3\n", "line 2 of staff.csv has the UID of a card that shows a random one"},
		"twice":              {"04A1B2C3D4E5F6\n04A1B2C3D4E5F7\n04a1b2c3d4e5f6\n", "line 3 of staff.csv has the card of line 1 again"},
		"another kind":       {"uid,number,card\n04A1B2C3D4E5F6,,mifare\n", "line 2 of staff.csv has a card that is neither"},
		"a numbered NTAG":    {"uid,number,card\n," + number + ",ntag424\n", "line 2 of staff.csv has an ntag424 with a number"},
		"a short number":     {"uid,number\n,0011\n", "line 2 of staff.csv has a number"},
		"a number, not hex":  {"uid,number\n," + strings.Repeat("xy", 16) + "\n", "line 2 of staff.csv has a number"},
		"nothing":            {"uid,card\n,desfire\n", "line 2 of staff.csv has neither"},
		"a name":             {"uid,nama\n", "line 1 of staff.csv has a column 2 that is none"},
		"no card's column":   {"key\n", "line 1 of staff.csv names neither"},
		"a short key":        {"uid,key\n04A1B2C3D4E5F6,00\n", "line 2 of staff.csv has a key that is not 32 hex digits"},
		"a key, not hex":     {"uid,key\n04A1B2C3D4E5F6," + strings.Repeat("xy", 16) + "\n", "line 2 of staff.csv has a key"},
		"key 14":             {"uid,key,key_no\n04A1B2C3D4E5F6," + number + ",14\n", "line 2 of staff.csv has a key_no"},
		"another uid_format": {"uid,uid_format=octal\n", "uid_format"},
		"no text":            {"\x00", "UTF-8"},
		"an open quote":      {"uid\n\"04A1\n", "staff.csv"},
	} {
		t.Run(name, func(t *testing.T) {
			cards, err := badgekeys.ParseCards("staff.csv", []byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("read %v, %v, want %q", cards, err, tc.want)
			}
			for _, secret := range []string{"04A1", "xyxy", number} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("it repeats what stands there: %v", err)
				}
			}
		})
	}
}

func TestKeysAreThoseOfTheStaff(t *testing.T) {
	staff, err := badgekeys.ParseCards("staff.csv", []byte("uid,number,card\n04A1B2C3D4E5F6,,ntag424\n,"+number+",\n"))
	if err != nil {
		t.Fatal(err)
	}
	master := badgekeys.Key(unhex(t, "00112233445566778899AABBCCDDEEFF"))
	app := desfire.AID{0xf5, 0x42, 0x30}
	entries, err := badgekeys.Entries(staff, badgekeys.FromMaster(master, app, 1))
	if err != nil || len(entries) != 2 {
		t.Fatalf("%v, %v", entries, err)
	}
	for i, id := range []string{"04A1B2C3D4E5F6", number} {
		want, _ := desfire.Diversify(master, append(unhex(t, id), "\xf5\x42\x30gatewayd"...))
		if entries[i].Key != strings.ToUpper(hex.EncodeToString(want[:])) || entries[i].KeyNo != 1 {
			t.Errorf("entry %d is %+v, want the key %X", i, entries[i], want)
		}
	}
	if entries[0].UID != "04A1B2C3D4E5F6" || entries[0].Card != badgekeys.NTAG424 || entries[1].Number != strings.ToUpper(number) || entries[1].UID != "" {
		t.Errorf("the entries are %+v", entries)
	}

	list, err := badgekeys.ParseCards("keys.csv", []byte("uid,key,key_no\n04A1B2C3D4E5F6,"+number+",2\n04FFFFFFFFFFFF,"+number+",\n"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := badgekeys.FromList(list, 1)
	if err != nil {
		t.Fatal(err)
	}
	entries, err = badgekeys.Entries(staff[:1], source)
	if err != nil || len(entries) != 1 || entries[0].Key != strings.ToUpper(number) || entries[0].KeyNo != 2 {
		t.Errorf("of a list: %+v, %v", entries, err)
	}
	if _, err := badgekeys.Entries(staff, source); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("a card without a key: %v", err)
	}
	if _, err := badgekeys.FromList(staff, 1); err == nil {
		t.Error("a list without keys is taken")
	}
}

// gateway is a key with a certificate, as ca.sh sign makes them.
func gateway(t *testing.T, id string, curve elliptic.Curve) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: id}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, certificate
}

// open opens what was sealed, as RFC 9180 says and with the info that a gateway makes.
func open(t *testing.T, key *ecdsa.PrivateKey, sealed badgekeys.Sealed, info string) ([]byte, error) {
	t.Helper()
	private, err := key.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	own, err := hpke.NewDHKEMPrivateKey(ecdh.KeyExchanger(private))
	if err != nil {
		t.Fatal(err)
	}
	r, err := hpke.NewRecipient(sealed.Enc, own, hpke.HKDFSHA256(), hpke.AES128GCM(), []byte(info))
	if err != nil {
		return nil, err
	}
	return r.Open(nil, sealed.Ciphertext)
}

// Only the gateway that they are for opens its keys, and only as a part of that document.
func TestKeysAreSealedToOneGateway(t *testing.T) {
	d := badgekeys.Document{Dinas: "dinkes", Gateway: "dinkes-01", Serial: 1764380000}
	key, certificate := gateway(t, "dinkes-01", elliptic.P256())
	keys := badgekeys.Keys{V: 1, Application: "F54230", Entries: []badgekeys.Entry{{Card: badgekeys.DESFire, UID: "04A1B2C3D4E5F6", KeyNo: 1, Key: number}}}
	sealed, err := badgekeys.Seal(d, certificate, keys)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	if sealed.Recipient != hex.EncodeToString(sum[:]) {
		t.Errorf("the recipient is %s", sealed.Recipient)
	}
	const info = "gatewayd badge keys v1\ndinkes\ndinkes-01\n1764380000"
	text, err := open(t, key, sealed, info)
	want := `{"v":1,"application":"F54230","entries":[{"card":"desfire","uid":"04A1B2C3D4E5F6","key_no":1,"key":"` + number + `"}]}`
	if err != nil || string(text) != want {
		t.Errorf("opened %s, %v", text, err)
	}
	if _, err := open(t, key, sealed, strings.Replace(info, "-01", "-02", 1)); err == nil {
		t.Error("it opens in a document for another gateway")
	}
	if _, err := open(t, key, sealed, info+"0"); err == nil {
		t.Error("it opens in a document with another serial")
	}
	other, foreign := gateway(t, "dinkes-02", elliptic.P256())
	if _, err := open(t, other, sealed, info); err == nil {
		t.Error("another gateway's key opens it")
	}
	if message, _ := json.Marshal(sealed); bytes.Contains(bytes.ToUpper(message), []byte(strings.ToUpper(number))) {
		t.Error("the key can be read")
	}
	if _, err := badgekeys.Seal(d, foreign, keys); err == nil {
		t.Error("it is sealed to another gateway's certificate")
	}
	_, strange := gateway(t, "dinkes-01", elliptic.P384())
	if _, err := badgekeys.Seal(d, strange, keys); err == nil {
		t.Error("it is sealed to a key of P-384")
	}
}

func FuzzParseCards(f *testing.F) {
	f.Add([]byte("uid,number,card\n04A1B2C3D4E5F6,,ntag424\n"))
	f.Add([]byte("uid;key;key_no\r\n04A1B2C3D4E5F6;" + number + ";2"))
	f.Fuzz(func(t *testing.T, text []byte) {
		cards, err := badgekeys.ParseCards("staff.csv", text)
		for _, c := range cards {
			if err != nil || len(c.UID) != 7 && c.Number == nil {
				t.Fatalf("%+v, %v", c, err)
			}
		}
	})
}
