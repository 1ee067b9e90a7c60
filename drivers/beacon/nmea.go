package beacon

import (
	"bytes"
	"time"
)

// weeks1024 is the time after which the week number of GPS repeats
// (IS-GPS-200, 20.3.3.3.1.1: ten bits).
const weeks1024 = 1024 * 7 * 24 * time.Hour

// oldest is the first instant that a report can speak of: this software is
// younger. An earlier date comes from a receiver whose week number rolled over.
// The choice holds until August 2039, when 1024 weeks ago passes it.
var oldest = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// checksum takes an NMEA 0183 sentence apart: its body lies between "$" and the
// last "*" that two hex digits follow, and delta is the XOR of the checksum
// that the body has and the one that it claims: 0 where they agree. ok is false
// where there is no checksum.
func checksum(sentence []byte) (body []byte, delta byte, ok bool) {
	for i := len(sentence) - 3; i > 0; i-- {
		if sentence[i] != '*' {
			continue
		}
		high, okHigh := hexDigit(sentence[i+1])
		low, okLow := hexDigit(sentence[i+2])
		if !okHigh || !okLow {
			continue
		}
		delta = high<<4 | low
		body = sentence[1:i]
		for _, c := range body {
			delta ^= c
		}
		return body, delta, true
	}
	return nil, 0, false
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// maxFields is more than any sentence here has.
const maxFields = 24

// fields are the parts of a sentence between commas; the first is its address.
type fields struct {
	part [maxFields][]byte
	n    int
}

// split cuts a body at its commas. What exceeds limit fields stays in the last
// one, commas and all.
func split(body []byte, limit int) (f fields) {
	limit = min(limit, maxFields)
	for f.n < limit-1 {
		head, tail, found := bytes.Cut(body, []byte{','})
		f.part[f.n] = head
		f.n++
		if !found {
			return f
		}
		body = tail
	}
	f.part[f.n] = body
	f.n++
	return f
}

// digits reads a decimal number without sign; ok is false where v is
// empty, too long for 9 digits or holds anything else.
func digits(v []byte) (n int, ok bool) {
	if len(v) == 0 || len(v) > 9 {
		return 0, false
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// numberOrEmpty reports whether v is a decimal number, with or without sign and fraction, or
// nothing at all.
func numberOrEmpty(v []byte) bool {
	if len(v) == 0 {
		return true
	}
	if v[0] == '-' {
		v = v[1:]
	}
	whole, fraction, _ := bytes.Cut(v, []byte{'.'})
	return len(whole) > 0 && allDigits(whole) && allDigits(fraction)
}

func allDigits(v []byte) bool {
	for _, c := range v {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// position reads latitude and longitude as degrees, north and east positive.
func position(lat, ns, lon, ew []byte) (la, lo float64, bad Reason) {
	la, bad = angle(lat, ns, "NS", 90)
	if bad != "" {
		return 0, 0, bad
	}
	lo, bad = angle(lon, ew, "EW", 180)
	if bad != "" {
		return 0, 0, bad
	}
	if la == 0 && lo == 0 {
		return 0, 0, BadNoFix
	}
	return la, lo, ""
}

// angle reads degrees and minutes, "11923.6043" (NMEA 0183, "dddmm.mm"). Its
// hemisphere is the letter of the positive side or of the negative one, and its
// limit in degrees.
//
// The last two whole digits are the minutes, however many stand before them:
// the standard wants leading zeros, and many devices print none ("758.668" is
// 7 degrees 58.668 minutes) or blanks in their place.
//
// A sign is refused even where it agrees with the hemisphere. Who prints one has
// no degrees and minutes to print: firmware that wrote "-2207.82,W" meant 22.0782
// degrees, and reading minutes into that is off by up to 44 km.
func angle(v, hemisphere []byte, hemispheres string, limit float64) (float64, Reason) {
	if len(hemisphere) != 1 || (hemisphere[0] != hemispheres[0] && hemisphere[0] != hemispheres[1]) {
		return 0, BadFields
	}
	whole, fraction, _ := bytes.Cut(bytes.TrimLeft(v, " "), []byte{'.'})
	n, ok := digits(whole)
	if !ok || !allDigits(fraction) {
		return 0, BadFields
	}
	// Counted in whole units of the last digit, so that only one division
	// rounds. Nine digits of a minute are two micrometres, and even
	// 180 degrees in such units fit the 53 bits of a float64.
	units, perMinute := int64(n/100*60+n%100), int64(1)
	for _, c := range fraction[:min(len(fraction), 9)] {
		units = units*10 + int64(c-'0')
		perMinute *= 10
	}
	degrees := float64(units) / float64(60*perMinute)
	if n%100 >= 60 || degrees > limit {
		return 0, BadRange
	}
	if hemisphere[0] == hemispheres[1] && degrees != 0 {
		return -degrees, ""
	}
	return degrees, ""
}

// moment is when a report says that it was taken.
type moment struct {
	time      time.Time
	timeOfDay bool // no date
	rollover  bool // 1024 weeks were added
}

// parseTime reads "hhmmss" or "hhmmss.sss" and "ddmmyy", in UTC. Both may be empty,
// or the date alone.
func parseTime(clock, date []byte) (moment, Reason) {
	if len(clock) == 0 {
		if len(date) > 0 {
			return moment{}, BadFields
		}
		return moment{}, ""
	}
	whole, fraction, _ := bytes.Cut(clock, []byte{'.'})
	hms, ok := digits(whole)
	if !ok || len(whole) != 6 || !allDigits(fraction) {
		return moment{}, BadFields
	}
	nanos := 0
	for i := range 9 {
		nanos *= 10
		if i < len(fraction) {
			nanos += int(fraction[i] - '0')
		}
	}
	hour, minute, second := hms/10000, hms/100%100, hms%100
	if hour > 23 || minute > 59 || second > 59 {
		return moment{}, BadRange
	}
	if len(date) == 0 {
		return moment{time: time.Date(1, 1, 1, hour, minute, second, nanos, time.UTC), timeOfDay: true}, ""
	}

	dmy, ok := digits(date)
	if !ok || len(date) != 6 {
		return moment{}, BadFields
	}
	day, month, year := dmy/10000, time.Month(dmy/100%100), 2000+dmy%100
	t := time.Date(year, month, day, hour, minute, second, nanos, time.UTC)
	// GPS began in 1980, so 80 to 99 are years of the last century. Time.Date
	// turns a 31 April into a 1 May.
	if year >= 2080 || t.Day() != day || t.Month() != month {
		return moment{}, BadRange
	}
	if !t.Before(oldest) {
		return moment{time: t}, ""
	}
	t = t.Add(weeks1024)
	if t.Before(oldest) {
		return moment{}, BadRange
	}
	return moment{time: t, rollover: true}, ""
}
