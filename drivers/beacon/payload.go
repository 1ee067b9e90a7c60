package beacon

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// The forms of a position in the data of a modem that prescribes none, by their names
// in the configuration.
const (
	PayloadRMC    = "rmc"
	PayloadLatLon = "latlon"
	PayloadJSON   = "json"
)

// payload is one such form.
type payload struct {
	name   string
	decode func(data []byte) (Fix, Reason)
}

// payloads is the table of all forms, the usual one first.
func payloads() []payload {
	return []payload{
		{PayloadRMC, decodeRMCIn},
		{PayloadLatLon, decodeLatLon},
		{PayloadJSON, decodeJSON},
	}
}

// Payloads names the forms that Options.Payload can have, the usual one first.
func Payloads() []string {
	var names []string
	for _, p := range payloads() {
		names = append(names, p.name)
	}
	return names
}

// decodePayload reads a position in the form with this name. What is none in that form
// but would be one in another is BadPayload.
func decodePayload(name string, data []byte) (Fix, Reason) {
	var fix Fix
	bad := BadFraming
	for _, p := range payloads() {
		if p.name == name {
			fix, bad = p.decode(data)
		}
	}
	if bad == "" || bad == BadNoFix || bad == BadRange {
		return fix, bad
	}
	for _, p := range payloads() {
		if p.name == name {
			continue
		}
		if _, other := p.decode(data); other == "" || other == BadNoFix {
			return Fix{}, BadPayload
		}
	}
	return Fix{}, bad
}

// metresPerDegree is the length of a degree of latitude (WGS 84, mean).
const metresPerDegree = 111_195

// decodeLatLon reads latitude and longitude in degrees, north and east positive:
//
//	-7.977700,112.633100
//	-7.977700,112.633100,441,97*6C
//
// What follows a second comma is ignored: there the tags of this world put height,
// battery and much else, each in its own order. Degrees have a decimal point, without
// which they would be no position of anybody; what the digits leave open goes into
// Fix.Accuracy where it is more than ten metres. There is no time: Fix.Time is zero.
// The position 0,0 is how such tags say that they have none.
func decodeLatLon(data []byte) (Fix, Reason) {
	text, bad := unchecked(data)
	if bad != "" {
		return Fix{}, bad
	}
	lat, rest, found := bytes.Cut(text, []byte{','})
	if !found {
		return Fix{}, BadFraming
	}
	lon, _, _ := bytes.Cut(rest, []byte{','})
	return fixOf(bytes.TrimSpace(lat), bytes.TrimSpace(lon))
}

// unchecked takes the checksum off the end of a payload, if it has one: "*" and two
// hex digits over all bytes before. Blanks at both ends are no part of the payload.
func unchecked(data []byte) ([]byte, Reason) {
	data = bytes.Trim(data, " \t\r\n\x00")
	i := len(data) - 3
	if i < 0 || data[i] != '*' {
		return data, ""
	}
	high, okHigh := hexDigit(data[i+1])
	low, okLow := hexDigit(data[i+2])
	if !okHigh || !okLow {
		return data, ""
	}
	sum := high<<4 | low
	for _, c := range data[:i] {
		sum ^= c
	}
	if sum != 0 {
		return nil, BadChecksum
	}
	return data[:i], ""
}

// fixOf makes a fix of two numbers of degrees.
func fixOf(latitude, longitude []byte) (Fix, Reason) {
	lat, latDigits, ok := degrees(latitude)
	if !ok {
		return Fix{}, BadFields
	}
	lon, lonDigits, ok := degrees(longitude)
	switch {
	case !ok:
		return Fix{}, BadFields
	case math.Abs(lat) > 90 || math.Abs(lon) > 180:
		return Fix{}, BadRange
	case lat == 0 && lon == 0:
		return Fix{}, BadNoFix
	}
	fix := Fix{Lat: lat, Lon: lon}
	// Half of the last digit in each direction. A tag prints both alike, but may leave
	// zeros at the end out.
	if open := metresPerDegree * math.Pow10(-max(latDigits, lonDigits)) * math.Sqrt2 / 2; open > 10 {
		fix.Accuracy = math.Ceil(open)
	}
	return fix, ""
}

// degrees reads a decimal number with a point, and how many digits stand behind it.
// An exponent is refused: nobody means one.
func degrees(v []byte) (n float64, digitsBehind int, ok bool) {
	unsigned := bytes.TrimPrefix(v, []byte{'-'})
	if len(unsigned) == len(v) {
		unsigned = bytes.TrimPrefix(v, []byte{'+'})
	}
	whole, fraction, point := bytes.Cut(unsigned, []byte{'.'})
	if !point || len(whole) == 0 || len(whole) > 3 || len(fraction) == 0 || !allDigits(whole) || !allDigits(fraction) {
		return 0, 0, false
	}
	n, err := strconv.ParseFloat(string(v), 64)
	return n + 0, len(fraction), err == nil // n + 0: never a negative zero
}

// decodeJSON reads an object (RFC 8259) with the members lat or latitude, and lon, lng
// or longitude: degrees as numbers or as texts that hold one, as in decodeLatLon.
//
//	{"lat":-7.977700,"lon":112.633100,"time":"2026-11-23T08:18:36Z"}
//
// A member time says when the position was taken: a text in the form of RFC 3339, with
// its offset from UTC. Any other time is none: a tag that counts from its own start,
// or in a zone that nobody knows, must not look as if it knew the time. Other members
// are ignored. An object that has two members of one meaning is refused, since nobody
// knows which of them is meant.
func decodeJSON(data []byte) (Fix, Reason) {
	text, bad := unchecked(data)
	if bad != "" {
		return Fix{}, bad
	}
	members, bad := jsonMembers(text)
	if bad != "" {
		return Fix{}, bad
	}
	fix, bad := fixOf(members.lat, members.lon)
	if bad != "" {
		return Fix{}, bad
	}
	if at, err := time.Parse(time.RFC3339, string(members.time)); err == nil {
		at = at.UTC()
		if !at.Before(oldest) && at.Year() < 2080 {
			fix.Time = at
		}
	}
	return fix, ""
}

// members are those of an object that say something here.
type members struct{ lat, lon, time []byte }

// jsonMembers takes an object apart. The decoder of the standard library does not
// tell of a name that occurs twice, so that this goes from token to token.
func jsonMembers(text []byte) (m members, bad Reason) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return m, BadFraming
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return m, BadFraming
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return m, BadFraming
		}
		var field *[]byte
		switch name {
		case "lat", "latitude":
			field = &m.lat
		case "lon", "lng", "longitude":
			field = &m.lon
		case "time":
			field = &m.time
		default:
			continue
		}
		if *field != nil {
			return m, BadFields
		}
		*field = unquoted(value)
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return m, BadFraming
	}
	if len(bytes.TrimSpace(text[d.InputOffset():])) > 0 {
		return m, BadFraming
	}
	if m.lat == nil || m.lon == nil {
		return m, BadFields
	}
	return m, ""
}

// unquoted is the text of a JSON value: of a string what it says, of any other value
// as it is written.
func unquoted(value json.RawMessage) []byte {
	var s string
	if json.Unmarshal(value, &s) == nil && value[0] == '"' {
		return []byte(s)
	}
	return value
}
