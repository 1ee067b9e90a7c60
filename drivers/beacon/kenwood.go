package beacon

import "io"

// Number of fields of Kenwood's sentences up to the identity, the address
// included.
const (
	kenwoodLong  = 12 // time, status, position, speed, course, date, variation
	kenwoodShort = 7  // position, time, status
)

// The status numbers of a FleetSync radio in emergency mode.
const (
	manDown   = 98
	emergency = 99
)

// NewKenwood decodes the position reports of a Kenwood land mobile radio: $PKLDS
// and $PKLSH (FleetSync), $PKNDS and $PKNSH (NEXEDGE), long and short. A
// FleetSync tag is named by fleet and unit, "kenwood:100-1001", a NEXEDGE tag by
// its unit ID as sent, "kenwood:U00002".
//
// The short sentences carry no date, and the long ones may leave it empty:
// Fix.TimeOfDay.
//
// The long ones carry the status that the radio's user chose last: Fix.Status. In
// FleetSync a radio in emergency mode sends one of two reserved numbers: 98 where it
// has lain still on its side for too long ("man down") and 99 for any other emergency
// (Kenwood TK-2170 Function Reference, "Reserved Status for Status Messages"). There is
// a Note for each status of a FleetSync radio, also where the report has no position.
// NEXEDGE reserves no number for emergencies: each fleet agrees upon its own, so that
// no status of a $PKNDS is one.
func NewKenwood(r io.Reader, opt Options) Decoder {
	opt = opt.complete()
	decode := func(body []byte, delta byte) (Fix, Reason) { return decodeKenwood(body, delta, opt.Note) }
	return newSentences(r, opt, decode, "$PKLDS,", "$PKLSH,", "$PKNDS,", "$PKNSH,")
}

func decodeKenwood(body []byte, delta byte, note func(Note)) (Fix, Reason) {
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

	tag, known := kenwoodTag(f.part[identity], f.part[identity+1], fleetSync)
	var status *int
	if n, ok := digits(f.part[want-2]); ok && long {
		status = &n
		if fleetSync && known {
			note(Note{Tag: tag, Emergency: n == manDown || n == emergency})
		}
	}

	place, clock, date, validity := f.part[1:5], f.part[5], []byte(nil), f.part[6]
	if long {
		clock, validity, place, date = f.part[1], f.part[2], f.part[3:7], f.part[9]
	}
	// Without a fix, some radios send plausible dummy coordinates.
	switch string(validity) {
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
	if !known {
		return Fix{}, BadIdentity
	}
	return Fix{
		Tag: tag, Lat: lat, Lon: lon, Status: status,
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
