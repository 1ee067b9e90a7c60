package gateway

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"presence/gatewayd/internal/export"
	"presence/gatewayd/internal/presence"
)

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
