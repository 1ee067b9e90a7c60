package gateway

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"presence/drivers/pi"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/export"
	"presence/gatewayd/internal/presence"
)

// control is what the daemon answers on its socket.
func (d *Gateway) control() control.Daemon {
	return control.Daemon{
		Health: d.monitor.Snapshot,
		Owner:  os.Geteuid(),
		Watch: func(ctx context.Context, line func(control.WatchLine) error) error {
			d.note(export.Access{Action: export.ActionWatch, UID: control.Caller(ctx)})
			return d.watch(ctx, line)
		},
		Export: func(ctx context.Context, w io.Writer, x export.Request, who int) error {
			d.note(export.AccessOf(x, who))
			return export.Source{
				Origin: d.origin, Times: d.clock, Revisions: d.exportRevisions, Estimates: export.Published(d.journal, d.clock),
				Journal: d.journal, Outages: d.outages.All(),
				Now: func() presence.Timing { return d.clock.Timing(d.clock.Now()) },
			}.Write(ctx, w, x)
		},
		Forget: func(ctx context.Context, p control.Person) (control.Forgotten, error) {
			d.note(export.Access{Action: export.ActionForget, UID: control.Caller(ctx)})
			f, err := d.journal.Forget(ctx, p.Names)
			if err != nil {
				return control.Forgotten{}, err
			}
			d.door.Forgotten(func(stream presence.ID, seq uint64) bool {
				_, found := d.journal.Find(stream, seq)
				return found
			})
			if d.staff != nil {
				d.staff.Reread()
			}
			d.log.Info("a person was forgotten", "events", f.Kinds, "waiting", f.Waiting)
			return control.Forgotten{Kinds: f.Kinds, Waiting: f.Waiting}, nil
		},
		Verify: func(ctx context.Context, w io.Writer) (bool, error) {
			r, err := d.journal.Verify(ctx)
			if err != nil {
				return false, err
			}
			_, err = io.WriteString(w, r.String())
			return r.Whole(), err
		},
		Reloading: d.reloading.Load,
		Hardware:  d.hardware,
		Clock:     d.simClock,
	}
}

// note writes down who looks at people's data or removes it, before it happens,
// and tells the city.
func (d *Gateway) note(l export.Access) {
	l.Time = d.now()
	if err := l.Append(d.cfg.Gateway.StateDir); err != nil {
		d.log.Error("a look at people's data is not in the log of exports", "action", l.Action, "uid", l.UID, "error", err)
	}
	details := []any{"action", l.Action, "uid", l.UID}
	for _, detail := range [][2]string{{"format", l.Format}, {"day", l.Day}, {"since", l.Since}, {"until", l.Until}} {
		if detail[1] != "" {
			details = append(details, detail[0], detail[1])
		}
	}
	d.log.Warn("somebody looks at people's data, or removes it", details...)
}

// exportRevisions returns the revisions of events for an export: what the city has,
// or will have. On a full disk they cannot be saved, but whoever asked gets an
// export all the same.
func (d *Gateway) exportRevisions(ctx context.Context, entries []presence.Entry) ([]presence.Revision, error) {
	all, err := d.uplink.RevisionsOutOfTurn(ctx, entries)
	if err == nil || ctx.Err() != nil {
		return all, err
	}
	d.log.Warn("the city may be told other times than an export", "error", err)
	return export.Published(d.journal, d.clock)(ctx, entries)
}

// hub passes taps to whoever watches. A watcher who does not keep up misses
// some; the door never waits for one.
type hub struct {
	mu       sync.Mutex
	watchers map[chan control.WatchLine]struct{}
}

func (h *hub) join() (lines <-chan control.WatchLine, leave func()) {
	c := make(chan control.WatchLine, 64)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = make(map[chan control.WatchLine]struct{})
	}
	h.watchers[c] = struct{}{}
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, c)
	}
}

func (h *hub) tap(at *string, a presence.Answer) {
	line := control.WatchLine{Time: at, Tap: &control.WatchTap{Answer: a, TookMS: float64(a.Took.Microseconds()) / 1000}}
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.watchers {
		select {
		case c <- line:
		default:
		}
	}
}

// watch passes on what happens: taps as the lamp answers them, events as they
// become durable, and the health when the state of something changes.
func (d *Gateway) watch(ctx context.Context, pass func(control.WatchLine) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	taps, leave := d.watchers.join()
	defer leave()
	events := make(chan control.WatchLine)
	var reading sync.WaitGroup
	reading.Go(func() { d.follow(ctx, events) })
	defer reading.Wait()
	defer cancel()

	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	shown := ""
	for {
		h := d.monitor.Snapshot()
		if state := stateOf(h); state != shown {
			shown = state
			if err := pass(control.WatchLine{Time: d.now(), Health: &h}); err != nil {
				return err
			}
		}
		var line control.WatchLine
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			continue
		case line = <-taps:
		case line = <-events:
		}
		if err := pass(line); err != nil {
			return err
		}
	}
}

// stateOf are the words of a health document whose change a watcher sees.
func stateOf(h presence.Health) string {
	s := fmt.Sprint(h.Level, h.MQTT.Connected)
	for _, r := range h.Readers {
		s += r.Name + r.State
	}
	for _, r := range h.Receivers {
		s += r.Name + r.State
	}
	return s
}

// follow passes on events from now on, as they become durable.
func (d *Gateway) follow(ctx context.Context, to chan<- control.WatchLine) {
	after := d.journal.End()
	for {
		entries, err := d.journal.Next(ctx, after, 64)
		if err != nil {
			return
		}
		for _, e := range entries {
			after = e.Pos
			t := d.clock.Timing(e.At)
			raw, err := d.origin.Event(&e.Record, t)
			if err != nil {
				continue
			}
			line := control.WatchLine{Event: raw}
			if !t.Time.IsZero() {
				s := t.Time.In(d.origin.Location).Format(presence.TimeLayout)
				line.Time = &s
			}
			select {
			case to <- line:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (d *Gateway) clockHealth() presence.ClockHealth {
	h := d.clock.Health()
	h.RTC = d.board.HasRTC()
	return h
}

func (d *Gateway) journalHealth() presence.JournalHealth {
	s := d.journal.Stats()
	h := presence.JournalHealth{
		Pending: s.Pending, Events: s.Events, Bytes: s.Bytes,
		CommitMSP50: ms(s.CommitP50), CommitMSP99: ms(s.CommitP99),
		WrittenBytesDay: s.WrittenBytesDay, FreeBytes: s.FreeBytes,
	}
	if s.Pending > 0 {
		if age, ok := d.clock.Now().Since(s.OldestPending); ok && age > 0 {
			h.OldestPendingS = int64(age.Seconds())
		}
	}
	return h
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (d *Gateway) piHealth() presence.PiHealth {
	var h presence.PiHealth
	if v, ok := d.board.TempC(); ok {
		h.TempC = &v
	}
	if v, ok := d.power.Undervoltage(); ok {
		h.Undervoltage = &v
	}
	if v, ok := d.board.Throttled(); ok {
		h.Throttled = &v
	}
	if v, ok := pi.DiskFree(d.cfg.Gateway.StateDir); ok {
		h.DiskFreeBytes = &v
	}
	if v, ok := d.board.RootReadonly(); ok {
		h.RootReadonly = &v
	}
	if v, ok := d.board.StorageErrors(); ok {
		h.SDErrors = &v
	}
	return h
}
