package presence

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
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

// Event is the record as the city reads it: one JSON object (RFC 8259), no line break.
// A record whose body does not fit its kind is an error.
//
// That takes a tenth of what an event costs in a drain (BenchmarkEvent here,
// BenchmarkDrain in uplink): an encoder of its own, without reflection, would win back
// the better part of it, and was not worth its code.
func (o Origin) Event(r *Record, t Timing) ([]byte, error) {
	e := o.event(r, t)
	if e == nil {
		return nil, fmt.Errorf("encode event %s-%d: kind %d without its body", r.Stream, r.Seq, r.Kind)
	}
	b := bytes.NewBuffer(make([]byte, 0, 640)) // more than most events have
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		return nil, fmt.Errorf("encode event %s-%d: %w", r.Stream, r.Seq, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// event returns a pointer to the struct that is the event in JSON, nil where the
// record's body does not fit its kind.
func (o Origin) event(r *Record, t Timing) any {
	switch {
	case r.Kind == KindBadge && r.Badge != nil:
		return o.badge(r, t)
	case r.Kind == KindTag && r.Tag != nil:
		return o.tag(r, t)
	case r.Kind == KindStart && r.Start != nil:
		return o.start(r, t)
	case r.Kind == KindGap && r.Gap != nil:
		return o.gap(r, t)
	case r.Kind == KindPresence && r.Person != nil:
		return o.person(r, t)
	}
	return nil
}

// head is the fields of every event. Those of its kind follow in the same object.
type head struct {
	V           int     `json:"v"`
	ID          string  `json:"id"`
	Gateway     string  `json:"gateway"`
	Dinas       string  `json:"dinas"`
	Stream      string  `json:"stream"`
	Seq         uint64  `json:"seq"`
	Rev         int     `json:"rev"`
	Kind        string  `json:"kind"`
	Boot        string  `json:"boot"`
	Time        *string `json:"time"`
	TimeQuality Quality `json:"time_quality"`
	TimeErrorMS *number `json:"time_error_ms"`
	*bounds
	Simulated bool `json:"simulated,omitempty"`
}

// bounds is between which instants an event of QualityBounded happened.
type bounds struct {
	Min *string `json:"time_min"`
	Max *string `json:"time_max"`
}

func (o Origin) head(r *Record, t Timing) head {
	h := head{
		V: 1, ID: EventID{r.Stream, r.Seq}.String(), Gateway: o.Gateway, Dinas: o.Dinas,
		Stream: r.Stream.String(), Seq: r.Seq, Rev: t.Rev, Kind: r.Kind.String(), Boot: r.At.Boot.String(),
		Time: o.time(t.Time), TimeQuality: t.Quality, Simulated: r.Simulated,
	}
	if !t.Time.IsZero() {
		ms := number(t.Error.Round(time.Microsecond)) / number(time.Millisecond)
		h.TimeErrorMS = &ms
	}
	if t.Quality == QualityBounded {
		h.bounds = &bounds{o.time(t.Min), o.time(t.Max)}
	}
	return h
}

type badgeEvent struct {
	head
	Reader    string    `json:"reader"`
	Badge     string    `json:"badge"`
	Card      string    `json:"card"`
	Assurance string    `json:"assurance"`
	TagCheck  *tagCheck `json:"tag_check,omitempty"`
}

type tagCheck struct {
	Tag      text    `json:"tag"`
	State    string  `json:"state"`
	Distance *number `json:"distance_m"`
	Age      *number `json:"age_s"`
}

func (o Origin) badge(r *Record, t Timing) *badgeEvent {
	b := r.Badge
	e := &badgeEvent{head: o.head(r, t), Reader: b.Reader, Badge: b.Badge, Card: b.Card, Assurance: b.Assurance}
	if c := b.Check; c != nil {
		e.TagCheck = &tagCheck{Tag: text(c.Tag), State: c.State.String(), Distance: (*number)(c.Distance)}
		if c.Age != nil {
			s := number(c.Age.Milliseconds()) / 1000
			e.TagCheck.Age = &s
		}
	}
	return e
}

type personEvent struct {
	head
	Badge    string   `json:"badge"`
	Tag      text     `json:"tag"`
	State    string   `json:"state"`
	Distance *number  `json:"distance_m"`
	Events   []string `json:"events"`
}

func (o Origin) person(r *Record, t Timing) *personEvent {
	p := r.Person
	e := &personEvent{
		head: o.head(r, t), Badge: p.Badge, Tag: text(p.Tag), State: p.State.String(), Distance: (*number)(p.Distance),
		Events: make([]string, 0, len(p.Events)),
	}
	for _, id := range p.Events {
		e.Events = append(e.Events, id.String())
	}
	return e
}

type tagEvent struct {
	head
	Receiver string  `json:"receiver"`
	Tag      text    `json:"tag"`
	Lat      *number `json:"lat"`
	Lon      *number `json:"lon"`
	Accuracy *number `json:"accuracy_m"`
	FixTime  *string `json:"fix_time"`
	Fix      string  `json:"fix"`
	Zone     *string `json:"zone"`
	RSSI     *int    `json:"rssi"`
	SNR      *number `json:"snr"`
	Conflict bool    `json:"conflict,omitempty"`
	Status   *int    `json:"status,omitempty"`
	Signed   bool    `json:"signed,omitempty"`
}

func (o Origin) tag(r *Record, t Timing) *tagEvent {
	g := r.Tag
	e := &tagEvent{
		head: o.head(r, t), Receiver: g.Receiver, Tag: text(g.Tag),
		Lat: (*number)(g.Lat), Lon: (*number)(g.Lon), Accuracy: (*number)(g.Accuracy),
		Fix: g.Fix.String(), RSSI: g.RSSI, SNR: (*number)(g.SNR), Conflict: g.Conflict, Status: g.Status, Signed: g.Signed,
	}
	if g.FixTime != 0 {
		e.FixTime = o.time(time.UnixMilli(g.FixTime))
	}
	if zone := g.Zone.String(); zone != "" {
		e.Zone = &zone
	}
	return e
}

type startEvent struct {
	head
	Previous *previous `json:"previous"`
	Version  string    `json:"version"`
}

type previous struct {
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq"`
	Clean  bool   `json:"clean"`
}

func (o Origin) start(r *Record, t Timing) *startEvent {
	e := &startEvent{head: o.head(r, t), Version: r.Start.Version}
	if p := r.Start.Previous; p != nil {
		e.Previous = &previous{p.Stream.String(), p.Seq, p.Clean}
	}
	return e
}

type gapEvent struct {
	head
	Reason  GapReason      `json:"reason"`
	Kinds   map[string]int `json:"kinds"`
	First   *string        `json:"first"`
	Last    *string        `json:"last"`
	Ranges  []gapRange     `json:"ranges,omitempty"`
	Comment text           `json:"comment,omitempty"`
}

type gapRange struct {
	Stream string  `json:"stream"`
	From   uint64  `json:"from"`
	To     *uint64 `json:"to"` // null: to the end of the stream
}

func (o Origin) gap(r *Record, t Timing) *gapEvent {
	g := r.Gap
	e := &gapEvent{head: o.head(r, t), Reason: g.Reason, Kinds: g.Kinds, First: o.reading(g.First), Last: o.reading(g.Last), Comment: text(g.Comment)}
	if e.Kinds == nil {
		e.Kinds = map[string]int{}
	}
	for _, lost := range g.Ranges {
		one := gapRange{Stream: lost.Stream.String(), From: lost.From}
		if !lost.Open() {
			one.To = &lost.To
		}
		e.Ranges = append(e.Ranges, one)
	}
	return e
}

// time prints an instant; nil, which is null, for the zero time.
func (o Origin) time(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.In(o.Location).Format(TimeLayout)
	return &s
}

// reading prints the wall clock of a reading; nil where it cannot be believed.
func (o Origin) reading(r *Reading) *string {
	if r == nil || !r.Known() {
		return nil
	}
	return o.time(r.WallTime())
}

// number is a number that is never printed with an exponent, and as null where JSON has
// none for it (NaN, infinity).
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(make([]byte, 0, 24), f, 'f', -1, 64), nil
}

// text is a string that anybody may have made up, such as the name of a radio. Its form
// in JSON is that of the first gateways: one in which some character must be escaped has
// <, > and & escaped as well, others have not.
type text string

// MarshalJSON implements json.Marshaler.
func (s text) MarshalJSON() ([]byte, error) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return json.Marshal(string(s))
		}
	}
	return append(append(append(make([]byte, 0, len(s)+2), '"'), s...), '"'), nil
}
