package beacon

import "io"

// Number of fields of Kenwood's sentences up to the identity, the address
// included.
const (
	kenwoodLong  = 12 // time, status, position, speed, course, date, variation
	kenwoodShort = 7  // position, time, status
)

// NewKenwood decodes the position reports of a Kenwood land mobile radio: $PKLDS
// and $PKLSH (FleetSync), $PKNDS and $PKNSH (NEXEDGE), long and short. A
// FleetSync tag is named by fleet and unit, "kenwood:100-1001", a NEXEDGE tag by
// its unit ID as sent, "kenwood:U00002".
//
// The short sentences carry no date, and the long ones may leave it empty:
// Fix.TimeOfDay.
func NewKenwood(r io.Reader, reject func(Reason)) Decoder {
	return newSentences(r, reject, decodeKenwood, "$PKLDS,", "$PKLSH,", "$PKNDS,", "$PKNSH,")
}

func decodeKenwood(body []byte, delta byte) (Fix, Reason) {
	if delta != 0 {
		return Fix{}, BadChecksum
	}
	f := split(body, maxFields)
	fleetSync, long := body[2] == 'L', body[3] == 'D'

	want := kenwoodShort
	if long {
		want = kenwoodLong + 2 // status and extension
	}
	identity := want
	if long {
		identity = kenwoodLong
	}
	want++ // the unit
	if fleetSync {
		want++ // its fleet
	}
	// Most radios end the list with a comma.
	if f.n != want && !(f.n == want+1 && len(f.part[want]) == 0) {
		return Fix{}, BadFields
	}

	place, clock, date, status := f.part[1:5], f.part[5], []byte(nil), f.part[6]
	if long {
		clock, status, place, date = f.part[1], f.part[2], f.part[3:7], f.part[9]
	}
	// Without a fix, some radios send plausible dummy coordinates.
	switch string(status) {
	case "A":
	case "V":
		return Fix{}, BadNoFix
	default:
		return Fix{}, BadFields
	}
	if long && !(numberOrEmpty(f.part[7]) && numberOrEmpty(f.part[8]) && numberOrEmpty(f.part[10])) {
		return Fix{}, BadFields
	}
	lat, lon, bad := position(place[0], place[1], place[2], place[3])
	if bad != "" {
		return Fix{}, bad
	}
	at, bad := parseTime(clock, date)
	if bad != "" {
		return Fix{}, bad
	}
	tag, ok := kenwoodTag(f.part[identity], f.part[identity+1], fleetSync)
	if !ok {
		return Fix{}, BadIdentity
	}
	return Fix{
		Tag: tag, Lat: lat, Lon: lon,
		Time: at.time, TimeOfDay: at.timeOfDay, Rollover: at.rollover,
	}, ""
}

// kenwoodTag names the sender: first and second are fleet and unit for
// FleetSync; NEXEDGE has its unit ID in the first, with or without the "U".
func kenwoodTag(first, second []byte, fleetSync bool) (string, bool) {
	if fleetSync {
		_, okFleet := digits(first)
		_, okUnit := digits(second)
		return "kenwood:" + string(first) + "-" + string(second), okFleet && okUnit
	}
	number := first
	if len(number) > 0 && number[0] == 'U' {
		number = number[1:]
	}
	_, ok := digits(number)
	return "kenwood:" + string(first), ok
}
