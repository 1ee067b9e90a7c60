package export

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/spreadsheet"
)

// csvHeader names the columns of exported events. They are named after the fields of
// the events in JSON; the name of a field within another field follows that one's
// after an underscore. Columns never change their order: new ones come last.
var csvHeader = []string{
	"id", "kind", "time", "time_quality", "time_error_ms", "boot",
	"reader", "badge", "card", "assurance",
	"receiver", "tag", "lat", "lon", "accuracy_m", "fix", "zone", "rssi", "snr",
	"detail",
	"rev", "simulated", "time_min", "time_max", "fix_time",
	"tag_check", "tag_check_tag", "tag_check_age_s", "distance_m",
	"state", "events", "version", "previous", "reason", "kinds", "first", "last", "ranges", "comment",
	"v", "gateway", "dinas", "stream", "seq",
	"conflict", "status", "signed",
	"boot_ms", "proof",
	"link", "previous_link", "ranges_links", "upto", "anchors", "key", "sig",
	"branch", "branch_link",
}

// csvKinds are what the columns hold that do not hold text.
func csvKinds() map[string]spreadsheet.Kind {
	kinds := make(map[string]spreadsheet.Kind)
	for _, column := range []string{"time", "time_min", "time_max", "fix_time", "first", "last"} {
		kinds[column] = spreadsheet.Instant
	}
	for _, column := range []string{
		"time_error_ms", "lat", "lon", "accuracy_m", "rssi", "snr", "rev", "tag_check_age_s", "distance_m", "v", "seq", "boot_ms",
		"upto",
	} {
		kinds[column] = spreadsheet.Number
	}
	return kinds
}

// csvRow is one event by the columns of csvHeader. The distance of a badge event
// is that of its tag_check; proof is its three parts, lists are separated by spaces.
func csvRow(o presence.Origin, r *presence.Record, t presence.Timing) map[string]string {
	c := cells{byColumn: make(map[string]string, len(csvHeader)), location: o.Location}
	c.text("v", "1")
	c.text("gateway", o.Gateway)
	c.text("dinas", o.Dinas)
	c.text("id", eventID(r.Stream, r.Seq))
	c.text("stream", r.Stream.String())
	c.text("seq", strconv.FormatUint(r.Seq, 10))
	c.text("kind", r.Kind.String())
	c.text("boot", r.At.Boot.String())
	c.text("boot_ms", strconv.FormatInt(r.At.BootMS(), 10))
	c.flag("simulated", r.Simulated)
	c.link("link", r.Chain.Link)
	c.timing(t)
	switch {
	case r.Badge != nil:
		c.badge(r.Badge)
	case r.Tag != nil:
		c.tag(r.Tag)
	case r.Person != nil:
		c.person(r.Person)
	case r.Start != nil:
		c.start(r.Start)
	case r.Gap != nil:
		c.gap(r.Gap)
	case r.Seal != nil:
		c.seal(r.Seal)
	}
	return c.byColumn
}

// cells are those of one row that are not empty.
type cells struct {
	byColumn map[string]string
	location *time.Location
}

func (c cells) text(column, s string) { c.byColumn[column] = s }

func (c cells) flag(column string, b bool) {
	if b {
		c.text(column, "true")
	}
}

// at fills in a time unless it is zero.
func (c cells) at(column string, t time.Time) {
	if !t.IsZero() {
		c.text(column, t.In(c.location).Format(presence.TimeLayout))
	}
}

// reading fills in a reading's wall clock where that may be believed.
func (c cells) reading(column string, r *presence.Reading) {
	if r != nil && r.Known() {
		c.at(column, r.WallTime())
	}
}

func (c cells) number(column string, f float64) {
	c.text(column, strconv.FormatFloat(f, 'f', -1, 64))
}

// numberIf fills in a number where there is one.
func (c cells) numberIf(column string, f *float64) {
	if f != nil {
		c.number(column, *f)
	}
}

// link fills in a link unless there is none.
func (c cells) link(column string, l presence.Link) {
	if !l.IsZero() {
		c.text(column, l.String())
	}
}

// eventID is an event's id, as in the field "id" of its JSON form.
func eventID(stream presence.ID, seq uint64) string {
	return stream.String() + "-" + strconv.FormatUint(seq, 10)
}

func (c cells) timing(t presence.Timing) {
	c.text("rev", strconv.Itoa(t.Rev))
	c.text("time_quality", string(t.Quality))
	c.at("time", t.Time)
	if !t.Time.IsZero() {
		c.number("time_error_ms", float64(t.Error.Round(time.Microsecond))/float64(time.Millisecond))
	}
	if t.Quality == presence.QualityBounded {
		c.at("time_min", t.Min)
		c.at("time_max", t.Max)
	}
}

func (c cells) badge(b *presence.Badge) {
	c.text("reader", b.Reader)
	c.text("badge", b.Badge)
	c.text("card", b.Card)
	c.text("assurance", b.Assurance)
	if p := b.Proof; p != nil {
		c.text("proof", strings.Join([]string{
			hex.EncodeToString(p.Random[:]), base64.StdEncoding.EncodeToString(p.Signature), hex.EncodeToString(p.Certificate[:]),
		}, " "))
	}
	if b.Check == nil {
		return
	}
	c.text("tag_check", b.Check.State.String())
	c.text("tag_check_tag", b.Check.Tag)
	c.numberIf("distance_m", b.Check.Distance)
	if b.Check.Age != nil {
		c.number("tag_check_age_s", float64(b.Check.Age.Milliseconds())/1000)
	}
}

func (c cells) tag(t *presence.Tag) {
	c.text("receiver", t.Receiver)
	c.text("tag", t.Tag)
	c.numberIf("lat", t.Lat)
	c.numberIf("lon", t.Lon)
	c.numberIf("accuracy_m", t.Accuracy)
	c.numberIf("snr", t.SNR)
	c.text("fix", t.Fix.String())
	c.text("zone", t.Zone.String())
	c.flag("conflict", t.Conflict)
	c.flag("signed", t.Signed)
	if t.FixTime != 0 {
		c.at("fix_time", time.UnixMilli(t.FixTime))
	}
	if t.RSSI != nil {
		c.text("rssi", strconv.Itoa(*t.RSSI))
	}
	if t.Status != nil {
		c.text("status", strconv.Itoa(*t.Status))
	}
}

func (c cells) person(p *presence.Person) {
	c.text("badge", p.Badge)
	c.text("tag", p.Tag)
	c.text("state", p.State.String())
	c.text("detail", p.State.String())
	c.numberIf("distance_m", p.Distance)
	var ids []string
	for _, e := range p.Events {
		ids = append(ids, eventID(e.Stream, e.Seq))
	}
	c.text("events", strings.Join(ids, " "))
}

func (c cells) start(s *presence.Start) {
	c.text("version", s.Version)
	c.text("detail", "version "+s.Version)
	if p := s.Previous; p != nil {
		ended := "unclean"
		if p.Clean {
			ended = "clean"
		}
		c.text("previous", eventID(p.Stream, p.Seq)+" "+ended)
		c.link("previous_link", p.Link)
	}
}

func (c cells) gap(g *presence.Gap) {
	var lost []string
	for _, kind := range slices.Sorted(maps.Keys(g.Kinds)) {
		lost = append(lost, fmt.Sprintf("%d %s", g.Kinds[kind], kind))
	}
	kinds := strings.Join(lost, ", ")
	c.text("reason", string(g.Reason))
	c.text("kinds", kinds)
	c.text("detail", fmt.Sprintf("%s: lost %s", g.Reason, kinds))
	var ranges, links []string
	linked := false
	for _, r := range g.Ranges {
		to := "" // up to the end of the stream, whose last seq nobody knows
		if r.To > 0 {
			to = strconv.FormatUint(r.To, 10)
		}
		ranges = append(ranges, fmt.Sprintf("%s %d-%s", r.Stream, r.From, to))
		links = append(links, linkOrNone(r.Before)+" "+linkOrNone(r.Link))
		linked = linked || !r.Before.IsZero() || !r.Link.IsZero()
	}
	c.text("ranges", strings.Join(ranges, ", "))
	if linked { // of each range, in the same order: before, link
		c.text("ranges_links", strings.Join(links, ", "))
	}
	if b := g.Branch; b != nil {
		c.text("branch", eventID(b.Stream, b.Seq))
		c.link("branch_link", b.Link)
	}
	c.text("comment", g.Comment)
	c.reading("first", g.First)
	c.reading("last", g.Last)
}

// linkOrNone is a link within a cell that holds several.
func linkOrNone(l presence.Link) string {
	if l.IsZero() {
		return "-"
	}
	return l.String()
}

func (c cells) seal(s *presence.Seal) {
	c.text("upto", strconv.FormatUint(s.Upto, 10))
	c.link("link", s.Link) // of the event upto, as in its JSON form
	c.text("key", s.Key.String())
	c.text("sig", base64.StdEncoding.EncodeToString(s.Sig))
	var anchors []string
	for _, a := range s.Anchors {
		anchors = append(anchors, fmt.Sprintf("%d %s %s %s", a.Boottime.Milliseconds(),
			time.Unix(0, a.UTC).In(c.location).Format(presence.TimeLayout),
			strconv.FormatFloat(float64(a.Error.Round(time.Microsecond))/float64(time.Millisecond), 'f', -1, 64), a.Source))
	}
	c.text("anchors", strings.Join(anchors, ", "))
}
