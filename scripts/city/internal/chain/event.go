package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// link ties an event to all before it: the first 16 bytes of SHA-256(the link before ||
// SHA-256(core)). Zeros stand before the first event of a chain.
type link [16]byte

// next is the link of an event with this core behind one with the link l.
func (l link) next(core [sha256.Size]byte) link {
	both := sha256.Sum256(append(l[:len(l):len(l)], core[:]...))
	return link(both[:len(l)])
}

func (l link) String() string { return hex.EncodeToString(l[:]) }

// parseLink reads 32 lower-case hexadecimal digits.
func parseLink(s string) (l link, ok bool) {
	if len(s) != hex.EncodedLen(len(l)) || strings.ToLower(s) != s {
		return l, false
	}
	if _, err := hex.Decode(l[:], []byte(s)); err != nil {
		return link{}, false
	}
	return l, true
}

// kind is what of an event's kind matters to the chain.
type kind uint8

const (
	ordinary kind = iota
	isSeal
	isErased // what the city's table keeps of an event that it erased
)

// said is an event as one line of a file says it: what is kept of it in memory, some 120
// bytes. The line itself can be read again at its place.
type said struct {
	seq     uint64
	place   place
	detail  *detail // nil for most
	timing  uint64  // a hash of the fields that a correction may change, but for rev
	at      int64   // its time, ms since 1970
	bootMS  int64
	core    [sha256.Size]byte // SHA-256 of the core
	link    link              // of a seal: that of the event before it
	errorMS float32           // NaN without a number
	rev     uint32
	gateway uint32 // these two are indices of names
	boot    uint32
	kind    kind
	linked  bool // link is there, and has the form of one
	foreign bool // its id is not made of stream and seq
	timed   timed
}

// timed is what an event says of its time.
type timed uint8

const (
	timeless   timed = iota // null
	timedAt                 // at, right within errorMS
	timedBound              // between detail.min and detail.max
	unreadable              // neither null nor an instant
)

// detail is what only some events have.
type detail struct {
	previous *previous // of a start
	gap      *gap
	seal     *seal
	min, max int64 // timedBound: ms since 1970
}

type previous struct {
	stream string
	seq    uint64
	link   link
	linked bool
}

type gap struct {
	reason string
	ranges []lost
	branch *previous // the stream that was left, where the city's head was another
}

// lost is a range of a gap: numbers of a stream that are allowed to be missing.
type lost struct {
	stream       string
	from, to     uint64 // to 0: to the end of the stream
	before, link link
	hasBefore    bool
	hasLink      bool
}

type seal struct {
	upto    uint64
	key     string
	sig     []byte
	anchors []anchor

	checked bool // wrong is known
	wrong   fault
}

// anchor is an instant of a boot at which the clock was told the time.
type anchor struct{ bootMS, at, errorMS float64 }

// line is a line of a file, read.
type line struct {
	stream, gateway, boot string
	said
}

// errNoEvent means that a line is JSON, but no event.
var errNoEvent = errors.New("no event: want text for id and stream, and for seq a whole number from 1 to 2^53")

// maxSeq is the highest number that an event can have: beyond it JSON numbers lose digits.
const maxSeq = 1 << 53

// parser reads lines. It keeps buffers from one to the next.
type parser struct {
	decoder *jsontext.Decoder
	reader  bytes.Reader
	core    []byte
	hash    maphash.Hash
}

func newParser() *parser {
	p := &parser{}
	p.decoder = jsontext.NewDecoder(&p.reader)
	return p
}

// parse reads an event. It refuses what two readers could understand differently: members
// that stand twice, text that is no UTF-8, numbers with more digits than a double holds.
func (p *parser) parse(text []byte) (line, error) {
	var l line
	var f fields
	p.core = append(p.core[:0], '{')
	err := p.members(text, func(name string, rawName, value jsontext.Value) error {
		f.take(name, value)
		if name == "link" || mayCorrect(name) {
			return nil
		}
		if len(p.core) > 1 {
			p.core = append(p.core, ',')
		}
		p.core = append(append(append(p.core, rawName...), ':'), value...)
		return nil
	})
	if err != nil {
		return l, err
	}
	if f.id == nil || f.stream == nil || f.seq == nil {
		return l, errNoEvent
	}
	core := jsontext.Value(append(p.core, '}'))
	if err := core.Canonicalize(); err != nil {
		return l, fmt.Errorf("its core has no canonical form: %w", err)
	}
	l.core = sha256.Sum256(core)
	p.core = core
	p.fill(&l, &f)
	return l, nil
}

// members calls do with each member of the object that text is.
func (p *parser) members(text []byte, do func(name string, rawName, value jsontext.Value) error) error {
	p.reader.Reset(text)
	p.decoder.Reset(&p.reader)
	d := p.decoder
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return errors.Join(errors.New("no JSON object"), err)
	}
	var rawName []byte
	for d.PeekKind() != '}' {
		raw, err := d.ReadValue()
		if err != nil {
			return err
		}
		rawName = append(rawName[:0], raw...) // the next value may overwrite it
		name, err := jsontext.AppendUnquote(nil, rawName)
		if err != nil {
			return err
		}
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		if err := survives(value); err != nil {
			return err
		}
		if err := do(string(name), rawName, value); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return nil
}

// fields are the members of an event that the audit looks at. The values of those that
// are kept are copies.
type fields struct {
	id, stream, gateway, boot, kind, quality *string
	link, time, min, max                     jsontext.Value
	seq, bootMS                              *int64
	rev                                      int64
	errorMS                                  float64
	hasError                                 bool // time_error_ms is a number
	previous, reason, ranges, branch         jsontext.Value
	upto, key, sig, anchors                  jsontext.Value
}

// take notes a member.
func (f *fields) take(name string, value jsontext.Value) {
	switch name {
	case "link":
		f.link = value.Clone()
	case "rev":
		if n := wholeNumber(value); n != nil {
			f.rev = *n
		}
	case "time":
		f.time = value.Clone()
	case "time_min":
		f.min = value.Clone()
	case "time_max":
		f.max = value.Clone()
	case "time_quality":
		f.quality = words(value)
	case "time_error_ms":
		f.errorMS, f.hasError = number(value), value.Kind() == '0'
	default:
		f.takeCore(name, value)
	}
}

func (f *fields) takeCore(name string, value jsontext.Value) {
	switch name {
	case "id":
		f.id = words(value)
	case "stream":
		f.stream = words(value)
	case "seq":
		if n := wholeNumber(value); n != nil && *n >= 1 && *n <= maxSeq {
			f.seq = n
		}
	case "gateway":
		f.gateway = words(value)
	case "boot":
		f.boot = words(value)
	case "kind":
		f.kind = words(value)
	case "boot_ms":
		f.bootMS = wholeNumber(value)
	case "previous":
		f.previous = value.Clone()
	case "reason":
		f.reason = value.Clone()
	case "ranges":
		f.ranges = value.Clone()
	case "branch":
		f.branch = value.Clone()
	case "upto":
		f.upto = value.Clone()
	case "key":
		f.key = value.Clone()
	case "sig":
		f.sig = value.Clone()
	case "anchors":
		f.anchors = value.Clone()
	}
}

// fill makes a line of its members.
func (p *parser) fill(l *line, f *fields) {
	l.stream, l.seq = *f.stream, uint64(*f.seq)
	l.foreign = *f.id != l.stream+"-"+strconv.FormatUint(l.seq, 10)
	l.gateway, l.boot = text(f.gateway), text(f.boot)
	l.rev = uint32(min(max(f.rev, 0), math.MaxUint32))
	if s := words(f.link); s != nil {
		l.link, l.linked = parseLink(*s)
	}
	l.bootMS = -1
	if f.bootMS != nil && f.boot != nil {
		l.bootMS = *f.bootMS
	}
	var d detail
	some := false
	switch text(f.kind) {
	case "seal":
		l.kind, d.seal, some = isSeal, readSeal(f), true
	case "erased":
		l.kind = isErased
	case "gap":
		d.gap, some = readGap(f), true
	}
	if l.seq == 1 && f.previous.Kind() == '{' {
		d.previous, some = readPrevious(f.previous), true
	}
	p.time(l, f, &d)
	if some || l.timed == timedBound {
		l.detail = &d
	}
}

// time reads what the event says of its time.
func (p *parser) time(l *line, f *fields, d *detail) {
	at, timed := instant(f.time)
	l.at, l.timed = at.UnixMilli(), timed
	l.errorMS = float32(f.errorMS)
	if !f.hasError {
		l.errorMS = float32(math.NaN())
	}
	low, lowTimed := instant(f.min)
	high, highTimed := instant(f.max)
	if timed == timedAt && text(f.quality) == "bounded" {
		d.min, d.max, l.timed = low.UnixMilli(), high.UnixMilli(), timedBound
		if lowTimed != timedAt || highTimed != timedAt {
			l.timed = unreadable
		}
	}
	p.hash.Reset()
	for i, t := range []time.Time{at, low, high} {
		_ = p.hash.WriteByte(byte(i))
		if raw := []jsontext.Value{f.time, f.min, f.max}[i]; raw.Kind() != '"' {
			_, _ = p.hash.Write(raw)
		}
		maphash.WriteComparable(&p.hash, t.UnixNano())
	}
	_, _ = p.hash.WriteString(text(f.quality))
	maphash.WriteComparable(&p.hash, f.errorMS)
	maphash.WriteComparable(&p.hash, f.hasError)
	l.timing = p.hash.Sum64()
}

// instant reads a time: null, RFC 3339, or neither.
func instant(v jsontext.Value) (time.Time, timed) {
	s := words(v)
	if s == nil {
		if len(v) == 0 || v.Kind() == 'n' {
			return time.Time{}, timeless
		}
		return time.Time{}, unreadable
	}
	t, err := time.Parse(time.RFC3339Nano, *s)
	if err != nil {
		return time.Time{}, unreadable
	}
	return t, timedAt
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// words is a string's text, nil for what is none.
func words(v jsontext.Value) *string {
	if v.Kind() != '"' {
		return nil
	}
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return nil
	}
	s := string(b)
	return &s
}

// wholeNumber is a number without fraction and exponent, nil for what is none.
func wholeNumber(v jsontext.Value) *int64 {
	if v.Kind() != '0' {
		return nil
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// number is a number, 0 for what is none.
func number(v jsontext.Value) float64 {
	if v.Kind() != '0' {
		return 0
	}
	f, _ := strconv.ParseFloat(string(v), 64) // survives has looked at it
	return f
}

func decodeBase64(s string) []byte {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}
