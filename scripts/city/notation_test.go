package city_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"presence/scripts/city"
)

// What a city writes down of a card, and the UID that it means; none where a gateway
// refuses it.
func notations() map[string]struct{ declares, cell, uid string } {
	return map[string]struct{ declares, cell, uid string }{
		"undeclared":              {"", "04A1B2C3", "04A1B2C3"},
		"colons":                  {"", "04:a1:b2:c3:d4:e5:f6", "04A1B2C3D4E5F6"},
		"hex":                     {"uid_format=hex", "04A1B2C3", "04A1B2C3"},
		"dec":                     {"uid_format=dec", "77705923", "04A1B2C3"},
		"dec, spaces and quotes":  {`UID_Format = "dec"`, "77705923", "04A1B2C3"},
		"dec, zeros in front":     {"uid_format=dec", "0077705923", "04A1B2C3"},
		"dec, 7 bytes":            {"uid_format=dec", "1303516283004406", "04A18A8901E5F6"},
		"dec-reversed":            {"uid_format=dec-reversed", "3283263748", "04A1B2C3"},
		"hex-reversed":            {"uid_format=hex-reversed", "C3B2A104", "04A1B2C3"},
		"hex-reversed, colons":    {"uid_format=hex-reversed", "c3:b2:a1:04", "04A1B2C3"},
		"text by an apostrophe":   {"", "'12345600", "12345600"},
		"text by quotes":          {"", `"12345600"`, "12345600"},
		"text by a formula":       {"", `"=""12345600"""`, "12345600"},
		"what a spreadsheet made": {"", "12345600", ""},
		"shortened":               {"", "9.87E+11", ""},
		"rounded":                 {"uid_format=dec", "1303516283004400", ""},
		"hex where dec was said":  {"uid_format=dec", "98A1B2C3", ""},
		"5 bytes":                 {"uid_format=dec", "987654321987", ""},
		"a random UID":            {"", "08A1B2C3", ""},
		"random once reversed":    {"uid_format=hex-reversed", "98765408", ""},
		"too short":               {"", "4A1B2C3", ""},
		"no such format":          {"uid_format=octal", "04A1B2C3", ""},
	}
}

// TestCardNumbersAreReadAlike: what signs a roster and what makes the table of badges
// read card numbers as the gateway does, in each notation that a heading declares.
func TestCardNumbersAreReadAlike(t *testing.T) {
	d := newDesk(t)
	d.write("badge.key", badgeKey+"\n")
	d.write("gateways", "dinkes-01\n")
	key := city.GatewayBadgeKey(cityKey(t), "dinkes-01")
	d.write("own.key", hex.EncodeToString(key[:])+"\n")
	for name, tc := range notations() {
		t.Run(name, func(t *testing.T) {
			heading := func(columns string) string {
				if tc.declares != "" {
					columns += "," + tc.declares
				}
				return columns + "\n"
			}
			d.write("roster.csv", heading("kartu,tag")+tc.cell+",reyax:1\n")
			d.write("cards.csv", heading("kartu,nip")+tc.cell+",198001012005011001\n")
			badge := ""
			if tc.uid != "" {
				uid, err := hex.DecodeString(tc.uid)
				if err != nil {
					t.Fatal(err)
				}
				badge = city.BadgeIdentity(key, uid)
			}

			var entries []struct{ Badge string }
			cmd := exec.Command(program(t, "gatewayd"), "check", "--entries", "--roster", "roster.csv", "--badge-key", "own.key")
			cmd.Dir = d.dir
			out, err := cmd.Output()
			_ = json.Unmarshal(out, &entries)
			if got := len(entries) == 1 && entries[0].Badge == badge; got != (badge != "") || got != (err == nil) {
				t.Errorf("gatewayd reads %s, %v; want %s", out, err, badge)
			}

			message, said, ok := d.sign(heading("kartu,tag")+tc.cell+",reyax:1\n", "-k", "city.key", "-b", "badge.key", "-d", "dinkes", "-g", "dinkes-01", "roster", "in")
			var e struct{ Payload string }
			_ = json.Unmarshal(message, &e)
			payload, _ := base64.StdEncoding.DecodeString(e.Payload)
			if got := strings.Contains(string(payload), `"badge":"`+badge+`"`); ok != (badge != "") || got != ok {
				t.Errorf("sign.sh signs %s, says %s; want %s", payload, said, badge)
			}

			cmd = exec.Command(program(t, "badges"), "-key", "badge.key", "-gateways", "gateways", "cards.csv")
			cmd.Dir = d.dir
			out, err = cmd.CombinedOutput()
			want := "gateway,badge,uid,nip\ndinkes-01," + badge + "," + tc.uid + ",198001012005011001\n"
			if (err == nil) != (badge != "") || badge != "" && string(out) != want {
				t.Errorf("badges prints %s; want %s", out, want)
			}
			if badge == "" && strings.Contains(said+string(out), "987") {
				t.Errorf("a refused number is repeated: %s%s", said, out)
			}
		})
	}
}
