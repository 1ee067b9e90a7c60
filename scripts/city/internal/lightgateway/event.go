package lightgateway

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// kind is the kind of an event, by which its topic ends.
type kind uint8

const (
	kindStart kind = iota
	kindBadge
	kindTag
	kindPresence
	kindGap
)

var kindNames = [...]string{"start", "badge", "tag", "presence", "gap"}

func (k kind) String() string { return kindNames[k] }

// timeLayout is how gateways print times: RFC 3339 with milliseconds and the office's offset.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// event is an event of the journal. One takes about 170 bytes, and its strings are
// shared by all events of the same person.
type event struct {
	seq      uint64
	at       time.Time // when it happened
	recorded time.Time // from when its latency counts; zero: it does not count
	stream   *stream
	kind     kind
	timing   timing // as it was published last, or will be
	rev      uint8
	sent     bool // it was published
	badge    string
	tag      string
	state    string // zone of a tag, state of a presence
	lat, lon float64
	more     *more // what few events have
	link     link
}

// link ties an event to all that were recorded before it.
type link [16]byte

// more is what few kinds of events have.
type more struct {
	events   []string // of a presence: ids of the events that it rests on
	distance float64  // of a presence: metres; less than 0: null
	previous *stream  // of a start: the stream before; nil: there was none
	reason   string   // of a gap
	kinds    string   // of a gap: the kind of what was lost
	from, to uint64   // of a gap: which numbers of its own stream are lost
	before   link     // of a gap: of the event before those
	last     link     // of a gap: of the last one of those
}

// timing is how well the time of an event is known.
type timing uint8

const (
	trusted timing = iota
	unsynced
	corrected
)

var timingNames = [...]string{"trusted", "unsynced", "corrected"}

// origin is what all events of a gateway have in common, already as JSON.
type origin struct {
	names string    // `,"gateway":"...","dinas":"...","stream":"`
	boot  string    // id of the boot
	since time.Time // when it booted
	zone  *time.Location
}

// appendTo appends the event as JSON (RFC 8259), without a line break. With the same
// revision it is the same text each time.
func (e *event) appendTo(b []byte, o *origin) []byte {
	b = append(b, `{"v":1,"id":"`...)
	b = append(b, e.stream.id...)
	b = append(b, '-')
	b = strconv.AppendUint(b, e.seq, 10)
	b = append(b, '"')
	b = append(b, o.names...)
	b = append(b, e.stream.id...)
	b = append(b, `","seq":`...)
	b = strconv.AppendUint(b, e.seq, 10)
	b = append(b, `,"rev":`...)
	b = strconv.AppendUint(b, uint64(e.rev), 10)
	b = append(b, `,"kind":"`...)
	b = append(b, e.kind.String()...)
	b = append(b, `","boot":"`...)
	b = append(b, o.boot...)
	b = append(b, `","boot_ms":`...)
	b = strconv.AppendInt(b, max(e.at.Sub(o.since).Milliseconds(), 0), 10)
	b = append(b, `,"time":`...)
	if e.timing == unsynced {
		b = append(b, `null,"time_quality":"unsynced","time_error_ms":null`...)
	} else {
		b = appendTime(b, e.at, o.zone)
		b = append(b, `,"time_quality":"`...)
		b = append(b, timingNames[e.timing]...)
		b = append(b, `","time_error_ms":`...)
		if e.timing == corrected {
			b = append(b, "12"...)
		} else {
			b = append(b, '0')
		}
	}
	b = append(b, `,"simulated":true,"link":"`...)
	b = append(hex.AppendEncode(b, e.link[:]), '"')
	return append(e.appendBody(b, o), '}')
}

// appendBody appends the fields of the event's kind.
func (e *event) appendBody(b []byte, o *origin) []byte {
	switch e.kind {
	case kindBadge:
		b = append(b, `,"reader":"door"`...)
		b = appendWord(b, "badge", e.badge)
		b = append(b, `,"card":"mifare-classic-1k","assurance":"uid"`...)
	case kindTag:
		b = append(b, `,"receiver":"yard"`...)
		b = appendWord(b, "tag", e.tag)
		b = append(b, `,"lat":`...)
		b = strconv.AppendFloat(b, e.lat, 'f', -1, 64)
		b = append(b, `,"lon":`...)
		b = strconv.AppendFloat(b, e.lon, 'f', -1, 64)
		b = append(b, `,"accuracy_m":null,"fix_time":`...)
		b = appendTime(b, e.at.Truncate(time.Second), o.zone)
		b = append(b, `,"fix":"live","zone":`...)
		if e.state == "" {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendQuote(b, e.state)
		}
		b = append(b, `,"rssi":null,"snr":null`...)
		if strings.HasPrefix(e.tag, "kenwood:") {
			b = append(b, `,"status":80`...) // which a Kenwood radio's report carries
		}
	case kindPresence:
		b = appendWord(b, "badge", e.badge)
		b = appendWord(b, "tag", e.tag)
		b = appendWord(b, "state", e.state)
		b = append(b, `,"distance_m":`...)
		if e.more.distance < 0 {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendFloat(b, e.more.distance, 'f', -1, 64)
		}
		b = append(b, `,"events":[`...)
		for i, id := range e.more.events {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendQuote(b, id)
		}
		b = append(b, ']')
	case kindStart:
		b = e.appendStart(b)
	case kindGap:
		b = e.appendGap(b, o)
	}
	return b
}

func (e *event) appendStart(b []byte) []byte {
	b = append(b, `,"previous":`...)
	if p := e.more.previous; p == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, `{"stream":"`...)
		b = append(b, p.id...)
		b = append(b, `","seq":`...)
		b = strconv.AppendUint(b, p.last, 10)
		b = append(b, `,"clean":`...)
		b = strconv.AppendBool(b, p.clean)
		b = append(b, `,"link":"`...)
		b = append(hex.AppendEncode(b, p.link[:]), `"}`...)
	}
	return appendWord(b, "version", version)
}

func (e *event) appendGap(b []byte, o *origin) []byte {
	b = appendWord(b, "reason", e.more.reason)
	b = append(b, `,"kinds":{`...)
	b = strconv.AppendQuote(b, e.more.kinds)
	b = append(b, ':')
	b = strconv.AppendUint(b, e.more.to-e.more.from+1, 10)
	b = append(b, `},"first":`...)
	b = appendTime(b, e.at, o.zone)
	b = append(b, `,"last":`...)
	b = appendTime(b, e.at, o.zone)
	b = append(b, `,"ranges":[{"stream":"`...)
	b = append(b, e.stream.id...)
	b = append(b, `","from":`...)
	b = strconv.AppendUint(b, e.more.from, 10)
	b = append(b, `,"to":`...)
	b = strconv.AppendUint(b, e.more.to, 10)
	b = append(b, `,"before":"`...)
	b = hex.AppendEncode(b, e.more.before[:])
	b = append(b, `","link":"`...)
	b = hex.AppendEncode(b, e.more.last[:])
	return append(b, `"}]`...)
}

// appendWord appends a field whose value needs no escapes but those of Go and JSON alike.
func appendWord(b []byte, name, value string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, `":`...)
	return strconv.AppendQuote(b, value)
}

func appendTime(b []byte, t time.Time, zone *time.Location) []byte {
	b = append(b, '"')
	b = t.In(zone).AppendFormat(b, timeLayout)
	return append(b, '"')
}
