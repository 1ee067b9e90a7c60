package presence

import (
	"encoding/json"
	"errors"
	"time"
)

// Head is an event with its link: the end of what somebody has of a stream.
type Head struct {
	Stream ID     `cbor:"1,keyasint"`
	Seq    uint64 `cbor:"2,keyasint"`
	Link   Link   `cbor:"3,keyasint,omitzero"` // zero where it is not known
}

// String is the event's id.
func (h Head) String() string { return EventID{h.Stream, h.Seq}.String() }

// errLink means that a field should be a link and is not.
var errLink = errors.New("a link has 32 lower-case hex digits, not all of them 0")

// UnmarshalJSON reads a link that is there: neither null nor the zero Link, which is the
// link of no event.
func (l *Link) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil || s == nil {
		return errLink
	}
	v, err := ParseLink(*s)
	if err != nil || v.IsZero() {
		return errLink
	}
	*l = v
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (l Link) MarshalJSON() ([]byte, error) { return json.Marshal(l.String()) }

// Began is when a stream began, by the wall clock of then, which may have been wrong: the
// 48 bits of milliseconds in its UUIDv7 (RFC 9562, section 5.7). It is false for an id of
// another version, which is no stream's.
func (id ID) Began() (time.Time, bool) {
	if id[6]>>4 != 7 {
		return time.Time{}, false
	}
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms), true
}
