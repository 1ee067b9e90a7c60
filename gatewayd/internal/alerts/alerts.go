package alerts

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// Level is what an alert does to the level of the whole gateway.
type Level string

// The levels, as they are in the health document.
const (
	Hint  Level = "ok"    // worth saying; all is well all the same
	Warn  Level = "warn"  // everything is recorded, but somebody should look
	Fault Level = "fault" // the gateway fails at something it is there for
)

// Values fill the places in braces of an alert's texts, "error" that of
// {error}. One that is missing or empty is printed as "-".
type Values map[string]string

// Limit is the threshold of an alert that comes from a number, with hysteresis:
// a number that hovers about the threshold must not raise and clear the alert
// over and over.
type Limit struct {
	// Raise is where the alert begins and Clear where it ends. With Raise above
	// Clear too much is bad: it begins at Raise and ends below Clear. With Raise
	// below Clear too little is bad: it begins below Raise and ends at Clear.
	Raise, Clear float64
	// Window is the time over which the number is taken; 0: as it is now.
	Window time.Duration
	// Newest bounds how many of the newest samples count within the window, and
	// Least is how many bad ones there must be at all; 0: not bounded.
	Newest, Least int64
}

// Alert is one that stands. Only a Kind makes one.
type Alert struct {
	kind   Kind
	code   string
	about  []string
	id, en string
}

// Raise makes an alert of this kind about the things with these names; a code
// with <name> in it takes the first. In the texts {name} are the names.
func (k Kind) Raise(v Values, about ...string) Alert {
	r := k.row()
	code := string(r.code)
	if len(about) > 0 {
		code = strings.ReplaceAll(code, family, word(about[0]))
	}
	names := strings.Join(about, ", ")
	return Alert{
		kind: k, code: code, about: slices.Clone(about),
		id: fill(r.id, names, v), en: fill(r.en, names, v),
	}
}

// Code is the last part of the alert's topic: lower-case letters, digits and
// hyphens. It never changes its meaning.
func (a Alert) Code() string { return a.code }

// Level is what the alert does to the level of the gateway.
func (a Alert) Level() Level { return a.kind.row().level }

// About are the names of what it is about, none where that is the gateway.
func (a Alert) About() []string { return slices.Clone(a.about) }

// ID says in Indonesian what is wrong and what to do.
func (a Alert) ID() string { return a.id }

// EN says the same in English.
func (a Alert) EN() string { return a.en }

// Outage is what did not work while the alert stood, false where the gateway
// did all its work.
func (a Alert) Outage() (Outage, bool) {
	f := a.kind.row().outage
	if f == "" {
		return Outage{}, false
	}
	o := Outage{Failure: f}
	if len(a.about) > 0 {
		o.Name = a.about[0]
	}
	return o, true
}

// Limit is the threshold of the kind, the zero Limit where it has none.
func (k Kind) Limit() Limit { return k.row().limit }

// Code is the kind's code, with <name> in it where it is a family of codes.
func (k Kind) Code() string { return string(k.row().code) }

// Codes are all codes that a gateway can raise, in order, those of families
// with <name> in them. Tests hold the documents against them.
func Codes() []string {
	var codes []string
	for k := range kinds {
		codes = append(codes, k.Code())
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// Kinds are all kinds of alerts, for tests of the catalogue.
func Kinds() []Kind {
	all := make([]Kind, 0, kinds)
	for k := range kinds {
		all = append(all, k)
	}
	return all
}

// family is what stands in a code for the name of what the alert is about.
const family = "<name>"

// word makes a name fit for a code: a task's has spaces.
func word(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-':
			return r
		}
		return '-'
	}, strings.ToLower(name))
}

// fill puts the values into the braces of a text.
func fill(text, names string, v Values) string {
	place := regexp.MustCompile(`\{[a-z]+\}`)
	return place.ReplaceAllStringFunc(text, func(p string) string {
		value := v[p[1:len(p)-1]]
		if p == "{name}" {
			value = names
		}
		if value == "" {
			return "-"
		}
		return value
	})
}
