package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// At every minute there is a time zone in which the whole morning, and an hour before it,
// lie on one day, and people have the time to come before the day begins.
func TestWorkingDay(t *testing.T) {
	start := time.Date(2026, 11, 29, 0, 0, 17, 0, time.UTC)
	for now := start; now.Before(start.Add(24 * time.Hour)); now = now.Add(time.Minute) {
		zone, opens, err := workingDay(now)
		if err != nil {
			t.Fatalf("at %v: %v", now, err)
		}
		if opens.Second() != 0 || opens.Sub(now) < toStart || opens.Sub(now) > toStart+time.Minute {
			t.Errorf("at %v the day begins at %v", now, opens)
		}
		if y := opens.YearDay(); now.In(zone).Add(-time.Hour).YearDay() != y || opens.Add(lastComes).YearDay() != y {
			t.Errorf("at %v the morning in %v lies on two days", now, zone)
		}
	}
}

// Everybody comes while the demo watches, some of them late, and one tag is at home.
func TestPlan(t *testing.T) {
	opens := time.Date(2026, 11, 29, 17, 30, 0, 0, time.UTC)
	town := newTown(time.UTC, opens)
	town.plan()
	people, late, home := 0, 0, 0
	for _, o := range town.offices {
		for _, p := range o.people {
			people++
			if p.comes.Before(opens.Add(firstComes)) || p.comes.After(opens.Add(lastComes)) {
				t.Errorf("%s comes at %v", p.name, p.comes)
			}
			if p.comes.After(opens) {
				late++
			}
			if p.atHome {
				home++
			}
		}
	}
	if people != 240 || late != 10 || home != 1 {
		t.Errorf("%d people, %d late, %d with the tag at home", people, late, home)
	}
}

// Lines are broken between words, and nothing of them is lost.
func TestFold(t *testing.T) {
	long := "  " + strings.Repeat("nine chars ", 30) + "end"
	for line := range strings.Lines(fold(long)) {
		if line = strings.TrimRight(line, "\n"); utf8.RuneCountInString(line) > width || strings.HasSuffix(line, " ") {
			t.Errorf("%q has %d characters", line, utf8.RuneCountInString(line))
		}
	}
	if got, want := strings.Fields(fold(long)), strings.Fields(long); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("fold makes %q of %q", got, want)
	}
	if short := "  late  Sari"; fold(short) != short {
		t.Errorf("fold changes %q to %q", short, fold(short))
	}
}
