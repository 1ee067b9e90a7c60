package gateway

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestCommandsOfTheCityAreDocumented: each is where the city looks it up, nothing else
// is, and each is given to a whole gateway in a test.
func TestCommandsOfTheCityAreDocumented(t *testing.T) {
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	tried := read("../../citycommands_test.go")
	names := slices.Sorted(maps.Keys((&Gateway{}).commands()))
	for _, name := range names {
		if !strings.Contains(tried, "{\""+name+"\", ") {
			t.Errorf("no row of TestTheCityAsks in gatewayd/citycommands_test.go is about %s", name)
		}
	}
	names = append(names, "resync") // the line's own, tried in its package
	slices.Sort(names)

	_, channel, _ := strings.Cut(read("../../../scripts/city/asyncapi.yaml"), "\n  cmd:\n")
	_, enum, _ := strings.Cut(channel, "enum: [")
	enum, _, _ = strings.Cut(enum, "]")
	_, row, _ := strings.Cut(read("../../../scripts/city/MESSAGES.md"), "| `cmd/<name>`, `reply/<name>` |")
	row, _, _ = strings.Cut(row, ";") // what follows is about all of them
	var listed []string
	for _, m := range regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(row, -1) {
		listed = append(listed, m[1])
	}
	for document, has := range map[string][]string{
		"the channel cmd of scripts/city/asyncapi.yaml": strings.Split(enum, ", "), "cmd/<name> in scripts/city/MESSAGES.md": listed,
	} {
		if slices.Sort(has); !slices.Equal(has, names) {
			t.Errorf("%s lists the commands %q, there are %q", document, has, names)
		}
	}
}
