package beacon

import (
	"bytes"
	"io"
	"strconv"
)

const (
	idasOpening = "NTF,IDAS,RXMSG,IND,"

	// idasMaxUnit is the highest unit ID of an NXDN radio; those above are reserved.
	idasMaxUnit = 65519

	// idasFields are those of a message up to what it says: own, peer, "-", RSSI and
	// the kind of the message.
	idasFields = 5
)

// NewIDAS decodes what an Icom IDAS radio (NXDN) prints of the messages that it
// receives, where they hold the sender's position:
//
//	NTF,IDAS,RXMSG,IND,<own>,<peer>,-,<RSSI>,GPS,"$GPRMC,...*hh"
//
// The sender's unit ID names the tag: "idas:200". RSSI is in dBm; "-" stands where the
// radio does not say. The sentence is as in NewReyax, checksum included. A line may
// stand between STX and ETX and begin with "*", as the radio prints it on its own
// port. Everything else that the radio notifies of, such as a text message, is passed
// over.
func NewIDAS(r io.Reader, opt Options) Decoder {
	return &idas{in: newStream(r, opt.complete().Reject, idasOpening)}
}

type idas struct{ in *stream }

// Next is Decoder's.
func (d *idas) Next() (Fix, error) {
	for {
		tok, err := d.in.token()
		if err != nil {
			return Fix{}, err
		}
		message, ours := bytes.CutPrefix(tok, []byte(idasOpening))
		if !ours {
			if !idasChatter(tok) {
				d.in.reject(BadFraming)
			}
			continue
		}
		fix, bad := decodeIDAS(message)
		switch bad {
		case "":
			return fix, nil
		case otherMessage:
		default:
			d.in.reject(bad)
		}
	}
}

// idasChatter reports whether a token is something that the radio says beside its
// messages: nothing, or another notification or answer of its own.
func idasChatter(tok []byte) bool {
	tok = bytes.Trim(tok, "\x02\x03\x00 ")
	tok = bytes.TrimPrefix(tok, []byte{'*'})
	if len(tok) == 0 {
		return true
	}
	if !bytes.HasPrefix(tok, []byte("NTF,")) {
		return false
	}
	for _, c := range tok {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// otherMessage says that a message holds no position and does not mean to.
const otherMessage Reason = "other message"

// decodeIDAS makes a Fix of a message behind its opening, or says why not.
func decodeIDAS(message []byte) (Fix, Reason) {
	f := split(message, idasFields+1)
	if f.n <= idasFields {
		return Fix{}, BadLength
	}
	switch kind := f.part[4]; {
	case bytes.Equal(kind, []byte("GPS")):
	case isWord(kind):
		return Fix{}, otherMessage
	default:
		return Fix{}, BadFields
	}
	peer, okPeer := digits(f.part[1])
	if _, ok := digits(f.part[0]); !ok && string(f.part[0]) != "-" {
		return Fix{}, BadFields
	}
	text, ok := bytes.CutPrefix(f.part[5], []byte{'"'})
	if !ok {
		return Fix{}, BadFields
	}
	sentence, behind, closed := bytes.Cut(text, []byte{'"'})
	if !closed {
		return Fix{}, BadLength
	}
	if len(bytes.Trim(behind, "\x02\x03\x00 *")) > 0 {
		return Fix{}, BadFields
	}
	rssi, bad := idasRSSI(f.part[3])
	if bad != "" {
		return Fix{}, bad
	}
	fix, bad := decodeRMCIn(sentence)
	if bad != "" {
		return Fix{}, bad
	}
	if !okPeer || peer < 1 || peer > idasMaxUnit {
		return Fix{}, BadIdentity
	}
	fix.Tag = "idas:" + strconv.Itoa(peer)
	fix.RSSI = rssi
	return fix, ""
}

// idasRSSI reads the signal strength in dBm, nil for "-" or nothing.
func idasRSSI(v []byte) (*int, Reason) {
	if len(v) == 0 || string(v) == "-" {
		return nil, ""
	}
	n, err := strconv.Atoi(string(v))
	switch {
	case err != nil || v[0] == '+':
		return nil, BadFields
	case n < -200 || n > 50: // a radio hears between its noise floor and its own transmitter
		return nil, BadRange
	}
	return &n, ""
}

// isWord reports whether v consists of capital letters.
func isWord(v []byte) bool {
	for _, c := range v {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return len(v) > 0
}
