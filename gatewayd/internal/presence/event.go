package presence

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

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

// Origin is what all events of a gateway have in common.
type Origin struct {
	Gateway  string
	Dinas    string
	Location *time.Location
}

// TimeLayout is how events print times: RFC 3339 with milliseconds and the office's offset.
const TimeLayout = "2006-01-02T15:04:05.000Z07:00"

// Event is the record as the city reads it: one JSON object, no line break.
// A record whose body does not fit its kind is an error.
func (o Origin) Event(r *Record, t Timing) ([]byte, error) {
	return o.AppendEvent(make([]byte, 0, 640), r, t)
}

// AppendEvent appends the record's Event to dst. It is written by hand because
// a gateway that was offline for a day sends a hundred thousand of them as fast
// as the line takes them, and reflection was the larger part of that.
func (o Origin) AppendEvent(dst []byte, r *Record, t Timing) ([]byte, error) {
	j := object{dst: append(dst, '{')}
	j.int("v", 1)
	j.key("id")
	j.eventID(EventID{r.Stream, r.Seq})
	j.string("gateway", o.Gateway)
	j.string("dinas", o.Dinas)
	j.id("stream", r.Stream)
	j.int("seq", int64(r.Seq))
	j.int("rev", int64(t.Rev))
	j.string("kind", r.Kind.String())
	j.id("boot", r.At.Boot)
	j.time("time", t.Time, o.Location)
	j.string("time_quality", string(t.Quality))
	if t.Time.IsZero() {
		j.null("time_error_ms")
	} else {
		j.float("time_error_ms", float64(t.Error.Round(time.Microsecond))/float64(time.Millisecond))
	}
	if t.Quality == QualityBounded {
		j.time("time_min", t.Min, o.Location)
		j.time("time_max", t.Max, o.Location)
	}
	if r.Simulated {
		j.bool("simulated", true)
	}
	switch {
	case r.Kind == KindBadge && r.Badge != nil:
		j.badge(r.Badge)
	case r.Kind == KindTag && r.Tag != nil:
		j.tag(r.Tag, o.Location)
	case r.Kind == KindStart && r.Start != nil:
		j.start(r.Start)
	case r.Kind == KindGap && r.Gap != nil:
		j.gap(r.Gap, o.Location)
	case r.Kind == KindPresence && r.Person != nil:
		j.person(r.Person)
	default:
		return dst, fmt.Errorf("encode event %s-%d: kind %d without its body", r.Stream, r.Seq, r.Kind)
	}
	return append(j.dst, '}'), nil
}

func (j *object) badge(b *Badge) {
	j.string("reader", b.Reader)
	j.string("badge", b.Badge)
	j.string("card", b.Card)
	j.string("assurance", b.Assurance)
	if c := b.Check; c != nil {
		j.open("tag_check")
		j.string("tag", c.Tag)
		j.string("state", c.State.String())
		j.floatOrNull("distance_m", c.Distance)
		if c.Age == nil {
			j.null("age_s")
		} else {
			j.float("age_s", float64(c.Age.Milliseconds())/1000)
		}
		j.close()
	}
}

func (j *object) person(p *Person) {
	j.string("badge", p.Badge)
	j.string("tag", p.Tag)
	j.string("state", p.State.String())
	j.floatOrNull("distance_m", p.Distance)
	j.key("events")
	j.dst = append(j.dst, '[')
	for i, e := range p.Events {
		if i > 0 {
			j.dst = append(j.dst, ',')
		}
		j.eventID(e)
	}
	j.dst = append(j.dst, ']')
}

func (j *object) eventID(e EventID) {
	j.dst = append(j.dst, '"')
	j.dst, _ = e.Stream.AppendText(j.dst) // never fails
	j.dst = append(j.dst, '-')
	j.digits(int64(e.Seq))
	j.dst = append(j.dst, '"')
}

func (j *object) tag(t *Tag, loc *time.Location) {
	j.string("receiver", t.Receiver)
	j.string("tag", t.Tag)
	j.floatOrNull("lat", t.Lat)
	j.floatOrNull("lon", t.Lon)
	j.floatOrNull("accuracy_m", t.Accuracy)
	if t.FixTime == 0 {
		j.null("fix_time")
	} else {
		j.time("fix_time", time.UnixMilli(t.FixTime), loc)
	}
	j.string("fix", t.Fix.String())
	if zone := t.Zone.String(); zone == "" {
		j.null("zone")
	} else {
		j.string("zone", zone)
	}
	if t.RSSI == nil {
		j.null("rssi")
	} else {
		j.int("rssi", int64(*t.RSSI))
	}
	j.floatOrNull("snr", t.SNR)
	if t.Conflict {
		j.bool("conflict", true)
	}
}

func (j *object) start(s *Start) {
	if p := s.Previous; p == nil {
		j.null("previous")
	} else {
		j.open("previous")
		j.id("stream", p.Stream)
		j.int("seq", int64(p.Seq))
		j.bool("clean", p.Clean)
		j.close()
	}
	j.string("version", s.Version)
}

func (j *object) gap(g *Gap, loc *time.Location) {
	j.string("reason", string(g.Reason))
	j.open("kinds")
	for _, kind := range slices.Sorted(maps.Keys(g.Kinds)) {
		j.int(kind, int64(g.Kinds[kind]))
	}
	j.close()
	j.reading("first", g.First, loc)
	j.reading("last", g.Last, loc)
	if len(g.Ranges) > 0 {
		j.key("ranges")
		j.dst = append(j.dst, '[')
		for i, r := range g.Ranges {
			if i > 0 {
				j.dst = append(j.dst, ',')
			}
			j.dst = append(j.dst, '{')
			j.id("stream", r.Stream)
			j.int("from", int64(r.From))
			if r.Open() {
				j.null("to")
			} else {
				j.int("to", int64(r.To))
			}
			j.close()
		}
		j.dst = append(j.dst, ']')
	}
	if g.Comment != "" {
		j.string("comment", g.Comment)
	}
}

// reading writes a reading's wall clock where that is worth something.
func (j *object) reading(key string, r *Reading, loc *time.Location) {
	if r == nil || !r.Known() {
		j.null(key)
		return
	}
	j.time(key, r.WallTime(), loc)
}
