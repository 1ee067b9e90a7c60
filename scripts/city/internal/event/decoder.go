package event

import (
	"bytes"
	"encoding/hex"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"presence/scripts/city/unpack"
)

// Message is a message as the broker delivered it.
type Message struct {
	Topic    string
	Payload  []byte
	Retained bool
}

// Decoder makes events of messages. It keeps nothing from one message to the next but
// memory to use again, so only one goroutine at a time may use it.
type Decoder struct {
	// TagDetails has Event.More keep all that a tag's event says, also where it has no
	// link. Without it only what may matter later is kept of such an event. Of one with a
	// link everything is kept in any case, as the link rests on all of it.
	TagDetails bool

	batches *unpack.Reader
	reader  jsontext.Decoder
	input   bytes.Buffer
	// Fields for Event.More, each with a comma before it. Details are those that a tag is
	// stored without.
	more, details []byte
}

// NewDecoder makes a decoder.
func NewDecoder() (*Decoder, error) {
	batches, err := unpack.NewReader()
	if err != nil {
		return nil, err
	}
	return &Decoder{batches: batches}, nil
}

// Decode returns what is in a message: events in their order, and what was refused of it.
// Both are empty for a batch of no events, by which a gateway asks the broker whether
// batches get through.
func (d *Decoder) Decode(m Message) (events []Event, refused []Refusal) {
	refuse := func(payload []byte, why error) {
		refused = append(refused, NewRefusal(m.Topic, payload, why))
	}
	to, err := parseTopic(m.Topic)
	switch {
	case err != nil:
	case m.Retained:
		err = because(CauseRetained, "the message is retained, and no gateway has events retained")
	case len(m.Payload) == 0:
		err = because(CauseSize, "the message is empty")
	}
	if err != nil {
		refuse(m.Payload, err)
		return nil, refused
	}
	lines := [][]byte{m.Payload}
	if to.kind == Batch {
		if lines, err = d.batches.Events(m.Payload); err != nil {
			refuse(m.Payload, because(CauseBatch, "%s", err))
			return nil, refused
		}
	}
	if len(lines) > 0 {
		events = make([]Event, 0, len(lines))
	}
	for _, line := range lines {
		e, err := d.event(to, line)
		if err != nil {
			refuse(line, err)
			continue
		}
		e.Topic, e.Raw = m.Topic, line
		events = append(events, e)
	}
	return events, refused
}

// event reads one event, a JSON object as RFC 7493 wants it: UTF-8, and no name twice.
func (d *Decoder) event(to address, payload []byte) (Event, error) {
	if len(payload) > MaxEvent {
		return Event{}, because(CauseSize, "an event of %d bytes: at most %d", len(payload), MaxEvent)
	}
	if err := checkValues(payload); err != nil {
		return Event{}, err
	}
	d.input.Reset()
	d.input.Write(payload)
	d.reader.Reset(&d.input)
	d.more, d.details = d.more[:0], d.details[:0]
	begin, err := d.reader.ReadToken()
	switch {
	case err != nil:
		return Event{}, notJSON(err)
	case begin.Kind() != '{':
		return Event{}, because(CauseJSON, "not a JSON object")
	}
	var f fields
	for d.reader.PeekKind() == '"' {
		if err := d.field(&f); err != nil {
			return Event{}, err
		}
	}
	if _, err := d.reader.ReadToken(); err != nil {
		return Event{}, notJSON(err)
	}
	if rest := d.reader.UnreadBuffer(); len(bytes.TrimSpace(rest)) > 0 {
		return Event{}, because(CauseJSON, "there is more behind the JSON object")
	}
	if err := f.check(to); err != nil {
		return Event{}, err
	}
	if err := d.seal(&f.e, payload); err != nil {
		return Event{}, err
	}
	f.e.More = d.object(f.e.Kind == "tag" && !d.TagDetails && f.e.Link == nil)
	return f.e, nil
}

// seal gives a seal its own link. What it was sent with is the link of the event before it,
// which is kept among the fields without a column.
func (d *Decoder) seal(e *Event, payload []byte) error {
	if e.Kind != "seal" || e.Link == nil {
		return nil
	}
	core, err := Core(payload)
	if err != nil {
		return err
	}
	d.more = append(hex.AppendEncode(append(d.more, `,"link":"`...), e.Link), '"')
	e.Link = NextLink(e.Link, core)
	return nil
}

// object makes Event.More of the fields without a column.
func (d *Decoder) object(brief bool) []byte {
	details := d.details
	if brief {
		details = nil
	}
	if len(d.more)+len(details) == 0 {
		return nil
	}
	object := make([]byte, 0, len(d.more)+len(details)+1)
	object = append(append(append(object, d.more...), details...), '}')
	object[0] = '{' // instead of the first comma
	return object
}

// field reads one field, into its column or among those without one.
func (d *Decoder) field(f *fields) error {
	quoted, err := d.reader.ReadValue()
	if err != nil {
		return notJSON(err)
	}
	// Reading the value may overwrite the name, so that is kept where it may have to go.
	at := len(d.more)
	d.more = append(append(append(d.more, ','), quoted...), ':')
	name := text(d.more[at+1 : len(d.more)-1])
	value, err := d.reader.ReadValue()
	if err != nil {
		return notJSON(err)
	}
	fits, err := f.set(name, value)
	if err != nil {
		return err
	}
	switch {
	case fits:
		d.more = d.more[:at]
	case isDetail(name, value):
		d.details = append(append(d.details, d.more[at:]...), value...)
		d.more = d.more[:at]
	default:
		d.more = append(d.more, value...)
	}
	return nil
}

// isDetail reports whether a field is one that a tag is stored without. That a position
// is not one of now is kept.
func isDetail(name, value []byte) bool {
	switch string(name) {
	case "badge", "tag", "zone", "lat", "lon", "link": // have a column, in which null is the same as nothing
		return isNull(value)
	case "boot", "boot_ms", "receiver", "accuracy_m", "fix_time", "rssi", "snr":
		return true
	case "fix":
		return string(value) == `"live"`
	}
	return false
}

// notJSON is an error of the JSON reader, without the name of its package.
func notJSON(err error) error {
	return because(CauseJSON, "not JSON: %s", strings.TrimPrefix(err.Error(), "jsontext: "))
}
