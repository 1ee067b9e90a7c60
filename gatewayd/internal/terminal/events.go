package terminal

import (
	"encoding/json"
	"fmt"
	"strings"

	"presence/gatewayd/internal/presence"
)

// Line returns a whole line: the time of day at which something happened, and what
// that was. The time is given in RFC 3339; nil, where it is not known, becomes dashes.
func (p Palette) Line(at *string, text string) string {
	clock := "--:--:--"
	if at != nil && len(*at) >= 19 {
		clock = (*at)[11:19]
	}
	return fmt.Sprintf("%s  %s\n", p.Dim(clock), text)
}

// Tap is the lamp's answer to one tap, which took so many milliseconds.
func (p Palette) Tap(a presence.Answer, tookMS float64) string {
	switch a.Outcome {
	case presence.Accepted:
		return fmt.Sprintf("%s  %s  %s %s  #%d in %.0f ms", a.Reader, p.Green("accepted"), short(a.Badge), a.Card, a.Seq, tookMS)
	case presence.Repeat:
		return fmt.Sprintf("%s  %s    %s %s  already recorded as #%d", a.Reader, p.Yellow("repeat"), short(a.Badge), a.Card, a.Seq)
	}
	return fmt.Sprintf("%s  %s   %s %s  %s", a.Reader, p.Red("refused"), short(a.Badge), a.Card, a.Reason)
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
	Kind     string   `json:"kind"`
	Seq      uint64   `json:"seq"`
	Reader   string   `json:"reader"`
	Badge    string   `json:"badge"`
	Card     string   `json:"card"`
	Receiver string   `json:"receiver"`
	Tag      string   `json:"tag"`
	Lat      *float64 `json:"lat"`
	Lon      *float64 `json:"lon"`
	Fix      string   `json:"fix"`
	Zone     *string  `json:"zone"`
	Reason   string   `json:"reason"`
	State    string   `json:"state"`
	Distance *float64 `json:"distance_m"`
}

// Event is one recorded event in its JSON form. It is "" for badge events: whoever
// watches has seen the lamp's answer to the tap.
func (p Palette) Event(raw []byte) string {
	var e seen
	if json.Unmarshal(raw, &e) != nil {
		return ""
	}
	switch e.Kind {
	case "tag":
		where := "no position sent"
		if e.Lat != nil && e.Lon != nil {
			where = fmt.Sprintf("%.5f %.5f", *e.Lat, *e.Lon)
		}
		if e.Zone != nil {
			where += " " + *e.Zone
		}
		return fmt.Sprintf("%s  %s       %s  %s  %s  #%d", e.Receiver, p.Blue("tag"), e.Tag, where, e.Fix, e.Seq)
	case "presence":
		line := fmt.Sprintf("staff    %s  %s  %s", p.Blue(e.State), short(e.Badge), e.Tag)
		if e.Distance != nil {
			line += fmt.Sprintf("  %.0f m away", *e.Distance)
		}
		return fmt.Sprintf("%s  #%d", line, e.Seq)
	case "gap":
		return fmt.Sprintf("journal  %s  %s  #%d", p.Red("gap"), e.Reason, e.Seq)
	case "start":
		return fmt.Sprintf("journal  start  #%d", e.Seq)
	}
	return ""
}

// Arrived is one event in its JSON form as it reached the city, badge events
// included.
func (p Palette) Arrived(raw []byte) string {
	var e seen
	if json.Unmarshal(raw, &e) != nil {
		return ""
	}
	if e.Kind == "badge" {
		return fmt.Sprintf("%s %s %s  #%d", p.Green("badge"), short(e.Badge), e.Card, e.Seq)
	}
	return p.Event(raw)
}

// Health is one line on the hardware and the connection to the city.
func (p Palette) Health(h presence.Health) string {
	state := func(s string) string {
		if s == "ok" || s == "silent" {
			return p.Green(s)
		}
		return p.Red(s)
	}
	var parts []string
	for _, r := range h.Readers {
		parts = append(parts, fmt.Sprintf("reader %s %s%s", r.Name, state(r.State), because(r.Error)))
	}
	for _, r := range h.Receivers {
		parts = append(parts, fmt.Sprintf("receiver %s %s%s", r.Name, state(r.State), because(r.Error)))
	}
	link := p.Red("not connected") + because(h.MQTT.LastError)
	if h.MQTT.Connected {
		link = p.Green("connected")
	}
	parts = append(parts, "mqtt "+link, fmt.Sprintf("%d to deliver", h.Journal.Pending))
	return strings.Join(parts, ", ")
}
