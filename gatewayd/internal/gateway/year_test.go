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
	"presence/drivers/beacon/beacontest"
	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
	schema "presence/scripts/city"
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
	synctest.Test(t, func(t *testing.T) { newWorld(t, dir, seed, p).live(p) })
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
`, filepath.Join(dir, "unused"), p.keep, p.maxMB)
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

// act is one thing that happens.
type act struct {
	at time.Time
	do func()
}

// live lives the whole life and tells how true it was told.
func (w *world) live(p plan) {
	var held []int64 // memory, every 20 days
	var unchecked []time.Time
	staysOn := false
	for n := range p.days {
		day := w.day(n)
		unchecked = append(unchecked, day)
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
		for i, s := range w.sessions(p, n, staysOn) {
			check := func() {
				// The storm's own account takes room until it is forgotten.
				stormy := !w.floodFrom.IsZero() && (w.floodTo.IsZero() || w.now().Sub(w.floodTo) < w.cfg.Journal.Keep+5*24*time.Hour)
				if n/20 >= len(held) && !stormy && w.now().Sub(w.life.since) > 10*time.Minute {
					held = append(held, w.memory())
				}
				if w.sure() {
					w.checkLosses()
				}
				for len(unchecked) > 1 && w.sure() {
					if w.now().Sub(unchecked[0]) < w.cfg.Journal.Keep {
						w.checkSheet(unchecked[0])
					}
					unchecked = unchecked[1:]
				}
				// Once more, shortly before it is forgotten.
				old := day.AddDate(0, 0, -int(w.cfg.Journal.Keep.Hours()/24)+1)
				if w.sure() && i == 0 && n%4 == 0 && !old.Before(w.epoch) && (w.floodFrom.IsZero() || !w.floodTo.IsZero() && old.After(w.floodTo)) {
					w.checkSheet(old)
				}
			}
			flood := n == p.downTo-1 && s.last
			if flood {
				// What is delivered goes as soon as there is no room: this day's sheet
				// is looked at while all of it is there.
				check = func() {
					for len(unchecked) > 0 && w.sure() {
						if w.now().Sub(unchecked[0]) < w.cfg.Journal.Keep {
							w.checkSheet(unchecked[0])
						}
						unchecked = unchecked[1:]
					}
				}
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
			fmt.Printf("year: day %d: boots=%d taps=%d records=%d heap=%v untrue=%d\n", n+1, tr.booted, tr.total.taps, tr.total.records, held, len(tr.untrue))
			tr.mu.Unlock()
		}
	}
	if w.life != nil {
		w.halt()
	}
	w.report(p, held)
}

// sure tells whether the gateway knows the time, and has had a moment to tell
// everybody.
func (w *world) sure() bool { return w.pruned() }

// session is a stretch with power.
type session struct {
	on, off time.Time
	last    bool // of the day
	staysOn bool // over night
	working bool
}

// sessions are those of a day.
func (w *world) sessions(p plan, n int, on bool) (all []session) {
	day := w.day(n)
	weekday := day.Weekday()
	at := func(d time.Duration) time.Time { return day.Add(d + w.between(-p.wobble, p.wobble)) }
	working := weekday != time.Saturday && weekday != time.Sunday && (n < p.closedFrom || n >= p.opened)
	switch {
	case working && (on || w.chance(p.through)):
		all = []session{{on: at(p.morning), off: at(p.evening), working: true}}
	case working:
		all = []session{{on: at(p.morning), off: at(p.noon), working: true}, {on: at(p.afternoon), off: at(p.evening), working: true}}
		if w.one(5) && n != p.downTo-1 {
			all = all[:1]
		}
	case on, n < p.closedFrom && w.one(6):
		all = []session{{on: at(p.morning), off: at(p.noon)}}
	default:
		return nil
	}
	end := &all[len(all)-1]
	end.last = true
	end.staysOn = working && w.chance(p.overnight)
	return all
}

// session lives from power on to power off.
func (w *world) session(p plan, s session, check func(), flood bool) {
	w.until(s.on)
	if w.life == nil {
		w.powerOn()
		time.Sleep(w.between(8*time.Second, 20*time.Second))
		w.start()
	}
	began := w.now()
	var acts []act
	add := func(at time.Time, do func()) {
		if at.After(began) && at.Before(s.off) {
			acts = append(acts, act{at, do})
		}
	}
	span := s.off.Sub(began)
	if span <= 0 {
		span = time.Minute
	}
	somewhen := func() time.Time { return began.Add(w.between(time.Minute, span)) }

	// Time.
	if w.machine.first.IsZero() {
		switch c := w.rng.IntN(20); {
		case flood, c < 14:
			add(began.Add(w.between(5*time.Second, time.Minute)), w.sync)
		case c < 17:
			add(began.Add(w.between(span/20, span/2)), w.sync)
		}
	}
	for at := began.Add(17 * time.Minute); at.Before(s.off); at = at.Add(34 * time.Minute) {
		add(at, func() {
			if w.machine.synced {
				w.machine.ntp(w.between(-10*time.Millisecond, 10*time.Millisecond))
			}
		})
	}
	if w.chance(p.faults / 4) {
		at, by := somewhen(), w.between(-3*time.Hour, 3*time.Hour)
		add(at, func() { w.machine.jump(by) })
		if w.one(2) {
			add(at.Add(w.between(20*time.Second, span/3)), w.sync)
		}
	}

	// People and tags.
	people := p.badges
	if !s.working {
		people = 2
	}
	for b := range people {
		if !w.chance(900) {
			continue
		}
		badge := b
		add(somewhen(), func() { w.tap(badge) })
	}
	for tag := range p.tags {
		at := began.Add(w.between(time.Minute, time.Minute+p.every))
		for i := 0; at.Before(s.off); i++ {
			add(at, func() { w.hearTag(tag, i) })
			at = at.Add(p.every)
		}
	}

	// Faults.
	fault := func(do func(at time.Time)) {
		if w.chance(p.faults) {
			do(somewhen())
		}
	}
	short := func() time.Duration { return w.between(20*time.Second, max(span/8, 40*time.Second)) }
	for _, why := range []error{card.ErrDeaf, card.ErrBusDead} {
		fault(func(at time.Time) {
			add(at, func() { w.readerFault(why) })
			heal := at.Add(short())
			if w.one(6) {
				heal = s.off // and into the next session
			}
			add(heal, func() { w.readerFault(nil) })
		})
	}
	if w.door.fault != nil {
		add(somewhen(), func() { w.readerFault(nil) })
	}
	fault(func(at time.Time) {
		add(at, func() { w.door.change(func() { w.door.noisy += 1 + w.rng.IntN(3) }) })
	})
	fault(func(at time.Time) {
		add(at, func() { w.unplug(true) })
		add(at.Add(short()), func() { w.unplug(false) })
	})
	if w.yard.gone {
		add(somewhen(), func() { w.unplug(false) })
	}
	fault(func(at time.Time) {
		add(at, w.noise)
	})
	if !w.flooded {
		fault(func(at time.Time) {
			add(at, func() { w.line.set(false, false) })
			add(at.Add(short()), func() { w.line.set(true, false) })
		})
		fault(func(at time.Time) {
			add(at, func() { w.line.set(true, true) })
			add(at.Add(short()), func() { w.line.set(true, false) })
		})
		if w.one(4) || !w.line.up {
			add(began.Add(span*9/10), func() { w.line.set(true, false) })
		}
	}
	fault(func(at time.Time) { add(at, func() { w.restart(false) }) })
	fault(func(at time.Time) { add(at, func() { w.restart(true) }) })
	fault(func(at time.Time) { add(at, w.tapAcrossCrash) })

	// Looks.
	for range 3 {
		add(somewhen(), w.checkHealth)
	}
	if !flood {
		add(began.Add(span*6/10), check)
		add(began.Add(span*95/100), check)
	}

	slices.SortStableFunc(acts, func(a, b act) int { return a.at.Compare(b.at) })
	for _, a := range acts {
		if d := a.at.Sub(w.now()); d > 0 {
			time.Sleep(d)
		}
		a.do()
		synctest.Wait()
	}
	w.until(s.off)
	w.checkHealth()
	if flood {
		w.fillUp(p, check)
	}
	if s.staysOn {
		return
	}
	w.powerOff(w.one(3))
}

// powerOff ends the boot, in peace or with a power cut.
func (w *world) powerOff(clean bool) {
	if clean {
		w.halt()
		time.Sleep(w.between(time.Second, 10*time.Second))
	} else {
		w.kill()
	}
	w.machine.off = w.now()
	w.wall = w.now().Add(w.machine.ahead)
	time.Sleep(w.between(40*time.Second, 3*time.Minute))
}

// brownout is a night in which the power comes and goes more often than the clock
// remembers boots. In the first of them somebody sets the date while the reader is
// deaf: when that ended only this boot's clock can tell.
func (w *world) brownout(boots int) {
	begin := func() {
		w.powerOn()
		time.Sleep(w.between(8*time.Second, 20*time.Second))
		w.start()
		time.Sleep(5 * time.Second)
		w.sync()
		time.Sleep(time.Minute)
	}
	begin()
	w.readerFault(card.ErrDeaf)
	time.Sleep(2 * time.Minute)
	w.machine.jump(-2 * time.Hour)
	time.Sleep(time.Minute)
	w.readerFault(nil)
	time.Sleep(time.Minute)
	w.powerOff(false)
	for range boots {
		begin()
		w.powerOff(false)
	}
}

// sync is the first answer of a time server, or one after somebody set the date.
func (w *world) sync() {
	tr := w.truth
	if w.machine.first.IsZero() {
		tr.mu.Lock()
		tr.ends(clockUnknown, false)
		if tr.dated.IsZero() {
			tr.dated = w.machine.born
		}
		tr.mu.Unlock()
		tr.released()
	}
	w.machine.ntp(w.between(-20*time.Millisecond, 20*time.Millisecond))
	time.Sleep(2 * time.Second) // what was held back is on the disk
}

func badgeUID(n int) card.UID {
	uid, err := card.NewUID([]byte{0x04, 0xA1, byte(n >> 16), byte(n >> 8), byte(n), 0x5A, 0x80})
	if err != nil {
		panic(err)
	}
	return uid
}

// tap lets somebody show a badge, twice where they are not sure, or hold it for
// long.
func (w *world) tap(badge int) {
	hold := 200 * time.Millisecond
	if w.one(25) {
		hold = w.between(20*time.Second, 50*time.Second)
	}
	w.show(badge, hold)
	if w.one(15) {
		time.Sleep(w.between(2*time.Second, 20*time.Second))
		w.show(badge, 200*time.Millisecond)
	}
}

// show lays a badge on the reader for a while and holds the lamp's answer
// against what it must be.
func (w *world) show(badge int, hold time.Duration) {
	of, tr := w.life, w.truth
	uid := badgeUID(badge)
	fault := w.door.fault
	of.mu.Lock()
	before := len(of.answers)
	of.mu.Unlock()
	w.door.change(func() { w.door.cards = append(w.door.cards, card.Card{UID: uid, SAK: 0x08}) })
	time.Sleep(hold)
	synctest.Wait()
	var at time.Time
	w.door.change(func() {
		at = w.door.seen[uid]
		delete(w.door.seen, uid)
		w.door.cards = nil
	})
	left := w.now()
	time.Sleep(300 * time.Millisecond) // by when it was missed often enough to have left
	synctest.Wait()
	of.mu.Lock()
	answers := slices.Clone(of.answers[before:])
	of.answers = of.answers[:0]
	of.mu.Unlock()
	if fault != nil {
		if len(answers) != 0 {
			tr.note("lamp", "a reader with a fault answered")
		}
		return
	}
	if len(answers) != 1 || at.IsZero() {
		tr.note("lamp", "%d answers to one badge", len(answers))
		return
	}
	a := answers[0]
	want := tr.visit(a.Badge, at)
	switch {
	case a.Outcome == want:
	case a.Outcome == presence.Refused && want == presence.Accepted && a.Reason == "journal-full" && w.flooded:
	default:
		tr.note("lamp", "badge %s: %s (%s), want %s", a.Badge, a.Outcome, a.Reason, want)
	}
	if a.Outcome == presence.Refused {
		y, m, d := at.In(w.office).Date()
		w.refusedOn[time.Date(y, m, d, 0, 0, 0, 0, w.office)]++
	}
	if a.Outcome != presence.Repeat {
		of.refuses = a.Outcome == presence.Refused
	}
	if a.Badge != uid.String() {
		tr.note("lamp", "badge %s answered as %s", uid, a.Badge)
	}
	tr.tapped(a, at, left)
}

// note is wrong for who does not hold the mutex.
func (tr *truth) note(what, format string, args ...any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.wrong(what, format, args...)
}

// report1 lets a tag report where it is: every other one moves.
func (w *world) hearTag(tag, turn int) {
	f := &frame{tag: "kenwood:100-" + strconv.Itoa(1001+tag), lat: -7.9778, lon: 112.634 + float64(tag)*0.001, at: w.now().Truncate(time.Second)}
	if tag%2 == 0 {
		f.lat += 0.0006 * float64(turn%2) // 67 m, there and back
	}
	// Times of a fix are told in seconds, and this is when it is heard.
	time.Sleep(f.at.Add(time.Second).Sub(w.now()))
	f.at = w.now()
	if w.truth.edge(f) {
		return
	}
	sentence := beacontest.PKLDS(100, 1001+tag, f.lat, f.lon, f.at)
	if w.one(400) {
		w.hear(f, sentence)
		time.Sleep(time.Second)
	}
	w.hear(f, sentence)
}

func (w *world) hear(f *frame, sentence string) {
	if !w.yard.send(sentence) {
		return
	}
	w.life.frame = w.now()
	w.truth.heard(f)
}

// noise lets the receiver hear what is no report.
func (w *world) noise() {
	for range 1 + w.rng.IntN(20) {
		sentence, why := "$PKLDS,073000,A,0758.6680,S,11238.0400,E,000.0,000.0,050126,,W00,100,1001,80,00,*00\r\n", "checksum"
		if w.one(2) {
			sentence, why = beacontest.Sentence("PKLDS,073000,A,0758.6680,S,11238.0400,E,000.0,000.0,990126,,W00,100,1001,80,00,"), "range"
		}
		if w.yard.send(sentence) {
			w.life.counts.bad[why]++
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (w *world) readerFault(why error) {
	tr := w.truth
	tr.mu.Lock()
	had := w.door.fault != nil
	switch {
	case had && why == nil:
		tr.ends("reader-door", false)
	case !had && why != nil:
		tr.begins("reader-door")
	}
	tr.mu.Unlock()
	w.door.change(func() { w.door.fault = why })
	if had && why == nil {
		time.Sleep(openAgain) // it is opened again by then
	}
}

func (w *world) unplug(gone bool) {
	tr := w.truth
	tr.mu.Lock()
	switch {
	case w.yard.gone && !gone:
		tr.ends("receiver-yard", false)
	case !w.yard.gone && gone:
		tr.begins("receiver-yard")
	}
	tr.mu.Unlock()
	back := w.yard.gone && !gone
	w.yard.unplug(gone)
	if back {
		time.Sleep(openAgain)
	}
}

// restart ends the process and starts it again in the same boot.
func (w *world) restart(clean bool) {
	// What is told apart by its time before must have been heard before. Tag records
	// that had to go are not remembered by the next process, so that it would judge
	// the next reports otherwise.
	if w.now().Sub(w.life.since) < 3*w.cfg.Tags.Heartbeat/2 || w.flooded {
		return
	}
	w.again(clean)
}

// again ends the process and starts it, whatever that does to the tags.
func (w *world) again(clean bool) {
	time.Sleep(3 * time.Second) // patient events are on the disk
	if clean {
		w.halt()
	} else {
		w.kill()
	}
	time.Sleep(5 * time.Second) // RestartSec
	w.start()
	time.Sleep(2 * time.Second)
}

// tapAcrossCrash shows a badge, kills the gateway, and shows the badge again.
func (w *world) tapAcrossCrash() {
	if w.now().Sub(w.life.since) < 3*w.cfg.Tags.Heartbeat/2 || w.flooded || w.door.fault != nil {
		return
	}
	time.Sleep(3 * time.Second)
	w.show(5, 200*time.Millisecond)
	w.kill()
	time.Sleep(5 * time.Second)
	w.start()
	time.Sleep(2 * time.Second)
	w.show(5, 200*time.Millisecond)
}

// fillUp brings so many reports and taps that the journal has room for nothing
// more, kills the gateway while it is so, and goes on for a while.
func (w *world) fillUp(p plan, check func()) {
	w.truth.mu.Lock()
	w.truth.crowded = w.now()
	w.truth.mu.Unlock()
	for i := range p.flood {
		tag := 2000 + i%500
		f := &frame{
			tag: "kenwood:101-" + strconv.Itoa(tag), at: w.now().Truncate(time.Second),
			lat: -7.9 + float64(i/500%2)*0.001, lon: 112.6,
		}
		if i%50 == 0 {
			time.Sleep(f.at.Add(5 * time.Second).Sub(w.now()))
			f.at = w.now()
		}
		if !w.truth.edge(f) {
			w.hear(f, beacontest.PKLDS(101, tag, f.lat, f.lon, f.at))
		}
	}
	synctest.Wait()
	w.checkHealth()
	refused := 0
	for i := 0; i < p.storm && refused < 300; i++ {
		w.show(100_000+i, 100*time.Millisecond)
		if w.life.refuses {
			refused++
		}
		if refused == 100 {
			refused++
			w.checkHealth()
			w.again(w.one(2))
		}
	}
	time.Sleep(6 * time.Minute)
	check()
	if refused == 0 {
		w.truth.note("simulator", "the journal was not filled")
	}
	w.checkHealth()
}

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
