package export

import (
	"strings"
	"testing"
	"time"
)

// TestFlags: what each combination of flags asks for, or why it is refused.
func TestFlags(t *testing.T) {
	wib := time.FixedZone("WIB", 7*3600)
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, wib)
	day, month := time.Date(2026, 11, 23, 0, 0, 0, 0, wib), time.Date(2026, 12, 1, 0, 0, 0, 0, wib)
	for name, tc := range map[string]struct {
		flags Flags
		want  Request
		wrong string
	}{
		"all":                  {flags: Flags{Format: JSONLines}, want: Request{Format: JSONLines}},
		"a day's events":       {flags: Flags{Format: JSONLines, Day: "2026-11-23"}, want: Request{Format: JSONLines, Since: day, Until: day.AddDate(0, 0, 1)}},
		"a month's events":     {flags: Flags{Format: JSONLines, Month: "2026-12"}, want: Request{Format: JSONLines, Since: month, Until: month.AddDate(0, 1, 0)}},
		"a day's recap":        {flags: Flags{Format: CSVIndonesian, Day: "2026-11-23"}, want: Request{Format: CSVIndonesian, Day: day}},
		"a month's recap":      {flags: Flags{Format: HTML, Month: "2026-12"}, want: Request{Format: HTML, Month: month}},
		"the last hour":        {flags: Flags{Format: CSVIndonesian, Since: "1h"}, want: Request{Format: CSVIndonesian, Since: now.Add(-time.Hour)}},
		"a page of events":     {flags: Flags{Format: HTML}, wrong: "--day 2026-11-23 or --month 2026-11"},
		"no day":               {flags: Flags{Format: CSV, Day: "2026-11"}, wrong: "--day"},
		"no month":             {flags: Flags{Format: CSV, Month: "2026-13"}, wrong: "--month"},
		"a day as a month":     {flags: Flags{Format: CSV, Month: "2026-11-23"}, wrong: "--month"},
		"day and month":        {flags: Flags{Format: CSV, Day: "2026-11-23", Month: "2026-11"}, wrong: "not together with --month"},
		"day and since":        {flags: Flags{Format: CSV, Day: "2026-11-23", Since: "1h"}, wrong: "--day: not together"},
		"month and until":      {flags: Flags{Format: CSV, Month: "2026-11", Until: "1h"}, wrong: "--month: not together"},
		"the end before":       {flags: Flags{Format: CSV, Since: "1h", Until: "2h"}, wrong: "nothing can lie between"},
		"an unreadable moment": {flags: Flags{Format: CSV, Since: "monday"}, wrong: "--since"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.flags.Request(now, wib)
			if tc.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wrong) {
					t.Errorf("%v, want an error with %q", err, tc.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			same := got.Since.Equal(tc.want.Since) && got.Until.Equal(tc.want.Until) && got.Day.Equal(tc.want.Day) && got.Month.Equal(tc.want.Month)
			if !same || got.Format != tc.want.Format || got.CheckFormat() != nil {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
}
