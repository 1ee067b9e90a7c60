package applets

import "encoding/binary"

// Status words of ISO/IEC 7816-4, table 6, as far as the models send them.
const (
	swDone             = 0x9000
	swMore             = 0x6100 // the low byte says how much is left, 00 for 256 or more
	swWrongLength      = 0x6700
	swLastOfChain      = 0x6883 // the last command of a chain was expected
	swSecurity         = 0x6982 // security status not satisfied: a PIN is wanted
	swConditions       = 0x6985
	swWrongData        = 0x6A80
	swFunction         = 0x6A81 // function not supported
	swNotFound         = 0x6A82 // file, object or application
	swWrongParameters  = 0x6A86
	swReferenceMissing = 0x6A88 // no such key
	swInstruction      = 0x6D00
	swClass            = 0x6E00
)

// command is a command APDU taken apart (ISO/IEC 7816-4, 5.1).
type command struct {
	cla, ins, p1, p2 byte
	data             []byte
	le               int // how many bytes are expected at most; 0 where Le is missing
	extended         bool
}

// parseCommand takes an APDU apart; false where its length fits none of the seven cases.
func parseCommand(b []byte) (command, bool) {
	if len(b) < 4 {
		return command{}, false
	}
	c := command{cla: b[0], ins: b[1], p1: b[2], p2: b[3]}
	rest := b[4:]
	switch {
	case len(rest) == 0:
		return c, true
	case len(rest) == 1:
		c.le = shortLe(rest[0])
		return c, true
	case rest[0] != 0:
		n := int(rest[0])
		if rest = rest[1:]; len(rest) != n && len(rest) != n+1 {
			return command{}, false
		}
		c.data = rest[:n]
		if len(rest) > n {
			c.le = shortLe(rest[n])
		}
		return c, true
	case len(rest) < 3:
		return command{}, false
	}
	c.extended = true
	n := int(binary.BigEndian.Uint16(rest[1:]))
	switch rest = rest[3:]; {
	case len(rest) == 0:
		c.le = extendedLe(n)
	case n == 0 || len(rest) != n && len(rest) != n+2:
		return command{}, false
	default:
		c.data = rest[:n]
		if len(rest) > n {
			c.le = extendedLe(int(binary.BigEndian.Uint16(rest[n:])))
		}
	}
	return c, true
}

func shortLe(b byte) int {
	if b == 0 {
		return 256
	}
	return int(b)
}

func extendedLe(n int) int {
	if n == 0 {
		return 1 << 16
	}
	return n
}

// reply is a response APDU.
func reply(data []byte, sw uint16) []byte {
	return binary.BigEndian.AppendUint16(append([]byte(nil), data...), sw)
}

// tlv is a BER-TLV data object (ISO/IEC 7816-4, 5.2.2); its value is the parts, one
// after the other.
func tlv(tag int, parts ...[]byte) []byte {
	var value []byte
	for _, p := range parts {
		value = append(value, p...)
	}
	var b []byte
	for shift := 16; shift > 0; shift -= 8 {
		if tag>>shift != 0 {
			b = append(b, byte(tag>>shift))
		}
	}
	b = append(b, byte(tag))
	switch n := len(value); {
	case n < 0x80:
		b = append(b, byte(n))
	case n < 0x100:
		b = append(b, 0x81, byte(n))
	default:
		b = append(b, 0x82, byte(n>>8), byte(n))
	}
	return append(b, value...)
}

// nextTLV takes the first data object off b: those with a tag of one byte and a length
// of up to three, as commands have them.
func nextTLV(b []byte) (tag byte, value, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	tag, n, head := b[0], int(b[1]), 2
	switch {
	case n == 0x81 && len(b) >= 3:
		n, head = int(b[2]), 3
	case n == 0x82 && len(b) >= 4:
		n, head = int(binary.BigEndian.Uint16(b[2:])), 4
	case n >= 0x80:
		return 0, nil, nil, false
	}
	if len(b) < head+n {
		return 0, nil, nil, false
	}
	return tag, b[head : head+n], b[head+n:], true
}
