package staff

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// point is in metres east and north of the middle of the office.
type point struct{ x, y float64 }

func (p point) add(q point) point { return point{p.x + q.x, p.y + q.y} }

func (p point) scale(f float64) point { return point{p.x * f, p.y * f} }

func (p point) far() float64 { return math.Hypot(p.x, p.y) }

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
	at := day.Add
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
