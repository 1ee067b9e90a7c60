package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/presence"
)

type watchCmd struct{}

// Run prints what happens until it is interrupted.
func (watchCmd) Run(ctx context.Context, c *cli, con console) error {
	ask := func() (io.ReadCloser, error) {
		d, err := daemonOf(c)
		if err != nil {
			return nil, err
		}
		return d.Get(ctx, "/watch")
	}
	p := printer{w: con.out, ink: inkFor(con.out)}
	body, err := ask()
	for err == nil {
		var reloads bool
		if reloads, err = p.watch(ctx, body); err == nil && reloads {
			body, err = afterReload(ctx, ask)
		} else if err == nil {
			break
		}
	}
	if ctx.Err() != nil {
		return nil // whoever watched has seen enough
	}
	return err
}

// watch prints an answer to its end, and tells whether that is a reload: then the
// gateway goes on.
func (p printer) watch(ctx context.Context, body io.ReadCloser) (reloads bool, err error) {
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var l control.WatchLine
		err := dec.Decode(&l)
		switch {
		case ctx.Err() != nil:
			return false, nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return false, errors.New("gatewayd has stopped")
		case err != nil:
			return false, fmt.Errorf("read answer: %w", err)
		case l.Reload:
			return true, nil
		}
		p.watchLine(l)
	}
}

// printer prints taps and events for a person, in colour on a terminal.
type printer struct {
	w   io.Writer
	ink ink
}

func (p printer) watchLine(l control.WatchLine) {
	switch {
	case l.Tap != nil:
		p.line(l.Time, p.tap(l.Tap.Answer, l.Tap.TookMS))
	case l.Event != nil:
		if text := p.event(l.Event); text != "" {
			p.line(l.Time, text)
		}
	case l.Health != nil:
		p.line(l.Time, p.health(*l.Health))
	}
}

func (p printer) line(at *string, text string) {
	clock := "--:--:--"
	if at != nil && len(*at) >= 19 {
		clock = (*at)[11:19]
	}
	fmt.Fprintf(p.w, "%s  %s\n", p.ink.dim(clock), text)
}

// tap is one answer of the lamp.
func (p printer) tap(a presence.Answer, tookMS float64) string {
	switch a.Outcome {
	case presence.Accepted:
		return fmt.Sprintf("%s  %s  %s %s  #%d in %.0f ms", a.Reader, p.ink.green("accepted"), short(a.Badge), a.Card, a.Seq, tookMS)
	case presence.Repeat:
		return fmt.Sprintf("%s  %s    %s %s  already recorded as #%d", a.Reader, p.ink.yellow("repeat"), short(a.Badge), a.Card, a.Seq)
	}
	return fmt.Sprintf("%s  %s   %s %s  %s", a.Reader, p.ink.red("refused"), short(a.Badge), a.Card, a.Reason)
}

// short cuts a badge's identity to what a person can compare at a glance.
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

// event is one recorded event; taps are shown by their answer already, so
// badge events are left out.
func (p printer) event(raw []byte) string {
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
		return fmt.Sprintf("%s  %s       %s  %s  %s  #%d", e.Receiver, p.ink.blue("tag"), e.Tag, where, e.Fix, e.Seq)
	case "presence":
		line := fmt.Sprintf("staff    %s  %s  %s", p.ink.blue(e.State), short(e.Badge), e.Tag)
		if e.Distance != nil {
			line += fmt.Sprintf("  %.0f m away", *e.Distance)
		}
		return fmt.Sprintf("%s  #%d", line, e.Seq)
	case "gap":
		return fmt.Sprintf("journal  %s  %s  #%d", p.ink.red("gap"), e.Reason, e.Seq)
	case "start":
		return fmt.Sprintf("journal  start  #%d", e.Seq)
	}
	return ""
}

// arrived is one event as it reached the city.
func (p printer) arrived(raw []byte) string {
	var e seen
	if json.Unmarshal(raw, &e) != nil {
		return ""
	}
	if e.Kind == "badge" {
		return fmt.Sprintf("%s %s %s  #%d", p.ink.green("badge"), short(e.Badge), e.Card, e.Seq)
	}
	return p.event(raw)
}

// health is one line on the hardware and the line to the city.
func (p printer) health(h presence.Health) string {
	state := func(s string) string {
		if s == "ok" || s == "silent" {
			return p.ink.green(s)
		}
		return p.ink.red(s)
	}
	var parts []string
	for _, r := range h.Readers {
		parts = append(parts, fmt.Sprintf("reader %s %s%s", r.Name, state(r.State), because(r.Error)))
	}
	for _, r := range h.Receivers {
		parts = append(parts, fmt.Sprintf("receiver %s %s%s", r.Name, state(r.State), because(r.Error)))
	}
	link := p.ink.red("not connected") + because(h.MQTT.LastError)
	if h.MQTT.Connected {
		link = p.ink.green("connected")
	}
	parts = append(parts, "mqtt "+link, fmt.Sprintf("%d to deliver", h.Journal.Pending))
	return strings.Join(parts, ", ")
}
