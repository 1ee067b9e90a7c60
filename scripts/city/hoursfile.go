package city

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// HoursFile is a file with working hours, as the city signs them: a JSON object with the
// keys of [hours].
type HoursFile struct {
	path   string
	values map[string]any
}

// ReadHoursFile reads such a file. Whether gateways take what is in it is for
// "gatewayd check --hours" to say.
func ReadHoursFile(path string) (*HoursFile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read hours: %w", err)
	}
	f := &HoursFile{path: path}
	if err := json.Unmarshal(text, &f.values); err != nil || f.values == nil {
		return nil, fmt.Errorf("read hours: %s is no JSON object with the keys of [hours]", path)
	}
	return f, nil
}

// Holiday adds a day on which nobody works (2006-01-02), or takes it out again.
func (f *HoursFile) Holiday(day string, remove bool) error {
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return fmt.Errorf("%q is no date: write it such as 2026-12-25", day)
	}
	days, err := f.list("holidays")
	if err != nil {
		return err
	}
	days = slices.DeleteFunc(days, func(d any) bool { return d == day })
	if !remove {
		days = append(days, day)
	}
	slices.SortFunc(days, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	f.values["holidays"] = days
	return nil
}

// Period adds hours for a part of the year, both ends included, in place of a period of
// the same dates: days are such as mon=08:00-15:00 or mon-thu=08:00-15:00.
func (f *HoursFile) Period(from, to string, days []string) error {
	periods, err := f.list("period")
	if err != nil {
		return err
	}
	period := map[string]any{"from": from, "to": to}
	for _, day := range days {
		names, span, _ := strings.Cut(day, "=")
		first, last, several := strings.Cut(names, "-")
		if !several {
			last = first
		}
		week := []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
		i, j := slices.Index(week, first), slices.Index(week, last)
		if span == "" || i < 0 || j < i {
			return fmt.Errorf("%q is no day with its hours: write mon=08:00-15:00 or mon-thu=08:00-15:00", day)
		}
		for _, name := range week[i : j+1] {
			period[name] = span
		}
	}
	periods = slices.DeleteFunc(periods, func(p any) bool {
		old, ok := p.(map[string]any)
		return ok && old["from"] == from && old["to"] == to
	})
	f.values["period"] = append(periods, period)
	return nil
}

func (f *HoursFile) list(key string) ([]any, error) {
	if f.values[key] == nil {
		return nil, nil
	}
	list, ok := f.values[key].([]any)
	if !ok {
		return nil, fmt.Errorf("read hours: %q in %s is no list", key, f.path)
	}
	return list, nil
}

// WriteTo writes the hours into a file.
func (f *HoursFile) WriteTo(path string) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(f.values); err != nil {
		return fmt.Errorf("write hours: %w", err)
	}
	if err := replaceFile(path, text.Bytes()); err != nil {
		return fmt.Errorf("write hours: %w", err)
	}
	return nil
}
