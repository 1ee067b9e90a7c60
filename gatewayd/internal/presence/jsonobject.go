package presence

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"
)

// object is a JSON object (RFC 8259) that is being written, field by field.
type object []byte

// beginObject appends an object without fields.
func beginObject(dst []byte) object { return append(dst, '{') }

// end closes the object.
func (b *object) end() { *b = append(*b, '}') }

// key begins a field. Its name is one of ours, in which nothing needs to be escaped.
func (b *object) key(name string) {
	b.comma()
	*b = append(appendQuoted(*b, name), ':')
}

// comma separates a field from the one before it, if there is one.
func (b *object) comma() {
	if last := (*b)[len(*b)-1]; last != '{' { // no value ends so
		*b = append(*b, ',')
	}
}

func (b *object) null(name string) {
	b.key(name)
	*b = append(*b, "null"...)
}

func (b *object) integer(name string, n int) { b.whole(name, int64(n)) }

func (b *object) whole(name string, n int64) {
	b.key(name)
	*b = strconv.AppendInt(*b, n, 10)
}

// count is a number under a name that is not one of ours.
func (b *object) count(name string, n int) {
	b.comma()
	*b = append(appendWords(*b, name), ':')
	*b = strconv.AppendInt(*b, int64(n), 10)
}

func (b *object) unsigned(name string, n uint64) {
	b.key(name)
	*b = strconv.AppendUint(*b, n, 10)
}

// boolean is a field that is left out while it is false.
func (b *object) boolean(name string, set bool) {
	if set {
		b.key(name)
		*b = append(*b, "true"...)
	}
}

// number is a number that is never printed with an exponent, and as null where JSON has
// none for it (NaN, infinity).
func (b *object) number(name string, f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		b.null(name)
		return
	}
	b.key(name)
	*b = strconv.AppendFloat(*b, f, 'f', -1, 64)
}

// optionalNumber is null without a number.
func (b *object) optionalNumber(name string, f *float64) {
	if f == nil {
		b.null(name)
		return
	}
	b.number(name, *f)
}

// words is a string of ours, or from the configuration.
func (b *object) words(name, s string) {
	b.key(name)
	*b = appendWords(*b, s)
}

// foreign is a string that anybody may have made up, such as the name of a radio. Its
// form in JSON is that of the first gateways: one in which some character must be escaped
// has <, > and & escaped as well, others have not.
func (b *object) foreign(name, s string) {
	b.key(name)
	if plainWords(s) {
		*b = appendQuoted(*b, s)
		return
	}
	escaped, _ := json.Marshal(s) // a string has no error
	*b = append(*b, escaped...)
}

func (b *object) id(name string, id ID) {
	b.key(name)
	*b = append(*b, '"')
	*b, _ = id.AppendText(*b) // has no error
	*b = append(*b, '"')
}

// link is left out where there is none.
func (b *object) link(name string, l Link) {
	if !l.IsZero() {
		b.key(name)
		*b = append(hex.AppendEncode(append(*b, '"'), l[:]), '"')
	}
}

func (b *object) eventID(name string, id EventID) {
	b.key(name)
	*b = id.appendJSON(*b)
}

func (e EventID) appendJSON(dst []byte) []byte {
	dst, _ = e.Stream.AppendText(append(dst, '"')) // has no error
	dst = strconv.AppendUint(append(dst, '-'), e.Seq, 10)
	return append(dst, '"')
}

// instant is null for the zero time.
func (b *object) instant(name string, t time.Time, place *time.Location) {
	if t.IsZero() {
		b.null(name)
		return
	}
	b.key(name)
	*b = append(*b, '"')
	*b = appendInstant(*b, t.In(place))
	*b = append(*b, '"')
}

// appendInstant appends what AppendFormat(TimeLayout) does. Package time has a fast way
// for time.RFC3339 only, and the milliseconds go into what comes of that.
func appendInstant(dst []byte, t time.Time) []byte {
	if year := t.Year(); year < 0 || year > 9999 {
		return t.AppendFormat(dst, TimeLayout)
	}
	seconds := len(dst) + len("2006-01-02T15:04:05")
	dst = t.AppendFormat(dst, time.RFC3339)
	ms := t.Nanosecond() / 1e6
	return slices.Insert(dst, seconds, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
}

// plainWords reports whether a string stands in JSON as it is.
func plainWords(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// appendWords appends a string, in which only what must be is escaped.
func appendWords(dst []byte, s string) []byte {
	if plainWords(s) {
		return appendQuoted(dst, s)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string has no error
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
