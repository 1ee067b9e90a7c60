package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"presence/config"
	"presence/drivers/beacon"
	"presence/drivers/beacon/capture"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

// What becomes of a fix.
const (
	Recorded     = "recorded"
	Duplicate    = "duplicate"     // heard before
	Thinned      = "thinned"       // tells nothing new
	OutsideHours = "outside-hours" // dropped, as nobody is on duty
	Refused      = "refused"       // no position, or none of a person
)

// Line is what Replay prints of one frame, as JSON.
type Line struct {
	AtMS   int64           `json:"at_ms"`            // since the start of the recording
	Lost   int64           `json:"lost,omitempty"`   // bytes before it that were not recorded
	Reject beacon.Reason   `json:"reject,omitempty"` // why the decoder refused it
	Note   *Note           `json:"note,omitempty"`   // what it says beside a position
	Fix    *Fix            `json:"fix,omitempty"`
	Became string          `json:"became,omitempty"` // of the fix
	Event  json.RawMessage `json:"event,omitempty"`  // what was recorded
}

// Fix is a beacon.Fix.
type Fix struct {
	Tag        string   `json:"tag"`
	Lat        float64  `json:"lat"`
	Lon        float64  `json:"lon"`
	Accuracy   float64  `json:"accuracy_m,omitempty"`
	Time       string   `json:"fix_time,omitempty"` // RFC 3339, or a time of day
	RSSI       *int     `json:"rssi,omitempty"`
	SNR        *float64 `json:"snr,omitempty"`
	Status     *int     `json:"status,omitempty"`
	Replay     bool     `json:"replay,omitempty"`
	Signed     bool     `json:"signed,omitempty"`
	Unverified bool     `json:"unverified,omitempty"`
}

func fixOf(f beacon.Fix) *Fix {
	x := &Fix{
		Tag: f.Tag, Lat: f.Lat, Lon: f.Lon, Accuracy: f.Accuracy, RSSI: f.RSSI, SNR: f.SNR,
		Status: f.Status, Replay: f.Replay, Signed: f.Signed, Unverified: f.Unverified,
	}
	switch {
	case f.TimeOfDay:
		x.Time = f.Time.Format(time.TimeOnly)
	case !f.Time.IsZero():
		x.Time = f.Time.Format(time.RFC3339)
	}
	return x
}

// Note is a beacon.Note.
type Note struct {
	Tag       string `json:"tag"`
	Emergency bool   `json:"emergency,omitempty"`
	Battery   *int   `json:"battery,omitempty"`
	Formerly  string `json:"formerly,omitempty"`
}

// Sum counts the lines, and is the last one.
type Sum struct {
	Fixes   int                   `json:"fixes"`
	Rejects map[beacon.Reason]int `json:"rejects"`
	Became  map[string]int        `json:"became"`
	LostB   int64                 `json:"lost_bytes"`
}

// gate is one run of the decisions of a gateway.
type gate struct {
	tags    *tags.Tags
	origin  presence.Origin
	started time.Time // zero: not known
	at      time.Duration
	drafts  []presence.Draft
}

// bootOffset keeps the time since the boot of a replay away from zero, which means
// "never" in places.
const bootOffset = time.Hour

// Enqueue implements tags.Journal.
func (g *gate) Enqueue(_ context.Context, d presence.Draft) error {
	g.drafts = append(g.drafts, d)
	return nil
}

func (g *gate) now() presence.Reading {
	r := presence.Reading{Boottime: bootOffset + g.at}
	if !g.started.IsZero() {
		r.Wall, r.State = g.started.Add(g.at).UnixNano(), presence.ClockTrusted
	}
	return r
}

func (g *gate) timing(r presence.Reading) presence.Timing {
	if r.State == presence.ClockUnsynced {
		return presence.Timing{Quality: presence.QualityUnsynced}
	}
	return presence.Timing{Quality: presence.QualityTrusted, Time: r.WallTime().In(g.origin.Location)}
}

// newGate makes the gate that a configuration describes. Without one everything is
// kept in full: there is no fence, and the office is always open.
func newGate(h capture.Header, cfg *config.Config) (*gate, error) {
	g := &gate{origin: presence.Origin{Gateway: h.Gateway, Location: time.UTC}}
	if h.Started != "" {
		started, err := time.Parse(time.RFC3339, h.Started)
		if err != nil {
			return nil, language.Errorf("the recording's start %q is no time", "waktu mulai rekaman, %q, bukan waktu", h.Started)
		}
		g.started, g.origin.Location = started, started.Location()
	}
	opt := tags.Options{
		Always: func() bool { return true }, Open: func(time.Time) bool { return true },
		Now: g.now, Timing: g.timing, Journal: g, Coordinates: tags.Full, Log: slog.New(slog.DiscardHandler),
	}
	if cfg != nil {
		g.origin = configured.Origin(cfg)
		fence, err := configured.Fence(cfg.Office)
		if err != nil {
			return nil, err
		}
		calendar := configured.Calendar(cfg.Gateway.Timezone, cfg.Hours)
		opt.Fence, opt.Coordinates = fence, tags.Coordinates(cfg.Tags.Coordinates)
		opt.MinInterval, opt.MinMove, opt.Heartbeat = cfg.Tags.MinInterval, cfg.Tags.MinMoveM, cfg.Tags.Heartbeat
		opt.Always, opt.Open = func() bool { return calendar.Always }, calendar.Open
	}
	g.tags = tags.New(opt, h.Receiver)
	return g, nil
}

// Replay decodes a recording and prints a Line for each frame, and then the Sum. The
// configuration says what the gate does with the fixes; nil where there is none. All
// is printed that could be read before a line of the file that is wrong.
func Replay(ctx context.Context, file io.Reader, cfg *config.Config, out io.Writer) error {
	r, err := capture.NewReader(file)
	if err != nil {
		return err
	}
	g, err := newGate(r.Header, cfg)
	if err != nil {
		return err
	}
	p := printer{gate: g, enc: json.NewEncoder(out), receiver: r.Header.Receiver}
	p.sum.Rejects, p.sum.Became = make(map[beacon.Reason]int), make(map[string]int)
	p.enc.SetEscapeHTML(false)
	decoder, err := beacon.New(r.Header.Protocol, r.Stream(p.piece), beacon.Options{
		Payload: r.Header.Payload,
		Reject:  func(why beacon.Reason) { p.sum.Rejects[why]++; p.print(Line{Reject: why}) },
		Note:    p.note,
	})
	if err != nil {
		return language.Errorf("read recording: %v", "baca rekaman: %v", err)
	}
	for p.err == nil {
		fix, err := decoder.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(p.enc.Encode(p.sum), language.Errorf("read recording: %v", "baca rekaman: %v", err))
		}
		if err := p.fix(ctx, fix); err != nil {
			return err
		}
	}
	if p.err == nil {
		p.err = p.enc.Encode(p.sum)
	}
	if p.err != nil {
		return fmt.Errorf("print: %w", p.err)
	}
	return nil
}

// printer prints lines and counts them.
type printer struct {
	gate     *gate
	receiver string
	enc      *json.Encoder
	sum      Sum
	lost     int64 // since the last line
	err      error // of printing
}

func (p *printer) piece(piece capture.Piece) {
	p.gate.at = piece.At
	p.lost += piece.Lost
	p.sum.LostB += piece.Lost
}

func (p *printer) print(l Line) {
	l.AtMS, l.Lost = p.gate.at.Milliseconds(), p.lost
	p.lost = 0
	if p.err == nil {
		p.err = p.enc.Encode(l)
	}
}

// note prints what is worth it: that a tag does not call for help is not.
func (p *printer) note(n beacon.Note) {
	p.gate.tags.Note(n)
	if n.Emergency || n.Battery != nil || n.Formerly != "" {
		p.print(Line{Note: &Note{n.Tag, n.Emergency, n.Battery, n.Formerly}})
	}
}

// fix has the gate decide, and prints what became of it.
func (p *printer) fix(ctx context.Context, fix beacon.Fix) error {
	g := p.gate
	before, drafts := g.tags.Health()[0], len(g.drafts)
	if err := g.tags.Receive(ctx, p.receiver, fix); err != nil {
		return err
	}
	after := g.tags.Health()[0]
	l := Line{Fix: fixOf(fix)}
	switch {
	case len(g.drafts) > drafts:
		l.Became = Recorded
		d := g.drafts[len(g.drafts)-1]
		raw, err := g.origin.Event(&presence.Record{Seq: uint64(len(g.drafts)), Draft: d}, g.timing(d.At))
		if err != nil {
			return fmt.Errorf("encode event: %w", err)
		}
		l.Event = raw
	case after.Duplicates > before.Duplicates:
		l.Became = Duplicate
	case after.Thinned > before.Thinned:
		l.Became = Thinned
	case after.OutsideHours > before.OutsideHours:
		l.Became = OutsideHours
	default:
		l.Became = Refused
	}
	p.sum.Fixes++
	p.sum.Became[l.Became]++
	p.print(l)
	return nil
}
