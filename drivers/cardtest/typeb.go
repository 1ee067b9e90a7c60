package cardtest

import (
	"math/rand/v2"

	"presence/drivers/card"
)

// Commands of ISO/IEC 14443-3 type B. APf begins with cmdREQB, a slot marker's
// first byte ends in 5 and has the number of the slot less one before it.
const (
	cmdREQB   = 0x05
	cmdATTRIB = 0x1D
	cmdHLTB   = 0x50
	atqbFirst = 0x50
)

// The states of a card of type B beside those that both types have (ISO/IEC
// 14443-3, 7.4): it has drawn a slot that has not come yet, or has sent its ATQB.
const (
	ReadyRequested State = "READY-REQUESTED"
	ReadyDeclared  State = "READY-DECLARED"
)

// typeB is what a card of type B has instead of a UID, ATQA and SAK.
type typeB struct {
	application [4]byte // AFI, CRC_B(AID), number of applications
	protocol    [3]byte // bit rates; frame size and protocol; FWI, ADC and FO
	afi         byte
	slots       *rand.Rand
	slot        int // drawn in the anticollision under way, from 1
}

// NewTypeB makes a card of type B with a PUPI, the four bytes that it gives in
// place of a UID. Its UID is the PUPI, and its Info has no ATQA and no SAK.
func NewTypeB(pupi [4]byte) *Card {
	uid, _ := card.NewUID(pupi[:]) // four bytes are a UID
	return &Card{
		uid: uid, startup: processorStartup, state: Off,
		b: &typeB{
			protocol: [3]byte{0x00, 0x81, 0x81}, // 106 kbit/s only; 256 bytes, ISO 14443-4; FWI 8, CID
			slots:    rand.New(rand.NewPCG(uint64(pupi[0])<<24|uint64(pupi[1])<<16|uint64(pupi[2])<<8|uint64(pupi[3]), 0xB)),
		},
	}
}

// NewRandomTypeB makes a card of type B that draws another PUPI each time the
// field reaches it, as the standard lets it (ISO/IEC 14443-3, 7.9.2).
func NewRandomTypeB(seed uint64) *Card {
	c := NewTypeB([4]byte{})
	c.random = rand.New(rand.NewPCG(seed, 0xB))
	c.uid = drawPUPI(c.random)
	return c
}

func drawPUPI(source *rand.Rand) card.UID {
	v := source.Uint32()
	uid, _ := card.NewUID([]byte{byte(v >> 24), byte(v), byte(v >> 8), byte(v >> 16)}) // four bytes are a UID
	return uid
}

// TypeB reports whether this is a card of type B.
func (c *Card) TypeB() bool { return c.b != nil }

// SetAFI sets the application family that the card belongs to; a request for
// another one is not for it. 0, the default, is none in particular.
func (c *Card) SetAFI(afi byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.b.afi, c.b.application[0] = afi, afi
}

// receiveB is receive for a card of type B. All of its frames have a checksum.
func (c *Card) receiveB(f Frame) {
	n := f.Bits / 8
	if f.Bits%8 != 0 || n < 3 || crcB(f.Bytes[:n-2]) != [2]byte(f.Bytes[n-2:n]) {
		return
	}
	step := NoStep
	switch b := f.Bytes[:n-2]; {
	case c.state == Protocol:
		if n == 3 && b[0] == blkDeselect {
			c.state = Halt
			c.replyB(blkDeselect)
		}
	case len(b) == 3 && b[0] == cmdREQB:
		step = StepRequest
		c.requestB(b[1], b[2])
	case len(b) == 1 && b[0]&0x0F == cmdREQB:
		step = StepAnticollision
		if c.state == ReadyRequested && c.b.slot == int(b[0]>>4)+1 {
			c.declare()
		}
	case c.state != ReadyDeclared || len(b) < 5 || [4]byte(b[1:5]) != [4]byte(c.uid.Bytes()):
		// Nobody else is meant, or it is not this one's turn.
	case b[0] == cmdATTRIB && len(b) >= 9:
		step = StepSelect
		c.state = Protocol
		c.replyB(b[8] & 0x0F) // MBLI 0, CID
	case b[0] == cmdHLTB && len(b) == 5:
		c.state = Halt
		c.replyB(0x00)
	}
	if step != NoStep && step == c.mute {
		c.answerBits = 0
	}
}

// requestB is REQB, or WUPB where bit 3 of PARAM is set (ISO/IEC 14443-3, 7.7).
func (c *Card) requestB(afi, param byte) {
	const wakeUp = 0x08
	if c.state == Halt && param&wakeUp == 0 {
		return
	}
	if afi != 0 && afi != c.b.afi {
		c.state = Idle
		return
	}
	c.b.slot = 1 + c.b.slots.IntN(1<<min(param&0x07, 4))
	c.state = ReadyRequested
	if c.b.slot == 1 {
		c.declare()
	}
}

// declare sends ATQB.
func (c *Card) declare() {
	c.state = ReadyDeclared
	atqb := append([]byte{atqbFirst}, c.uid.Bytes()...)
	atqb = append(atqb, c.b.application[:]...)
	c.replyB(append(atqb, c.b.protocol[:]...)...)
}

func (c *Card) replyB(b ...byte) {
	b = AppendCRCB(b)
	if c.fault == BadCRC {
		b[len(b)-1] ^= 0xFF
	}
	c.reply(b)
}
