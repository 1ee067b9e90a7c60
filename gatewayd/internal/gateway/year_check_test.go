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

// figures is a health document that is held against what happened.
type figures struct {
	*world
	presence.Health
	of *life
}

// is notes a figure that is not what it must be.
func (f figures) is(what string, got, want any) {
	if got != want {
		f.truth.wrong("health."+what, "says %v, is %v", got, want)
	}
}

// about notes a figure that is off by more than a bound and what a crystal makes of it.
func (f figures) about(what string, got, want, by int64) {
	by += want / 10_000
	if got < want-by || got > want+by {
		f.truth.wrong("health."+what, "says %d, is %d", got, want)
	}
}

// seconds is how long ago an instant was.
func (f figures) seconds(at time.Time) int64 { return int64(f.now().Sub(at).Seconds()) }

// checkHealth holds every figure of the health document against what happened.
func (w *world) checkHealth() {
	time.Sleep(3 * time.Second) // patient events are on the disk by then
	synctest.Wait()
	f := figures{w, w.life.daemon.monitor.Snapshot(), w.life}
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
	for _, old := range deaths {
		tr.wrong("keep", "%s", old)
	}
	f.is("boot", f.Boot, w.machine.boot)
	f.is("boots", f.Boots, tr.booted)
	f.is("unclean_boots", f.Unclean, tr.cut)
	f.about("uptime_s", f.UptimeS, f.seconds(f.of.since), 1)
	f.checkClock()
	f.checkReader(errs, fault, faultFor)
	f.checkReceiver(gone)
	connected := f.checkLine()
	f.checkJournal(events, file.Size())
	if connected && f.Journal.Pending == 0 {
		w.reckon()
	}
	f.checkRoom(connected)
	for _, p := range w.line.problems {
		tr.wrong("schema", "%s", p)
	}
	w.line.problems = nil
}

func (f figures) checkClock() {
	m := f.machine
	r := m.Now()
	state := "synced"
	switch {
	case m.polled.IsZero():
		state = "unsynced"
	case r.State != presence.ClockSynced || r.MaxError > 2*time.Second:
		state = "holdover"
	}
	f.is("clock.state", f.Clock.State, state)
	switch {
	case state == "synced":
		f.is("clock.unsynced_s", f.Clock.UnsyncedS, int64(0))
	case state == "unsynced" || !m.lost.IsZero():
		since := f.of.since
		if m.lost.After(since) && state != "unsynced" {
			since = m.lost
		}
		f.about("clock.unsynced_s", f.Clock.UnsyncedS, f.seconds(since), 2)
	}
}

// checkReader is told how many errors this process was told of, and which fault the
// reader has had for how long.
func (f figures) checkReader(errs int64, fault error, faultFor time.Duration) {
	c, door := &f.of.counts, f.Readers[0]
	f.is("readers.taps", door.Taps, c.taps)
	f.is("readers.repeats", door.Repeats, c.repeats)
	f.is("readers.refused", door.Refused, c.refused)
	f.is("readers.errors", door.Errors, errs)
	if faultFor > 10*time.Second {
		f.is("readers.state", door.State, map[error]string{nil: "ok", card.ErrDeaf: "deaf", card.ErrBusDead: "bus-dead"}[fault])
	}
}

func (f figures) checkReceiver(gone bool) {
	c, yard := &f.of.counts, f.Receivers[0]
	f.is("receivers.frames", yard.Frames, c.frames)
	f.is("receivers.duplicates", yard.Duplicates, c.duplicates)
	f.is("receivers.thinned", yard.Thinned, c.thinned)
	f.is("receivers.outside_hours", yard.OutsideHours, c.outside)
	maps.DeleteFunc(yard.Bad, func(_ string, n int64) bool { return n == 0 })
	if !maps.Equal(yard.Bad, c.bad) {
		f.truth.wrong("health.receivers.bad", "says %v, is %v", yard.Bad, c.bad)
	}
	state := "silent"
	if last := f.of.frame; !last.IsZero() {
		if f.now().Sub(last) < 5*time.Minute {
			state = "ok"
		}
		if yard.LastS == nil {
			f.truth.wrong("health.receivers.last_s", "says null")
		} else {
			f.about("receivers.last_s", *yard.LastS, f.seconds(last), 1)
		}
	}
	if gone {
		state = "gone"
	}
	f.is("receivers.state", yard.State, state)
}

// checkLine also tells whether the gateway is connected.
func (f figures) checkLine() (connected bool) {
	connected = f.line.conn != nil && f.line.life == f.of && f.of.greeted > 0
	if !f.line.silent {
		f.is("mqtt.connected", f.MQTT.Connected, connected)
	}
	f.is("mqtt.published", f.MQTT.Published, f.of.published)
	f.is("mqtt.acked", f.MQTT.Acked, f.of.acked)
	f.is("mqtt.reconnects", f.MQTT.Reconnects, max(f.of.greeted-1, 0))
	return connected
}

// checkJournal is told how many records the journal has in how large a file.
func (f figures) checkJournal(events int, size int64) {
	tr := f.truth
	tr.total.file = max(tr.total.file, size)
	f.is("journal.bytes", f.Journal.Bytes, size)
	if limit := int64(f.cfg.Journal.MaxMB) << 20; size > limit {
		tr.wrong("file", "has %d bytes, may have %d", size, limit)
	}
	f.is("journal.events", f.Journal.Events, int64(events))
	if tr.refusals.taps > 0 || tr.refusals.tags > 0 || f.flooded || !tr.crowded.IsZero() && f.now().Sub(tr.crowded) <= 24*time.Hour {
		return
	}
	waiting := int64(len(tr.waiting))
	if p := f.Journal.Pending; p < waiting || p > waiting+int64(tr.again) {
		tr.wrong("health.journal.pending", "says %d, is %d to %d", p, waiting, waiting+int64(tr.again))
	}
	if waiting == 0 || tr.again > 0 {
		return
	}
	oldest := f.now()
	for _, at := range tr.waiting {
		if at.Before(oldest) {
			oldest = at
		}
	}
	if !oldest.Before(f.machine.born) {
		f.about("journal.oldest_pending_s", f.Journal.OldestPendingS, f.seconds(oldest), 2)
	}
}

// checkRoom holds what is said of room in the journal against the lamp.
func (f figures) checkRoom(connected bool) {
	refuses := f.of.refuses
	if refuses && f.Journal.FreeBytes > 4096 {
		f.truth.wrong("health.journal.free_bytes", "says %d although taps are refused", f.Journal.FreeBytes)
	}
	if full := slices.Contains(f.Alerts, "journal-full"); full != refuses && (refuses || connected && f.Journal.Pending == 0) {
		f.truth.wrong("alert.journal-full", "stands: %v; taps are refused: %v", full, refuses)
	}
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
