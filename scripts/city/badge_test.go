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

	d.write("twice.csv", "04A1B2C3,a\n04a1b2c3,b\n")
	d.write("decimal.csv", "card\n123456789\n")
	d.write("names", "Dinas Kesehatan\n")
	for says, args := range map[string][]string{
		"line 2 of twice.csv has the card of line 1 again": {"-key", "badge.key", "-gateways", "gateways", "twice.csv"},
		"line 2 of decimal.csv has no badge":               {"-key", "badge.key", "-gateways", "gateways", "decimal.csv"},
		"line 1 of names is no gateway's id":               {"-key", "badge.key", "-gateways", "names", "cards.csv"},
		"does not hold 64 hex digits":                      {"-key", "names", "-gateways", "gateways", "cards.csv"},
		"usage":                                            {"-key", "badge.key", "-gateways", "gateways"},
	} {
		if out, ok := run(args...); ok || !strings.Contains(out, says) {
			t.Errorf("badges %v: want %q, got %s", args, says, out)
		}
	}
}
