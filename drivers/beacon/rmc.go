package beacon

import "bytes"

// rmcIn finds the RMC sentence in a text, or nil.
func rmcIn(data []byte) []byte {
	for _, address := range []string{"$GPRMC,", "$GNRMC,"} {
		if i := bytes.Index(data, []byte(address)); i >= 0 {
			return data[i:]
		}
	}
	return nil
}

// decodeRMCIn finds the sentence in a text, checks it and reads it.
func decodeRMCIn(data []byte) (Fix, Reason) {
	sentence := rmcIn(data)
	if sentence == nil {
		return Fix{}, BadFraming
	}
	body, delta, ok := checksum(sentence)
	if !ok || delta != 0 {
		return Fix{}, BadChecksum
	}
	return decodeRMC(body)
}

// decodeRMC reads a recommended minimum sentence, with the 11 fields of NMEA
// 0183 2.0, the 12 of 2.3 or the 13 of 4.1.
func decodeRMC(body []byte) (Fix, Reason) {
	f := split(body, maxFields)
	if f.n < 12 || f.n > 14 {
		return Fix{}, BadFields
	}
	switch string(f.part[2]) {
	case "A":
	case "V":
		return Fix{}, BadNoFix
	default:
		return Fix{}, BadFields
	}
	var unverified bool
	if f.n > 12 {
		switch string(f.part[12]) {
		case "N":
			return Fix{}, BadNoFix
		case "E", "M", "S":
			unverified = true
		}
	}
	if !numberOrEmpty(f.part[7]) || !numberOrEmpty(f.part[8]) || !numberOrEmpty(f.part[10]) {
		return Fix{}, BadFields
	}
	lat, lon, bad := position(f.part[3], f.part[4], f.part[5], f.part[6])
	if bad != "" {
		return Fix{}, bad
	}
	at, bad := parseTime(f.part[1], f.part[9])
	if bad != "" {
		return Fix{}, bad
	}
	return Fix{
		Lat: lat, Lon: lon, Unverified: unverified,
		Time: at.time, TimeOfDay: at.timeOfDay, Rollover: at.rollover,
	}, ""
}
