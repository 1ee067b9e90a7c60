package presence

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
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

// usualEvent is more bytes than most events have.
const usualEvent = 640

// Event is the record as the city reads it: one JSON object (RFC 8259), no line break.
// A record whose body does not fit its kind is an error.
func (o Origin) Event(r *Record, t Timing) ([]byte, error) {
	return o.AppendEvent(make([]byte, 0, usualEvent), r, t)
}

// AppendEvent appends what Event returns. It writes the JSON itself, since encoding/json
// took a fifth of what a gateway needs to deliver an event (BenchmarkEvent here,
// BenchmarkDrain in uplink).
func (o Origin) AppendEvent(dst []byte, r *Record, t Timing) ([]byte, error) {
	b := beginObject(dst)
	o.head(&b, r, &t)
	if r.Kind != KindSeal || r.Seal == nil {
		b.link("link", r.Chain.Link)
	} else { // whose link is that of the event before, which it signs; its own rests on its core
		b.link("link", r.Seal.Link)
	}
	if !o.body(&b, r) {
		return nil, fmt.Errorf("encode event %s-%d: kind %d without its body", r.Stream, r.Seq, r.Kind)
	}
	b.end()
	return b, nil
}

// body writes the fields of a record's kind, and reports whether the record's body fits
// it.
func (o Origin) body(b *object, r *Record) bool {
	switch {
	case r.Kind == KindBadge && r.Badge != nil:
		o.badge(b, r.Badge)
	case r.Kind == KindTag && r.Tag != nil:
		o.at(r).tag(b, r.Tag)
	case r.Kind == KindStart && r.Start != nil:
		o.start(b, r.Start)
	case r.Kind == KindGap && r.Gap != nil:
		o.at(r).gap(b, r.Gap)
	case r.Kind == KindPresence && r.Person != nil:
		o.person(b, r.Person)
	case r.Kind == KindSeal && r.Seal != nil:
		o.at(r).seal(b, r.Seal)
	default:
		return false
	}
	return true
}

// head is the fields of every event. Those of its kind follow in the same object. Without
// a timing, the fields are left out that a correction may change.
func (o Origin) head(b *object, r *Record, t *Timing) {
	b.integer("v", 1)
	b.eventID("id", EventID{r.Stream, r.Seq})
	b.words("gateway", o.Gateway)
	b.words("dinas", o.Dinas)
	b.id("stream", r.Stream)
	b.unsigned("seq", r.Seq)
	if t != nil {
		b.integer("rev", t.Rev)
	}
	b.words("kind", r.Kind.String())
	b.id("boot", r.At.Boot)
	b.whole("boot_ms", r.At.BootMS())
	if t != nil {
		o.timing(b, *t)
	}
	b.boolean("simulated", r.Simulated)
}

func (o Origin) timing(b *object, t Timing) {
	b.instant("time", t.Time, o.Location)
	b.words("time_quality", string(t.Quality))
	if t.Time.IsZero() {
		b.null("time_error_ms")
	} else {
		b.number("time_error_ms", float64(t.Error.Round(time.Microsecond))/float64(time.Millisecond))
	}
	if t.Quality == QualityBounded { // between which instants it happened
		b.instant("time_min", t.Min, o.Location)
		b.instant("time_max", t.Max, o.Location)
	}
}

func (o Origin) badge(b *object, g *Badge) {
	b.words("reader", g.Reader)
	b.words("badge", g.Badge)
	b.words("card", g.Card)
	b.words("assurance", g.Assurance)
	if p := g.Proof; p != nil {
		b.key("proof")
		proof := beginObject(*b)
		proof.words("random", hex.EncodeToString(p.Random[:]))
		proof.words("signature", base64.StdEncoding.EncodeToString(p.Signature))
		proof.words("certificate", hex.EncodeToString(p.Certificate[:]))
		proof.end()
		*b = proof
	}
	c := g.Check
	if c == nil {
		return
	}
	b.key("tag_check")
	check := beginObject(*b)
	check.foreign("tag", c.Tag)
	check.words("state", c.State.String())
	check.optionalNumber("distance_m", c.Distance)
	if c.Age == nil {
		check.null("age_s")
	} else {
		check.number("age_s", float64(c.Age.Milliseconds())/1000)
	}
	check.end()
	*b = check
}

func (o Origin) person(b *object, p *Person) {
	b.words("badge", p.Badge)
	b.foreign("tag", p.Tag)
	b.words("state", p.State.String())
	b.optionalNumber("distance_m", p.Distance)
	b.key("events")
	*b = append(*b, '[')
	for i, id := range p.Events {
		if i > 0 {
			*b = append(*b, ',')
		}
		*b = id.appendJSON(*b)
	}
	*b = append(*b, ']')
}

func (o Origin) tag(b *object, g *Tag) {
	b.words("receiver", g.Receiver)
	b.foreign("tag", g.Tag)
	b.optionalNumber("lat", g.Lat)
	b.optionalNumber("lon", g.Lon)
	b.optionalNumber("accuracy_m", g.Accuracy)
	if g.FixTime == 0 {
		b.null("fix_time")
	} else {
		b.instant("fix_time", time.UnixMilli(g.FixTime), o.Location)
	}
	b.words("fix", g.Fix.String())
	if zone := g.Zone.String(); zone == "" {
		b.null("zone")
	} else {
		b.words("zone", zone)
	}
	if g.RSSI == nil {
		b.null("rssi")
	} else {
		b.integer("rssi", *g.RSSI)
	}
	b.optionalNumber("snr", g.SNR)
	b.boolean("conflict", g.Conflict)
	if g.Status != nil {
		b.integer("status", *g.Status)
	}
	b.boolean("signed", g.Signed)
}

func (o Origin) start(b *object, s *Start) {
	p := s.Previous
	if p == nil {
		b.null("previous")
	} else {
		b.key("previous")
		previous := beginObject(*b)
		previous.id("stream", p.Stream)
		previous.unsigned("seq", p.Seq)
		previous.key("clean")
		previous = strconv.AppendBool(previous, p.Clean)
		previous.link("link", p.Link)
		previous.end()
		*b = previous
	}
	b.words("version", s.Version)
}

func (o Origin) gap(b *object, g *Gap) {
	b.words("reason", string(g.Reason))
	b.key("kinds")
	kinds := beginObject(*b)
	for _, kind := range slices.Sorted(maps.Keys(g.Kinds)) {
		kinds.count(kind, g.Kinds[kind])
	}
	kinds.end()
	*b = kinds
	o.reading(b, "first", g.First)
	o.reading(b, "last", g.Last)
	if len(g.Ranges) > 0 {
		b.key("ranges")
		*b = append(*b, '[')
		for i, lost := range g.Ranges {
			if i > 0 {
				*b = append(*b, ',')
			}
			*b = appendRange(*b, lost)
		}
		*b = append(*b, ']')
	}
	if g.Comment != "" {
		b.foreign("comment", g.Comment)
	}
	if g.Branch != nil {
		b.key("branch")
		branch := beginObject(*b)
		branch.id("stream", g.Branch.Stream)
		branch.unsigned("seq", g.Branch.Seq)
		branch.link("link", g.Branch.Link)
		branch.end()
		*b = branch
	}
}

func appendRange(dst []byte, lost Range) []byte {
	b := beginObject(dst)
	b.id("stream", lost.Stream)
	b.unsigned("from", lost.From)
	if lost.Open() { // to the end of the stream
		b.null("to")
	} else {
		b.unsigned("to", lost.To)
	}
	b.link("before", lost.Before)
	b.link("link", lost.Link)
	b.end()
	return b
}

// reading is the wall clock of a reading; null where it cannot be believed.
func (o Origin) reading(b *object, name string, r *Reading) {
	if r == nil || !r.Known() {
		b.null(name)
		return
	}
	b.instant(name, r.WallTime(), o.Location)
}
