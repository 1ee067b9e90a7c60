package staff

import (
	"context"
	"fmt"
	"log/slog"
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
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/roster"
	"presence/gatewayd/internal/tags"
	"presence/scripts/skiptest"
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
	// A fix nearer than this may be one of a desk, and is held against nobody.
	surelyOutside = fenceRadius + 60

	radioRange = 2500
	officeLat  = -7.9778
	officeLon  = 112.6340
)

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

// evaluate lets the staff follow the journal and evaluate, as Run does each second. To
// be quick it is only called every few.
func (o *office) evaluate() {
	ctx := context.Background()
	for {
		if err := o.staff.evaluateAll(ctx); err != nil {
			o.t.Fatal(err)
		}
		if o.staff.today == 0 || o.staff.pos == uint64(len(o.book.entries)) {
			return
		}
		if err := o.staff.follow(ctx); err != nil {
			o.t.Fatal(err)
		}
	}
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
		res.compare(o.book.entries[first:], staff, day, killed)
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
	decoders := o.decoders(reports)
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
		o.evaluate()
	}
}

// decoders are those of the receivers, each with all its frames of a day before it.
func (o *office) decoders(reports []report) map[string]beacon.Decoder {
	wires := map[string]*strings.Builder{"yard": {}, "gate": {}, "roof": {}}
	for _, rep := range reports {
		wires[rep.receiver].WriteString(rep.frame)
	}
	all := make(map[string]beacon.Decoder)
	for name, wire := range wires {
		protocol := beacon.Kenwood
		if name == "roof" {
			protocol = beacon.Reyax
		}
		decoder, err := beacon.New(protocol, strings.NewReader(wire.String()), beacon.Options{})
		if err != nil {
			o.t.Fatal(err)
		}
		all[name] = decoder
	}
	return all
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
	skiptest.Computation(t)
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
