package export

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/spreadsheet"
)

// csvHeader names the columns of exported events, as the fields of the events
// are named: a field within another is joined to it by an underscore. The order
// of columns that were there before never changes; new ones come last.
var csvHeader = []string{
	"id", "kind", "time", "time_quality", "time_error_ms", "boot",
	"reader", "badge", "card", "assurance",
	"receiver", "tag", "lat", "lon", "accuracy_m", "fix", "zone", "rssi", "snr",
	"detail",
	"rev", "simulated", "time_min", "time_max", "fix_time",
	"tag_check", "tag_check_tag", "tag_check_age_s", "distance_m",
	"state", "events", "version", "previous", "reason", "kinds", "first", "last", "ranges", "comment",
	"v", "gateway", "dinas", "stream", "seq",
	"conflict",
}

// csvRow is one event in the columns of csvHeader. The distance of a badge event
// is that of its tag_check; lists are separated by spaces.
func csvRow(o presence.Origin, r *presence.Record, t presence.Timing) []string {
	cells := make(map[string]string, len(csvHeader))
	at := func(column string, t time.Time) {
		if !t.IsZero() {
			cells[column] = t.In(o.Location).Format(presence.TimeLayout)
		}
	}
	number := func(column string, f *float64) {
		if f != nil {
			cells[column] = strconv.FormatFloat(*f, 'f', -1, 64)
		}
	}
	reading := func(column string, r *presence.Reading) {
		if r != nil && r.Known() {
			at(column, r.WallTime())
		}
	}
	event := func(stream presence.ID, seq uint64) string {
		return stream.String() + "-" + strconv.FormatUint(seq, 10)
	}
	cells["v"], cells["gateway"], cells["dinas"] = "1", o.Gateway, o.Dinas
	cells["id"] = event(r.Stream, r.Seq)
	cells["stream"], cells["seq"] = r.Stream.String(), strconv.FormatUint(r.Seq, 10)
	cells["rev"] = strconv.Itoa(t.Rev)
	cells["kind"] = r.Kind.String()
	cells["boot"] = r.At.Boot.String()
	cells["time_quality"] = string(t.Quality)
	at("time", t.Time)
	if !t.Time.IsZero() {
		within := float64(t.Error.Round(time.Microsecond)) / float64(time.Millisecond)
		number("time_error_ms", &within)
	}
	if t.Quality == presence.QualityBounded {
		at("time_min", t.Min)
		at("time_max", t.Max)
	}
	if r.Simulated {
		cells["simulated"] = "true"
	}
	switch {
	case r.Badge != nil:
		b := r.Badge
		cells["reader"], cells["badge"], cells["card"], cells["assurance"] = b.Reader, b.Badge, b.Card, b.Assurance
		if c := b.Check; c != nil {
			cells["tag_check"], cells["tag_check_tag"] = c.State.String(), c.Tag
			number("distance_m", c.Distance)
			if c.Age != nil {
				age := float64(c.Age.Milliseconds()) / 1000
				number("tag_check_age_s", &age)
			}
		}
	case r.Tag != nil:
		cells["receiver"], cells["tag"] = r.Tag.Receiver, r.Tag.Tag
		number("lat", r.Tag.Lat)
		number("lon", r.Tag.Lon)
		number("accuracy_m", r.Tag.Accuracy)
		number("snr", r.Tag.SNR)
		cells["fix"], cells["zone"] = r.Tag.Fix.String(), r.Tag.Zone.String()
		if r.Tag.FixTime != 0 {
			at("fix_time", time.UnixMilli(r.Tag.FixTime))
		}
		if r.Tag.Conflict {
			cells["conflict"] = "true"
		}
		if r.Tag.RSSI != nil {
			cells["rssi"] = strconv.Itoa(*r.Tag.RSSI)
		}
	case r.Person != nil:
		cells["badge"], cells["tag"], cells["state"] = r.Person.Badge, r.Person.Tag, r.Person.State.String()
		cells["detail"] = cells["state"]
		number("distance_m", r.Person.Distance)
		var ids []string
		for _, e := range r.Person.Events {
			ids = append(ids, event(e.Stream, e.Seq))
		}
		cells["events"] = strings.Join(ids, " ")
	case r.Start != nil:
		cells["version"], cells["detail"] = r.Start.Version, "version "+r.Start.Version
		if p := r.Start.Previous; p != nil {
			ended := "unclean"
			if p.Clean {
				ended = "clean"
			}
			cells["previous"] = event(p.Stream, p.Seq) + " " + ended
		}
	case r.Gap != nil:
		csvGap(cells, r.Gap)
		reading("first", r.Gap.First)
		reading("last", r.Gap.Last)
	}
	row := make([]string, len(csvHeader))
	for i, column := range csvHeader {
		row[i] = spreadsheet.Cell(cells[column])
	}
	return row
}

// csvGap fills in what was lost, but for when.
func csvGap(cells map[string]string, g *presence.Gap) {
	var lost []string
	for _, kind := range slices.Sorted(maps.Keys(g.Kinds)) {
		lost = append(lost, fmt.Sprintf("%d %s", g.Kinds[kind], kind))
	}
	cells["reason"], cells["kinds"] = string(g.Reason), strings.Join(lost, ", ")
	cells["detail"] = fmt.Sprintf("%s: lost %s", g.Reason, cells["kinds"])
	var ranges []string
	for _, r := range g.Ranges {
		to := "" // the stream's end, wherever that was
		if r.To > 0 {
			to = strconv.FormatUint(r.To, 10)
		}
		ranges = append(ranges, fmt.Sprintf("%s %d-%s", r.Stream, r.From, to))
	}
	cells["ranges"], cells["comment"] = strings.Join(ranges, ", "), g.Comment
}
