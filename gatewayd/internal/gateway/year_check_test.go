package gateway

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/export"
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

// sheet is the recap of a day as a table, by the names of its columns.
func (w *world) sheet(day time.Time) (rows []map[string]string) {
	var out bytes.Buffer
	if err := w.life.daemon.control().Export(context.Background(), &out, export.Request{Day: day, Format: "csv"}, 0); err != nil {
		w.t.Fatal(err)
	}
	table, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, line := range table[1:] {
		row := make(map[string]string)
		for i, name := range table[0] {
			row[name] = line[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// checkSheet holds the recap of a day against what happened on it.
func (w *world) checkSheet(day time.Time) {
	rows := w.sheet(day)
	tr := w.truth
	tr.mu.Lock()
	defer tr.mu.Unlock()
	w.sheets++
	before := w.wrongSheets()
	defer func() {
		if w.wrongSheets() > before {
			w.untrueSheets++
		}
	}()
	end := day.AddDate(0, 0, 1)
	name := day.Format("2006-01-02")
	byID := make(map[string]*tap)
	taps := make(map[string][]*tap) // of the day, by badge
	for _, t := range tr.taps {
		byID[t.id] = t
		if !t.at.Before(day) && t.at.Before(end) {
			taps[t.badge] = append(taps[t.badge], t)
		}
	}
	instant := func(s string) time.Time {
		if s == "" {
			return time.Time{}
		}
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			tr.wrong("sheet.form", "%s: %v", name, err)
		}
		return t
	}
	for _, row := range rows {
		if row["row"] != "uncertain" {
			continue
		}
		t := byID[row["event"]]
		switch from, to := instant(row["from"]), instant(row["to"]); {
		case t == nil:
			tr.wrong("sheet.uncertain", "%s: %s was no tap", name, row["event"])
			continue
		case !from.IsZero() && t.at.Before(from.Add(-time.Millisecond)), !to.IsZero() && t.at.After(to.Add(time.Millisecond)):
			tr.wrong("sheet.uncertain", "%s: %s is told as between %v and %v, and was %v", name, t.id, from, to, t.at)
		case !t.boot.polled.IsZero() && t.rev > 0 && t.told != "":
			tr.wrong("sheet.uncertain", "%s: the city was told the time of %s", name, t.id)
		}
		list := taps[t.badge]
		for i := range list {
			if list[i] == t {
				taps[t.badge] = append(list[:i:i], list[i+1:]...)
				break
			}
		}
	}
	for _, row := range rows {
		if row["row"] != "badge" {
			continue
		}
		list := taps[row["badge"]]
		delete(taps, row["badge"])
		if n, err := strconv.Atoi(row["taps"]); err != nil || n != len(list) {
			tr.wrong("sheet.taps", "%s: %s has %s taps, were %d", name, row["badge"], row["taps"], len(list))
			continue
		}
		if first := byID[row["event"]]; first != nil && first.told != "" && first.told != row["first"] {
			tr.wrong("sheet.told", "%s: first tap of %s at %s, and the city was told %s", name, row["badge"], row["first"], first.told)
		}
		for which, want := range map[string]time.Time{"first": list[0].at, "last": list[len(list)-1].at} {
			ms, err := strconv.ParseFloat(row[which+"_error_ms"], 64)
			if err != nil {
				tr.wrong("sheet.form", "%s: %v", name, err)
			}
			if off := instant(row[which]).Sub(want).Abs(); off > time.Duration(ms*1e6)+time.Millisecond {
				tr.wrong("sheet."+which, "%s: %s of %s is told as %s ± %v ms, was %s", name, which, row["badge"], row[which], ms, want.In(w.office).Format(presence.TimeLayout))
			}
		}
	}
	for badge, list := range taps {
		if len(list) > 0 {
			tr.wrong("sheet.taps", "%s: %s is not on it, and tapped %d times", name, badge, len(list))
		}
	}
	w.checkOutages(day, end, rows, instant)
	for _, row := range rows {
		if row["row"] == "gap" && !w.mayGap(day) {
			tr.wrong("sheet.gaps", "%s: %s was lost", name, row["detail"])
		}
	}
}

// checkLosses holds what the sheets of the days on which taps were refused say of
// that against the lamp.
func (w *world) checkLosses() {
	if w.flooded {
		return
	}
	for day, refused := range w.refusedOn {
		named := 0
		for _, row := range w.sheet(day) {
			for _, part := range strings.Split(row["detail"], ", ") {
				var n int
				if _, err := fmt.Sscanf(part, "%d badge", &n); err == nil && row["row"] == "gap" && strings.HasSuffix(part, " badge") {
					named += n
				}
			}
		}
		if named != refused {
			w.truth.note("sheet.losses", "%s: says that %d taps were lost, were %d", day.Format("2006-01-02"), named, refused)
		}
	}
	clear(w.refusedOn)
}

func (w *world) wrongSheets() (n int) {
	for what, times := range w.truth.untrue {
		if strings.HasPrefix(what, "sheet.") {
			n += times
		}
	}
	return n
}

// How exactly the sheet must tell when something did not work: what is looked at
// every second, and opened again after a while, and of a power cut only that it
// came after the last sign of life.
const (
	atOnce    = 4 * time.Second
	openAgain = 14 * time.Second
	lifeSign  = 10*time.Minute + 15*time.Second
)

// ranOff is how far the crystal of a boot may have run off while it lasted: the sheet
// dates an instant by another of its boot at which the time was known, and that may
// have been the day after.
func (w *world) ranOff(m *machineClock) time.Duration {
	if m == nil {
		return 0
	}
	lasted := m.off.Sub(m.born)
	if m.off.IsZero() {
		lasted = w.now().Sub(m.born)
	}
	return time.Duration(math.Abs(m.drift) * float64(lasted))
}

// checkOutages holds the stretches on a sheet against those that there were.
func (w *world) checkOutages(day, end time.Time, rows []map[string]string, instant func(string) time.Time) {
	tr := w.truth
	name := day.Format("2006-01-02")
	found := make(map[int]bool)
	fits := func(row map[string]string, o outageTruth) bool {
		from, to := instant(row["from"]), instant(row["to"])
		machineOff := o.what == powerOff || o.what == crashed || o.what == stopped
		began, ended := atOnce+w.ranOff(o.boot), w.ranOff(o.till)
		earliest, latest := o.from.Add(-began), o.from.Add(began)
		if machineOff && o.vague {
			earliest = o.from.Add(-lifeSign - began)
		}
		if known(row["from_quality"]) && (from.Before(earliest) || from.After(latest)) {
			return false
		}
		if row["detail"] == "open" {
			return o.to.IsZero()
		}
		if o.to.IsZero() {
			return false
		}
		earliest, latest = o.to.Add(-atOnce-ended), o.to.Add(openAgain+ended)
		if !machineOff && o.vague {
			earliest = o.to.Add(-lifeSign - ended)
		}
		return !known(row["to_quality"]) || !to.Before(earliest) && !to.After(latest)
	}
	touches := func(o outageTruth) bool { return o.from.Before(end) && (o.to.IsZero() || o.to.After(day)) }
	// Those first whose times are known, so that the others find what is left.
	var outages []map[string]string
	for _, clear := range []int{2, 1, 0} {
		for _, row := range rows {
			n := 0
			if known(row["from_quality"]) {
				n++
			}
			if known(row["to_quality"]) || row["detail"] == "open" {
				n++
			}
			if row["row"] == "outage" && n == clear {
				outages = append(outages, row)
			}
		}
	}
	// Of several that a row may be, the one that must be there.
	better := func(a, b outageTruth) bool {
		if touches(a) != touches(b) {
			return touches(a)
		}
		lasted := func(o outageTruth) time.Duration {
			if o.to.IsZero() {
				return w.now().Sub(o.from)
			}
			return o.to.Sub(o.from)
		}
		return lasted(a) > lasted(b)
	}
	for _, row := range outages {
		best := -1
		for i, o := range tr.outages {
			if !found[i] && o.what == row["what"] && fits(row, o) && (best < 0 || better(o, tr.outages[best])) {
				best = i
			}
		}
		if best >= 0 {
			found[best] = true
		} else if row["what"] != "journal-full" || !w.mayGap(day) {
			tr.wrong("sheet.invented."+row["what"], "%s: %s from %s to %s %s", name, row["what"], row["from"], row["to"], row["detail"])
		}
	}
	for i, o := range tr.outages {
		to := o.to
		if to.IsZero() {
			to = w.now()
		}
		lasted := to.Sub(o.from)
		off := o.what == powerOff || o.what == crashed || o.what == stopped
		if found[i] || lasted < 15*time.Second && (!off || o.what == stopped) || o.vague && lasted < lifeSign && !off {
			continue
		}
		if to.Before(tr.dated) {
			continue // nobody can know when that was
		}
		if o.from.Before(end.Add(-lifeSign)) && to.After(day.Add(lifeSign)) {
			tr.wrong("sheet.missing."+o.what, "%s: %s from %s to %s", name, o.what,
				o.from.In(w.office).Format(presence.TimeLayout), to.In(w.office).Format(presence.TimeLayout))
			for _, row := range rows {
				if row["row"] == "outage" {
					w.t.Logf("%s has %s from %s (%s) to %s (%s) %s", name, row["what"], row["from"], row["from_quality"], row["to"], row["to_quality"], row["detail"])
				}
			}

		}
	}
}

// known tells whether a time of this quality is exact enough to be compared.
func known(quality string) bool { return quality == "synced" || quality == "corrected" }

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
