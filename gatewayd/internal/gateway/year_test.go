package gateway

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/config"
	schema "presence/scripts/city"
	"presence/scripts/skiptest"
)

// plan is how long and how dense a life is.
type plan struct {
	days   int
	keep   string
	maxMB  int
	badges int
	tags   int
	every  time.Duration // a tag reports so often

	// A morning and an afternoon on a working day, with power; a part of the days
	// has power all day long, and a few machines stay on over night.
	morning, noon, afternoon, evening time.Duration // since midnight
	wobble                            time.Duration
	through, overnight                int // of 1000 days

	faults             int // for each session, of 1000: how often each fault comes
	downFrom, downTo   int // days between which the line is down, and the journal fills
	storm, flood       int // taps and reports on the last of those days
	closedFrom, opened int // days on which nobody is there, nor is there power
	brownout, cuts     int // a day before whose morning the power is cut so often
}

// A year, and some weeks of it for every day. Both were fixed before anything was
// measured with them, but for the size of the year's journal: what is kept for two weeks
// must have room in it, since delivered events go sooner where it is nearly full.
var (
	wholeYear = plan{
		days: 365, keep: "14d", maxMB: 6, badges: 36, tags: 24, every: 130 * time.Second,
		morning: 7 * time.Hour, noon: 10 * time.Hour, afternoon: 13*time.Hour + 30*time.Minute, evening: 16*time.Hour + 10*time.Minute,
		wobble: 20 * time.Minute, through: 60, overnight: 25,
		faults: 60, downFrom: 120, downTo: 133, storm: 80_000, flood: 30_000, closedFrom: 200, opened: 211, brownout: 300, cuts: 36,
	}
	someWeeks = plan{
		days: 22, keep: "6d", maxMB: 1, badges: 12, tags: 8, every: 71 * time.Second,
		morning: 7*time.Hour + 25*time.Minute, noon: 7*time.Hour + 36*time.Minute, afternoon: 15*time.Hour + 45*time.Minute, evening: 15*time.Hour + 54*time.Minute,
		wobble: 2 * time.Minute,
		faults: 250, downFrom: 8, downTo: 11, storm: 9000, flood: 9000, closedFrom: 14, opened: 15, brownout: 13, cuts: 36,
	}
)

// TestYear lives the life of a gateway without a clock chip: power cuts, time
// that comes late or never, readers and receivers that fail, a line that breaks
// and is down for so long that the journal fills. Everything that the gateway
// says is held against what happened: health, the sheet of every day, each event
// and its time, what is kept and for how long.
//
// Under make year it is a whole year.
func TestYear(t *testing.T) {
	t.Parallel()
	skiptest.Computation(t)
	p := someWeeks
	if os.Getenv("YEAR") != "" {
		p = wholeYear
	}
	seed := uint64(1)
	if s := os.Getenv("YEAR_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, seed, p)
		w.truth.captured = keepCaptured(t, dir)
		w.live(p)
	})
	auditCaptured(t, dir)
}

func newWorld(t *testing.T, dir string, seed uint64, p plan) *world {
	office, err := time.LoadLocation("Asia/Jakarta")
	if err != nil {
		t.Fatal(err)
	}
	validator, err := schema.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	sealKey := makeSealKey(t, dir)
	text := fmt.Sprintf(`
[gateway]
id = "year-01"
dinas = "dinkes"
timezone = "Asia/Jakarta"
state_dir = %q
[[reader]]
name = "door"
bus = "/dev/spidev0.0"
[[receiver]]
name = "yard"
protocol = "kenwood"
port = "/dev/yard"
[badges]
plain_uid = true
[hours]
mon = "07:30-16:00"
tue = "07:30-16:00"
wed = "07:30-16:00"
thu = "07:30-16:00"
fri = "07:30-16:30"
[journal]
keep = %q
max_mb = %d
[mqtt]
broker = "tcp://127.0.0.1:1883"
[seal]
key_file = %q
`, filepath.Join(dir, "unused"), p.keep, p.maxMB, sealKey)
	file := filepath.Join(dir, "gatewayd.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 365)), dir: dir, state: filepath.Join(dir, "state"), cfg: cfg,
		log: slog.New(slog.DiscardHandler), office: office,
		refusedOn: make(map[time.Time]int),
		began:     time.Now(), epoch: time.Date(2026, 1, 5, 0, 0, 0, 0, office), // a Monday
	}
	if name := os.Getenv("YEAR_LOG"); name != "" {
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		w.log = slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				a.Value = slog.StringValue(w.stamp())
			}
			return a
		}}))
	}
	w.truth = newTruth(w)
	w.door, w.yard = newField(w), &radio{}
	w.line = &line{w: w, validator: validator, up: true, retained: make(map[string][]byte), checked: make(map[string]int)}
	return w
}

// day is midnight of a day of the life.
func (w *world) day(n int) time.Time {
	y, m, d := w.epoch.In(w.office).Date()
	return time.Date(y, m, d+n, 0, 0, 0, 0, w.office)
}

// inspection is what the gateway says of past days, as it is looked at from time to
// time.
type inspection struct {
	*world
	held      []int64     // memory, every 20 days
	unchecked []time.Time // days whose sheets are still to be looked at
}

// checkSheets looks at the sheets of past days but for the last few.
func (c *inspection) checkSheets(butLast int) {
	for len(c.unchecked) > butLast && c.sure() {
		if c.now().Sub(c.unchecked[0]) < c.cfg.Journal.Keep {
			c.checkSheet(c.unchecked[0])
		}
		c.unchecked = c.unchecked[1:]
	}
}

// check looks at all that can be looked at on a day; of its first session also at the
// sheet of a day that is about to be forgotten.
func (c *inspection) check(n int, first bool) {
	keep := c.cfg.Journal.Keep
	// The storm's own account takes room until it is forgotten.
	stormy := !c.floodFrom.IsZero() && (c.floodTo.IsZero() || c.now().Sub(c.floodTo) < keep+5*24*time.Hour)
	if n/20 >= len(c.held) && !stormy && c.now().Sub(c.life.since) > 10*time.Minute {
		c.held = append(c.held, c.memory())
	}
	if !c.sure() {
		return
	}
	c.checkLosses()
	c.checkSheets(1)
	old := c.day(n).AddDate(0, 0, -int(keep.Hours()/24)+1)
	calm := c.floodFrom.IsZero() || !c.floodTo.IsZero() && old.After(c.floodTo)
	if first && n%4 == 0 && !old.Before(c.epoch) && calm {
		c.checkSheet(old)
	}
}

// live lives the whole life and tells how true it was told.
func (w *world) live(p plan) {
	look := &inspection{world: w}
	staysOn := false
	for n := range p.days {
		day := w.day(n)
		look.unchecked = append(look.unchecked, day)
		w.planned(p, n)
		for i, s := range w.sessions(p, n, staysOn) {
			check := func() { look.check(n, i == 0) }
			flood := n == p.downTo-1 && s.last
			if flood {
				// What is delivered goes as soon as there is no room: this day's sheet
				// is looked at while all of it is there.
				check = func() { look.checkSheets(0) }
			}
			w.session(p, s, check, flood)
			staysOn = s.staysOn
		}
		if n == p.downTo {
			w.floodTo = w.now()
		}
		w.truth.forget(day.Add(-w.cfg.Journal.Keep - 3*24*time.Hour))
		if n%30 == 29 && p.days > 30 {
			tr := w.truth
			tr.mu.Lock()
			fmt.Printf("year: day %d: boots=%d taps=%d records=%d heap=%v untrue=%d\n", n+1, tr.booted, tr.total.taps, tr.total.records, look.held, len(tr.untrue))
			tr.mu.Unlock()
		}
	}
	if w.life != nil {
		w.halt()
	}
	w.report(p, look.held)
}

// planned lets happen what the plan has for the beginning of a day.
func (w *world) planned(p plan, n int) {
	day := w.day(n)
	if n == p.downFrom {
		w.floodFrom, w.flooded = day, true
		w.line.set(false, false)
	}
	if n == p.downTo {
		w.until(day.Add(6 * time.Hour))
		w.line.set(true, false)
	}
	if n == p.brownout && w.life == nil {
		w.until(day.Add(time.Hour))
		w.brownout(p.cuts)
	}
}

// sure tells whether the gateway knows the time, and has had a moment to tell
// everybody.
func (w *world) sure() bool { return w.pruned() }

// report says how true the life was told.
func (w *world) report(p plan, held []int64) {
	tr := w.truth
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(held) > 3 {
		low, high := slices.Min(held[1:]), slices.Max(held[1:])
		if high > low+low/2+4<<20 {
			tr.wrong("memory", "the heap has %d bytes in one month and %d in another", low, high)
		}
	}
	var figures []string
	for _, what := range slices.Sorted(maps.Keys(tr.untrue)) {
		w.t.Errorf("untrue: %s, %d times:\n  %s", what, tr.untrue[what], strings.Join(tr.said[what], "\n  "))
		figures = append(figures, fmt.Sprintf("%s=%d", what, tr.untrue[what]))
	}
	fmt.Printf("year: days=%d boots=%d starts=%d taps=%d repeats=%d refused=%d frames=%d records=%d sheets=%d corrections=%d lost=%d untrue-sheets=%d untrue=%d oldest=%.1fd file-max=%d heap=%v goroutines=%d %s\n",
		p.days, tr.booted, tr.starts, tr.total.taps, tr.total.repeats, tr.total.refused, tr.total.frames, tr.total.records,
		w.sheets, tr.total.corrections, tr.total.lost, w.untrueSheets, len(tr.untrue), tr.total.oldest.Hours()/24, tr.total.file, held, runtime.NumGoroutine(),
		strings.Join(figures, " "))
}
