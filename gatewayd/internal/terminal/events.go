package terminal

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// Screen is what is printed to: in colour or without, in one language.
type Screen struct {
	Palette
	Language language.Language
}

// ScreenFor is the screen for what is printed to w, to a user of the environment.
func ScreenFor(w io.Writer, getenv func(string) string) Screen {
	return Screen{PaletteFor(w), language.Of(getenv)}
}

// say is a format of the table in the screen's language, with its arguments.
func (s Screen) say(format language.Text, args ...any) string {
	return fmt.Sprintf(format.In(s.Language), args...)
}

// Line returns a whole line: the time of day at which something happened, and what
// that was. The time is given in RFC 3339; nil, where it is not known, becomes dashes.
func (s Screen) Line(at *string, text string) string {
	clock := "--:--:--"
	if at != nil && len(*at) >= 19 {
		clock = (*at)[11:19]
	}
	return fmt.Sprintf("%s  %s\n", s.Dim(clock), text)
}

// Tap is the lamp's answer to one tap, which took so many milliseconds.
func (s Screen) Tap(a presence.Answer, tookMS float64) string {
	w := inWords()
	outcome, paint, what := w.Refused, s.Red, s.whyRefused(a)
	switch a.Outcome {
	case presence.Accepted:
		outcome, paint, what = w.Accepted, s.Green, s.say(w.InMS, a.Seq, tookMS)
	case presence.Repeat:
		outcome, paint, what = w.Repeat, s.Yellow, s.say(w.AlreadyAs, a.Seq)
	}
	columns := max(len(s.say(w.Accepted)), len(s.say(w.Repeat)), len(s.say(w.Refused)))
	answer := s.say(outcome)
	return fmt.Sprintf("%s  %s%s  %s %s  %s", a.Reader, paint(answer), strings.Repeat(" ", columns-len(answer)), short(a.Badge), a.Card, what)
}

// short cuts a badge's identity to as much as a person can compare at a glance.
func short(badge string) string {
	if strings.HasPrefix(badge, "h:") && len(badge) > 10 {
		return badge[:10]
	}
	return badge
}

// seen are the fields of an event that a person is shown.
type seen struct {
	Kind   string `json:"kind"`
	Seq    uint64 `json:"seq"`
	Reader string `json:"reader"`
	Badge  string `json:"badge"`
	Card   string `json:"card"`
	// Assurance is how far the card has proven who it is.
	Assurance string   `json:"assurance"`
	Receiver  string   `json:"receiver"`
	Tag       string   `json:"tag"`
	Lat       *float64 `json:"lat"`
	Lon       *float64 `json:"lon"`
	Fix       string   `json:"fix"`
	Zone      *string  `json:"zone"`
	Reason    string   `json:"reason"`
	State     string   `json:"state"`
	Distance  *float64 `json:"distance_m"`
	Upto      uint64   `json:"upto"`
}

// Event is one recorded event in its JSON form. It is "" for badge events: whoever
// watches has seen the lamp's answer to the tap.
func (s Screen) Event(raw []byte) string {
	var e seen
	if json.Unmarshal(raw, &e) != nil {
		return ""
	}
	w := inWords()
	journal := s.say(w.Journal)
	switch e.Kind {
	case "tag":
		where := s.say(w.NoPosition)
		if e.Lat != nil && e.Lon != nil {
			where = fmt.Sprintf("%.5f %.5f", *e.Lat, *e.Lon)
		}
		if e.Zone != nil {
			where += " " + whereabouts(*e.Zone).In(s.Language)
		}
		return fmt.Sprintf("%s  %s       %s  %s  %s  #%d", e.Receiver, s.Blue(s.say(w.Tag)), e.Tag, where, freshness(e.Fix).In(s.Language), e.Seq)
	case "presence":
		line := fmt.Sprintf("%-7s  %s  %s  %s", s.say(w.Staff), s.Blue(whereabouts(e.State).In(s.Language)), short(e.Badge), e.Tag)
		if e.Distance != nil {
			line += "  " + s.say(w.Away, *e.Distance)
		}
		return fmt.Sprintf("%s  #%d", line, e.Seq)
	case "gap":
		return fmt.Sprintf("%s  %s  %s  #%d", journal, s.Red(s.say(w.Gap)), lossReason(e.Reason).In(s.Language), e.Seq)
	case "start":
		return fmt.Sprintf("%s  %s  #%d", journal, s.say(w.Start), e.Seq)
	case "seal":
		return s.Dim(fmt.Sprintf("%s  %s  #%d", journal, s.say(w.Sealed, e.Upto), e.Seq))
	}
	return ""
}

// Arrived is one event in its JSON form as it reached the city, badge events
// included.
func (s Screen) Arrived(raw []byte) string {
	var e seen
	if json.Unmarshal(raw, &e) != nil {
		return ""
	}
	if e.Kind == "badge" {
		return fmt.Sprintf("%s %s %s%s  #%d", s.Green(s.say(inWords().Badge)), short(e.Badge), e.Card, proven(e.Assurance).In(s.Language), e.Seq)
	}
	return s.Event(raw)
}

// Health is one line on the hardware and the connection to the city.
func (s Screen) Health(h presence.Health) string {
	w := inWords()
	var parts []string
	part := func(name string, good bool, state language.Text, why string) {
		paint := s.Red
		if good {
			paint = s.Green
		}
		parts = append(parts, name+" "+paint(state.In(s.Language))+because(why))
	}
	for _, r := range h.Readers {
		part(s.say(w.Reader, r.Name), r.State == "ok", ReaderState(r.State), r.Error)
	}
	for _, r := range h.Receivers {
		part(s.say(w.Receiver, r.Name), r.State != "gone", ReceiverState(r.State), r.Error)
	}
	if h.MQTT.Connected {
		parts = append(parts, s.Green(s.say(w.Connected)))
	} else {
		parts = append(parts, s.Red(s.say(w.NotConnected))+because(h.MQTT.LastError))
	}
	return strings.Join(append(parts, s.say(w.Waiting, h.Journal.Pending)), "; ")
}
