package config

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/pelletier/go-toml/v2/unstable"
)

// at is the line to name for a key: its own, or that of its table where the
// key is missing.
func (t *table) at(key string) int {
	if v := t.values[key]; v != nil {
		return v.line
	}
	return t.line
}

// problem reports what is wrong with a key of this table.
func (t *table) problem(key, format string, args ...any) {
	t.doc.report(t.at(key), join(t.path, key), format, args...)
}

// has reports whether the file has the key.
func (t *table) has(key string) bool { return t.values[key] != nil }

// get is the value of a key if it has one of the kinds, or nil. A value of
// another kind is reported with what is wanted instead.
func (t *table) get(key string, want phrase, kinds ...unstable.Kind) *value {
	if !slices.Contains(t.known, key) {
		t.known = append(t.known, key)
	}
	v := t.values[key]
	if v == nil {
		return nil
	}
	if !slices.Contains(kinds, v.kind) {
		t.problem(key, "is %s: write %s", v.describe(), want)
		return nil
	}
	return v
}

// describe says what a value is, for the person who wrote it.
func (v *value) describe() phrase {
	switch v.kind {
	case unstable.String:
		return say("text")
	case unstable.Bool:
		return say("%s", v.text)
	case unstable.Integer:
		return say("the whole number %s", brief(v.text))
	case unstable.Float:
		return say("the number %s", brief(v.text))
	case unstable.LocalDate, unstable.LocalDateTime, unstable.DateTime:
		return say("the date %s", brief(v.text))
	case unstable.LocalTime:
		return say("the time of day %s", brief(v.text))
	case unstable.Array:
		return say("a list")
	case unstable.ArrayTable:
		return say("a list of tables")
	case unstable.Table:
		return say("a table")
	}
	return say("something else")
}

func brief(s string) string {
	if len(s) > maxShown {
		return s[:maxShown] + "..."
	}
	return s
}

// text is a string without control characters, or the default.
func (t *table) text(key, byDefault string) string {
	v := t.get(key, say("text in double quotes"), unstable.String)
	switch {
	case v == nil:
		return byDefault
	case strings.ContainsFunc(v.text, unicode.IsControl):
		t.problem(key, "has a line break or another control character: write it on one line")
		return byDefault
	}
	return v.text
}

// maxLine is how many bytes a line for people may have: info has to fit into a message.
const maxLine = 200

// shortText is a line of text for people, "" where there is none.
func (t *table) shortText(key string) string {
	s := t.text(key, "")
	if len(s) > maxLine {
		t.problem(key, "has %d bytes, and %d are the most: shorten it", len(s), maxLine)
	}
	return s
}

// required is a string that must be there; "" if it is not.
func (t *table) required(key, example string) string {
	s := t.text(key, "")
	v := t.values[key]
	if v == nil {
		t.problem(key, "is missing: write %s = %q", key, example)
	} else if v.kind == unstable.String && v.text == "" {
		t.problem(key, "is empty: write %s = %q", key, example)
	}
	return s
}

// name is a required string that is fit for topics and certificates; "" if
// there is none.
func (t *table) name(key, example string) string {
	s := t.required(key, example)
	ok := len(s) <= 32
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			ok = false
		}
	}
	if !ok {
		t.problem(key, "%s does not fit: use 1 to 32 small letters, digits and hyphens, such as %q", show(s), example)
		return ""
	}
	return s
}

// choice is one of a few words.
func (t *table) choice(key, byDefault string, words ...string) string {
	s := t.text(key, byDefault)
	if s == byDefault || slices.Contains(words, s) {
		return s
	}
	var hint phrase
	if near := nearest(s, words); near != "" {
		hint = say("; did you mean %q?", near)
	}
	t.problem(key, "%s is not one of %s%s", show(s), strings.Join(words, ", "), hint)
	return byDefault
}

// choices is a list of some of a few words.
func (t *table) choices(key string, words ...string) []string {
	want := say("a list of some of %s, such as [%q]", strings.Join(words, ", "), words[0])
	v := t.get(key, want, unstable.Array)
	if v == nil {
		return nil
	}
	var list []string
	for _, item := range v.items {
		switch {
		case item.kind != unstable.String:
			t.doc.report(item.line, join(t.path, key), "holds %s: write %s", item.describe(), want)
		case !slices.Contains(words, item.text):
			t.doc.report(item.line, join(t.path, key), "holds %s: write %s", show(item.text), want)
		case slices.Contains(list, item.text):
			t.doc.report(item.line, join(t.path, key), "holds %s twice: once will do", show(item.text))
		default:
			list = append(list, item.text)
		}
	}
	return list
}

// file is a path, made absolute by the folder of the configuration.
func (t *table) file(key, byDefault string) string {
	s := t.text(key, byDefault)
	if s == "" || filepath.IsAbs(s) {
		return s
	}
	return filepath.Join(t.doc.dir, s)
}

// flag is true or false; false where it is absent.
func (t *table) flag(key string) bool {
	v := t.get(key, say("true or false, without quotes"), unstable.Bool)
	if v == nil {
		return false
	}
	return v.text == "true"
}

// whole is a whole number within a range, both ends included.
func (t *table) whole(key string, byDefault, low, high int) int {
	v := t.get(key, say("a whole number from %d to %d, without quotes", low, high), unstable.Integer)
	if v == nil {
		return byDefault
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(v.text, "_", ""), 0, 64)
	if err != nil || n < int64(low) || n > int64(high) {
		t.problem(key, "%s is out of range: write a whole number from %d to %d", brief(v.text), low, high)
		return byDefault
	}
	return int(n)
}

// oneOf is a whole number out of a few.
func (t *table) oneOf(key string, byDefault int, numbers ...int) int {
	list := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(numbers)), ", "), "[]")
	v := t.get(key, say("one of the numbers %s, without quotes", list), unstable.Integer)
	if v == nil {
		return byDefault
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(v.text, "_", ""), 0, 32)
	if err != nil || !slices.Contains(numbers, int(n)) {
		t.problem(key, "%s is not possible: write one of %s", brief(v.text), list)
		return byDefault
	}
	return int(n)
}

// number is a number within a range, both ends included.
func (t *table) number(key string, byDefault, low, high float64) float64 {
	v := t.get(key, say("a number from %v to %v, without quotes", low, high), unstable.Integer, unstable.Float)
	if v == nil {
		return byDefault
	}
	f, err := v.float()
	// Written this way round so that nan is out of range too.
	if err != nil || !(f >= low && f <= high) {
		t.problem(key, "%s is out of range: write a number from %v to %v", brief(v.text), low, high)
		return byDefault
	}
	return f
}

func (v *value) float() (float64, error) {
	s := strings.ReplaceAll(v.text, "_", "")
	if v.kind == unstable.Integer {
		n, err := strconv.ParseInt(s, 0, 64)
		return float64(n), err
	}
	return strconv.ParseFloat(s, 64)
}

// day is one day as TOML writes lengths of time.
const day = 24 * time.Hour

// duration is a length of time within a range, both ends included.
func (t *table) duration(key string, byDefault, low, high time.Duration) time.Duration {
	v := t.get(key, say("a length of time in quotes, such as %q", formatDuration(byDefault)), unstable.String)
	if v == nil {
		return byDefault
	}
	n, err := ParseDuration(v.text)
	if err != nil {
		t.problem(key, "%s is no length of time: write one such as %q (units ms, s, m, h, d)", show(v.text), formatDuration(byDefault))
		return byDefault
	}
	if n < low || n > high {
		t.problem(key, "%s is out of range: write %s to %s", show(v.text), formatDuration(low), formatDuration(high))
		return byDefault
	}
	return n
}

// ParseDuration reads a length of time as a person writes it, in the
// configuration and on the command line: Go's durations, and whole days before
// them or alone, such as "90s", "35d" and "1d12h".
func ParseDuration(s string) (time.Duration, error) {
	wrong := fmt.Errorf("%s is no length of time: write one such as 90s, 12h or 1d12h (units ms, s, m, h, d)", show(s))
	head, rest, days := strings.Cut(s, "d")
	if !days {
		n, err := time.ParseDuration(s)
		if err != nil {
			return 0, wrong
		}
		return n, nil
	}
	n, err := strconv.ParseUint(head, 10, 16)
	if err != nil {
		return 0, wrong
	}
	total := time.Duration(n) * day
	if rest == "" {
		return total, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || strings.ContainsAny(rest[:1], "+-") || more > math.MaxInt64-total {
		return 0, wrong
	}
	return total + more, nil
}

// formatDuration writes a duration as one would by hand.
func formatDuration(n time.Duration) string {
	if n >= day && n%day == 0 {
		return fmt.Sprintf("%dd", n/day)
	}
	s := n.String()
	s, _ = strings.CutSuffix(s, "0s")
	if s == "" || s[len(s)-1] != 'm' && s[len(s)-1] != 'h' {
		return n.String()
	}
	if cut, ok := strings.CutSuffix(s, "h0m"); ok {
		return cut + "h"
	}
	return s
}

// lastPin is the highest GPIO number on the 40-pin header of a Raspberry Pi.
const lastPin = 27

// pin is the name of a GPIO pin, or "".
func (t *table) pin(key string) string {
	s := t.text(key, "")
	if s == "" {
		return ""
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "GPIO"), 10, 16)
	if err != nil || s != fmt.Sprintf("GPIO%d", n) {
		t.problem(key, "%s is no pin: write its GPIO number, such as %q (not the number on the header)", show(s), "GPIO17")
		return ""
	}
	if n > lastPin {
		t.problem(key, "%s is on no header of a Raspberry Pi: write GPIO0 to GPIO%d", show(s), lastPin)
		return ""
	}
	return s
}

// device is the required path of a device; "" if there is none.
func (t *table) device(key, example string) string {
	s := t.required(key, example)
	if s == "" {
		return ""
	}
	if !filepath.IsAbs(s) || strings.TrimSpace(s) != s {
		t.problem(key, "%s is no device: write its whole path, such as %q", show(s), example)
		return ""
	}
	return filepath.Clean(s)
}

// table is the table under a key, empty where the file has none.
func (t *table) table(key string) *table {
	want := say("a table, headed [%s]", join(t.path, key))
	v := t.get(key, want, unstable.Table, unstable.ArrayTable)
	switch {
	case v == nil:
		// A key of the wrong kind is reported above and stands for the table.
		return &table{doc: t.doc, path: join(t.path, key), line: t.at(key)}
	case v.kind == unstable.ArrayTable:
		t.problem(key, "is there as a list of tables: write [%[1]s] once, not [[%[1]s]]", join(t.path, key))
		return v.items[0].table
	}
	return v.table
}

// tables is the list of tables under a key.
func (t *table) tables(key string) []*table {
	want := say("a table for each, headed [[%s]]", join(t.path, key))
	v := t.get(key, want, unstable.ArrayTable, unstable.Table, unstable.Array)
	if v == nil {
		return nil
	}
	if v.kind == unstable.Table {
		t.problem(key, "is there as a single table: write [[%[1]s]], not [%[1]s]", join(t.path, key))
		return []*table{v.table}
	}
	var list []*table
	for _, item := range v.items {
		if item.kind != unstable.Table {
			t.doc.report(item.line, join(t.path, key), "holds %s: write %s", item.describe(), want)
			continue
		}
		list = append(list, item.table)
	}
	return list
}

// reportUnknown reports the keys that were not read, in this table and in the tables
// within it.
func (d *document) reportUnknown(t *table) {
	for _, key := range t.order {
		v := t.values[key]
		if !slices.Contains(t.known, key) {
			d.report(v.line, join(t.path, key), "is not known%s", d.hint(t, key))
			continue
		}
		if v.table != nil {
			d.reportUnknown(v.table)
		}
		for _, item := range v.items {
			if item.table != nil {
				d.reportUnknown(item.table)
			}
		}
	}
}

// hint says what may have been meant by an unknown key.
func (d *document) hint(t *table, key string) phrase {
	if near := nearest(key, t.known); near != "" {
		return say(": did you mean %s?", join(t.path, near))
	}
	for _, name := range d.root.known {
		if v := d.root.values[name]; v != nil && v.table != nil && v.table != t && slices.Contains(v.table.known, key) {
			return say(": it belongs to [%s]", name)
		}
	}
	return say(": delete it, or see the reference for what may stand here")
}

// nearest is the word that a mistyped one most likely means, or "".
func nearest(typed string, words []string) string {
	best, distance := "", 3
	if len(typed) > maxShown {
		return ""
	}
	for _, w := range words {
		if n := editDistance(strings.ToLower(typed), w); n < distance && n < len(w) {
			best, distance = w, n
		}
	}
	return best
}

// editDistance counts the letters to add, drop or change to get from a to b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
