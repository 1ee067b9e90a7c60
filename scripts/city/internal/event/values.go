package event

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

var errNUL = because(CauseValue, "a text holds the character U+0000, which PostgreSQL cannot store")

// checkValues refuses what is JSON and yet cannot be stored, wherever it stands in an
// event: U+0000, numbers beyond those of IEEE 754, and nesting that is too deep. The text
// need not be JSON.
func checkValues(text []byte) error {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			end, err := endOfString(text, i+1)
			if err != nil {
				return err
			}
			i = end
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return because(CauseValue, "nested more than %d deep", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		case c == '-' || '0' <= c && c <= '9':
			begin := i
			for i+1 < len(text) && isNumber(text[i+1]) {
				i++
			}
			if err := checkNumber(text[begin : i+1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// endOfString is where the string ends that begins before i.
func endOfString(text []byte, i int) (int, error) {
	for ; i < len(text) && text[i] != '"'; i++ {
		if text[i] != '\\' {
			continue
		}
		i++
		if bytes.HasPrefix(text[min(i, len(text)):], []byte("u0000")) {
			return 0, errNUL
		}
	}
	return i, nil
}

func isNumber(c byte) bool {
	return '0' <= c && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}

// plainDigits is how long a number without an exponent may be without being beyond
// IEEE 754.
const plainDigits = 300

func checkNumber(number []byte) error {
	if len(number) <= plainDigits && !bytes.ContainsAny(number, "eE") {
		return nil
	}
	if _, err := strconv.ParseFloat(string(number), 64); errors.Is(err, strconv.ErrRange) {
		return because(CauseValue, "the number %.40s is too large", number)
	}
	return nil
}

// text is what a JSON string says; nil for another value. It may share the memory of the
// value.
func text(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return nil
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1]
	}
	said, err := jsontext.AppendUnquote(make([]byte, 0, len(value)), value)
	if err != nil {
		return nil
	}
	return said
}

func isNull(value []byte) bool { return len(value) == 4 && value[0] == 'n' }

// whole reads an integer within bounds.
func whole(name string, value []byte, least, most int64) (int64, error) {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < least || n > most {
		return 0, because(CauseField, "%s is %.40s: want a whole number from %d to %d", name, value, least, most)
	}
	return n, nil
}

// instant reads a time by RFC 3339. Its years, 0000 to 9999, are all within what
// PostgreSQL stores.
func instant(name string, value []byte) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, string(text(value)))
	if err != nil {
		return time.Time{}, because(CauseField, "%s is %.60s: want a time by RFC 3339", name, value)
	}
	return at, nil
}

// float reads a number that PostgreSQL's type of so many bits can hold.
func float(value []byte, bits int) (float64, bool) {
	if len(value) == 0 || value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(value), bits)
	return f, err == nil
}
