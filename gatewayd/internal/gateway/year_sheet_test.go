package gateway

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"slices"
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

// paper is the recap of a day that is held against what happened on it.
type paper struct {
	*world
	day, end time.Time
	rows     []map[string]string // by the names of the columns
}

// of are the rows of a kind.
func (p paper) of(kind string) (rows []map[string]string) {
	for _, row := range p.rows {
		if row["row"] == kind {
			rows = append(rows, row)
		}
	}
	return rows
}

// wrong notes that the sheet says something that is not so.
func (p paper) wrong(what, format string, args ...any) {
	p.truth.wrong("sheet."+what, p.day.Format(time.DateOnly)+": "+format, args...)
}

// instant is a time of the sheet, zero where it says none.
func (p paper) instant(s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		p.wrong("form", "%v", err)
	}
	return t
}

// checkSheet holds the recap of a day against what happened on it.
func (w *world) checkSheet(day time.Time) {
	p := paper{world: w, day: day, end: day.AddDate(0, 0, 1), rows: w.sheet(day)}
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
	byID := make(map[string]*tap)
	taps := make(map[string][]*tap) // of the day, by badge
	for _, t := range tr.taps {
		byID[t.id] = t
		if !t.at.Before(p.day) && t.at.Before(p.end) {
			taps[t.badge] = append(taps[t.badge], t)
		}
	}
	for _, row := range p.of("uncertain") {
		t := byID[row["event"]]
		if t == nil {
			p.wrong("uncertain", "%s was no tap", row["event"])
			continue
		}
		p.checkUncertain(row, t)
		taps[t.badge] = slices.DeleteFunc(slices.Clone(taps[t.badge]), func(one *tap) bool { return one == t })
	}
	for _, row := range p.of("badge") {
		p.checkBadge(row, taps[row["badge"]], byID[row["event"]])
		delete(taps, row["badge"])
	}
	for badge, list := range taps {
		if len(list) > 0 {
			p.wrong("taps", "%s is not on it, and tapped %d times", badge, len(list))
		}
	}
	p.checkOutages()
	for _, row := range p.of("gap") {
		if !w.mayGap(day) {
			p.wrong("gaps", "%s was lost", row["detail"])
		}
	}
}

// checkUncertain holds a tap that may have been on another day against the truth.
func (p paper) checkUncertain(row map[string]string, t *tap) {
	switch from, to := p.instant(row["from"]), p.instant(row["to"]); {
	case !from.IsZero() && t.at.Before(from.Add(-time.Millisecond)), !to.IsZero() && t.at.After(to.Add(time.Millisecond)):
		p.wrong("uncertain", "%s is told as between %v and %v, and was %v", t.id, from, to, t.at)
	case !t.boot.polled.IsZero() && t.rev > 0 && t.told != "":
		p.wrong("uncertain", "the city was told the time of %s", t.id)
	}
}

// checkBadge holds the line of a badge against its taps of the day. The first is an
// event that the city has, or nil.
func (p paper) checkBadge(row map[string]string, taps []*tap, first *tap) {
	if n, err := strconv.Atoi(row["taps"]); err != nil || n != len(taps) {
		p.wrong("taps", "%s has %s taps, were %d", row["badge"], row["taps"], len(taps))
		return
	}
	if first != nil && first.told != "" && first.told != row["first"] {
		p.wrong("told", "first tap of %s at %s, and the city was told %s", row["badge"], row["first"], first.told)
	}
	for which, want := range map[string]time.Time{"first": taps[0].at, "last": taps[len(taps)-1].at} {
		ms, err := strconv.ParseFloat(row[which+"_error_ms"], 64)
		if err != nil {
			p.wrong("form", "%v", err)
		}
		if off := p.instant(row[which]).Sub(want).Abs(); off > time.Duration(ms*1e6)+time.Millisecond {
			p.wrong(which, "%s of %s is told as %s ± %v ms, was %s", which, row["badge"], row[which], ms, want.In(p.office).Format(presence.TimeLayout))
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

// off tells whether nothing worked, since the machine or the gateway was off.
func (o outageTruth) off() bool { return o.what == powerOff || o.what == crashed || o.what == stopped }

// lasted is how long it lasted, or has lasted by now.
func (o outageTruth) lasted(now time.Time) time.Duration {
	if o.to.IsZero() {
		return now.Sub(o.from)
	}
	return o.to.Sub(o.from)
}

// end is an instant of a sheet that may be early by so much, or late.
type end struct{ early, late time.Duration }

// fits tells whether an end of a row, "from" or "to", can be that instant.
func (p paper) fits(row map[string]string, which string, at time.Time, by end) bool {
	first, last := p.instant(row[which]), p.instant(row[which])
	switch row[which+"_quality"] {
	case "bounded":
		first, last = p.instant(row[which+"_min"]), p.instant(row[which+"_max"])
	case "synced", "corrected":
	default:
		return true // nobody knows
	}
	return !last.Before(at.Add(-by.early)) && !first.After(at.Add(by.late))
}

// mayBe tells whether a row can be an outage.
func (p paper) mayBe(row map[string]string, o outageTruth) bool {
	began, ended := p.ranOff(o.boot), p.ranOff(o.till)
	from, to := end{atOnce + began, atOnce + began}, end{atOnce + ended, openAgain + ended}
	switch {
	case o.off() && o.vague:
		from.early = lifeSign + began
	case o.vague:
		to.early = lifeSign + ended
	}
	if o.what != row["what"] || !p.fits(row, "from", o.from, from) {
		return false
	}
	if goesOn := row["detail"] == "open"; goesOn || o.to.IsZero() {
		return goesOn && o.to.IsZero()
	}
	return p.fits(row, "to", o.to, to)
}

// better tells which of two outages that a row can be it rather is: the one that must
// be on the sheet.
func (p paper) better(a, b outageTruth) bool {
	touches := func(o outageTruth) bool { return o.from.Before(p.end) && (o.to.IsZero() || o.to.After(p.day)) }
	if touches(a) != touches(b) {
		return touches(a)
	}
	return a.lasted(p.now()) > b.lasted(p.now())
}

// mustShow tells whether the sheet must show an outage: not what is too short for a
// line, or for a sign of life before a power cut, and not what nobody can date.
func (p paper) mustShow(o outageTruth) bool {
	lasted := o.lasted(p.now())
	until := o.from.Add(lasted)
	switch {
	case lasted < 15*time.Second && (!o.off() || o.what == stopped),
		o.vague && lasted < lifeSign && !o.off(),
		until.Before(p.truth.dated):
		return false
	}
	return o.from.Before(p.end.Add(-lifeSign)) && until.After(p.day.Add(lifeSign))
}

// checkOutages holds the stretches on a sheet against those that there were.
func (p paper) checkOutages() {
	all := p.truth.outages
	found := make(map[int]bool)
	// Those first whose times are known, so that the others find what is left.
	rows := p.of("outage")
	slices.SortStableFunc(rows, func(a, b map[string]string) int { return endsKnown(b) - endsKnown(a) })
	for _, row := range rows {
		best := -1
		for i, o := range all {
			if !found[i] && p.mayBe(row, o) && (best < 0 || p.better(o, all[best])) {
				best = i
			}
		}
		if best >= 0 {
			found[best] = true
		} else if row["what"] != "journal-full" || !p.mayGap(p.day) {
			p.wrong("invented."+row["what"], "%s from %s to %s %s", row["what"], row["from"], row["to"], row["detail"])
		}
	}
	for i, o := range all {
		if found[i] || !p.mustShow(o) {
			continue
		}
		p.wrong("missing."+o.what, "%s from %s to %s", o.what,
			o.from.In(p.office).Format(presence.TimeLayout), o.from.Add(o.lasted(p.now())).In(p.office).Format(presence.TimeLayout))
		for _, row := range p.of("outage") {
			p.t.Logf("%s has %s from %s (%s) to %s (%s) %s", p.day.Format(time.DateOnly), row["what"], row["from"], row["from_quality"], row["to"], row["to_quality"], row["detail"])
		}
	}
}

// endsKnown is how many ends of a row are known.
func endsKnown(row map[string]string) (n int) {
	if known(row["from_quality"]) {
		n++
	}
	if known(row["to_quality"]) || row["detail"] == "open" {
		n++
	}
	return n
}

// known tells whether a time of this quality is exact enough to be compared.
func known(quality string) bool { return quality == "synced" || quality == "corrected" }
