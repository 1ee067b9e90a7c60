package roster

import (
	"strings"
	"testing"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/presence"
)

func FuzzParseCSV(f *testing.F) {
	for _, text := range []string{
		"badge,tag\n" + uid + ",mesh:1c2f13fc\n",
		"\xef\xbb\xbfBadge;Tag\r\n04:A1:B2:C3;kenwood:100-1001\r\n;\r\n",
		"# comment\n" + other + "\twaypoint:Bu Sari, 2\n",
		other + `,"waypoint:a,""b"""` + "\n",
		other + ",reyax:1\n" + other + ",reyax:2\n",
		"sep=;\r\nkartu;tag;uid_format=dec-reversed\r\n3283263748;reyax:1\r\n", "badge,tag,uid_format = \"hex-reversed\"\n\"12345600\",reyax:1\n",
		"badge,tag,assurance\n" + uid + ",,authenticated-desfire\n00112233445566778899aabbccddeeff,reyax:1,Authenticated-PIV\n",
		"kartu;tag;uid_format=dec;jaminan\n77705923;reyax:1;;uid\n",
		`"` + uid, "\xff\xfe", "",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		pairs, err := ParseCSV(data, hashes())
		if err != nil {
			if len(pairs) > 0 || strings.ContainsAny(err.Error(), "\r\n") {
				t.Fatalf("%d pairs beside the error %q", len(pairs), err)
			}
			return
		}
		seen := make(map[string]bool)
		for _, p := range pairs {
			if name, ok := beacon.TagName(p.Tag); (!ok && (p.Tag != "" || p.Assurance == "")) || name != p.Tag || !presence.IsHashedBadge(p.Badge) || seen[p.Badge] {
				t.Fatalf("accepted: %+v", p)
			}
			seen[p.Badge] = true
			// What was accepted is accepted again, and stays what it is.
			again, err := pair(p.Badge, p.Tag, string(p.Assurance), hashes())
			if err != nil || again != p {
				t.Fatalf("%+v became %+v: %v", p, again, err)
			}
		}
	})
}
