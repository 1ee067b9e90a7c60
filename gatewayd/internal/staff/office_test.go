package staff

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"presence/drivers/beacon"
	"presence/drivers/beacon/beacontest"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/roster"
	"presence/gatewayd/internal/tags"
)

// The simulated office: 60 people with badges and tags through one working week,
// over the real decoders, the real tags, hours and roster, on a virtual clock.
//
// It is as unfair to the gateway as an office can be while it is still possible
// to be fair to the people:
//
//   - The fence is a circle of 100 m, and desks are up to 95 m from its middle: the
//     building stands at the fence.
//   - A fix indoors is 5 to 60 m off, more or less so from desk to desk. Most of
//     that is a reflection that stays the same for minutes (6 on average, up to
//     half an hour) before it jumps elsewhere: averaging does not help. The rest
//     is new with each fix. Outdoors it is 5 m.
//   - One fix in 200 is 60 to 400 m off, and one desk in five sees once a day a
//     reflection from farther away, 60 to 200 m, for up to 4 minutes.
//   - Half of the reports claim no accuracy and none of them a good one.
//   - About once an hour the tag under the roof has no fix for 2 to 20 minutes.
//     Some say so, some say nothing, some send their last fix again with its old
//     time. A few that were just switched on claim to be at home, with a fresh
//     time, for up to 3 minutes.
//   - The radio loses 3 % of the reports anywhere; a second receiver hears some
//     of the others a second later.
//   - Tags report every 30, 60 or 120 s, 5 % more or less.
//   - Half of the people go out for lunch, leave up to 2 minutes early and come
//     back up to 3 minutes late. Each day three run an errand across the street
//     for 3 to 4 minutes. Some come late, and some leave 3 minutes early.
//   - One tag is flat all week. Another dies on Tuesday in the middle of an
//     errand, outside.
//   - Once in the week the gateway is killed and started again.
//
// Two tags are copied: somebody else sends with their id, every 5 s, every 20 s or as
// often as the tag, with the true time or one that is up to 100 s ahead. The one copy
// is 400 to 2,400 m away, 1,000 if it sends as seldom as the tag, and is switched on each day at some time while the tag
// itself is heard, and its owner is at the desk: a copy that begins while the tag is
// silent cannot be told from a person who leaves. The other copy lies at the desk on
// Thursday, while the owner goes home with the tag after lunch.
//
// And three are not where their badges say. One shows it and leaves for an hour
// or two, one shows it and leaves for good after lunch, and the badge of one is
// shown every morning by a colleague, while the tag is at home.

const (
	people   = 60
	tagFlat  = 0 // the people with a story of their own
	tagDies  = 1
	leaves   = 2
	goesHome = 3
	proxied  = 4
	copied   = 5
	covered  = 6
	ordinary = 7 // and all others

	lookSeconds = 10 // of the simulation; a real gateway looks each second

	fenceRadius = 100
	radioRange  = 2500
	officeLat   = -7.9778
	officeLon   = 112.6340
)

// point is in metres east and north of the middle of the office.
type point struct{ x, y float64 }

func (p point) add(q point) point     { return point{p.x + q.x, p.y + q.y} }
func (p point) scale(f float64) point { return point{p.x * f, p.y * f} }
func (p point) far() float64          { return math.Hypot(p.x, p.y) }
func polar(angle, radius float64) point {
	return point{radius * math.Cos(angle), radius * math.Sin(angle)}
}
func between(r *rand.Rand, a, b float64) float64 { return a + (b-a)*r.Float64() }

func lasting(r *rand.Rand, a, b time.Duration) time.Duration {
	return a + time.Duration(r.Float64()*float64(b-a))
}

// worker is one of the staff.
type worker struct {
	n          int
	badge, tag string
	desk, home point
	roof       float64 // how far off a fix at the desk may be, in metres
	interval   time.Duration
	r          *rand.Rand

	path  []stop
	taps  []time.Time
	heard []time.Time // when a report of a fix of just then reached a receiver

	bias        point // of the fixes under the roof, until biasEnds
	biasEnds    time.Time
	wild        [2]time.Time // of the reflection from far away
	dropouts    [][2]time.Time
	last        point // the last fix, and when it was taken
	lastAt      time.Time
	wakes, dies time.Time

	copy     point // where somebody else sends with the tag's id
	copyFrom time.Time
}

// stop is where a worker is at an instant; between two it is a straight way.
type stop struct {
	at time.Time
	p  point
}

func newWorker(n int, r *rand.Rand) *worker {
	w := &worker{
		n: n, badge: fmt.Sprintf("h:%032x", n+1), r: r,
		desk:     polar(r.Float64()*2*math.Pi, 95*math.Sqrt(r.Float64())),
		home:     polar(r.Float64()*2*math.Pi, between(r, 800, 5000)),
		roof:     between(r, 5, 60),
		interval: []time.Duration{30 * time.Second, time.Minute, time.Minute, 2 * time.Minute}[r.IntN(4)],
	}
	w.tag = fmt.Sprintf("kenwood:100-%d", 1000+n)
	if n%2 == 0 {
		w.tag = fmt.Sprintf("reyax:%d", n+1)
	}
	switch n {
	case leaves, goesHome, proxied, covered: // within the radio's range: else their tags are silent
		w.home = w.home.scale(between(r, 800, 2000) / w.home.far())
	}
	return w
}

// goTo adds a way: it is left at an instant and walked at so many m/s.
func (w *worker) goTo(leave time.Time, to point, speed float64) (arrived time.Time) {
	from := w.path[len(w.path)-1].p
	arrived = leave.Add(time.Duration(from.add(to.scale(-1)).far() / speed * float64(time.Second)))
	w.path = append(w.path, stop{leave, from}, stop{arrived, to})
	return arrived
}

const (
	onFoot      = 1.4
	onMotorbike = 7
)

// away goes out so far, and is back inside the fence at an instant.
func (w *worker) away(leave, back time.Time, to point, speed float64) {
	w.goTo(leave, to, speed)
	inside := w.desk.add(to.add(w.desk.scale(-1)).scale(0.98 * crossing(w.desk, to)))
	way := to.add(inside.scale(-1)).far() / speed
	w.goTo(back.Add(-time.Duration(way*float64(time.Second))), w.desk, speed)
}

// crossing is at which part of the way from inside to outside the fence is.
func crossing(from, to point) float64 {
	a, b := 0.0, 1.0
	for range 40 {
		if mid := (a + b) / 2; from.add(to.add(from.scale(-1)).scale(mid)).far() < fenceRadius {
			a = mid
		} else {
			b = mid
		}
	}
	return b
}

// plan makes a day: where the worker goes and when the badge is shown.
func (w *worker) plan(day time.Time) {
	r := w.r
	at := func(clock time.Duration) time.Time { return day.Add(clock) }
	closes := 16 * time.Hour
	if day.Weekday() == time.Friday {
		closes += 30 * time.Minute
	}
	w.path, w.taps, w.heard, w.dropouts = []stop{{at(5 * time.Hour), w.home}}, nil, nil, nil
	w.wakes, w.dies, w.lastAt = time.Time{}, time.Time{}, time.Time{}
	w.copyFrom = time.Time{}
	door := w.desk.scale(0.8)
	arrives := lasting(r, 6*time.Hour+50*time.Minute, 7*time.Hour+25*time.Minute)
	if w.n >= ordinary && r.IntN(10) == 0 {
		arrives = lasting(r, 7*time.Hour+31*time.Minute, 8*time.Hour+10*time.Minute)
	}
	if w.n == proxied {
		w.taps = []time.Time{at(arrives)}
		w.unsteady(at(6*time.Hour), at(17*time.Hour))
		return
	}
	way := time.Duration(w.home.add(door.scale(-1)).far() / onMotorbike * float64(time.Second))
	w.goTo(at(arrives).Add(-way), door, onMotorbike)
	w.taps = []time.Time{at(arrives).Add(lasting(r, 0, 20*time.Second))}
	w.goTo(at(arrives).Add(20*time.Second), w.desk, onFoot)
	if r.IntN(10) == 0 {
		w.wakes = at(arrives).Add(lasting(r, time.Minute, 3*time.Minute))
	}
	w.unsteady(at(arrives), at(closes))

	day5 := int(day.Weekday()) - int(time.Monday)
	errand := w.n >= ordinary && (w.n-ordinary)%18 == 3*day5+w.n%3 || w.n == tagDies && day5 == 1
	if errand {
		// Across the street: outside for 3 to 4 minutes in all.
		begin := at(lasting(r, 9*time.Hour, 11*time.Hour))
		to := w.desk.scale(between(r, 130, 180) / max(w.desk.far(), 1))
		out := to.add(w.desk.scale(-1)).scale(1-crossing(w.desk, to)).far() / onFoot
		left := begin.Add(time.Duration(to.add(w.desk.scale(-1)).scale(crossing(w.desk, to)).far() / onFoot * float64(time.Second)))
		stays := lasting(r, 180*time.Second, 240*time.Second)
		if 2*out < stays.Seconds() {
			w.away(begin, left.Add(stays), to, onFoot)
		}
		if w.n == tagDies {
			w.dies = left.Add(2 * time.Minute)
		}
	}
	if w.n == leaves && day5 == 2 {
		w.away(at(lasting(r, 8*time.Hour, 9*time.Hour)), at(lasting(r, 10*time.Hour, 11*time.Hour)), w.home, onMotorbike)
	}
	if r.IntN(2) == 0 {
		to := polar(r.Float64()*2*math.Pi, between(r, 150, 1200))
		speed := onFoot
		if to.far() > 500 {
			speed = onMotorbike
		}
		begin := at(lasting(r, 11*time.Hour+58*time.Minute, 12*time.Hour+10*time.Minute))
		w.away(begin, at(lasting(r, 12*time.Hour+45*time.Minute, 13*time.Hour+3*time.Minute)), to, speed)
	}
	home := lasting(r, closes-3*time.Minute, closes+time.Hour)
	if (w.n == goesHome || w.n == covered) && day5 == 3 {
		home = lasting(r, 13*time.Hour+10*time.Minute, 14*time.Hour+30*time.Minute)
	}
	w.goTo(at(home), w.home, onMotorbike)
}

// unsteady says when the fixes under the roof fail.
func (w *worker) unsteady(from, to time.Time) {
	for t := from; t.Before(to); t = t.Add(lasting(w.r, 20*time.Minute, 100*time.Minute)) {
		w.dropouts = append(w.dropouts, [2]time.Time{t, t.Add(lasting(w.r, 2*time.Minute, 20*time.Minute))})
	}
	w.wild = [2]time.Time{}
	if w.r.IntN(5) == 0 {
		begin := from.Add(lasting(w.r, time.Hour, 8*time.Hour))
		w.wild = [2]time.Time{begin, begin.Add(lasting(w.r, time.Minute, 4*time.Minute))}
	}
}

// where a worker is in truth.
func (w *worker) at(t time.Time) point {
	i, _ := slices.BinarySearchFunc(w.path, t, func(s stop, t time.Time) int { return s.at.Compare(t) })
	switch {
	case i == 0:
		return w.path[0].p
	case i == len(w.path):
		return w.path[i-1].p
	}
	a, b := w.path[i-1], w.path[i]
	part := float64(t.Sub(a.at)) / float64(max(b.at.Sub(a.at), 1))
	return a.p.add(b.p.add(a.p.scale(-1)).scale(part))
}

// indoors tells whether the worker is under a roof there.
func (w *worker) indoors(p point) bool { return p == w.desk || p == w.home }

// report is what a receiver gets at an instant.
type report struct {
	at       time.Time
	receiver string
	frame    string
	valid    bool // a decoder makes a fix of it
}

// beacons are the reports of a day, as far as they are received.
func (w *worker) beacons(day time.Time) (all []report) {
	if w.n == tagFlat {
		return nil
	}
	step := func() time.Duration { return time.Duration(float64(w.interval) * between(w.r, 0.95, 1.05)) }
	end := day.Add(17 * time.Hour)
	for t := day.Add(6*time.Hour + 30*time.Minute).Add(lasting(w.r, 0, w.interval)); t.Before(end); t = t.Add(step()) {
		if !w.dies.IsZero() && t.After(w.dies) {
			break
		}
		p := w.at(t)
		fix, taken, ok := w.fix(t, p)
		if p.far() > radioRange || w.r.Float64() < 0.03 {
			continue
		}
		if !ok {
			if w.n%3 == 1 && w.n%2 == 1 { // says so
				void := strings.Replace(w.frame(fix, taken), ",A,", ",V,", 1)
				all = append(all, report{t, w.receiver(), resum(void), false})
			}
			continue
		}
		if taken.Equal(t) {
			w.heard = append(w.heard, t)
		}
		frame := w.frame(fix, taken)
		all = append(all, report{t, w.receiver(), frame, true})
		if w.receiver() == "yard" && w.r.IntN(5) < 2 {
			all = append(all, report{t.Add(time.Second), "gate", frame, true})
		}
	}
	return all
}

// copies are the reports of a day by whoever copied the tag.
func (w *worker) copies(day time.Time) (all []report) {
	day5 := int(day.Weekday()) - int(time.Monday)
	switch {
	case w.n == copied:
		w.copy = polar(w.r.Float64()*2*math.Pi, between(w.r, 400, 2400))
		w.copyFrom = w.heardFrom(day.Add(lasting(w.r, 7*time.Hour+40*time.Minute, 14*time.Hour)))
	case w.n == covered && day5 == 3:
		w.copy, w.copyFrom = w.desk, day.Add(6*time.Hour+30*time.Minute)
	default:
		return nil
	}
	if w.copyFrom.IsZero() {
		return nil
	}
	every := []time.Duration{5 * time.Second, 20 * time.Second, w.interval}[w.r.IntN(3)]
	if every == w.interval && w.n == copied {
		w.copy = w.copy.scale(max(1, 1000/w.copy.far()))
	}
	ahead := time.Duration(w.r.IntN(2)*w.r.IntN(100)) * time.Second
	for t := w.copyFrom; t.Before(day.Add(17 * time.Hour)); t = t.Add(every) {
		p := w.copy.add(point{5 * w.r.NormFloat64(), 5 * w.r.NormFloat64()})
		all = append(all, report{t, w.receiver(), w.frame(p, t.Add(ahead)), true})
	}
	return all
}

// heardFrom is the first instant from one on behind which the tag is heard four
// times within the working hours, with no more than 4 minutes in between; zero if
// there is none.
func (w *worker) heardFrom(from time.Time) time.Time {
	const most = 4 * time.Minute
	open := week().Open
	for i := 1; i+4 < len(w.heard); i++ {
		in := true
		for k := range 5 {
			in = in && w.heard[i+k].Sub(w.heard[i+k-1]) <= most && w.at(w.heard[i+k]) == w.desk && open(w.heard[i+k-1])
		}
		if start := w.heard[i-1].Add(time.Second); in && !start.Before(from) {
			return start
		}
	}
	return time.Time{}
}

// resum corrects the checksum of a sentence that was changed.
func resum(sentence string) string {
	body, _, _ := strings.Cut(strings.TrimPrefix(sentence, "$"), "*")
	return beacontest.Sentence(body)
}

func (w *worker) receiver() string {
	if w.n%2 == 0 {
		return "roof"
	}
	return "yard"
}

func (w *worker) frame(p point, t time.Time) string {
	lat, lon := officeLat+p.y/111_195, officeLon+p.x/(111_195*math.Cos(officeLat*math.Pi/180))
	if w.n%2 == 0 {
		return beacontest.Reyax(w.n+1, lat, lon, t, -90, 7)
	}
	return beacontest.PKLDS(100, 1000+w.n, lat, lon, t)
}

// fix is what the tag believes, and when it took it; false if it has none.
func (w *worker) fix(t time.Time, p point) (fix point, taken time.Time, ok bool) {
	r := w.r
	if !w.indoors(p) {
		w.last, w.lastAt = p.add(point{3.5 * r.NormFloat64(), 3.5 * r.NormFloat64()}), t
		return w.last, t, true
	}
	if t.Before(w.wakes) && p == w.desk {
		return w.home, t, true
	}
	for _, d := range w.dropouts {
		if t.After(d[0]) && t.Before(d[1]) {
			latched := w.n%3 == 2 && !w.lastAt.IsZero()
			return w.last, w.lastAt, latched
		}
	}
	if t.After(w.biasEnds) {
		lasts := min(time.Duration(r.ExpFloat64()*float64(6*time.Minute)), 30*time.Minute)
		w.bias, w.biasEnds = polar(r.Float64()*2*math.Pi, w.roof*between(r, 0.3, 0.85)), t.Add(lasts)
	}
	off := w.bias.add(point{0.15 * w.roof * r.NormFloat64(), 0.15 * w.roof * r.NormFloat64()})
	switch {
	case t.After(w.wild[0]) && t.Before(w.wild[1]):
		off = polar(float64(w.n), between(rand.New(rand.NewPCG(uint64(w.n), 1)), 60, 200))
	case r.IntN(200) == 0:
		off = polar(r.Float64()*2*math.Pi, between(r, 60, 400))
	}
	w.last, w.lastAt = p.add(off), t
	return w.last, t, true
}

// truth is a stretch for which somebody is not where the badge says.
type truth struct {
	worker   int
	from, to time.Time
	found    time.Time
}

// truths are the contradictions of a day, by the script and nothing else.
func (w *worker) truths(day time.Time) []truth {
	opens, closes := day.Add(7*time.Hour+30*time.Minute), day.Add(16*time.Hour)
	if day.Weekday() == time.Friday {
		closes = closes.Add(30 * time.Minute)
	}
	day5 := int(day.Weekday()) - int(time.Monday)
	switch {
	case w.n == proxied:
		return []truth{{worker: w.n, from: opens, to: closes}}
	case w.n == leaves && day5 == 2, w.n == goesHome && day5 == 3:
		from := opens.Add(15 * time.Minute)
		if w.n == goesHome {
			from = day.Add(13*time.Hour + 5*time.Minute)
		}
		for w.at(from).far() < fenceRadius {
			from = from.Add(time.Second)
		}
		to := from
		for w.at(to).far() >= fenceRadius && to.Before(closes) {
			to = to.Add(time.Second)
		}
		return []truth{{worker: w.n, from: from, to: to}}
	}
	return nil
}

// office is the gateway in the simulated office.
type office struct {
	t      testing.TB
	time   time.Time
	up     time.Time
	book   book
	roster *roster.Roster
	tags   *tags.Tags
	staff  *Staff
}

func (o *office) now() presence.Reading {
	return presence.Reading{Boot: presence.ID{1}, Boottime: o.time.Sub(o.up), Wall: o.time.UnixNano(), State: presence.ClockSynced, MaxError: 10 * time.Millisecond}
}

func (o *office) timing(r presence.Reading) presence.Timing {
	return presence.Timing{Quality: presence.QualitySynced, Time: r.WallTime().In(wib), Error: r.MaxError}
}

// start is a process that begins.
func (o *office) start() {
	fence, err := tags.NewCircle(officeLat, officeLon, fenceRadius)
	if err != nil {
		o.t.Fatal(err)
	}
	calendar := week()
	o.tags = tags.New(tags.Options{
		MinInterval: 30 * time.Second, MinMove: 25, Heartbeat: 10 * time.Minute, Coordinates: tags.Full,
		Fence: fence, Always: func() bool { return false }, Open: calendar.Open, Now: o.now, Timing: o.timing, Journal: &o.book, Log: slog.New(slog.DiscardHandler),
	}, "yard", "gate", "roof")
	_ = o.book.Tail(o.tags.Remember) // of a journal in memory
	o.staff = New(Options{
		Roster: o.pairs, Where: o.tags.Where, Open: calendar.Open, Location: wib,
		Now: o.now, Timing: o.timing, Journal: &o.book,
	})
}

func (o *office) pairs() (map[string]string, <-chan struct{}) {
	pairs, replaced := o.roster.Pairs()
	tagOf := make(map[string]string, len(pairs))
	for _, p := range pairs {
		tagOf[p.Badge] = p.Tag
	}
	return tagOf, replaced
}

// look lets the staff read and look, as Run does each second. To be quick it is
// only called every few.
func (o *office) look() {
	ctx := context.Background()
	for {
		if err := o.staff.look(ctx); err != nil {
			o.t.Fatal(err)
		}
		if o.staff.today == 0 || o.staff.pos == uint64(len(o.book.entries)) {
			return
		}
		if err := o.staff.read(ctx); err != nil {
			o.t.Fatal(err)
		}
	}
}

// result is what came of one week.
type result struct {
	truths     []truth
	late       []string        // found later than allowed, or not at all
	accused    []string        // falsely
	latencies  []time.Duration // of all that were found
	prompt     []time.Duration // of those that were heard all the time, less two intervals
	broken     int             // the others
	takenBack  time.Duration   // the longest from a return to the end of a contradiction
	unseen     int             // person-days at the desk of which on_site was never said
	events     int
	most       int // events of one person on one day
	personDays int
	copies     int      // switched on
	unnoticed  []string // of those, what nobody was told of
	digest     string
}

// runWeek simulates one week.
func runWeek(t testing.TB, seed uint64) (res result) {
	o := &office{t: t, up: monday, time: monday.Add(6 * time.Hour), roster: roster.New()}
	var csv strings.Builder
	csv.WriteString("badge,tag\n")
	var staff []*worker
	for n := range people {
		w := newWorker(n, rand.New(rand.NewPCG(seed, uint64(n))))
		staff = append(staff, w)
		fmt.Fprintf(&csv, "%s,%s\n", w.badge, w.tag)
	}
	pairs, err := roster.ParseCSV([]byte(csv.String()), presence.HashedBadges([32]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	o.roster.SetFile(pairs)
	o.start()
	r := rand.New(rand.NewPCG(seed, people))
	killed := monday.AddDate(0, 0, r.IntN(5)).Add(lasting(r, 8*time.Hour, 15*time.Hour))
	for d := range 5 {
		day := monday.AddDate(0, 0, d)
		first := len(o.book.entries)
		o.runDay(day, staff, killed)
		res.judge(o.book.entries[first:], staff, day, killed)
	}
	var digest strings.Builder
	for _, e := range o.book.entries {
		if e.Person != nil {
			fmt.Fprintf(&digest, "%v %v %v %v\n", e.At.Wall, e.Person.Badge, e.Person.State, e.Person.Events)
		}
	}
	res.digest = digest.String()
	return res
}

// runDay brings all reports and taps of a day in, in the order of time.
func (o *office) runDay(day time.Time, staff []*worker, killed time.Time) {
	var reports []report
	type tap struct {
		at    time.Time
		badge string
	}
	var taps []tap
	for _, w := range staff {
		w.plan(day)
		reports = append(reports, w.beacons(day)...)
		reports = append(reports, w.copies(day)...)
		for _, at := range w.taps {
			taps = append(taps, tap{at, w.badge})
		}
	}
	slices.SortStableFunc(reports, func(a, b report) int { return a.at.Compare(b.at) })
	slices.SortStableFunc(taps, func(a, b tap) int { return a.at.Compare(b.at) })
	wires := map[string]*strings.Builder{"yard": {}, "gate": {}, "roof": {}}
	for _, rep := range reports {
		wires[rep.receiver].WriteString(rep.frame)
	}
	decoders := make(map[string]beacon.Decoder)
	for name, wire := range wires {
		protocol := beacon.Kenwood
		if name == "roof" {
			protocol = beacon.Reyax
		}
		decoder, err := beacon.New(protocol, strings.NewReader(wire.String()), nil)
		if err != nil {
			o.t.Fatal(err)
		}
		decoders[name] = decoder
	}
	ctx := context.Background()
	const every = lookSeconds * time.Second
	i := 0
	for at := day.Add(6*time.Hour + 30*time.Minute); at.Before(day.Add(17 * time.Hour)); at = at.Add(every) {
		if !killed.Before(at.Add(-every)) && killed.Before(at) {
			o.start()
		}
		for ; len(taps) > 0 && !taps[0].at.After(at); taps = taps[1:] {
			o.time = taps[0].at
			_, _ = o.book.Append(ctx, presence.Draft{Kind: presence.KindBadge, At: o.now(), Badge: &presence.Badge{Reader: "door", Badge: taps[0].badge}}) // never fails
		}
		for ; i < len(reports) && !reports[i].at.After(at); i++ {
			if !reports[i].valid {
				continue
			}
			o.time = reports[i].at
			fix, err := decoders[reports[i].receiver].Next()
			if err != nil {
				o.t.Fatal(err)
			}
			if err := o.tags.Receive(ctx, reports[i].receiver, fix); err != nil {
				o.t.Fatal(err)
			}
		}
		o.time = at
		o.look()
	}
}

// judge holds what was said on a day against the script.
func (res *result) judge(entries []presence.Entry, staff []*worker, day, killed time.Time) {
	byBadge := make(map[string]*worker)
	said := make(map[*worker][]presence.Entry)
	for _, w := range staff {
		byBadge[w.badge] = w
	}
	conflict := make(map[string]time.Time) // by tag, when it was told first
	for _, e := range entries {
		if e.Person != nil {
			w := byBadge[e.Person.Badge]
			said[w] = append(said[w], e)
		}
		if e.Tag != nil && e.Tag.Conflict && conflict[e.Tag.Tag].IsZero() {
			conflict[e.Tag.Tag] = e.At.WallTime()
		}
	}
	for _, w := range staff {
		res.judgeCopy(w, said[w], conflict[w.tag], day)
	}
	const looks = lookSeconds * time.Second
	for _, w := range staff {
		list := said[w]
		truths := w.truths(day)
		onSite := false
		for i, e := range list {
			at := e.At.WallTime()
			onSite = onSite || e.Person.State == presence.OnSite
			if e.Person.State != presence.Contradiction {
				continue
			}
			k := slices.IndexFunc(truths, func(t truth) bool { return !at.Before(t.from) && at.Before(t.to.Add(looks)) })
			if k < 0 {
				res.accused = append(res.accused, fmt.Sprintf("worker %d (roof %.0f m, desk %.0f m) %s", w.n, w.roof, w.desk.far(), at.In(wib).Format("Mon 15:04:05")))
				continue
			}
			if truths[k].found.IsZero() {
				truths[k].found = at
			}
			if i+1 < len(list) && truths[k].to.Before(list[i+1].At.WallTime()) {
				res.takenBack = max(res.takenBack, list[i+1].At.WallTime().Sub(truths[k].to))
			}
		}
		for _, t := range truths {
			res.measure(w, t, killed)
		}
		res.truths = append(res.truths, truths...)
		res.personDays++
		if !onSite && w.n != tagFlat && w.n != proxied && w.copyFrom.IsZero() && (w.n != tagDies || day.Weekday() == time.Monday) {
			res.unseen++
		}
		res.events += len(list)
		res.most = max(res.most, len(list))
	}
}

// judgeCopy holds what was told of a tag that was copied, or was not, against the
// script.
func (res *result) judgeCopy(w *worker, said []presence.Entry, told, day time.Time) {
	name := fmt.Sprintf("worker %d on %s", w.n, day.Weekday())
	if w.copyFrom.IsZero() {
		if !told.IsZero() {
			res.unnoticed = append(res.unnoticed, name+": a copy was told of, and there is none")
		}
		return
	}
	res.copies++
	if told.IsZero() {
		res.unnoticed = append(res.unnoticed, name+": nobody was told of the copy")
		return
	}
	for _, e := range said {
		if e.Person.State == presence.OnSite && e.At.WallTime().After(told.Add(lookSeconds*time.Second)) {
			res.unnoticed = append(res.unnoticed, name+": on site by a tag that is copied")
		}
	}
}

// measure tells how soon a contradiction was found. Allowed are 5 minutes and
// two intervals or, where reports were lost or had no fix, one interval after
// the first 5 minutes without a silence. What was heard before the gateway was killed
// is held against nobody, so the 5 minutes begin again there.
func (res *result) measure(w *worker, t truth, killed time.Time) {
	from := t.from.In(wib).Format("Mon 15:04:05")
	if t.found.IsZero() {
		res.late = append(res.late, fmt.Sprintf("worker %d from %s: never", w.n, from))
		return
	}
	latency := t.found.Sub(t.from)
	res.latencies = append(res.latencies, latency)
	const looks = lookSeconds * time.Second
	interval := w.interval * 105 / 100
	limit := provenAfter + 2*interval + looks
	if whole, ok := w.heardWhole(t.from, killed); !ok || whole.Sub(t.from) > limit-interval {
		res.broken++
		limit = whole.Sub(t.from) + interval + looks
	} else {
		res.prompt = append(res.prompt, latency-2*w.interval)
	}
	if latency > limit {
		res.late = append(res.late, fmt.Sprintf("worker %d from %s: %v, allowed %v", w.n, from, latency, limit))
	}
}

// heardWhole is when a worker's reports had told for 5 minutes, without a
// silence and to one process of the gateway, where the tag was.
func (w *worker) heardWhole(from, killed time.Time) (time.Time, bool) {
	var begin, last time.Time
	for _, t := range w.heard {
		if t.Before(from) {
			continue
		}
		lost := t.Sub(last) > 2*w.interval*105/100 // more than one
		if lost || last.Before(killed) && !t.Before(killed) {
			begin = t
		}
		if last = t; t.Sub(begin) >= provenAfter {
			return t, true
		}
	}
	return time.Time{}, false
}

// number is a number from the environment.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestOffice: the contradictions found are exactly those of the script, in the
// first week; `make bench-presence` runs a hundred, from OFFICE_FIRST on.
func TestOffice(t *testing.T) {
	t.Parallel()
	seeds, first := number(t, "OFFICE_SEEDS", 1), number(t, "OFFICE_FIRST", 0)
	results := make([]result, seeds)
	var work sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() {
			for seed := range next {
				results[seed] = runWeek(t, uint64(first+seed))
			}
		})
	}
	for seed := range seeds {
		next <- seed
	}
	close(next)
	work.Wait()
	report := tabulate(results)
	t.Log("\n" + report)
	for seed, res := range results {
		for _, what := range res.accused {
			t.Errorf("seed %d: falsely accused: %s", first+seed, what)
		}
		for _, what := range res.unnoticed {
			t.Errorf("seed %d: %s", first+seed, what)
		}
		for _, what := range res.late {
			t.Errorf("seed %d: not found in time: %s", first+seed, what)
		}
		if len(res.truths) != 7 {
			t.Errorf("seed %d: the script has %d contradictions", first+seed, len(res.truths))
		}
	}
}

func tabulate(results []result) string {
	var sum result
	truths, never := 0, 0
	for _, res := range results {
		truths += len(res.truths)
		for _, t := range res.truths {
			if t.found.IsZero() {
				never++
			}
		}
		sum.late = append(sum.late, res.late...)
		sum.accused = append(sum.accused, res.accused...)
		sum.latencies = append(sum.latencies, res.latencies...)
		sum.prompt = append(sum.prompt, res.prompt...)
		sum.copies += res.copies
		sum.unnoticed = append(sum.unnoticed, res.unnoticed...)
		sum.broken += res.broken
		sum.takenBack = max(sum.takenBack, res.takenBack)
		sum.unseen += res.unseen
		sum.events += res.events
		sum.most = max(sum.most, res.most)
		sum.personDays += res.personDays
	}
	var b strings.Builder
	row := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-58s %s\n", what, fmt.Sprintf(format, args...))
	}
	row("weeks, people, person-days", "%d, %d, %d", len(results), people, sum.personDays)
	row("contradictions in the script, found", "%d, %d", truths, truths-never)
	row("false positives (people accused who were there)", "%d", len(sum.accused))
	row("copied tags, not told of or believed", "%d, %d", sum.copies, len(sum.unnoticed))
	row("false negatives (never found)", "%d", never)
	row("found too late", "%d", len(sum.late)-never)
	row("from leaving to the event: median, max", "%v, %v", median(sum.latencies), longest(sum.latencies))
	row("  less two intervals, where 5 min were heard: median, max", "%v, %v (%d)", median(sum.prompt), longest(sum.prompt), len(sum.prompt))
	row("  where reports were lost or had no fix", "(%d)", sum.broken)
	row("from the return to the end of the contradiction: max", "%v", sum.takenBack)
	row("person-days at the desk without any on_site", "%d", sum.unseen)
	row("events per person and day: mean, max", "%.1f, %d", float64(sum.events)/float64(max(sum.personDays, 1)), sum.most)
	return b.String()
}

func median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	return slices.SortedFunc(slices.Values(list), cmp.Compare)[len(list)/2].Round(time.Second)
}

func longest(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	return slices.Max(list).Round(time.Second)
}
