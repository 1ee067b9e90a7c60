package presence

import "time"

// Quality says how well the time of an event is known.
type Quality string

// The qualities of the contract.
const (
	QualitySynced    Quality = "synced"
	QualityCorrected Quality = "corrected"
	QualityBounded   Quality = "bounded"
	QualityUnsynced  Quality = "unsynced"
	QualityTrusted   Quality = "trusted"
)

// Timing is what is known, at some moment, of when an event happened. It is
// computed anew whenever the event is sent: more may be known by then.
type Timing struct {
	Quality Quality
	Time    time.Time     // zero: unknown
	Error   time.Duration // Time is right within this much; meaningless without Time
	Min     time.Time     // QualityBounded only: not before
	Max     time.Time     // QualityBounded only: not after
	Rev     int           // the event's field "rev": 0, then one more for each correction
	// Disputed means that clocks contradicted each other about this instant, so
	// that it had to be decided which of them to believe. A timing from before
	// that decision may be wrong.
	Disputed bool
}

// worthCorrecting is by how much an error bound must shrink for the event to be
// sent again. It is less than the second in which lateness is counted, and more
// than the noise of an NTP client.
const worthCorrecting = 250 * time.Millisecond

// Raw is what a reading says by itself, without the readings before and after it.
func Raw(r Reading) Timing {
	switch r.State {
	case ClockSynced:
		return Timing{Quality: QualitySynced, Time: r.WallTime(), Error: r.MaxError}
	case ClockTrusted:
		return Timing{Quality: QualityTrusted, Time: r.WallTime()}
	}
	return Timing{Quality: QualityUnsynced}
}

// Within reports whether the time is known to within d.
func (t Timing) Within(d time.Duration) bool { return !t.Time.IsZero() && t.Error <= d }

// Roughly is how well the present time must be known, for Within, to be printed or
// to be compared with a date.
const Roughly = 10 * time.Minute

// Improves reports whether t is worth a correction of an event that was published
// with an older timing: t's interval must lie within the older one and be clearly
// narrower. The city never gets a correction that does not, so that what it knows
// of an event only ever gets narrower (but see Withdraws).
func (t Timing) Improves(old Timing) bool {
	if t.Time.IsZero() {
		return false
	}
	if old.Time.IsZero() {
		return true
	}
	return t.excess(old) <= rounding && t.muchNarrower(old)
}

// rounding is by how much two equal intervals may seem to differ: the middle and
// the half width of each are rounded to a nanosecond.
const rounding = 2 * time.Nanosecond

// excess is how far t's interval reaches out of an older one, on the side where it
// reaches out more; negative if it lies within.
func (t Timing) excess(old Timing) time.Duration {
	return t.Time.Sub(old.Time).Abs() + t.Error - old.Error
}

// muchNarrower reports whether t's error bound is so much smaller than an older one
// that a correction is worth sending.
func (t Timing) muchNarrower(old Timing) bool {
	return old.Error-t.Error >= worthCorrecting && t.Error <= old.Error/2
}

// Withdraws reports whether an older timing that was published may be wrong, so that
// t has to be sent even if it is less precise: clocks contradicted each other, and
// the event may have happened outside of the older interval.
func (t Timing) Withdraws(old Timing) bool {
	if !t.Disputed || old.Time.IsZero() {
		return false
	}
	if t.Time.IsZero() {
		return true
	}
	// An interval that reaches out of the older one by little is, as a rule, noise.
	// But if it is also much narrower it has to be sent, although Improves does not
	// accept it: the older one may cover the hours between two clocks that
	// contradicted each other.
	excess := t.excess(old)
	return excess >= worthCorrecting || excess > rounding && t.muchNarrower(old)
}

// Final reports whether no timing can improve on this one: its error bound is so
// small that no correction is worth sending. It may still have to be withdrawn.
func (t Timing) Final() bool { return !t.Time.IsZero() && t.Error < worthCorrecting }

// SameAs reports whether two timings say the same, whatever their revs.
func (t Timing) SameAs(o Timing) bool {
	return t.Quality == o.Quality && t.Time.Equal(o.Time) && t.Error == o.Error && t.Min.Equal(o.Min) && t.Max.Equal(o.Max)
}

// Revision is the timing of an event as it was last published, or shown in an
// export. The journal saves it where it was computed; where it is what the event's
// own reading says (see Raw), it need not be saved.
//
// A revision whose Timing.Rev is above 0 is a correction: it goes to the city again,
// under the same id, until the broker has acknowledged it.
type Revision struct {
	Pos    uint64 // of the event in the journal
	Timing Timing
	// Open marks a correction that the broker has not acknowledged.
	Open bool
}

// Revise returns the timing with which to publish an event now: the one it was
// published with, unless what is known now improves on that or withdraws it. Then
// it is what is known now, under the next rev.
func Revise(published, now Timing) Timing {
	if !now.Improves(published) && !now.Withdraws(published) {
		return published
	}
	now.Rev = published.Rev + 1
	return now
}
