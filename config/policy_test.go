package config

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// policy is what policyTOML says, as the city sends it.
const (
	policy = `{"mon":"07:30-16:00","fri":"07:30-16:30","sat":"","break":"12:00-13:00","fri_break":"11:30-13:00",
		"holidays":["2026-12-25"],"period":[{"from":"2027-02-08","to":"2027-03-09","mon":"08:00-15:00","break":""}]}`
	policyTOML = `
[hours]
mon = "07:30-16:00"
fri = "07:30-16:30"
sat = ""
break = "12:00-13:00"
fri_break = "11:30-13:00"
holidays = [2026-12-25]
[[hours.period]]
from = 2027-02-08
to = 2027-03-09
mon = "08:00-15:00"
break = ""
`
)

func TestParseHoursIsTheFile(t *testing.T) {
	got, err := ParseHours("policy", []byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	want, err := Parse("g.toml", []byte(base+policyTOML))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Hours, got); diff != "" {
		t.Errorf("-TOML +JSON:\n%s", diff)
	}
	if got, err = ParseHours("policy", []byte(`{"always":true}`)); err != nil || !got.Always {
		t.Errorf("always: %+v, %v", got, err)
	}
	if got, err = ParseHours("policy", []byte(`{"holidays":["2026-12-25"],"period":[]}`)); err != nil || len(got.Week[time.Monday]) != 1 {
		t.Errorf("national week: %+v, %v", got, err)
	}
}

func TestParseHoursWrong(t *testing.T) {
	for text, want := range map[string]string{
		``:                               "no JSON object",
		`[]`:                             "it is a list",
		`null`:                           "no JSON object",
		`{"mon":"07:30-16:00"} {}`:       "something stands behind it",
		`{"mon":"07:30-16:00","mon":""}`: "hours.mon is there twice",
		`{"mon":"07:30-16:00"`:           "no JSON object",
		`{}`:                             "has no day",
		`{"mon":""}`:                     "closed on every day",
		`{"mon":7}`:                      "is the number 7",
		`{"mon":null}`:                   "hours.mon: is something else",
		`{"mon":["07:30-16:00"]}`:        "hours.mon: is a list",
		`{"Mon":"07:30-16:00","tue":"08:00-09:00"}`:              "hours.Mon: is not known",
		`{"always":"true"}`:                                      "hours.always",
		`{"mon":"07:30-16:00","fri_brek":"11:30-13:00"}`:         "did you mean hours.fri_break",
		`{"mon":"07:30-16:00","holidays":[{}]}`:                  "hours.holidays",
		`{"mon":"07:30-16:00","holidays":["x"]}`:                 "no date",
		`{"mon":"07:30-16:00","period":[1]}`:                     "hours.period",
		`{"mon":"07:30-16:00","period":[{"from":"2027-01-01"}]}`: "hours.period.to: is missing",
		strings.Repeat(`{"period":[`, 1000):                      "too deep",
	} {
		_, err := ParseHours("policy", []byte(text))
		var got Problems
		if !errors.As(err, &got) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseHours(f *testing.F) {
	f.Add([]byte(policy))
	f.Add([]byte(`{"always":true}`))
	f.Add([]byte(`{"sun":"00:00-24:00","sun_break":"00:00-23:59","holidays":[]}`))
	f.Add([]byte(`{"mon":null,"":{"":[[]]},"period":{}}`))
	f.Add([]byte(`{"period":[{"from":"2027-01-01","to":"2027-01-02","mon":""},{"from":"2027-01-02","to":"2027-01-02","mon":"00:00-01:00"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ParseHours("policy", data)
		if err != nil {
			checkProblems(t, err)
			return
		}
		weeks := []Week{h.Week}
		for _, p := range h.Periods {
			if p.From.Compare(p.To) > 0 {
				t.Fatalf("period %v to %v", p.From, p.To)
			}
			weeks = append(weeks, p.Week)
		}
		for _, w := range weeks {
			checkWeek(t, w)
		}
	})
}

// checkProblems wants an error to be problems that each fit on one line.
func checkProblems(t *testing.T, err error) {
	t.Helper()
	var ps Problems
	if !errors.As(err, &ps) || len(ps) == 0 {
		t.Fatalf("error of type %T: %v", err, err)
	}
	for _, p := range ps {
		if p.Text == "" || strings.ContainsFunc(p.String(), unicode.IsControl) {
			t.Fatalf("problem %+v", p)
		}
	}
}

// checkWeek wants the spans of each day in order, within the day and without overlap.
func checkWeek(t *testing.T, w Week) {
	t.Helper()
	for _, spans := range w {
		last := time.Duration(-1)
		for _, s := range spans {
			if s.Start <= last || s.End <= s.Start || s.End > day {
				t.Fatalf("spans %v", spans)
			}
			last = s.End
		}
	}
}
