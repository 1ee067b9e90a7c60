package recap

import (
	"fmt"
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
	"day", "gateway", "last_gateway",
}

// csvKinds are what the columns hold that do not hold text.
func csvKinds() map[string]spreadsheet.Kind {
	kinds := make(map[string]spreadsheet.Kind)
	for _, column := range []string{"first", "last", "from", "to", "from_min", "from_max", "to_min", "to_max", "day"} {
		kinds[column] = spreadsheet.Instant
	}
	for _, column := range []string{"first_error_ms", "last_error_ms", "taps", "first_rev", "last_rev"} {
		kinds[column] = spreadsheet.Number
	}
	return kinds
}

// CSV writes the sheet as one table. The column row tells what a line is:
// badge (on the date in the column day), uncertain (a tap that may have been on another
// day), outage, gap, begin (of a month: this gateway holds nothing from before the time in
// the column from) or tag-conflict (of the tag in the column what). Of a from or to
// that is only known to lie between two instants (bounded) it is the middle; the
// instants themselves are in from_min and from_max, to_min and to_max, which else are
// empty. The column gateway is that of the event in the column event, or that which
// failed; last_gateway that of last_event. Its words are codes, the same in every
// language.
func (s Sheet) CSV(w io.Writer, d spreadsheet.Dialect) error {
	table := spreadsheet.NewTable(w, d, csvHeader, csvKinds())
	for _, cells := range s.rows() {
		_ = table.Row(cells) // the error is kept, see Flush below
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write recap: %w", err)
	}
	return nil
}

// rows are the cells of each row, by column.
func (s Sheet) rows() (rows []map[string]string) {
	for _, b := range s.Badges {
		rows = append(rows, s.badgeRow(b))
	}
	for _, t := range s.Uncertain {
		rows = append(rows, map[string]string{
			"row": "uncertain", "badge": t.Badge, "reader": t.Reader, "event": eventID(t.Event), "first_rev": strconv.Itoa(t.At.Rev),
			"first_quality": string(t.At.Quality), "from": s.stamp(t.Earliest), "to": s.stamp(t.Latest), "gateway": t.Gateway,
		})
	}
	for _, o := range s.Outages {
		rows = append(rows, s.outageRow(o))
	}
	for _, g := range s.Gaps {
		cells := map[string]string{"row": "gap", "what": string(g.Reason), "detail": lost(g), "event": eventID(g.Event), "gateway": g.Gateway}
		s.put(cells, "from", g.First)
		s.put(cells, "to", g.Last)
		rows = append(rows, cells)
	}
	for _, b := range s.Begins {
		cells := map[string]string{"row": "begin", "gateway": b.Gateway}
		s.put(cells, "from", b.At)
		rows = append(rows, cells)
	}
	for _, x := range s.Conflicts {
		cells := map[string]string{"row": "tag-conflict", "what": x.Tag, "event": eventID(x.Event), "gateway": x.Gateway}
		s.put(cells, "from", x.First)
		s.put(cells, "to", x.Last)
		rows = append(rows, cells)
	}
	return rows
}

func (s Sheet) badgeRow(b Badge) map[string]string {
	return map[string]string{
		"row": "badge", "badge": b.Badge, "reader": b.First.Reader, "taps": strconv.Itoa(b.Taps),
		"first": s.stamp(b.First.At.Time), "first_quality": string(b.First.At.Quality), "first_error_ms": errorMS(b.First.At),
		"last": s.stamp(b.Last.At.Time), "last_quality": string(b.Last.At.Quality), "last_error_ms": errorMS(b.Last.At),
		"event": eventID(b.First.Event), "last_event": eventID(b.Last.Event),
		"first_rev": strconv.Itoa(b.First.At.Rev), "last_rev": strconv.Itoa(b.Last.At.Rev),
		"day": b.Day.Format(time.DateOnly), "gateway": b.First.Gateway, "last_gateway": b.Last.Gateway,
	}
}

func (s Sheet) outageRow(o Outage) map[string]string {
	cells := map[string]string{"row": "outage", "what": o.What.Code(), "gateway": o.Gateway}
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
	return cells
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
