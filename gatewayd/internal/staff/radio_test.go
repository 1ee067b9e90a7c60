package staff

import (
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"presence/drivers/beacon/beacontest"
)

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

// heardWhole is when a worker's reports had told for 5 minutes, without a
// silence and to one process of the gateway, that the tag was surely outside.
func (w *worker) heardWhole(from, killed time.Time) (time.Time, bool) {
	var begin, last time.Time
	for _, t := range w.heard {
		if t.Before(from) || w.at(t).far() < surelyOutside {
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
