package city_test

import (
	"strings"
	"testing"

	"presence/scripts/city"
)

const badge = `{"v":1,"id":"019ab2c3-0000-7000-8000-000000000001-2","gateway":"dinkes-01","dinas":"dinkes",` +
	`"stream":"019ab2c3-0000-7000-8000-000000000001","seq":2,"rev":0,"kind":"badge",` +
	`"boot":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","time":"2026-11-23T07:29:58.120+07:00","time_quality":"synced",` +
	`"time_error_ms":1.5,"reader":"door","badge":"h:00112233445566778899aabbccddeeff","card":"mifare-classic-1k","assurance":"uid"}`

var presence = strings.NewReplacer(
	`"kind":"badge"`, `"kind":"presence"`,
	`"reader":"door",`, ``,
	`"card":"mifare-classic-1k","assurance":"uid"`,
	`"tag":"mesh:1c2f13fc","state":"contradiction","distance_m":4100,"events":["019ab2c3-0000-7000-8000-000000000001-2"]`,
).Replace(badge)

func TestValidate(t *testing.T) {
	v, err := city.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, to string) string {
		if !strings.Contains(badge, old) {
			t.Fatalf("%q is not in the example", old)
		}
		return strings.Replace(badge, old, to, 1)
	}
	for name, tc := range map[string]struct {
		topic, payload string
		ok             bool
	}{
		"a badge":                   {"event/badge", badge, true},
		"simulated":                 {"event/badge", change(`"v":1`, `"v":1,"simulated":true`), true},
		"simulated false":           {"event/badge", change(`"v":1`, `"v":1,"simulated":false`), false},
		"on the wrong topic":        {"event/tag", badge, false},
		"an unknown field":          {"event/badge", change(`"v":1`, `"v":1,"name":"Sari"`), false},
		"seq 0":                     {"event/badge", change(`"seq":2`, `"seq":0`), false},
		"unsynced with a time":      {"event/badge", change(`"synced"`, `"unsynced"`), false},
		"synced without a time":     {"event/badge", change(`"2026-11-23T07:29:58.120+07:00"`, `null`), false},
		"bounded without bounds":    {"event/badge", change(`"synced"`, `"bounded"`), false},
		"a time without zone":       {"event/badge", change(`+07:00`, ``), false},
		"a short hash":              {"event/badge", change(`ddeeff"`, `"`), false},
		"a missing reader":          {"event/badge", change(`"reader":"door",`, ``), false},
		"an unknown topic":          {"event/lunch", badge, false},
		"a cleared alert":           {"alert/reader-door", ``, true},
		"an alert without its text": {"alert/reader-door", `{"code":"reader-door","since":"","id":"","en":"x"}`, false},
		"a receipt":                 {"receipt", `{"stream":"019ab2c3-0000-7000-8000-000000000001","upto":5}`, true},
		"a receipt for nothing":     {"receipt", `{"stream":"019ab2c3-0000-7000-8000-000000000001","upto":0}`, false},
		"a resync":                  {"cmd/resync", `{"tx":"1","expires":"2026-11-23T07:30:00+07:00","args":{"stream":"x","seq":1}}`, true},
		"an undated command":        {"cmd/ping", `{"tx":"1","expires":"tomorrow"}`, false},
		"a command with a guess":    {"cmd/ping", `{"tx":"1","expires":"2026-11-23T07:30:00+07:00","arg":{}}`, false},
		"a contradiction":           {"event/presence", presence, true},
		"an unknown state":          {"event/presence", strings.Replace(presence, "contradiction", "lunch", 1), false},
		"a state out of thin air":   {"event/presence", strings.Replace(presence, `,"events":["019ab2c3-0000-7000-8000-000000000001-2"]`, "", 1), false},
		"no JSON":                   {"status", `online`, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := v.Validate("presence/v1/dinkes/dinkes-01/"+tc.topic, []byte(tc.payload))
			if (err == nil) != tc.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}
