package pn532

import (
	"errors"
	"fmt"
)

// The parts of a frame (6.2.1).
const (
	fromHost  = 0xD4 // TFI of a command
	fromChip  = 0xD5 // TFI of a reply
	errorCode = 0x7F // stands in place of the TFI in an error frame

	// maxData is how many bytes may follow the TFI in an extended frame.
	maxData = 264

	// maxPreamble is how many zero bytes may come before the start code, that of the
	// start code among them. One or two are usual.
	maxPreamble = 8

	// overhead is the most that an extended frame has beside TFI and data: preamble
	// and start code, marks of the extended frame, length and checksum, checksum of
	// the data, postamble.
	overhead = maxPreamble + 1 + 2 + 3 + 1 + 1
)

// kind is what a frame is for.
type kind int

const (
	frameInfo  kind = iota // a command or a reply
	frameACK               // the frame before was received
	frameNACK              // it was not; the host asks for it again
	frameError             // the command cannot be carried out
)

// frame is what the chip sent.
type frame struct {
	kind kind
	code byte   // of a reply: its command's code + 1
	data []byte // what follows the code; part of the buffer that was read
}

// errFrame means that bytes are no frame: noise on the bus, or not all of one.
var errFrame = errors.New("damaged frame")

// ackFrame and nackFrame are sent as they are (6.2.1.3, 6.2.1.4).
func ackFrame() []byte  { return []byte{0x00, 0x00, 0xFF, 0x00, 0xFF, 0x00} }
func nackFrame() []byte { return []byte{0x00, 0x00, 0xFF, 0xFF, 0x00, 0x00} }

// appendCommand appends the frame of a command to dst. There are at most maxData-1
// bytes of parameters.
func appendCommand(dst []byte, code byte, params ...byte) []byte {
	n := len(params) + 2
	dst = append(dst, 0x00, 0x00, 0xFF)
	if n <= 0xFF {
		dst = append(dst, byte(n), -byte(n))
	} else {
		dst = append(dst, 0xFF, 0xFF, byte(n>>8), byte(n), -(byte(n>>8) + byte(n)))
	}
	sum := fromHost + code
	dst = append(dst, fromHost, code)
	for _, p := range params {
		sum += p
		dst = append(dst, p)
	}
	return append(dst, -sum, 0x00)
}

// parseFrame reads the frame at the beginning of what came over the bus; what follows
// it is ignored. The start code is looked for behind zeros only: behind a start code
// that was damaged, one that is part of the data would be found, and the data may be
// what a card chose to send.
func parseFrame(b []byte) (frame, error) {
	zeros := 0
	for zeros < len(b) && b[zeros] == 0x00 {
		zeros++
	}
	if zeros == 0 || zeros > maxPreamble || zeros == len(b) || b[zeros] != 0xFF {
		return frame{}, fmt.Errorf("%w: no start code", errFrame)
	}
	b = b[zeros+1:]
	if len(b) < 3 {
		return frame{}, fmt.Errorf("%w: it ends after its start code", errFrame)
	}
	n := int(b[0])
	switch {
	case b[0] == 0x00 && b[1] == 0xFF:
		return short(frameACK, b)
	case b[0] == 0xFF && b[1] == 0x00:
		return short(frameNACK, b)
	case b[0] == 0xFF && b[1] == 0xFF:
		if len(b) < 5 {
			return frame{}, fmt.Errorf("%w: it ends in its length", errFrame)
		}
		if b[2]+b[3]+b[4] != 0 {
			return frame{}, fmt.Errorf("%w: checksum of its length", errFrame)
		}
		n = int(b[2])<<8 | int(b[3])
		b = b[5:]
	case b[0]+b[1] != 0:
		return frame{}, fmt.Errorf("%w: checksum of its length", errFrame)
	default:
		b = b[2:]
	}
	return information(n, b)
}

// short is an ACK or NACK frame, if its postamble is there.
func short(k kind, b []byte) (frame, error) {
	if b[2] != 0x00 {
		return frame{}, fmt.Errorf("%w: postamble", errFrame)
	}
	return frame{kind: k}, nil
}

// information reads the n bytes of a frame behind its length, their checksum and the
// postamble.
func information(n int, b []byte) (frame, error) {
	switch {
	case n == 0 || n > maxData+1:
		return frame{}, fmt.Errorf("%w: %d bytes long", errFrame, n)
	case len(b) < n+2:
		return frame{}, fmt.Errorf("%w: %d of its %d bytes came", errFrame, max(0, len(b)-2), n)
	}
	var sum byte
	for _, v := range b[:n+1] {
		sum += v
	}
	switch {
	case sum != 0:
		return frame{}, fmt.Errorf("%w: checksum of its data", errFrame)
	case b[n+1] != 0x00:
		return frame{}, fmt.Errorf("%w: postamble", errFrame)
	case n == 1 && b[0] == errorCode:
		return frame{kind: frameError}, nil
	case n < 2 || b[0] != fromChip:
		return frame{}, fmt.Errorf("%w: no reply of the chip", errFrame)
	}
	return frame{kind: frameInfo, code: b[1], data: b[2:n]}, nil
}
