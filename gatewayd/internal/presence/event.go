package presence

import (
	"encoding/json"
	"fmt"
	"strconv"
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

// Timing is what is known, at the moment of sending, of when an event
// happened.
type Timing struct {
	Quality Quality
	Time    time.Time     // zero: unknown
	Error   time.Duration // Time is right within this much; meaningless without Time
	Min     time.Time     // QualityBounded only: not before
	Max     time.Time     // QualityBounded only: not after
	Rev     int           // rises each time the answer got better
}

// Origin is what all events of a gateway have in common.
type Origin struct {
	Gateway  string
	Dinas    string
	Location *time.Location
}

// TimeLayout is how events print times: RFC 3339 with milliseconds and the office's offset.
const TimeLayout = "2006-01-02T15:04:05.000Z07:00"

type envelope struct {
	V           int      `json:"v"`
	ID          string   `json:"id"`
	Gateway     string   `json:"gateway"`
	Dinas       string   `json:"dinas"`
	Stream      string   `json:"stream"`
	Seq         uint64   `json:"seq"`
	Rev         int      `json:"rev"`
	Kind        string   `json:"kind"`
	Boot        ID       `json:"boot"`
	Time        *string  `json:"time"`
	TimeQuality Quality  `json:"time_quality"`
	TimeErrorMS *float64 `json:"time_error_ms"`
	TimeMin     *string  `json:"time_min,omitempty"`
	TimeMax     *string  `json:"time_max,omitempty"`
	Simulated   bool     `json:"simulated,omitempty"`
}

// Event is the record as the city reads it: one JSON object, no line break.
// A record whose body does not fit its kind is an error.
func (o Origin) Event(r *Record, t Timing) ([]byte, error) {
	stream := r.Stream.String()
	e := envelope{
		V: 1, ID: stream + "-" + strconv.FormatUint(r.Seq, 10),
		Gateway: o.Gateway, Dinas: o.Dinas,
		Stream: stream, Seq: r.Seq, Rev: t.Rev,
		Kind: r.Kind.String(), Boot: r.At.Boot,
		TimeQuality: t.Quality, Simulated: r.Simulated,
	}
	if !t.Time.IsZero() {
		e.Time = o.format(t.Time)
		ms := float64(t.Error.Round(time.Microsecond)) / float64(time.Millisecond)
		e.TimeErrorMS = &ms
	}
	if t.Quality == QualityBounded {
		e.TimeMin, e.TimeMax = o.format(t.Min), o.format(t.Max)
	}
	switch {
	case r.Kind == KindBadge && r.Badge != nil:
		return json.Marshal(struct {
			envelope
			*Badge
		}{e, r.Badge})
	case r.Kind == KindTag && r.Tag != nil:
		var fixTime *string
		if r.Tag.FixTime != 0 {
			fixTime = o.format(time.UnixMilli(r.Tag.FixTime))
		}
		return json.Marshal(struct {
			envelope
			*Tag
			FixTime *string `json:"fix_time"`
		}{e, r.Tag, fixTime})
	case r.Kind == KindStart && r.Start != nil:
		return json.Marshal(struct {
			envelope
			*Start
		}{e, r.Start})
	case r.Kind == KindGap && r.Gap != nil:
		return json.Marshal(struct {
			envelope
			*Gap
			First *string `json:"first"`
			Last  *string `json:"last"`
		}{e, r.Gap, o.wall(r.Gap.First), o.wall(r.Gap.Last)})
	}
	return nil, fmt.Errorf("encode event %s: kind %d without its body", e.ID, r.Kind)
}

// format prints a time as the events do.
func (o Origin) format(t time.Time) *string {
	s := t.In(o.Location).Format(TimeLayout)
	return &s
}

// wall prints a reading's wall clock where that is worth something.
func (o Origin) wall(r *Reading) *string {
	if r == nil || !r.Known() {
		return nil
	}
	return o.format(r.WallTime())
}
