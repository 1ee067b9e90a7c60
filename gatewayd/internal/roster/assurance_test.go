package roster

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// guid is that of a PIV card, as its certificate prints it.
const guid = "3d2a7c5e-90b1-4f8e-8a61-f0b2c4d6e8fa"

// identityOf is that of a card by the hex digits of its bytes.
func identityOf(t *testing.T, digits string) string {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(digits, "-", ""))
	if err != nil {
		t.Fatal(err)
	}
	return hashes().Identity(b)
}

// TestAssuranceIsAColumn: with and without a heading, in any place that a heading gives it,
// and as spreadsheets and people write it.
func TestAssuranceIsAColumn(t *testing.T) {
	uid4 := identityOf(t, "04A1B2C3")
	const piv, desfire = card.AssurancePIV, card.AssuranceDESFire
	for name, tc := range map[string]struct {
		text string
		want []Pair
	}{
		"no heading":                 {uid + ",reyax:1,authenticated-piv\n", []Pair{{known(), "reyax:1", piv}}},
		"heading":                    {"badge,tag,assurance\n" + uid + ",reyax:1,authenticated-desfire\n", []Pair{{known(), "reyax:1", desfire}}},
		"heading of two":             {"badge,tag\n" + uid + ",reyax:1,authenticated-desfire\n", []Pair{{known(), "reyax:1", desfire}}},
		"Indonesian, Excel":          {"sep=;\r\nKartu;Tag;Jaminan\r\n" + uid + ";reyax:1; Authenticated-PIV \r\n", []Pair{{known(), "reyax:1", piv}}},
		"uid is no demand":           {uid + ",reyax:1,uid\n", []Pair{{known(), "reyax:1", ""}}},
		"none":                       {"badge,tag,assurance\n" + uid + ",reyax:1,\n", []Pair{{known(), "reyax:1", ""}}},
		"no tag":                     {uid + ",,authenticated-piv\n", []Pair{{known(), "", piv}}},
		"format in front":            {"badge,tag,uid_format=dec,assurance\n77705923,reyax:1,,authenticated-piv\n", []Pair{{uid4, "reyax:1", piv}}},
		"format behind":              {"badge,tag,assurance,uid_format=dec\n77705923,reyax:1,authenticated-piv\n", []Pair{{uid4, "reyax:1", piv}}},
		"format and no heading":      {"badge,tag,uid_format=dec\n77705923,reyax:1,authenticated-piv\n", []Pair{{uid4, "reyax:1", piv}}},
		"GUID":                       {guid + ",reyax:1,authenticated-piv\n", []Pair{{identityOf(t, guid), "reyax:1", piv}}},
		"GUID in capitals":           {strings.ToUpper(strings.ReplaceAll(guid, "-", "")) + ",,authenticated-piv\n", []Pair{{identityOf(t, guid), "", piv}}},
		"GUID among decimal numbers": {"badge,tag,uid_format=dec\n" + guid + ",reyax:1\n77705923,reyax:2\n", []Pair{{identityOf(t, guid), "reyax:1", ""}, {uid4, "reyax:2", ""}}},
		"GUID is never reversed":     {"badge,tag,uid_format=hex-reversed\n" + guid + ",reyax:1\n", []Pair{{identityOf(t, guid), "reyax:1", ""}}},
	} {
		got, err := ParseCSV([]byte(tc.text), hashes())
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// TestWrongAssurancesAreRefused: a demand that is misread would let copies in.
func TestWrongAssurancesAreRefused(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"a name":              {uid + ",reyax:1,Sari\n", "no names"},
		"no such":             {uid + ",reyax:1,authenticated\n", "assurance that there is not"},
		"random":              {uid + ",reyax:1,random-uid\n", "assurance that there is not"},
		"neither":             {"badge,tag,assurance\n" + uid + ",,\n", "1 columns"},
		"no tag for a number": {uid + ",,uid\n", "has no tag"},
		"four":                {uid + ",reyax:1,authenticated-piv,Sari\n", "4 columns"},
		"in the wrong column": {"badge,tag,uid_format=dec,assurance\n77705923,reyax:1,authenticated-piv\n", "3 columns"},
		"zeros":               {strings.Repeat("0", 32) + ",reyax:1,authenticated-piv\n", "no badge"},
		"a hash without h:":   {"00112233445506778899aabbccddeeff,reyax:1,authenticated-piv\n", "no badge"},
		"31 digits":           {guid[1:] + ",reyax:1,authenticated-piv\n", "no badge"},
		"shortened":           {"1,23E+31;reyax:1;authenticated-piv\n", ""},
		"cut off":             {"12345678901234500000000000000000,reyax:1,authenticated-piv\n", "spreadsheet"},
	} {
		pairs, err := ParseCSV([]byte(tc.text), hashes())
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, %v", name, pairs, err)
			continue
		}
		if said := Indonesian(strings.TrimPrefix(err.Error(), "line 1 ")); tc.want == "no names" && !strings.Contains(said, "tanpa nama") {
			t.Errorf("%s: %s", name, said)
		}
	}
}

// TestAssuranceInASignedRoster: as the file has it, and what is kept of it reads again.
func TestAssuranceInASignedRoster(t *testing.T) {
	body := `[{"badge":"` + uid + `","tag":"","assurance":"authenticated-desfire"},{"badge":"` + guid + `","tag":"reyax:1","assurance":"authenticated-piv"},{"badge":"` + other + `","tag":"reyax:2"}]`
	pairs, err := ParseEntries([]byte(body), hashes())
	if err != nil {
		t.Fatal(err)
	}
	r := New()
	r.SetDocument(pairs)
	if r.Least(known()) != card.AssuranceDESFire || r.Least(identityOf(t, guid)) != card.AssurancePIV || r.Least(other) != "" || r.Least("h:00") != "" {
		t.Errorf("the roster asks for %q, %q and %q", r.Least(known()), r.Least(identityOf(t, guid)), r.Least(other))
	}
	if !r.Asks(card.AssurancePIV) || !r.Asks(card.AssuranceDESFire) {
		t.Error("it asks for nothing")
	}
	if tagged, _ := r.Pairs(); len(tagged) != 2 || r.Entries() != 3 {
		t.Errorf("%d badges, of which %v have a tag", r.Entries(), tagged)
	}
	if _, ok := r.TagOf(known()); ok {
		t.Error("who has no tag has one")
	}
	kept, err := json.Marshal(pairs)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseEntries(kept, hashes())
	if diff := cmp.Diff(pairs, again); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, wrong := range []string{`[{"badge":"` + uid + `","tag":"reyax:1","assurance":"strong"}]`, `[{"badge":"` + uid + `","tag":""}]`, `[{"badge":"` + uid + `","tag":"reyax:1","name":"Sari"}]`} {
		if _, err := ParseEntries([]byte(wrong), hashes()); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}

// Another assurance for the same badge is another roster: who follows it is told.
func TestAnotherAssuranceIsAnotherRoster(t *testing.T) {
	r := New()
	r.SetFile([]Pair{{Badge: other, Tag: "reyax:1"}})
	_, replaced := r.Pairs()
	r.SetFile([]Pair{{Badge: other, Tag: "reyax:1", Assurance: card.AssurancePIV}})
	select {
	case <-replaced:
	default:
		t.Error("nobody is told")
	}
	if r.Least(other) != card.AssurancePIV {
		t.Error("the old one is in force")
	}
}

// The city signs GUIDs as card numbers, which a gateway with the key then hashes.
func TestTheCitySignsAGUIDAsItIs(t *testing.T) {
	pairs, err := parseCSV([]byte(guid+",,authenticated-piv\n"), asWritten{})
	if err != nil || len(pairs) != 1 || pairs[0].Badge != "3D2A7C5E90B14F8E8A61F0B2C4D6E8FA" {
		t.Fatalf("%v, %v", pairs, err)
	}
	p, err := pair(pairs[0].Badge, pairs[0].Tag, string(pairs[0].Assurance), presence.PlainBadges())
	if err != nil || p != pairs[0] {
		t.Errorf("%+v, %v", p, err)
	}
}
