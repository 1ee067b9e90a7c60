package presence

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

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
