package beacon

import (
	"bytes"
	"io"
	"strconv"
)

const (
	reyaxOpening = "+RCV="

	// reyaxMaxData is the longest payload that the modem takes (RYLR998 AT
	// command guide, AT+SEND).
	reyaxMaxData = 240

	// reyaxMaxNumber is the longest signal figure in characters.
	reyaxMaxNumber = 8
)

// reyaxChatter is what the modem says when it starts or answers a command.
var reyaxChatter = []string{"+OK", "+ERR=", "+READY", "+RESET", "+FACTORY"}

// NewReyax decodes what a Reyax RYLR896 or RYLR998 LoRa modem receives:
//
//	+RCV=<address>,<length>,<data>,<RSSI>,<SNR>\r\n
//
// The sender's address, 0 to 65535, names the tag: "reyax:50". The data is cut
// out by its length, so it may hold commas and line ends.
// The vendor defines no payload: opt.Payload says which of three forms the tags of
// this receiver use. It is never guessed, as a payload of one form can be read as a
// wrong position in another. One that is no position in the configured form, but would
// be one in another, is BadPayload.
//
// # For makers of tags
//
// The best form is "rmc": one NMEA 0183 RMC sentence, as the tag's GPS receiver
// prints it, with its checksum. It alone says when the position was taken and whether
// the receiver had a fix:
//
//	AT+SEND=1,60,$GPRMC,081836.00,A,0758.6620,S,11237.9840,E,0.0,,231126,,*0A
//
// The talker is GP or GN. The fields are time (UTC), status (A; a tag without a
// fix may send V and is counted, or better stay silent), latitude, N or S,
// longitude, E or W, speed, course, date, magnetic variation and its direction,
// and optionally the mode (NMEA 2.3) and the navigational status (4.1). Date,
// speed, course and variation may be empty. Text before the sentence and after
// its checksum is ignored; a line end is not needed. Mode N is no fix; with E,
// M or S (dead reckoning, typed in, simulated) the position is Unverified.
//
// For "latlon" and "json" see decodeLatLon and decodeJSON. A position in either may
// stand before a "*" and two hex digits, the XOR of all bytes before the "*", as in
// NMEA 0183; where it does, it has to be right.
func NewReyax(r io.Reader, opt Options) Decoder {
	opt = opt.complete()
	return &reyax{in: newStream(r, opt.Reject, reyaxOpening), payload: opt.Payload}
}

type reyax struct {
	in      *stream
	payload string
}

// Next is Decoder's.
func (d *reyax) Next() (Fix, error) {
	for {
		b := d.in.unread()
		switch {
		case d.in.skipping:
		case d.in.opening(b) != "":
			frame, size, bad := cutReyax(b)
			if bad == incomplete {
				if d.in.fill() {
					continue
				}
				bad = BadLength
			}
			if bad != "" {
				d.in.reject(bad)
				d.in.skip(size)
				continue
			}
			d.in.from += size
			fix, bad := frame.decode(d.payload)
			if bad != "" {
				d.in.reject(bad)
				continue
			}
			return fix, nil
		case len(b) < len(reyaxOpening) && string(b) == reyaxOpening[:len(b)] && d.in.fill():
			continue
		}

		tok, err := d.in.token()
		if err != nil {
			return Fix{}, err
		}
		if !blank(tok) && !chatter(tok) {
			d.in.reject(BadFraming)
		}
	}
}

func chatter(tok []byte) bool {
	for _, c := range reyaxChatter {
		if bytes.HasPrefix(tok, []byte(c)) {
			return true
		}
	}
	return false
}

// reyaxFrame is a +RCV line taken apart.
type reyaxFrame struct {
	address   int
	data      []byte
	rssi, snr []byte
}

// incomplete says that a frame may be good but has not fully arrived.
const incomplete Reason = "incomplete"

// cutReyax takes the frame at the head of b apart; size is how many bytes it has
// up to the end of its line, that end's first byte included. Of a bad frame, it
// is how many bytes surely belong to it: its length may be wrong, so that the
// next frame begins inside of it.
func cutReyax(b []byte) (f reyaxFrame, size int, bad Reason) {
	rest := b[len(reyaxOpening):]
	address, rest, bad := cutNumber(rest, 5, ",")
	if bad != "" {
		return f, 0, bad
	}
	length, rest, bad := cutNumber(rest, 3, ",")
	if bad != "" {
		return f, 0, bad
	}
	var ok, okLength bool
	f.address, ok = digits(address)
	n, okLength := digits(length)
	switch {
	case !ok || !okLength:
		return f, 0, BadFields
	case n > reyaxMaxData:
		return f, 0, BadLength
	case len(rest) <= n:
		return f, 0, incomplete
	case rest[n] != ',':
		return f, 0, BadLength
	}
	f.data, rest = rest[:n], rest[n+1:]
	if !bytes.Contains(f.data, []byte(reyaxOpening)) {
		size = len(b) - len(rest)
	}
	if f.rssi, rest, bad = cutNumber(rest, reyaxMaxNumber, ","); bad != "" {
		return f, size, bad
	}
	if f.snr, rest, bad = cutNumber(rest, reyaxMaxNumber, "\r\n"); bad != "" {
		return f, size, bad
	}
	return f, len(b) - len(rest), ""
}

// cutNumber takes a number of at most so many characters off the head of b, and
// the one character of ends that must follow it.
func cutNumber(b []byte, most int, ends string) (number, rest []byte, bad Reason) {
	i := 0
	for i < len(b) && i < most && (b[i] == '-' || b[i] == '.' || '0' <= b[i] && b[i] <= '9') {
		i++
	}
	switch {
	case i == len(b):
		return nil, nil, incomplete
	case i == 0 || !bytes.Contains([]byte(ends), b[i:i+1]):
		return nil, nil, BadFields
	}
	return b[:i], b[i+1:], ""
}

// decode makes a Fix of a frame whose data has a form, or says why not.
func (f reyaxFrame) decode(payload string) (Fix, Reason) {
	if !numberOrEmpty(f.rssi) || !numberOrEmpty(f.snr) {
		return Fix{}, BadFields
	}
	rssi, err := strconv.Atoi(string(f.rssi))
	if err != nil {
		return Fix{}, BadFields
	}
	snr, err := strconv.ParseFloat(string(f.snr), 64)
	if err != nil {
		return Fix{}, BadFields
	}
	fix, bad := decodePayload(payload, f.data)
	if bad != "" {
		return Fix{}, bad
	}
	// A radio hears between its noise floor and its own transmitter.
	if f.address > 65535 || rssi < -200 || rssi > 50 || snr < -100 || snr > 100 {
		return Fix{}, BadRange
	}
	fix.Tag = "reyax:" + strconv.Itoa(f.address)
	fix.RSSI, fix.SNR = &rssi, &snr
	return fix, ""
}
