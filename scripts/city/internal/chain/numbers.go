package chain

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// errDigits means that a number says more than a double (IEEE 754) holds, so that its
// canonical form (RFC 8785) is not what is written.
var errDigits = errors.New("a number has more digits than a double holds")

// survives reports, as an error, a number in a valid JSON value that its canonical form
// does not equal.
func survives(value []byte) error {
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"':
			for i++; value[i] != '"'; i++ {
				if value[i] == '\\' {
					i++
				}
			}
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(value) && strings.IndexByte("0123456789+-.eE", value[end]) >= 0 {
				end++
			}
			if !numberSurvives(value[i:end]) {
				return errDigits
			}
			i = end - 1
		}
	}
	return nil
}

// alwaysExact is how many decimal digits every double holds.
const alwaysExact = 15

func numberSurvives(number []byte) bool {
	simple := len(number) <= alwaysExact
	for _, c := range number {
		simple = simple && c != 'e' && c != 'E'
	}
	if simple {
		return true
	}
	f, err := strconv.ParseFloat(string(number), 64)
	if err != nil || math.IsInf(f, 0) {
		return false
	}
	digits, exponent, ok := decimal(string(number))
	shortest, e, _ := decimal(strconv.FormatFloat(f, 'e', -1, 64))
	return ok && digits == shortest && exponent == e
}

// decimal is a number as 0.DIGITS * 10^exponent, the sign in front of the digits. A zero
// has no digits.
func decimal(number string) (digits string, exponent int, ok bool) {
	mantissa, power, _ := strings.Cut(strings.ToLower(number), "e")
	if power != "" {
		var err error
		if exponent, err = strconv.Atoi(power); err != nil {
			return "", 0, false // more than any double
		}
	}
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	exponent += len(whole)
	digits = whole + fraction
	stripped := strings.TrimLeft(digits, "0")
	exponent -= len(digits) - len(stripped)
	stripped = strings.TrimRight(stripped, "0")
	if stripped == "" {
		return "", 0, true
	}
	if negative {
		stripped = "-" + stripped
	}
	return stripped, exponent, true
}
