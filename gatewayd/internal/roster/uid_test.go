package roster

import (
	"errors"
	"strings"
	"testing"

	"presence/gatewayd/internal/presence"
)

// TestHowCardNumbersAreWritten: each format, and each heading under which it is declared.
func TestHowCardNumbersAreWritten(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"undeclared":               {"badge,tag\n04A1B2C3,reyax:1\n", "04A1B2C3"},
		"hex":                      {"badge,tag,uid_format=hex\n04A1B2C3,reyax:1\n", "04A1B2C3"},
		"dec":                      {"badge,tag,uid_format=dec\n77705923,reyax:1\n", "04A1B2C3"},
		"dec with zeros in front":  {"badge,tag,uid_format=dec\n0077705923,reyax:1\n", "04A1B2C3"},
		"dec of 7 bytes":           {"badge,tag,uid_format=dec\n1303516283004406,reyax:1\n", "04A18A8901E5F6"},
		"dec of 7 bytes, zeros":    {"badge,tag,uid_format=dec\n\"1303516283004400\",reyax:1\n", "04A18A8901E5F0"},
		"dec-reversed":             {"badge,tag,uid_format=dec-reversed\n3283263748,reyax:1\n", "04A1B2C3"},
		"hex-reversed":             {"badge,tag,uid_format=hex-reversed\nC3B2A104,reyax:1\n", "04A1B2C3"},
		"hex-reversed with colons": {"badge,tag,uid_format=hex-reversed\nc3:b2:a1:04,reyax:1\n", "04A1B2C3"},
		"as in the configuration":  {"badge,tag,uid_format = \"hex-reversed\"\nC3B2A104,reyax:1\n", "04A1B2C3"},
		"Excel":                    {"\xef\xbb\xbfsep=;\r\nKartu;Tag;UID_Format=dec\r\n77705923;reyax:1;\r\n", "04A1B2C3"},
		"sep=, against the data":   {"sep=,\n04A1B2C3,\"waypoint:a;b\"\n", "04A1B2C3"},
		"sep= and a tab":           {"sep=\t\nkartu\ttag\n04A1B2C3\treyax:1\n", "04A1B2C3"},
		"a quoted sep=":            {"\"sep=;\"\nkartu;tag\n04A1B2C3;reyax:1\n", "04A1B2C3"},
		"No. Kartu":                {"No. Kartu;Nomor Tag\n04A1B2C3;reyax:1\n", "04A1B2C3"},
		"nomor_kartu":              {"# staf\n\nnomor_kartu,ID tag\n04A1B2C3,reyax:1\n", "04A1B2C3"},
		"UID":                      {"UID,pelacak\n04A1B2C3,reyax:1\n", "04A1B2C3"},
		"zeros, in quotes":         {"badge,tag\n\"12345600\",reyax:1\n", "12345600"},
		"zeros, second in quotes":  {"badge,tag\n04A1B2C3,reyax:2\n\"12345600\",reyax:1\n", "12345600"},
		"zeros, quoted in a cell":  {"badge,tag\n\"\"\"12345600\"\"\",reyax:1\n", "12345600"},
		"zeros, an apostrophe":     {"badge,tag\n'12345600,reyax:1\n", "12345600"},
		"zeros, a formula of text": {"badge,tag\n\"=\"\"12345600\"\"\",reyax:1\n", "12345600"},
		"zeros, colons":            {"badge,tag\n12:34:56:00,reyax:1\n", "12345600"},
		"zeros after a zero":       {"badge,tag\n04112200,reyax:1\n", "04112200"},
		"an E that is left":        {"badge,tag\n123456E2,reyax:1\n", "123456E2"},
	} {
		t.Run(name, func(t *testing.T) {
			pairs, err := ParseCSV([]byte(tc.text), presence.PlainBadges())
			if err != nil || len(pairs) == 0 {
				t.Fatalf("%v, %v", pairs, err)
			}
			if got := pairs[len(pairs)-1].Badge; got != tc.want {
				t.Errorf("the badge is %s, want %s", got, tc.want)
			}
		})
	}
}

// TestNumbersOfASpreadsheetAreRefused: a card that nobody has, or somebody else has, is
// worse than none. The line is named, and the number is not.
func TestNumbersOfASpreadsheetAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		line int
		want string
	}{
		"multiplied":               {"badge,tag\n04A1B2C3,reyax:1\n12345600,reyax:2\n", 3, "may have made of another UID"},
		"multiplied, 7 bytes":      {"badge,tag\n12345000000000,reyax:2\n", 2, "may have made of another UID"},
		"multiplied and reversed":  {"badge,tag,uid_format=hex-reversed\n98765400,reyax:2\n", 2, "may have made of another UID"},
		"multiplied after sep=":    {"sep=;\nkartu;tag\n98765400;reyax:2\n", 3, "may have made of another UID"},
		"shortened":                {"badge,tag\n9.87E+11,reyax:2\n", 2, "as a spreadsheet shortens it"},
		"shortened in Indonesia":   {"kartu;tag\r\n9,87654E+13;reyax:2\r\n", 2, "as a spreadsheet shortens it"},
		"shortened, in quotes":     {"badge,tag\n\"9,87E+11\",reyax:2\n", 2, "as a spreadsheet shortens it"},
		"a decimal, shortened":     {"badge,tag,uid_format=dec\n9.87E+16,reyax:2\n", 2, "as a spreadsheet shortens it"},
		"a decimal, rounded":       {"badge,tag,uid_format=dec\n1303516283004400,reyax:2\n", 2, "all but 15 digits"},
		"a lost zero":              {"badge,tag\n4112233,reyax:2\n", 2, "no badge"},
		"hex where dec was said":   {"badge,tag,uid_format=dec\n98A1B2C3,reyax:2\n", 2, "decimal numbers"},
		"5 bytes, decimal":         {"badge,tag,uid_format=dec\n987654321987,reyax:2\n", 2, "decimal numbers"},
		"too many digits":          {"badge,tag,uid_format=dec\n" + strings.Repeat("98", 20) + ",reyax:2\n", 2, "decimal numbers"},
		"random, reversed":         {"badge,tag,uid_format=hex-reversed\n98765408,reyax:2\n", 2, "random"},
		"no such format":           {"badge,tag,uid_format=octal\n98765432,reyax:2\n", 1, "uid_format that there is not"},
		"a format under nothing":   {"nama,kartu,uid_format=dec\n98765432,reyax:2\n", 1, "does not begin with a heading"},
		"a format alone":           {"uid_format=dec\n98765432,reyax:2\n", 1, "does not begin with a heading"},
		"a format in a comment":    {"badge,tag\n# uid_format = dec\n98765432,reyax:2\n", 2, "in a comment"},
		"a format further down":    {"badge,tag\n98765432,reyax:2\nbadge,tag,uid_format=dec\n", 3, "3 columns"},
		"a separator that is none": {"sep=|\nbadge|tag\n98765432|reyax:2\n", 1, "names a separator"},
	} {
		t.Run(name, func(t *testing.T) {
			pairs, err := ParseCSV([]byte(tc.text), hashes())
			var got Problems
			if !errors.As(err, &got) || pairs != nil || len(got) != 1 {
				t.Fatalf("%v, %v", pairs, err)
			}
			if got[0].Line != tc.line || !strings.Contains(got[0].Text, tc.want) {
				t.Errorf("line %d %s, want line %d with %q", got[0].Line, got[0].Text, tc.line, tc.want)
			}
			if strings.Contains(got[0].Text, "987") {
				t.Errorf("the number is repeated: %s", got[0].Text)
			}
			if id := got[0].Indonesian(); id == got[0].Text || strings.Contains(id, "%!") {
				t.Errorf("%q is not said in Indonesian: %q", got[0].Text, id)
			}
		})
	}
}
