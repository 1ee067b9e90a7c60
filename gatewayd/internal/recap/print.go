package recap

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/spreadsheet"
)

// csvHeader names the columns of the sheet. The order of columns that were there
// before never changes; new ones come last.
var csvHeader = []string{
	"row", "badge", "reader",
	"first", "first_quality", "first_error_ms", "last", "last_quality", "last_error_ms", "taps",
	"what", "from", "from_quality", "to", "to_quality", "detail", "event",
	"first_rev", "last_rev", "last_event",
	"from_min", "from_max", "to_min", "to_max",
}

// CSV writes the sheet as one table. The column row tells what a line is:
// badge, uncertain (a tap that may have been on another day), outage, gap or
// tag-conflict (of the tag in the column what). Of a from or to that is only known
// to lie between two instants (bounded) it is the middle; the instants themselves
// are in from_min and from_max, to_min and to_max, which else are empty.
// Its words are codes, the same in every language.
func (s Sheet) CSV(w io.Writer) error {
	table := csv.NewWriter(w)
	line := func(cells map[string]string) {
		row := make([]string, len(csvHeader))
		for i, key := range csvHeader {
			row[i] = spreadsheet.Cell(cells[key])
		}
		_ = table.Write(row) // kept by the writer, see Error below
	}
	_ = table.Write(csvHeader)
	for _, b := range s.Badges {
		line(map[string]string{
			"row": "badge", "badge": b.Badge, "reader": b.First.Reader, "taps": strconv.Itoa(b.Taps),
			"first": s.stamp(b.First.At.Time), "first_quality": string(b.First.At.Quality), "first_error_ms": errorMS(b.First.At),
			"last": s.stamp(b.Last.At.Time), "last_quality": string(b.Last.At.Quality), "last_error_ms": errorMS(b.Last.At),
			"event": eventID(b.First.Event), "last_event": eventID(b.Last.Event),
			"first_rev": strconv.Itoa(b.First.At.Rev), "last_rev": strconv.Itoa(b.Last.At.Rev),
		})
	}
	for _, t := range s.Uncertain {
		line(map[string]string{
			"row": "uncertain", "badge": t.Badge, "reader": t.Reader, "event": eventID(t.Event), "first_rev": strconv.Itoa(t.At.Rev),
			"first_quality": string(t.At.Quality), "from": s.stamp(t.Earliest), "to": s.stamp(t.Latest),
		})
	}
	for _, o := range s.Outages {
		cells := map[string]string{"row": "outage", "what": o.What.Code()}
		s.put(cells, "from", o.From)
		var detail []string
		if o.Open {
			detail = append(detail, "open")
		} else {
			s.put(cells, "to", o.To)
		}
		if o.Times > 1 {
			detail = append(detail, fmt.Sprintf("flapping %d times", o.Times), fmt.Sprintf("down %d s", int(o.Down.Round(time.Second).Seconds())))
		}
		cells["detail"] = strings.Join(detail, ", ")
		line(cells)
	}
	for _, g := range s.Gaps {
		cells := map[string]string{"row": "gap", "what": string(g.Reason), "detail": lost(g), "event": eventID(g.Event)}
		s.put(cells, "from", g.First)
		s.put(cells, "to", g.Last)
		line(cells)
	}
	for _, x := range s.Conflicts {
		cells := map[string]string{"row": "tag-conflict", "what": x.Tag, "event": eventID(x.Event)}
		s.put(cells, "from", x.First)
		s.put(cells, "to", x.Last)
		line(cells)
	}
	table.Flush()
	if err := table.Error(); err != nil {
		return fmt.Errorf("write recap: %w", err)
	}
	return nil
}

// put fills the columns of one end of a stretch: from or to.
func (s Sheet) put(cells map[string]string, end string, t presence.Timing) {
	cells[end], cells[end+"_quality"] = s.stamp(t.Time), string(t.Quality)
	if t.Quality == presence.QualityBounded {
		cells[end+"_min"], cells[end+"_max"] = s.stamp(t.Min), s.stamp(t.Max)
	}
}

// stamp is a time as the events print it, empty while unknown.
func (s Sheet) stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(s.Origin.Location).Format(presence.TimeLayout)
}

func errorMS(t presence.Timing) string {
	return strconv.FormatFloat(float64(t.Error.Microseconds())/1000, 'f', -1, 64)
}

// eventID is the id of an event as it is published; empty where there is none.
func eventID(e presence.EventID) string {
	if e == (presence.EventID{}) {
		return ""
	}
	return fmt.Sprintf("%s-%d", e.Stream, e.Seq)
}

// lost counts what was lost, in codes; empty where nobody knows.
func lost(g Gap) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(g.Kinds)) {
		parts = append(parts, fmt.Sprintf("%d %s", g.Kinds[kind], kind))
	}
	return strings.Join(parts, ", ")
}

//go:embed sheet.html
var page string

// HTML writes the sheet for people. It prints on A4.
func (s Sheet) HTML(w io.Writer, lang Language) error {
	t := &indonesian
	if lang == English {
		t = &english
	}
	v := view{Sheet: s, T: t}
	tmpl, err := template.New("sheet").Parse(page)
	if err != nil {
		return fmt.Errorf("read recap page: %w", err)
	}
	if err := tmpl.Execute(w, v); err != nil {
		return fmt.Errorf("write recap: %w", err)
	}
	return nil
}

// view is what the page is made of.
type view struct {
	Sheet
	T *texts
}

// Date is the day in words.
func (v view) Date() string {
	y, m, d := v.From.Date()
	return v.T.dateLayout(d, int(m), y)
}

// Time is an instant of the day with how well it is known.
func (v view) Time(t presence.Timing) string {
	switch {
	case t.Quality == presence.QualityBounded:
		return fmt.Sprintf(v.T.Between, v.clock(t.Min), v.clock(t.Max))
	case t.Time.IsZero():
		return v.T.Unknown
	}
	text := v.clock(t.Time)
	if t.Error > 0 {
		text += " ±" + precision(t.Error)
	}
	if word, ok := v.T.qualities[t.Quality]; ok {
		text += " (" + word + ")"
	}
	return text
}

// Span is when an uncertain tap may have been.
func (v view) Span(t Tap) string {
	from, to := v.T.Unknown, v.T.Unknown
	if !t.Earliest.IsZero() {
		from = v.clock(t.Earliest)
	}
	if !t.Latest.IsZero() {
		to = v.clock(t.Latest)
	}
	return fmt.Sprintf(v.T.Between, from, to)
}

// clock is the time of day, with the date where that is another day's.
func (v view) clock(t time.Time) string {
	t = t.In(v.Origin.Location)
	if t.Before(v.From) || !t.Before(v.To) {
		return t.Format("2006-01-02 15:04:05")
	}
	return t.Format("15:04:05")
}

// precision is an error in the unit that a person reads best, rounded up.
func precision(d time.Duration) string {
	switch {
	case d <= time.Second:
		return strconv.FormatInt((d+time.Millisecond-1).Milliseconds(), 10) + " ms"
	case d <= 2*time.Minute:
		return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10) + " s"
	}
	return strconv.FormatInt(int64((d+time.Minute-1)/time.Minute), 10) + " min"
}

// Failure is an outage in words.
func (v view) Failure(o Outage) string {
	text, en := o.What.Texts()
	if v.T.Lang == English {
		text = en
	}
	if o.Times > 1 {
		text += " (" + fmt.Sprintf(v.T.Flapping, o.Times, precision(o.Down)) + ")"
	}
	return text
}

// End is when an outage ended.
func (v view) End(o Outage) string {
	if o.Open {
		return v.T.GoesOn
	}
	return v.Time(o.To)
}

// Reason is why something was lost.
func (v view) Reason(g Gap) string { return v.T.reason(g.Reason) }

// Count is how much was lost.
func (v view) Count(g Gap) string {
	if len(g.Kinds) == 0 {
		return v.T.Unknown
	}
	return lost(g)
}

// ID is the id of an event.
func (v view) ID(e presence.EventID) string { return eventID(e) }
