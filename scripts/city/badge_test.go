package city_test

import (
	"encoding/hex"
	"os/exec"
	"strings"
	"testing"

	"presence/scripts/city"
)

// The key of one gateway, worked out with another program:
// printf 'gatewayd badge key v1\0dinkes-01' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0123...
func TestGatewayBadgeKey(t *testing.T) {
	key := city.GatewayBadgeKey(cityKey(t), "dinkes-01")
	if got := hex.EncodeToString(key[:]); got != "a32b69cf93b46adb52164402b7aaad35ac71613a094049d4adf11ca40094936c" {
		t.Errorf("the key is %s", got)
	}
	if other := city.GatewayBadgeKey(cityKey(t), "dinkes-02"); other == key {
		t.Error("two gateways have one key")
	}
}

// Worked out with another program:
// printf 'gatewayd badge guid v1\0\x04\xa1\xb2\xc3\xd4\xe5\xf6' | sha256sum
func TestGUIDOf(t *testing.T) {
	uid, _ := hex.DecodeString("04A1B2C3D4E5F6")
	if got := city.GUIDOf(uid).String(); got != "f43bf29a-7816-8578-8e8a-232fe1e514fc" {
		t.Errorf("the GUID is %s", got)
	}
}

func TestBadgesMakesTheTable(t *testing.T) {
	badges := program(t, "badges")
	d := newDesk(t)
	d.write("badge.key", badgeKey+"\n")
	d.write("gateways", "# offices\ndinkes-01\n\ndinkes-02\n")
	d.write("cards.csv", "\xef\xbb\xbfkartu;nip\n04:a1:b2:c3;198001012005011001\n04A1B2C3D4E5F6;198502022010012002\n")
	run := func(args ...string) (string, bool) {
		t.Helper()
		cmd := exec.Command(badges, args...)
		cmd.Dir = d.dir
		out, err := cmd.CombinedOutput()
		return string(out), err == nil
	}
	out, ok := run("-key", "badge.key", "-gateways", "gateways", "cards.csv")
	if !ok {
		t.Fatal(out)
	}
	want := "gateway,badge,uid,nip\n"
	for _, gateway := range []string{"dinkes-01", "dinkes-02"} {
		key := city.GatewayBadgeKey(cityKey(t), gateway)
		want += gateway + "," + city.BadgeIdentity(key, []byte{4, 0xa1, 0xb2, 0xc3}) + ",04A1B2C3,198001012005011001\n" +
			gateway + "," + city.BadgeIdentity(key, []byte{4, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6}) + ",04A1B2C3D4E5F6,198502022010012002\n"
	}
	if out != want {
		t.Errorf("the table is\n%s\nwant\n%s", out, want)
	}
	out, ok = run("-key", "badge.key", "-gateways", "gateways", "-fingerprints")
	if key := city.GatewayBadgeKey(cityKey(t), "dinkes-02"); !ok || !strings.HasSuffix(out, "\ndinkes-02,"+city.BadgeKeyFingerprint(key)+"\n") {
		t.Errorf("the fingerprints are\n%s", out)
	}

	// A badge that was issued a certificate has a line for its GUID, too; one with a random
	// UID is known by that alone.
	guid := city.GUIDOf([]byte{4, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6})
	d.write("index.txt", "V\t291128125537Z\t\t0C78\tunknown\t/CN="+guid.String()+"\nV\t291128125537Z\t\t0C79\tunknown\t/CN=00112233-4455-4677-8899-aabbccddeeff\n")
	d.write("piv.csv", "kartu;nip\n04A1B2C3;1\n04A1B2C3D4E5F6;2\n00112233445546778899aabbccddeeff;3\n")
	out, ok = run("-key", "badge.key", "-gateways", "gateways", "-issued", "index.txt", "piv.csv")
	own := city.GatewayBadgeKey(cityKey(t), "dinkes-02")
	random, _ := hex.DecodeString("00112233445546778899aabbccddeeff")
	for _, want := range []string{
		city.BadgeIdentity(own, []byte{4, 0xa1, 0xb2, 0xc3}) + ",04A1B2C3,1\n", city.BadgeIdentity(own, []byte{4, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6}) + ",04A1B2C3D4E5F6,2\n",
		city.BadgeIdentity(own, guid[:]) + ",04A1B2C3D4E5F6,2\n", city.BadgeIdentity(own, random) + ",00112233445546778899AABBCCDDEEFF,3\n",
	} {
		if !ok || !strings.Contains(out, "dinkes-02,"+want) || strings.Count(out, "\n") != 1+2*4 {
			t.Errorf("the table is\n%s\nwant %s", out, want)
		}
	}

	d.write("twice.csv", "04A1B2C3,a\n04a1b2c3,b\n")
	d.write("decimal.csv", "card\n123456789\n")
	d.write("names", "Dinas Kesehatan\n")
	for says, args := range map[string][]string{
		"line 2 of twice.csv has the card of line 1 again": {"-key", "badge.key", "-gateways", "gateways", "twice.csv"},
		"line 2 of decimal.csv has no badge":               {"-key", "badge.key", "-gateways", "gateways", "decimal.csv"},
		"line 1 of names is no gateway's id":               {"-key", "badge.key", "-gateways", "names", "cards.csv"},
		"does not hold 64 hex digits":                      {"-key", "names", "-gateways", "gateways", "cards.csv"},
		"is not the index of ca.sh badge":                  {"-key", "badge.key", "-gateways", "gateways", "-issued", "cards.csv", "cards.csv"},
		"usage":                                            {"-key", "badge.key", "-gateways", "gateways"},
	} {
		if out, ok := run(args...); ok || !strings.Contains(out, says) {
			t.Errorf("badges %v: want %q, got %s", args, says, out)
		}
	}
}
