package presence

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// object writes the fields of a JSON object (RFC 8259) one after the other.
type object struct {
	dst []byte
}

func (j *object) key(key string) {
	if j.dst[len(j.dst)-1] != '{' {
		j.dst = append(j.dst, ',')
	}
	j.text(key)
	j.dst = append(j.dst, ':')
}

func (j *object) open(key string) {
	j.key(key)
	j.dst = append(j.dst, '{')
}

func (j *object) close() { j.dst = append(j.dst, '}') }

func (j *object) string(key, s string) {
	j.key(key)
	j.text(s)
}

// text writes a string. Printable ASCII stands for itself; anything else is
// left to the standard library.
func (j *object) text(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string cannot fail
			j.dst = append(j.dst, quoted...)
			return
		}
	}
	j.dst = append(j.dst, '"')
	j.dst = append(j.dst, s...)
	j.dst = append(j.dst, '"')
}

func (j *object) digits(n int64) { j.dst = strconv.AppendInt(j.dst, n, 10) }

func (j *object) int(key string, n int64) {
	j.key(key)
	j.digits(n)
}

// float writes a number, or null for one that JSON does not have.
func (j *object) float(key string, f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		j.null(key)
		return
	}
	j.key(key)
	j.dst = strconv.AppendFloat(j.dst, f, 'f', -1, 64)
}

func (j *object) floatOrNull(key string, f *float64) {
	if f == nil {
		j.null(key)
		return
	}
	j.float(key, *f)
}

func (j *object) bool(key string, b bool) {
	j.key(key)
	j.dst = strconv.AppendBool(j.dst, b)
}

func (j *object) null(key string) {
	j.key(key)
	j.dst = append(j.dst, "null"...)
}

func (j *object) id(key string, id ID) {
	j.key(key)
	j.dst = append(j.dst, '"')
	j.dst, _ = id.AppendText(j.dst) // never fails
	j.dst = append(j.dst, '"')
}

// time writes a time as the events do, or null for the zero time.
func (j *object) time(key string, t time.Time, loc *time.Location) {
	if t.IsZero() {
		j.null(key)
		return
	}
	j.key(key)
	j.dst = append(j.dst, '"')
	j.dst = t.In(loc).AppendFormat(j.dst, TimeLayout)
	j.dst = append(j.dst, '"')
}
