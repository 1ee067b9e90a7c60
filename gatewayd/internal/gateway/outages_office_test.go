package gateway

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"presence/config"
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/export"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
)

// machine is a clock of a machine that can be started again, over the time of
// the test.
type machine struct {
	boot  presence.ID
	began time.Time

	// Without a clock chip it wakes in 1970, and knows the time while somebody
	// disciplines its clock.
	chipless bool
	synced   atomic.Bool
}

func (m *machine) Now() presence.Reading {
	now := time.Now()
	r := presence.Reading{Boot: m.boot, Boottime: now.Sub(m.began), Wall: int64(now.Sub(m.began))}
	if m.chipless {
		if m.synced.Load() {
			r.Wall, r.State, r.MaxError = now.UnixNano(), presence.ClockSynced, 50*time.Millisecond
		}
		return r
	}
	return presence.Reading{Boot: m.boot, Boottime: now.Sub(m.began), Wall: now.UnixNano(), State: presence.ClockTrusted}
}

func (m *machine) Steps(ctx context.Context, _ func()) error { <-ctx.Done(); return ctx.Err() }

// office lives the outages of a gateway: a real journal, clock and log, without
// the hardware.
type office struct {
	t       *testing.T
	machine *machine
	cfg     *config.Config
	d       *Gateway // nil while it is off
	broken  []alerts.Alert
	lives   int
	unwatch func() // ends what watches the clock; nil: nothing does

	truth happened
}

// happened is what really happened.
type happened struct {
	broken []stretch // as seen by a process, look by look
	off    []stretch
	open   map[string]int // of broken, those that go on
}

// stretch is one during which something did not work.
type stretch struct {
	what     string
	from, to time.Time
	cut      bool // the process ended without a goodbye
}

func newOffice(t *testing.T) *office {
	dir, err := os.MkdirTemp("/dev/shm", "office-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	cfg := &config.Config{}
	cfg.Gateway = config.Gateway{ID: "dinkes-01", Dinas: "dinkes", Timezone: time.UTC, StateDir: dir}
	cfg.Journal = config.Journal{Keep: 35 * 24 * time.Hour, MaxMB: 16, CommitInterval: time.Second}
	o := &office{t: t, cfg: cfg}
	o.truth.open = make(map[string]int)
	o.reboot()
	return o
}

func (o *office) reboot() {
	o.machine = &machine{boot: presence.ID{byte(o.lives + 1)}, began: time.Now()}
}

func (o *office) start() {
	o.t.Helper()
	o.lives++
	log := slog.New(slog.DiscardHandler)
	c := clock.New(o.machine)
	d := &Gateway{cfg: o.cfg, log: log, time: timekeeping{Clock: c}, origin: configured.Origin(o.cfg)}
	var err error
	if d.journal, err = journal.Open(configured.Journal(o.cfg, c.Now, log)); err != nil {
		o.t.Fatal(err)
	}
	if o.machine.chipless {
		if err := d.recallTime(); err != nil {
			o.t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var watching sync.WaitGroup
		watching.Go(func() { _ = c.Run(ctx) })
		o.unwatch = sync.OnceFunc(func() { cancel(); watching.Wait() })
		o.t.Cleanup(o.unwatch)
	}
	d.openOutages()
	o.d = d
	if n := len(o.truth.off); n > 0 {
		o.truth.off[n-1].to = time.Now()
		if o.truth.off[n-1].cut && d.time.Now().Boot == (presence.ID{byte(o.lives)}) {
			o.truth.off[n-1].what = string(alerts.PowerOff)
		}
	}
}

// pass lets the gateway look for so long, every second while something is in
// motion.
func (o *office) pass(d, step time.Duration) {
	for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(min(step, time.Until(until))) {
		if o.d != nil {
			o.look()
		}
	}
}

func (o *office) look() {
	o.d.noteOutages(presence.Health{Clock: presence.ClockHealth{Quality: presence.QualityTrusted}}, o.broken)
	synctest.Wait()
	now := time.Now()
	seen := make(map[string]bool)
	for _, a := range o.broken {
		seen[a.Code()] = true
		i, ok := o.truth.open[a.Code()]
		if !ok {
			i = len(o.truth.broken)
			o.truth.open[a.Code()] = i
			o.truth.broken = append(o.truth.broken, stretch{what: a.Code(), from: now})
		}
		o.truth.broken[i].to = now
	}
	for code, i := range o.truth.open {
		if !seen[code] {
			o.truth.broken[i].to = now
			delete(o.truth.open, code)
		}
	}
}

// end ends the process: on purpose, or as a power cut does.
func (o *office) end(clean bool) {
	o.t.Helper()
	for _, i := range o.truth.open {
		o.truth.broken[i].to, o.truth.broken[i].cut = time.Now(), !clean
	}
	clear(o.truth.open)
	what := alerts.Stopped
	path := configured.JournalPath(o.cfg)
	if !clean {
		what = alerts.Crashed
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path+".cut", text, 0o600)
		}
		if err != nil {
			o.t.Fatal(err)
		}
	}
	o.truth.off = append(o.truth.off, stretch{what: string(what), from: time.Now(), cut: !clean})
	if o.unwatch != nil {
		o.unwatch()
		o.unwatch = nil
	}
	if err := o.d.Close(); err != nil {
		o.t.Fatal(err)
	}
	o.d = nil
	if !clean {
		if err := os.Rename(path+".cut", path); err != nil {
			o.t.Fatal(err)
		}
	}
}

// sheetLine is an outage on a sheet.
type sheetLine struct {
	stretch
	times int
	down  time.Duration
	open  bool
}

// sheet is what the sheets of all days say of outages, of the gateway as it runs
// or of its file.
func (o *office) sheet(from, to time.Time) []sheetLine {
	o.t.Helper()
	x := o.source()
	found := make(map[string]sheetLine)
	for day := from.Truncate(24 * time.Hour); !day.After(to); day = day.AddDate(0, 0, 1) {
		var text bytes.Buffer
		if err := x.Write(o.t.Context(), &text, export.Request{Format: "csv", Day: day}); err != nil {
			o.t.Fatal(err)
		}
		rows, err := csv.NewReader(&text).ReadAll()
		if err != nil {
			o.t.Fatal(err)
		}
		for _, row := range rows[1:] {
			if row[0] != "outage" {
				continue
			}
			l, err := readLine(func(name string) string { return row[slices.Index(rows[0], name)] })
			if err != nil {
				o.t.Fatal(err)
			}
			found[fmt.Sprint(l.what, l.from, l.times)] = l
		}
	}
	all := slices.Collect(maps.Values(found))
	slices.SortFunc(all, func(a, b sheetLine) int { return a.from.Compare(b.from) })
	return all
}

// source is what sheets are made of: of the gateway as it runs, or of its file.
func (o *office) source() export.Source {
	o.t.Helper()
	x := export.Source{Origin: configured.Origin(o.cfg)}
	if o.d != nil {
		x.Times, x.Journal, x.Outages = o.d.time.Clock, o.d.journal, o.d.outages.log.All()
		x.Revisions = export.Published(o.d.journal, o.d.time.Clock)
		x.Estimates = x.Revisions
		return x
	}
	file, err := journal.OpenReadOnly(configured.JournalPath(o.cfg))
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = file.Close() })
	x.Times, x.Journal = clock.New(nil), file
	x.Revisions = export.Published(file, x.Times)
	x.Estimates = x.Revisions
	alive, clean, ok := file.Ended()
	if !ok {
		o.t.Fatal("nobody knows how the last process ended")
	}
	if x.Outages, err = outage.Read(file, x.Times, &alive); err != nil {
		o.t.Fatal(err)
	}
	x.Off = &export.Off{Since: alive, Failure: alerts.Crashed}
	if clean {
		x.Off.Failure = alerts.Stopped
	}
	return x
}

// readLine reads an outage from the cells of a row.
func readLine(cell func(name string) string) (l sheetLine, err error) {
	l.times, l.what = 1, cell("what")
	if from := cell("from"); from != "" { // else nobody knows
		if l.from, err = time.Parse(presence.TimeLayout, from); err != nil {
			return l, err
		}
	}
	detail := cell("detail")
	if l.open = strings.HasPrefix(detail, "open"); l.open {
		l.to = time.Now()
	} else if l.to, err = time.Parse(presence.TimeLayout, cell("to")); err != nil {
		return l, err
	}
	if _, more, ok := strings.Cut(detail, "flapping "); ok {
		var seconds int
		if _, err = fmt.Sscanf(more, "%d times, down %d s", &l.times, &seconds); err != nil {
			return l, err
		}
		l.down = time.Duration(seconds) * time.Second
	}
	return l, nil
}

// alive is how long after the last sign of life on disk a process may end.
const alive = 10*time.Minute + 15*time.Second

// check holds a sheet against what happened, and returns what is wrong.
func (o *office) check(sheet []sheetLine) (wrong []string) {
	var off, broken []sheetLine
	for _, l := range sheet {
		switch alerts.Failure(l.what) {
		case alerts.Stopped, alerts.Crashed, alerts.PowerOff:
			off = append(off, l)
		default:
			broken = append(broken, l)
		}
	}
	if wrong = o.checkOff(off); len(wrong) > 0 {
		return wrong
	}
	return append(o.checkInvented(broken), o.checkMissing(broken)...)
}

// checkOff holds when the gateway was off against what happened: to the second where it
// was stopped, else from where it was last known to run.
func (o *office) checkOff(off []sheetLine) (wrong []string) {
	// A stop and a start at once are no line.
	truth := slices.DeleteFunc(slices.Clone(o.truth.off), func(w stretch) bool {
		return !w.cut && !w.to.IsZero() && w.to.Sub(w.from) < outage.Brief
	})
	if len(off) != len(truth) {
		return []string{fmt.Sprintf("%d times off, the sheet has %d", len(truth), len(off))}
	}
	for i, w := range truth {
		l := off[i]
		goesOn := w.to.IsZero()
		if goesOn && w.cut {
			w.what = l.what // why, the next start tells
		}
		if l.what != w.what || l.open != goesOn || !goesOn && !near(l.to, w.to, time.Second) {
			wrong = append(wrong, fmt.Sprintf("off %s %v to %v, the sheet says %s to %v", w.what, w.from, w.to, l.what, l.to))
		}
		if early := w.from.Sub(l.from); early < -time.Second || !w.cut && early > time.Second || early > alive {
			wrong = append(wrong, fmt.Sprintf("off %s since %v, the sheet says %v", w.what, w.from, l.from))
		}
	}
	return wrong
}

// checkInvented complains of lines of which nothing happened: a plain line is one true
// stretch, and one of a thing that flaps begins and ends with one.
func (o *office) checkInvented(broken []sheetLine) (wrong []string) {
	for _, l := range broken {
		times, down := 0, time.Duration(0)
		begins, ends := false, false
		for _, w := range o.truth.broken {
			if w.what != l.what || w.to.Before(l.from) || w.from.After(l.to) {
				continue
			}
			times++
			down += w.to.Sub(w.from)
			begins = begins || near(l.from, w.from, time.Second)
			// Where the process was cut off, the end is what was known last.
			ends = ends || near(l.to, w.to, time.Second) || o.cutLater(w) && !l.to.After(w.to) && (w.to.Sub(l.to) <= alive || o.busy(w))
		}
		if !begins || !ends || l.times > times || l.times == 1 && times != 1 || l.down > down+time.Duration(times)*time.Second {
			wrong = append(wrong, fmt.Sprintf("the sheet says %s %v to %v, %d times, down %v; it was %d times, %v", l.what, l.from, l.to, l.times, l.down, times, down))
		}
	}
	return wrong
}

// checkMissing complains of stretches without a line: all but what is brief, what
// flapped in the hour before a cut, and what had just begun when it came.
func (o *office) checkMissing(broken []sheetLine) (wrong []string) {
	for _, w := range o.truth.broken {
		upto := w.to
		if w.cut {
			upto = upto.Add(-alive)
		}
		if w.to.Sub(w.from) <= 6*time.Second {
			continue
		}
		covered := slices.ContainsFunc(broken, func(l sheetLine) bool {
			return l.what == w.what && !l.from.After(w.from.Add(time.Second)) && !l.to.Before(upto.Add(-time.Second))
		})
		if !covered && !(o.busy(w) && o.cutLater(w)) {
			wrong = append(wrong, fmt.Sprintf("%s did not work from %v to %v (cut off: %v), and no sheet says so", w.what, w.from, w.to, w.cut))
		}
	}
	return wrong
}

// busy tells whether so much had failed before a stretch that not everything is
// saved at once.
func (o *office) busy(w stretch) bool {
	before := 0
	for _, b := range o.truth.broken {
		if !b.from.After(w.from) {
			before++
		}
	}
	return before > 5
}

// cutLater tells whether the process was cut off within some time after a
// stretch, or in it.
func (o *office) cutLater(w stretch) bool {
	return slices.ContainsFunc(o.truth.off, func(off stretch) bool {
		return off.cut && !off.from.Before(w.to) && off.from.Sub(w.to) < 105*time.Minute
	})
}

func near(a, b time.Time, d time.Duration) bool { return a.Sub(b).Abs() <= d }
