package isodep

import (
	"fmt"

	"presence/drivers/card"
)

// Protocol control bytes, without the bits that vary (7.1.1).
const (
	pcbI        = 0x02 // information
	pcbRACK     = 0xA2 // acknowledgement
	pcbRNAK     = 0xB2 // "say that again", from the reader only
	pcbDeselect = 0xC2
	pcbWTX      = 0xF2 // waiting time extension

	bitNumber = 0x01
	bitMore   = 0x10 // of an I-block: the chain goes on
)

// overhead is what a frame has beside the information field: PCB and CRC_A.
const overhead = 3

// Bits of the information field of S(WTX) (7.3).
const (
	maskMultiplier = 0x3F // WTXM; the others are the card's power level
	maxMultiplier  = 59
)

// kind is what a card's block is.
type kind int

const (
	information kind = iota
	acknowledgement
	extension
)

// block is a block from a card.
type block struct {
	kind       kind
	number     byte   // of information and acknowledgement
	more       bool   // of information
	inf        []byte // of information; valid until the next frame
	multiplier int    // of an extension

	// asked says of an acknowledgement that the card was asked for it by R(NAK), and had
	// not shown before that it got our block.
	asked bool
}

// parseBlock reads a frame from a card. What a card may not send is a card.ErrProtocol:
// reserved bits, CID and NAD, which were not agreed upon, R(NAK), S-blocks that nobody
// asked for.
func parseBlock(frame []byte) (block, error) {
	pcb, inf := frame[0], frame[1:]
	switch pcb {
	case pcbI, pcbI | bitNumber, pcbI | bitMore, pcbI | bitMore | bitNumber:
		return block{kind: information, number: pcb & bitNumber, more: pcb&bitMore != 0, inf: inf}, nil
	case pcbRACK, pcbRACK | bitNumber:
		if len(inf) == 0 {
			return block{kind: acknowledgement, number: pcb & bitNumber}, nil
		}
	case pcbWTX:
		if len(inf) != 1 {
			break
		}
		if m := int(inf[0] & maskMultiplier); m >= 1 && m <= maxMultiplier {
			return block{kind: extension, multiplier: m}, nil
		}
	}
	return block{}, fmt.Errorf("%w: the card sent % X", card.ErrProtocol, frame)
}
