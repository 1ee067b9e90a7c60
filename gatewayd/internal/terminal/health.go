package terminal

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// PrintHealth prints the health document for a technician, a line for each part: first
// the level and the alerts, which say what to do. Times are those of the office's zone.
func (s Screen) PrintHealth(out io.Writer, h presence.Health, zone *time.Location) error {
	w := inWords()
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(what, text string) { fmt.Fprintf(table, "%s\t%s\n", what, text) }

	level := GatewayLevel(h.Level).In(s.Language)
	if h.Simulated {
		level += s.say(w.Simulated)
	}
	line(s.say(w.Gateway), s.say(w.GatewaySays, level, s.seconds(h.UptimeS), h.Boots, h.Unclean))
	for _, a := range h.AlertTexts {
		text := language.Text{EN: a.EN, ID: a.ID}.In(s.Language)
		if a.Since != "" {
			text += s.say(w.Since, moment(a.Since, zone))
		}
		line(s.say(w.Alert, a.Code), alertLevel(a.Level).In(s.Language)+": "+text)
	}
	for _, r := range h.Readers {
		line(s.say(w.Reader, r.Name), s.say(w.ReaderSays,
			ReaderState(r.State).In(s.Language), orNone(r.Version), r.Taps, r.Repeats, r.Refused, r.Errors)+because(r.Error))
	}
	for _, r := range h.Receivers {
		last := s.say(w.HeardNothing)
		if r.LastS != nil {
			last = s.say(w.LastHeard, s.seconds(*r.LastS))
		}
		line(s.say(w.Receiver, r.Name), s.say(w.ReceiverSays,
			ReceiverState(r.State).In(s.Language), last, r.Frames, countBad(r.Bad), r.Duplicates, r.OutsideHours)+because(r.Error))
	}
	if h.Roster.Source != "none" {
		line(s.say(w.Roster), s.say(w.RosterSays, h.Roster.Entries, s.source(h.Roster.Source), s.bySerial(h.Roster.Serial)))
	}
	s.printBadges(h.Badges, zone, line)
	line(s.say(w.Hours), s.openNow(h.Hours.Open)+", "+s.source(h.Hours.Source)+s.bySerial(h.Hours.Serial))
	state := s.say(w.LineUp)
	if !h.MQTT.Connected {
		state = s.say(w.LineDown, s.seconds(h.MQTT.DisconnectedS))
	}
	line(s.say(w.Line), s.say(w.LineSays, state, h.MQTT.Published, h.MQTT.Acked, h.MQTT.Reconnects)+because(h.MQTT.LastError))
	line(s.say(w.LineCosts), s.lineCosts(h))
	clock := ClockState(h.Clock.State).In(s.Language)
	if h.Clock.ErrorMS != nil {
		clock += s.say(w.Within, language.Decimal(*h.Clock.ErrorMS, 1, s.Language))
	} else {
		clock += s.say(w.UnsyncedFor, s.seconds(h.Clock.UnsyncedS))
	}
	line(s.say(w.Clock), clock)
	waiting := s.say(w.Waiting, h.Journal.Pending)
	if h.Journal.Pending > 0 {
		waiting += s.say(w.OldestFor, s.seconds(h.Journal.OldestPendingS))
	}
	line(s.say(w.Journal), s.say(w.JournalSays, waiting, h.Journal.Events, s.mb(h.Journal.Bytes), s.mb(h.Journal.FreeBytes),
		language.Decimal(h.Journal.CommitMSP50, 1, s.Language), language.Decimal(h.Journal.CommitMSP99, 1, s.Language)))
	if h.Journal.Unsealed != nil {
		seals := s.say(w.NotSealed)
		if h.Journal.SealKey != "" {
			seals = s.say(w.SealedBy, h.Journal.SealKey)
		}
		line(s.say(w.Seals), seals+s.say(w.Unsealed, *h.Journal.Unsealed))
	}
	line(s.say(w.Board), s.board(h.Pi))
	return table.Flush()
}

// moment is a time of a document as people read it, or as it is where it cannot be read.
func moment(rfc3339 string, zone *time.Location) string {
	t, err := time.Parse(time.RFC3339Nano, rfc3339)
	if err != nil {
		return rfc3339
	}
	return language.Moment(t, zone)
}

func (s Screen) seconds(n int64) string {
	return language.Lasting(time.Duration(n)*time.Second, s.Language)
}

func (s Screen) mb(bytes int64) string { return language.Decimal(float64(bytes)/1e6, 1, s.Language) }

// lineCosts prints what the line has carried, and after the first hour, in which the
// beginning of the connection counts for too much, what that is in a month of 30 days.
func (s Screen) lineCosts(h presence.Health) string {
	w := inWords()
	if h.UptimeS < 3600 {
		return s.say(w.LineCarried, s.mb(h.MQTT.BytesDay), s.seconds(h.UptimeS))
	}
	over := min(h.UptimeS, 24*3600)
	month := float64(h.MQTT.BytesDay) / float64(over) * 30 * 24 * 3600
	return s.say(w.LineCarried, s.mb(h.MQTT.BytesDay), s.seconds(over)) +
		s.say(w.LineMonth, language.Decimal(month/1e6, 0, s.Language))
}

// board prints what is known of the Raspberry Pi itself.
func (s Screen) board(p presence.PiHealth) string {
	w := inWords()
	var parts []string
	if p.TempC != nil {
		parts = append(parts, s.say(w.Degrees, *p.TempC))
	}
	if p.Undervoltage != nil {
		parts = append(parts, s.say(w.PowerWeak, *p.Undervoltage))
	}
	if p.SDErrors != nil {
		parts = append(parts, s.say(w.CardErrors, *p.SDErrors))
	}
	if p.DiskFreeBytes != nil {
		parts = append(parts, s.say(w.DiskFree, float64(*p.DiskFreeBytes)/1e6))
	}
	if p.DiskDaysLeft != nil {
		parts = append(parts, s.say(w.DiskFull, *p.DiskDaysLeft))
	}
	return orNone(strings.Join(parts, ", "))
}

// source tells where a roster or the hours are from.
func (s Screen) source(code string) string {
	switch code {
	case "file":
		return s.say(inWords().FromFile)
	case "topic":
		return s.say(inWords().FromCity)
	}
	return code
}

// bySerial prints the serial of a signed document, if there is one.
func (s Screen) bySerial(n uint64) string {
	if n == 0 {
		return ""
	}
	return s.say(inWords().Serial, n)
}

// openNow tells whether tags are recorded.
func (s Screen) openNow(open *bool) string {
	switch w := inWords(); {
	case open == nil:
		return s.say(w.OpenUnknown)
	case *open:
		return s.say(w.OpenNow)
	default:
		return s.say(w.ClosedNow)
	}
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
