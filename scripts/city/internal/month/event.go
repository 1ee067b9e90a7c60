package month

import (
	"encoding/json"
	"fmt"
	"time"
)

// Revision is what a gateway says of an event's time, in the order in which it comes.
type Revision struct {
	Rev      int
	Quality  string
	At       time.Time // zero with "unsynced"
	ErrorMS  int
	Min, Max time.Time // with "bounded"
}

// Event is what a gateway recorded.
type Event struct {
	Office    *Office
	Stream    string
	Seq       int
	Kind      string
	Badge     string
	Revisions []Revision
	More      map[string]any // what else is in the JSON
	Lost      bool           // it never reaches the city

	attempt *attempt
}

// newest is the revision that counts: the highest, whichever came last.
func (e *Event) newest() Revision {
	best := e.Revisions[0]
	for _, r := range e.Revisions {
		if r.Rev > best.Rev {
			best = r
		}
	}
	return best
}

// bounds are the earliest and the latest at which it can have been.
func (r Revision) bounds() (lo, hi time.Time, known bool) {
	give := time.Duration(r.ErrorMS) * time.Millisecond
	switch r.Quality {
	case "unsynced":
		return lo, hi, false
	case "bounded":
		return r.Min, r.Max, true
	}
	return r.At.Add(-give), r.At.Add(give), true
}

// JSON are the messages with the event, in the order in which they come.
func (e *Event) JSON() (messages [][]byte) {
	zone, err := time.LoadLocation(e.Office.Zone)
	if err != nil {
		panic(err) // the zones are constants
	}
	stamp := func(t time.Time) string {
		y, m, d := t.Date()
		local := time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone)
		return local.Format("2006-01-02T15:04:05.000-07:00")
	}
	for _, r := range e.Revisions {
		o := map[string]any{
			"v": 1, "id": fmt.Sprintf("%s-%d", e.Stream, e.Seq), "gateway": e.Office.ID, "dinas": e.Office.Dinas, "stream": e.Stream,
			"seq": e.Seq, "rev": r.Rev, "kind": e.Kind, "boot": "0190c0de-0000-4000-8000-000000000001", "time_quality": r.Quality,
			"time": nil, "time_error_ms": nil,
		}
		if e.Badge != "" {
			o["badge"] = e.Badge
		}
		if r.Quality != "unsynced" {
			o["time"], o["time_error_ms"] = stamp(r.At), r.ErrorMS
		}
		if r.Quality == "bounded" {
			o["time_min"], o["time_max"] = stamp(r.Min), stamp(r.Max)
		}
		for key, value := range e.More {
			if t, is := value.(time.Time); is {
				value = stamp(t)
			}
			o[key] = value
		}
		message, err := json.Marshal(o)
		if err != nil {
			panic(err) // of maps of texts and numbers
		}
		messages = append(messages, message)
	}
	return messages
}

// synced is what a clock says that is right within so many milliseconds.
func (c *City) synced(at time.Time, errorMS int) []Revision {
	return []Revision{c.say(0, "synced", at, errorMS)}
}

func (c *City) say(rev int, quality string, at time.Time, errorMS int) Revision {
	off := time.Duration(errorMS) * time.Millisecond
	return Revision{Rev: rev, Quality: quality, At: at.Add(c.between(-off, off)), ErrorMS: errorMS}
}

// bounded says that it was at most so long after an instant.
func bounded(rev int, from time.Time, within time.Duration) Revision {
	half := within / 2
	return Revision{Rev: rev, Quality: "bounded", At: from.Add(half), ErrorMS: int(half.Milliseconds()), Min: from, Max: from.Add(within)}
}

func unsynced() Revision { return Revision{Quality: "unsynced"} }
