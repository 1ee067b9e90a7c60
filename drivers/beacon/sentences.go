package beacon

import (
	"bytes"
	"io"
)

const (
	stx = 0x02
	etx = 0x03
)

// sentences decodes the protocols whose frames are NMEA 0183 sentences.
type sentences struct {
	in *stream

	// decode makes a Fix of a sentence that has a checksum, or says why not. delta is
	// how far the checksum is off; see checksum.
	decode func(body []byte, delta byte) (Fix, Reason)
}

func newSentences(r io.Reader, opt Options, decode func([]byte, byte) (Fix, Reason), openings ...string) *sentences {
	return &sentences{in: newStream(r, opt.Reject, openings...), decode: decode}
}

// Next is Decoder's.
func (s *sentences) Next() (Fix, error) {
	for {
		tok, err := s.in.token()
		if err != nil {
			return Fix{}, err
		}
		if s.in.opening(tok) == "" {
			if !harmless(tok) {
				s.in.reject(BadFraming)
			}
			continue
		}
		body, delta, ok := checksum(tok)
		if !ok {
			s.in.reject(BadChecksum)
			continue
		}
		fix, bad := s.decode(body, delta)
		if bad != "" {
			s.in.reject(bad)
			continue
		}
		return fix, nil
	}
}

// harmless reports whether a token is something that may stand between our sentences:
// nothing, a caller ID in STX and ETX, another sentence with a right checksum.
func harmless(tok []byte) bool {
	if i := bytes.LastIndexByte(tok, etx); i >= 0 && callerID(tok[:i]) {
		tok = tok[i+1:]
	}
	tok = bytes.TrimLeft(tok, "\x02\x00 ")
	if blank(tok) {
		return true
	}
	if tok[0] != '$' {
		return false
	}
	_, delta, ok := checksum(tok)
	return ok && delta == 0
}

func callerID(b []byte) bool {
	for _, c := range b {
		if c != stx && c != etx && (c < ' ' || c > '~') {
			return false
		}
	}
	return true
}
