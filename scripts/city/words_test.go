package city_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestScriptsSpeakBothLanguages: whatever the city's scripts say to people is there in
// English and in Indonesian, about the same things.
func TestScriptsSpeakBothLanguages(t *testing.T) {
	said := regexp.MustCompile(`(?m)(?:^|[\t ({])(?:say|fail|complain|refuse "[^ ]+") "(.*)$`)
	variable := regexp.MustCompile(`\$\{?\w+`)
	for _, script := range []string{"gatewayd-city", "ca.sh", "offices.sh"} {
		text := regexp.MustCompile(`\\\n\s*`).ReplaceAllString(read(t, script), "")
		found := 0
		for _, m := range said.FindAllStringSubmatch(text, -1) {
			found++
			if strings.HasPrefix(m[1], "$1\" \"${2") || strings.HasPrefix(m[1], "$2\" \"$3\"") || strings.HasPrefix(m[1], "$en\" \"$id") {
				continue // where both are handed on
			}
			if regexp.MustCompile(`^\$\(place_of "\$id"\): \$said"$|^\$3: \$said"$`).MatchString(m[1]) {
				continue // what another program says, in its caller's language
			}
			en, id, both := strings.Cut(strings.ReplaceAll(m[1], `\"`, "'"), `" "`)
			if strings.Contains(id, `" "`) && !strings.Contains(id, "fail ") { // a second text in the line
				t.Errorf("%s: more than two languages: %s", script, m[1])
			}
			switch several := !strings.HasSuffix(m[1], `"`); {
			case !both && several:
				continue // the first of several lines
			case !both:
				t.Errorf("%s: only in English: %s", script, m[1])
				continue
			case !strings.Contains(id, "$("):
				id, _, _ = strings.Cut(id, `"`) // what follows in the line is no part of it
			}
			want, got := variable.FindAllString(en, -1), variable.FindAllString(id, -1)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(slices.Compact(want), slices.Compact(got)) {
				t.Errorf("%s: %v in English, %v in Indonesian: %s", script, want, got, m[1])
			}
		}
		if found < 25 {
			t.Errorf("%s: only %d texts are found", script, found)
		}
	}
}
