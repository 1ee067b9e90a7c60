package presence

import "time"

// MaxDrift is the rate by which a boot clock may run off true time, as one part
// in so many: 1/4000 is 250 ppm.
//
// The crystal of a Pi is good for 20 ppm, but nobody measured it in a metal
// box in the sun, and a poor one may be off by 200 ppm. A bound that is
// exceeded is worth nothing, so this leaves room above 200 ppm. Slewing is no
// drift: Reading.Boottime is by a clock that nobody slews.
const MaxDrift = 4000

// Drift is how far a boot clock may run off true time in d, rounded up.
func Drift(d time.Duration) time.Duration { return d.Abs()/MaxDrift + 1 }

// Later is what is known of an instant that the boot clock shows to be so much
// later than the one of this timing, or earlier where that is negative. Nothing is
// known of it where nothing is known of the other.
func (t Timing) Later(by time.Duration) Timing {
	if t.Time.IsZero() {
		return t
	}
	drift := Drift(by)
	t.Time, t.Error = t.Time.Add(by), t.Error+drift
	switch t.Quality {
	case QualityBounded:
		t.Min, t.Max = t.Min.Add(by-drift), t.Max.Add(by+drift)
	case QualitySynced:
		t.Quality = QualityCorrected // by the clock of another instant
	}
	return t
}

// Bounds are the instants between which it happened, false where nothing is known.
func (t Timing) Bounds() (earliest, latest time.Time, known bool) {
	switch {
	case t.Quality == QualityBounded:
		return t.Min, t.Max, true
	case t.Time.IsZero():
		return earliest, latest, false
	}
	return t.Time.Add(-t.Error), t.Time.Add(t.Error), true
}

// Between is the timing of what lies between two instants.
func Between(earliest, latest time.Time) Timing {
	if latest.Before(earliest) {
		latest = earliest
	}
	half := latest.Sub(earliest) / 2
	return Timing{
		Quality: QualityBounded, Time: earliest.Add(half), Error: latest.Sub(earliest) - half, Min: earliest, Max: latest,
	}
}
