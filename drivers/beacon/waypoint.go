package beacon

import (
	"bytes"
	"io"
	"unicode/utf8"
)

// meshtasticDelta is how far the checksums of Meshtastic firmware 2.5.14 to
// 2.8.0 are off in its CalTopo mode: it takes "\n$" into the sum.
const meshtasticDelta = '\n' ^ '$'

// NewWaypoint decodes waypoints: $GPWPL, $GNWPL, and Kenwood's $PKWDWPL as APRS
// radios write it. The tag is the waypoint's name, "waypoint:BI4PGN-11", which
// may hold commas, "*" and UTF-8.
//
// A waypoint says neither when nor how its position was taken, so Fix.Time is
// zero and Fix.Unverified is set. The time in $PKWDWPL is the radio's own clock
// and its status is V from some encoders whatever the fix; both are ignored.
func NewWaypoint(r io.Reader, opt Options) Decoder {
	return newSentences(r, opt, decodeWaypoint, "$GPWPL,", "$GNWPL,", "$PKWDWPL,")
}

func decodeWaypoint(body []byte, delta byte) (Fix, Reason) {
	aprs := body[0] == 'P'
	odd := delta == meshtasticDelta && !aprs
	if delta != 0 && !odd {
		return Fix{}, BadChecksum
	}

	// The name comes last, and keeps its commas.
	count, first := 6, 1
	if aprs {
		count, first = 12, 3
	}
	f := split(body, count)
	if f.n != count {
		return Fix{}, BadFields
	}
	name := f.part[count-1]
	if aprs {
		for _, i := range []int{1, 7, 8, 9, 10} { // time, speed, course, date, altitude
			if !numberOrEmpty(f.part[i]) {
				return Fix{}, BadFields
			}
		}
		var ok bool
		if name, ok = withoutSymbol(name); !ok {
			return Fix{}, BadFields
		}
	}
	lat, lon, bad := position(f.part[first], f.part[first+1], f.part[first+2], f.part[first+3])
	if bad != "" {
		return Fix{}, bad
	}
	name = bytes.TrimSpace(name)
	if !printable(name) {
		return Fix{}, BadIdentity
	}
	return Fix{Tag: "waypoint:" + string(name), Lat: lat, Lon: lon, Unverified: true, OddChecksum: odd}, ""
}

// withoutSymbol takes the APRS symbol off the end of a name: a comma, table and
// code. The code may itself be a comma. An empty symbol is allowed.
func withoutSymbol(name []byte) ([]byte, bool) {
	if n := len(name); n >= 3 && name[n-3] == ',' {
		return name[:n-3], true
	}
	i := bytes.LastIndexByte(name, ',')
	if i < 0 {
		return nil, false
	}
	return name[:i], true
}

// printable reports whether a name has characters that can be printed only.
func printable(name []byte) bool {
	for _, c := range name {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return len(name) > 0 && utf8.Valid(name)
}
