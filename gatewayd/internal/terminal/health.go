package terminal

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"presence/gatewayd/internal/presence"
)

// PrintHealth prints the health document for a technician, a line for each part: first
// the level and the alerts, which say what to do.
func PrintHealth(out io.Writer, h presence.Health, indonesian bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(what, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", what, fmt.Sprintf(format, args...))
	}
	level := string(h.Level)
	if h.Simulated {
		level += " (simulated hardware)"
	}
	line("gateway", "%s, up %s, boot %d, %d after a power cut so far", level, seconds(h.UptimeS), h.Boots, h.Unclean)
	for _, a := range h.AlertTexts {
		text := a.EN
		if indonesian {
			text = a.ID
		}
		if a.Since != "" {
			text += " (since " + a.Since + ")"
		}
		level := string(a.Level)
		if a.Level == presence.LevelOK {
			level = "hint"
		}
		line("alert "+a.Code, "%s: %s", level, text)
	}
	for _, r := range h.Readers {
		line("reader "+r.Name, "%s, chip %s, %d taps, %d repeats, %d refused, %d errors%s",
			r.State, orNone(r.Version), r.Taps, r.Repeats, r.Refused, r.Errors, because(r.Error))
	}
	for _, r := range h.Receivers {
		last := "nothing heard yet"
		if r.LastS != nil {
			last = fmt.Sprintf("last heard %s ago", seconds(*r.LastS))
		}
		line("receiver "+r.Name, "%s, %s, %d frames, %s bad, %d duplicates, %d outside hours%s",
			r.State, last, r.Frames, countBad(r.Bad), r.Duplicates, r.OutsideHours, because(r.Error))
	}
	if h.Roster.Source != "none" {
		line("roster", "%d badges, from the %s%s", h.Roster.Entries, h.Roster.Source, bySerial(h.Roster.Serial))
	}
	line("hours", "%s, from the %s%s", openNow(h.Hours.Open), h.Hours.Source, bySerial(h.Hours.Serial))
	state := "connected"
	if !h.MQTT.Connected {
		state = fmt.Sprintf("not connected for %s", seconds(h.MQTT.DisconnectedS))
	}
	line("line", "%s, %d sent, %d confirmed, %d reconnects%s",
		state, h.MQTT.Published, h.MQTT.Acked, h.MQTT.Reconnects, because(h.MQTT.LastError))
	clock := h.Clock.State
	if h.Clock.ErrorMS != nil {
		clock += fmt.Sprintf(", within %.1f ms", *h.Clock.ErrorMS)
	} else {
		clock += fmt.Sprintf(" for %s: events carry no time", seconds(h.Clock.UnsyncedS))
	}
	line("clock", "%s", clock)
	waiting := fmt.Sprintf("%d to deliver", h.Journal.Pending)
	if h.Journal.Pending > 0 {
		waiting += fmt.Sprintf(" (the oldest for %s)", seconds(h.Journal.OldestPendingS))
	}
	line("journal", "%s, %d events kept, %.1f MB, room for %.1f MB more, commit %.1f ms (p50) %.1f ms (p99)",
		waiting, h.Journal.Events, mb(h.Journal.Bytes), mb(h.Journal.FreeBytes), h.Journal.CommitMSP50, h.Journal.CommitMSP99)
	line("board", "%s", board(h.Pi))
	return w.Flush()
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }

// board prints what is known of the Raspberry Pi itself.
func board(p presence.PiHealth) string {
	var parts []string
	if p.TempC != nil {
		parts = append(parts, fmt.Sprintf("%.0f degrees", *p.TempC))
	}
	if p.Undervoltage != nil {
		parts = append(parts, fmt.Sprintf("power too weak %d times", *p.Undervoltage))
	}
	if p.SDErrors != nil {
		parts = append(parts, fmt.Sprintf("%d SD card errors", *p.SDErrors))
	}
	if p.DiskFreeBytes != nil {
		parts = append(parts, fmt.Sprintf("%.0f MB of disk free", mb(*p.DiskFreeBytes)))
	}
	if p.DiskDaysLeft != nil {
		parts = append(parts, fmt.Sprintf("full in %.0f days", *p.DiskDaysLeft))
	}
	return orNone(strings.Join(parts, ", "))
}

// bySerial prints the serial of a signed document, if there is one.
func bySerial(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (serial %d)", n)
}

// openNow tells whether tags are recorded.
func openNow(open *bool) string {
	switch {
	case open == nil:
		return "not known while the time is not"
	case *open:
		return "open, tags are recorded"
	}
	return "closed, no tag is recorded"
}

// because prints an error after what it is the reason for, if there is one.
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

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
