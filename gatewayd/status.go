package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"presence/gatewayd/internal/presence"
)

type statusCmd struct {
	JSON bool `name:"json" help:"Print the health document."`
}

// Run asks the daemon and prints its health.
func (s statusCmd) Run(ctx context.Context, c *cli, con console) error {
	d, err := daemonOf(c)
	if err != nil {
		return err
	}
	body, err := d.Get(ctx, "/status")
	if err != nil {
		return err
	}
	defer body.Close()
	raw, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if s.JSON {
		_, err = con.out.Write(raw)
		return err
	}
	var h presence.Health
	if err := json.Unmarshal(raw, &h); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return printHealth(con.out, h)
}

// printHealth prints what a technician wants to know, a line each.
func printHealth(out io.Writer, h presence.Health) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(what, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", what, fmt.Sprintf(format, args...))
	}
	level := string(h.Level)
	if h.Simulated {
		level += " (simulated hardware)"
	}
	line("gateway", "%s, up %s", level, time.Duration(h.UptimeS)*time.Second)
	clock := h.Clock.State
	if h.Clock.ErrorMS != nil {
		clock += fmt.Sprintf(", within %.1f ms", *h.Clock.ErrorMS)
	} else {
		clock += fmt.Sprintf(" for %s: events carry no time", time.Duration(h.Clock.UnsyncedS)*time.Second)
	}
	line("clock", "%s", clock)
	for _, r := range h.Readers {
		line("reader "+r.Name, "%s, chip %s, %d taps, %d repeats, %d refused, %d errors%s",
			r.State, r.Version, r.Taps, r.Repeats, r.Refused, r.Errors, because(r.Error))
	}
	for _, r := range h.Receivers {
		last := "nothing heard yet"
		if r.LastS != nil {
			last = fmt.Sprintf("last heard %ds ago", *r.LastS)
		}
		line("receiver "+r.Name, "%s, %s, %d frames, %s bad, %d duplicates, %d outside hours%s",
			r.State, last, r.Frames, countBad(r.Bad), r.Duplicates, r.OutsideHours, because(r.Error))
	}
	line("journal", "%d events, %d to deliver, %.1f MB, commit %.1f ms (p50) %.1f ms (p99)",
		h.Journal.Events, h.Journal.Pending, float64(h.Journal.Bytes)/1e6, h.Journal.CommitMSP50, h.Journal.CommitMSP99)
	line("mqtt", "%s, %d published, %d confirmed, %d reconnects%s",
		map[bool]string{true: "connected", false: "not connected"}[h.MQTT.Connected],
		h.MQTT.Published, h.MQTT.Acked, h.MQTT.Reconnects, because(h.MQTT.LastError))
	if len(h.Alerts) > 0 {
		line("alerts", "%s", strings.Join(h.Alerts, ", "))
	}
	return w.Flush()
}

// because appends a fault's words where there are any.
func because(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// countBad prints rejected frames as "3 (checksum 2, range 1)".
func countBad(bad map[string]int64) string {
	var total int64
	var parts []string
	for reason, n := range bad {
		total += n
		parts = append(parts, fmt.Sprintf("%s %d", reason, n))
	}
	if total == 0 {
		return "0"
	}
	slices.Sort(parts)
	return fmt.Sprintf("%d (%s)", total, strings.Join(parts, ", "))
}
