package gateway

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// checkHealth holds every figure of the health document against what happened.
func (w *world) checkHealth() {
	time.Sleep(3 * time.Second) // patient events are on the disk by then
	synctest.Wait()
	of := w.life
	h := of.daemon.monitor.Snapshot()
	events, deaths := w.scan()
	file, err := os.Stat(filepath.Join(w.state, "journal.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.door.mu.Lock()
	errs, fault, faultFor := w.door.errors, w.door.fault, w.now().Sub(w.door.moved)
	w.door.mu.Unlock()
	w.yard.mu.Lock()
	gone := w.yard.gone
	w.yard.mu.Unlock()

	w.line.mu.Lock()
	defer w.line.mu.Unlock()
	tr := w.truth
	tr.mu.Lock()
	defer tr.mu.Unlock()
	is := func(what string, got, want any) {
		if got != want {
			tr.wrong("health."+what, "says %v, is %v", got, want)
		}
	}
	about := func(what string, got, want, by int64) {
		by += want / 10_000 // the crystal
		if got < want-by || got > want+by {
			tr.wrong("health."+what, "says %d, is %d", got, want)
		}
	}
	for _, old := range deaths {
		tr.wrong("keep", "%s", old)
	}
	c := &of.counts
	is("boot", h.Boot, w.machine.boot)
	is("boots", h.Boots, tr.booted)
	is("unclean_boots", h.Unclean, tr.cut)
	about("uptime_s", h.UptimeS, int64(w.now().Sub(of.since).Seconds()), 1)

	// The clock.
	r := w.machine.Now()
	state := "synced"
	switch {
	case w.machine.polled.IsZero():
		state = "unsynced"
	case r.State != presence.ClockSynced || r.MaxError > 2*time.Second:
		state = "holdover"
	}
	is("clock.state", h.Clock.State, state)
	switch {
	case state == "synced":
		is("clock.unsynced_s", h.Clock.UnsyncedS, int64(0))
	case state == "unsynced" || !w.machine.lost.IsZero():
		since := of.since
		if w.machine.lost.After(since) && state != "unsynced" {
			since = w.machine.lost
		}
		about("clock.unsynced_s", h.Clock.UnsyncedS, int64(w.now().Sub(since).Seconds()), 2)
	}

	// The readers and receivers.
	door := h.Readers[0]
	is("readers.taps", door.Taps, c.taps)
	is("readers.repeats", door.Repeats, c.repeats)
	is("readers.refused", door.Refused, c.refused)
	is("readers.errors", door.Errors, errs)
	if faultFor > 10*time.Second {
		is("readers.state", door.State, map[error]string{nil: "ok", card.ErrDeaf: "deaf", card.ErrBusDead: "bus-dead"}[fault])
	}
	yard := h.Receivers[0]
	is("receivers.frames", yard.Frames, c.frames)
	is("receivers.duplicates", yard.Duplicates, c.duplicates)
	is("receivers.thinned", yard.Thinned, c.thinned)
	is("receivers.outside_hours", yard.OutsideHours, c.outside)
	maps.DeleteFunc(yard.Bad, func(_ string, n int64) bool { return n == 0 })
	if !maps.Equal(yard.Bad, c.bad) {
		tr.wrong("health.receivers.bad", "says %v, is %v", yard.Bad, c.bad)
	}
	heard := "silent"
	if !of.frame.IsZero() {
		if w.now().Sub(of.frame) < 5*time.Minute {
			heard = "ok"
		}
		if yard.LastS == nil {
			tr.wrong("health.receivers.last_s", "says null")
		} else {
			about("receivers.last_s", *yard.LastS, int64(w.now().Sub(of.frame).Seconds()), 1)
		}
	}
	if gone {
		heard = "gone"
	}
	is("receivers.state", yard.State, heard)

	// The line.
	connected := w.line.conn != nil && w.line.life == of && of.greeted > 0
	if !w.line.silent {
		is("mqtt.connected", h.MQTT.Connected, connected)
	}
	is("mqtt.published", h.MQTT.Published, of.published)
	is("mqtt.acked", h.MQTT.Acked, of.acked)
	is("mqtt.reconnects", h.MQTT.Reconnects, max(of.greeted-1, 0))

	// The journal.
	size := file.Size()
	tr.total.file = max(tr.total.file, size)
	is("journal.bytes", h.Journal.Bytes, size)
	if limit := int64(w.cfg.Journal.MaxMB) << 20; size > limit {
		tr.wrong("file", "has %d bytes, may have %d", size, limit)
	}
	is("journal.events", h.Journal.Events, int64(events))
	if tr.refusals.taps == 0 && tr.refusals.tags == 0 && (tr.crowded.IsZero() || w.now().Sub(tr.crowded) > 24*time.Hour) && !w.flooded {
		waiting := int64(len(tr.waiting))
		if p := h.Journal.Pending; p < waiting || p > waiting+int64(tr.again) {
			tr.wrong("health.journal.pending", "says %d, is %d to %d", p, waiting, waiting+int64(tr.again))
		}
		if waiting > 0 && tr.again == 0 {
			oldest := w.now()
			for _, at := range tr.waiting {
				if at.Before(oldest) {
					oldest = at
				}
			}
			if !oldest.Before(w.machine.born) {
				about("journal.oldest_pending_s", h.Journal.OldestPendingS, int64(w.now().Sub(oldest).Seconds()), 2)
			}
		}
	}
	if connected && h.Journal.Pending == 0 {
		w.reckon()
	}
	if of.refuses && h.Journal.FreeBytes > 4096 {
		tr.wrong("health.journal.free_bytes", "says %d although taps are refused", h.Journal.FreeBytes)
	}
	full := false
	for _, code := range h.Alerts {
		full = full || code == "journal-full"
	}
	if full != of.refuses && (of.refuses || connected && h.Journal.Pending == 0) {
		tr.wrong("alert.journal-full", "stands: %v; taps are refused: %v", full, of.refuses)
	}
	for _, p := range w.line.problems {
		tr.wrong("schema", "%s", p)
	}
	w.line.problems = nil
}

// reckon makes up the account once the city has all that there is: what it does
// not have was lost, and must be named. The caller holds the mutexes.
func (w *world) reckon() {
	tr := w.truth
	for id, s := range tr.streams {
		if s.last != 0 && !s.whole {
			s.whole = true
			tr.complete(id, s)
		}
	}
	if tr.refusals.both > w.cutAcks {
		tr.wrong("named", "gaps name %d events that the city has, and at most %d were pending again", tr.refusals.both, w.cutAcks)
	}
	if n := len(tr.byFix) + tr.refusals.both; n != tr.refusals.tags {
		tr.wrong("named", "the city lacks %d tag records, and gaps name %d", n, tr.refusals.tags)
	}
	if tr.refusals.taps != tr.refusals.named {
		tr.wrong("named", "%d taps were refused, and gaps name %d", tr.refusals.taps, tr.refusals.named)
	}
	for key := range tr.byFix {
		delete(tr.waiting, key)
	}
	for key, at := range tr.waiting {
		tr.wrong("missing", "%s of %s never came", key, at.In(w.office).Format(presence.TimeLayout))
		tr.total.lost++
	}
	tr.byFix, tr.waiting = make(map[string]*frame), make(map[string]time.Time) // emptied maps keep their memory
	tr.acks = slices.Clone(tr.acks)
	tr.refusals.taps, tr.refusals.named, tr.refusals.tags, tr.refusals.both = 0, 0, 0, 0
	tr.again, w.cutAcks = 0, 0
	w.flooded = false
}

// scan counts what is in the journal, and finds delivered records that are too
// old to be there.
func (w *world) scan() (events int, old []string) {
	d := w.life.daemon
	cursor := d.journal.Cursor()
	tr := w.truth
	keep := w.cfg.Journal.Keep
	var unproven []string // too old, and nothing after them is known to be so
	err := d.journal.Scan(context.Background(), func(e presence.Entry) error {
		events++
		if !w.pruned() || e.Pos > cursor {
			return nil
		}
		m := tr.boots[e.At.Boot]
		if m == nil {
			old = append(old, e.Kind.String()+" of a boot of long ago")
			return nil
		}
		age := w.now().Sub(m.trueTime(e.At))
		if age > keep+24*time.Hour {
			unproven = append(unproven, e.Kind.String()+" is "+age.String()+" old")
		}
		// What came before a record that is known to be old is old.
		if e.At.State == presence.ClockSynced {
			if age > keep+time.Hour {
				old = append(old, unproven...)
				unproven = nil
			}
			tr.total.oldest = max(tr.total.oldest, age)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return events, old
}

// pruned tells whether the gateway had the time to let old records go: it must
// know what day it is.
func (w *world) pruned() bool {
	first := w.machine.first
	return !first.IsZero() && w.now().Sub(w.life.since) > 5*time.Minute && w.now().Sub(first) > 5*time.Minute
}

// memory is how much the whole test holds, the gateway in it included. Where
// YEAR_HEAP names a folder, a profile of it goes there.
func (w *world) memory() int64 {
	runtime.GC()
	runtime.GC()
	if dir := os.Getenv("YEAR_HEAP"); dir != "" {
		f, err := os.Create(filepath.Join(dir, w.now().In(w.office).Format(time.DateOnly)+".pprof"))
		if err == nil {
			err = errors.Join(pprof.WriteHeapProfile(f), f.Close())
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
