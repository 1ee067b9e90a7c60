package presence

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Link ties an event to all that was said before it: the first 16 bytes of
// SHA-256(the previous link || SHA-256(core)). The zero Link is before the first event of
// a chain, and means elsewhere that there is none.
type Link [16]byte

// IsZero reports whether there is no link.
func (l Link) IsZero() bool { return l == Link{} }

// String is the event's field "link": 32 lower-case hex digits.
func (l Link) String() string { return hex.EncodeToString(l[:]) }

// ParseLink reads what String prints, and nothing else.
func ParseLink(s string) (Link, error) {
	var l Link
	if len(s) != hex.EncodedLen(len(l)) || strings.ToLower(s) != s {
		return l, fmt.Errorf("parse link %q: want %d lower-case hex digits", s, hex.EncodedLen(len(l)))
	}
	if _, err := hex.Decode(l[:], []byte(s)); err != nil {
		return Link{}, fmt.Errorf("parse link %q: want %d lower-case hex digits", s, hex.EncodedLen(len(l)))
	}
	return l, nil
}

// Next is the link of an event whose core is this, behind one with the link l.
func (l Link) Next(core []byte) (next Link) {
	digest := sha256.Sum256(core)
	both := sha256.Sum256(append(l[:len(l):len(l)], digest[:]...))
	copy(next[:], both[:])
	return next
}

// Chain is what a record keeps beside its draft, given to it with its place: its link, and
// what the link rests on beside the record itself. So each record can be checked alone, and
// what follows one that was lost still tells that one's link.
type Chain struct {
	Link   Link
	Before Link // of the event before; zero for the first
	// Offset of the office's time from UTC in minutes when the event was recorded: the
	// instants in the event's core are printed with it for ever, whatever becomes of time
	// zones and configurations.
	Offset int16
}

// ChainSize is the length of a Chain in its form on disk.
const ChainSize = 16 + 16 + 2

// MarshalBinary is the form on disk: link, link before, offset (big endian).
func (c Chain) MarshalBinary() ([]byte, error) { return c.AppendBinary(nil) }

// AppendBinary appends what MarshalBinary returns (encoding.BinaryAppender).
func (c Chain) AppendBinary(dst []byte) ([]byte, error) {
	dst = append(append(dst, c.Link[:]...), c.Before[:]...)
	return binary.BigEndian.AppendUint16(dst, uint16(c.Offset)), nil
}

// UnmarshalBinary reads the form on disk.
func (c *Chain) UnmarshalBinary(b []byte) error {
	if len(b) != ChainSize {
		return fmt.Errorf("read chain: %d bytes, want %d", len(b), ChainSize)
	}
	*c = Chain{Link: Link(b), Before: Link(b[16:]), Offset: int16(binary.BigEndian.Uint16(b[32:]))}
	return nil
}

// IsZero reports whether the record belongs to no chain.
func (c Chain) IsZero() bool { return c.Link.IsZero() }

// Chain puts a record, which has none yet, behind an event with a link.
func (o Origin) Chain(r *Record, before Link) (Chain, error) {
	_, offset := r.At.WallTime().In(o.place()).Zone()
	c := Chain{Before: before, Offset: int16(offset / 60)}
	o.Location = c.place()
	core, err := o.Core(r)
	c.Link = before.Next(core)
	return c, err
}

// Holds reports whether a record is what its link says. An error means that this version
// cannot tell: it does not know the record's kind.
func (o Origin) Holds(r *Record) (bool, error) {
	core, err := o.Core(r)
	return err == nil && r.Chain.Before.Next(core) == r.Chain.Link, err
}

// Core is what the link of an event rests on: the event in the canonical form of RFC 8785,
// without its link and what a correction may change (rev, time, time_quality,
// time_error_ms, time_min, time_max).
func (o Origin) Core(r *Record) ([]byte, error) {
	b := beginObject(make([]byte, 0, usualEvent))
	o.head(&b, r, nil)
	if !o.body(&b, r) {
		return nil, fmt.Errorf("encode core of %s-%d: kind %d without its body", r.Stream, r.Seq, r.Kind)
	}
	b.end()
	core := jsontext.Value(b)
	if err := core.Canonicalize(); err != nil {
		return nil, fmt.Errorf("encode core of %s-%d: %w", r.Stream, r.Seq, err)
	}
	return core, nil
}

// at is o with the offset from UTC that a record's core has for ever. A record without a
// chain is printed in today's.
func (o Origin) at(r *Record) Origin {
	if !r.Chain.IsZero() {
		o.Location = r.Chain.place()
	}
	return o
}

func (c Chain) place() *time.Location { return time.FixedZone("", int(c.Offset)*60) }

func (o Origin) place() *time.Location {
	if o.Location == nil {
		return time.UTC
	}
	return o.Location
}

// Seal is the body of a KindSeal event: the gateway's signature over its chain. What it
// covers cannot be changed by anyone without the key, the gateway's later owner included.
type Seal struct {
	Upto uint64 `cbor:"1,keyasint"` // number in the seal's own stream
	Link Link   `cbor:"2,keyasint"` // of that event
	// Anchors are what the clock learned of the present boot since the last seal.
	Anchors []Anchor `cbor:"3,keyasint,omitempty"`
	Key     KeyID    `cbor:"4,keyasint"`
	Sig     []byte   `cbor:"5,keyasint"` // Ed25519 (RFC 8032) over SealText
}

// Anchor is an instant of which the clock was told the time.
type Anchor struct {
	Boottime time.Duration `cbor:"1,keyasint"` // Reading.Boottime
	UTC      int64         `cbor:"2,keyasint"` // nanoseconds since 1970
	Error    time.Duration `cbor:"3,keyasint"` // UTC is right within this much
	Source   string        `cbor:"4,keyasint"` // who says so
}

// KeyID names a public key: the first 8 bytes of SHA-256 of its 32 bytes.
type KeyID [8]byte

// KeyIDOf is the id of a raw Ed25519 public key.
func KeyIDOf(public []byte) KeyID {
	digest := sha256.Sum256(public)
	return KeyID(digest[:8])
}

// String is the field "key": 16 lower-case hex digits.
func (k KeyID) String() string { return hex.EncodeToString(k[:]) }

// SealText is what a seal signs.
func SealText(gateway string, stream ID, upto uint64, link Link) []byte {
	return []byte(strings.Join([]string{
		"gatewayd seal v1", gateway, stream.String(), strconv.FormatUint(upto, 10), link.String(),
	}, "\n"))
}

// seal writes all of a seal but its link, which stands where other events have their own.
func (o Origin) seal(b *object, s *Seal) {
	b.unsigned("upto", s.Upto)
	b.key("anchors")
	*b = append(*b, '[')
	for i, a := range s.Anchors {
		if i > 0 {
			*b = append(*b, ',')
		}
		anchor := beginObject(*b)
		anchor.whole("boot_ms", a.Boottime.Milliseconds())
		anchor.instant("time", time.Unix(0, a.UTC), o.Location)
		anchor.number("error_ms", float64(a.Error.Round(time.Microsecond))/float64(time.Millisecond))
		anchor.words("source", a.Source)
		anchor.end()
		*b = anchor
	}
	*b = append(*b, ']')
	b.words("key", s.Key.String())
	b.words("sig", base64.StdEncoding.EncodeToString(s.Sig))
}
