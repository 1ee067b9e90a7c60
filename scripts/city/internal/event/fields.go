package event

import (
	"bytes"
	"database/sql"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// fields is an event as far as it is read.
type fields struct {
	e                Event
	version          bool
	id, stream       []byte
	dinas, gateway   []byte
	ranges, previous []byte
}

// set enters a field. It reports whether the field has a column and the value fits into
// it: what does not fit is stored as it came, beside the columns. Null does not: the column
// would not tell it from a field that is not there, and a link rests on the difference. An error is about a
// field without which an event belongs nowhere.
func (f *fields) set(name, value []byte) (fits bool, err error) {
	e := &f.e
	switch string(name) {
	case "v":
		if f.version = string(value) == "1"; !f.version {
			err = because(CauseField, "v is %.40s: want 1", value)
		}
	case "id":
		f.id = bytes.Clone(text(value))
	case "stream":
		f.stream = bytes.Clone(text(value))
	case "dinas":
		f.dinas = bytes.Clone(text(value))
	case "gateway":
		f.gateway = bytes.Clone(text(value))
	case "kind":
		e.Kind = kind(text(value))
	case "seq":
		e.Seq, err = whole("seq", value, 1, maxNumber)
	case "rev":
		var rev int64
		rev, err = whole("rev", value, 0, 1<<31-1)
		e.Rev = int32(rev)
	case "time":
		err = setTime("time", &e.At, value)
	case "time_min":
		err = setTime("time_min", &e.AtMin, value)
	case "time_max":
		err = setTime("time_max", &e.AtMax, value)
	case "time_quality":
		e.Quality = quality(text(value))
	case "time_error_ms":
		ms, fits := float(value, 32)
		e.ErrorMS = sql.Null[float32]{V: float32(ms), Valid: fits}
		return fits || isNull(value), nil
	case "badge":
		return setText(&e.Badge, value), nil
	case "tag":
		return setText(&e.Tag, value), nil
	case "zone":
		return setText(&e.Zone, value), nil
	case "lat":
		return setDegrees(&e.Lat, value), nil
	case "lon":
		return setDegrees(&e.Lon, value), nil
	case "link":
		return f.setLink(value), nil
	case "ranges":
		f.ranges = bytes.Clone(value)
		return false, nil
	case "previous":
		f.previous = bytes.Clone(value)
		return false, nil
	default:
		return false, nil
	}
	return true, err
}

func setText(to *sql.Null[string], value []byte) bool {
	if said := text(value); said != nil {
		*to = sql.Null[string]{V: zone(said), Valid: true}
		return true
	}
	return false
}

func setDegrees(to *sql.Null[float64], value []byte) bool {
	to.V, to.Valid = float(value, 64)
	return to.Valid
}

func setTime(name string, to *sql.Null[time.Time], value []byte) error {
	if isNull(value) {
		return nil
	}
	at, err := instant(name, value)
	*to = sql.Null[time.Time]{V: at, Valid: err == nil}
	return err
}

// linkBytes is how many bytes a link has.
const linkBytes = 16

func (f *fields) setLink(value []byte) bool {
	digits := text(value)
	if len(digits) != 2*linkBytes || bytes.ContainsAny(digits, "ABCDEF") {
		return false
	}
	link := make([]byte, linkBytes)
	if _, err := hex.Decode(link, digits); err != nil {
		return false
	}
	f.e.Link = link
	return true
}

// kind, quality and zone are texts of which there are few: those of gateways of this
// version take no memory of their own.
func kind(said []byte) string {
	switch string(said) {
	case "badge":
		return "badge"
	case "tag":
		return "tag"
	case "presence":
		return "presence"
	case "seal":
		return "seal"
	}
	return string(said)
}

func quality(said []byte) string {
	switch string(said) {
	case "synced":
		return "synced"
	case "corrected":
		return "corrected"
	case "bounded":
		return "bounded"
	}
	return string(said)
}

func zone(said []byte) string {
	switch string(said) {
	case "inside":
		return "inside"
	case "outside":
		return "outside"
	case "uncertain":
		return "uncertain"
	}
	return string(said)
}

// check completes the event, and refuses one that does not say where it belongs or that
// says something else than its topic.
func (f *fields) check(to address) error {
	e := &f.e
	switch {
	case !f.version:
		return because(CauseField, "v is missing: want 1")
	case string(f.dinas) != to.dinas || string(f.gateway) != to.gateway:
		return because(CauseSender, "the event is of %.40q/%.40q, and came on the topic of %s/%s", f.dinas, f.gateway, to.dinas, to.gateway)
	case e.Kind == "" || len(e.Kind) > maxKind:
		return because(CauseField, "kind %.40q: want 1 to %d bytes", e.Kind, maxKind)
	case to.kind != Batch && e.Kind != to.kind:
		return because(CauseSender, "the event is of the kind %.40q, and came on the topic of %.40q", e.Kind, to.kind)
	case e.Seq == 0:
		return because(CauseField, "seq is missing")
	case e.Quality == "" || len(e.Quality) > maxKind:
		return because(CauseField, "time_quality %.40q: want 1 to %d bytes", e.Quality, maxKind)
	}
	e.Dinas, e.Gateway = to.dinas, to.gateway
	stream, err := parseStream("stream", f.stream)
	if err != nil {
		return err
	}
	e.Stream = stream
	if string(f.id) != string(f.stream)+"-"+strconv.FormatInt(e.Seq, 10) {
		return because(CauseField, "id is %.80q: want stream and seq", f.id)
	}
	switch e.Kind {
	case "gap":
		return checkRanges(f.ranges)
	case "start":
		return checkPrevious(f.previous)
	}
	return nil
}

// parseStream reads the id of a stream in the one form in which gateways write it.
func parseStream(name string, said []byte) (uuid.UUID, error) {
	id, err := uuid.ParseBytes(said)
	if err != nil || len(said) != 36 || bytes.ContainsAny(said, "ABCDEF") {
		return uuid.UUID{}, because(CauseField, "%s is %.60q: want a UUID in small letters", name, said)
	}
	return id, nil
}
