package cardtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"presence/drivers/card"
)

// How long a card needs after the field came on before it hears a frame.
// ISO/IEC 14443-3 ("polling") lets it take 5 ms; processor cards do.
const (
	processorStartup = 5 * time.Millisecond
	memoryStartup    = time.Millisecond
)

// cascadeTag leads a cascade level that does not end the UID (ISO/IEC 14443-3,
// 6.5.4).
const cascadeTag = 0x88

// Commands of ISO/IEC 14443-3, and RATS of 14443-4.
const (
	cmdREQA = 0x26
	cmdWUPA = 0x52
	cmdHLTA = 0x50
	cmdRATS = 0xE0
)

// State is where a card stands in ISO/IEC 14443-3, figure "PICC type A state
// diagram". A starred state was reached out of HALT and falls back to it.
type State string

// The states. Protocol is that of ISO/IEC 14443-4, after RATS.
const (
	Off        State = "POWER-OFF"
	Idle       State = "IDLE"
	Ready      State = "READY"
	Active     State = "ACTIVE"
	Halt       State = "HALT"
	ReadyStar  State = "READY*"
	ActiveStar State = "ACTIVE*"
	Protocol   State = "PROTOCOL"
)

// Fault is something that a card does wrong, all the time.
type Fault int

// The faults of a card.
const (
	NoFault     Fault = iota
	BadBCC            // the check byte after each part of the UID is wrong
	BadCRC            // the checksum after SAK is wrong
	BadParity         // answers of whole bytes carry a wrong parity bit
	ShortSAK          // SAK comes without its checksum
	ShortATQA         // ATQA has 8 bits instead of 16
	RefusesHalt       // HLTA is answered, with a NAK, and not obeyed
	RefusesRATS       // RATS is met with silence
	NAKsRATS          // RATS is answered with a NAK of four bits, as some cards do
)

// Step is a part of the selection.
type Step int

// The steps at which a card can fall mute.
const (
	NoStep            Step = iota
	StepRequest            // REQA and WUPA
	StepAnticollision      // SEL with an NVB below 70
	StepSelect             // SEL with NVB 70
)

// Card is one card. Its faults may be changed while it lies in a field that a
// reader polls; a card lies in one field at a time.
type Card struct {
	mu sync.Mutex

	uid     card.UID
	atqa    [2]byte
	sak     byte
	l4      *layer4    // nil where the card speaks no ISO 14443-4
	random  *rand.Rand // draws a new UID at each power-up, where not nil
	b       *typeB     // what a card of type B has instead; nil for type A
	silent  bool
	startup time.Duration

	fault   Fault
	mute    Step
	leaveIn int // frames until it is taken away; 0 never

	state   State
	readyAt time.Time // when it has started up
	level   int       // cascade level of READY, 0 to 2

	answer     [MaxAnswer]byte
	answerBits int
	delay      time.Duration // from the frame's end to the answer's beginning
	gone       bool          // it is taken away with this frame
}

// New makes a card with an identifier and of a kind, as the names of package
// card give it. ATQA and SAK follow NXP AN10833; ATQA also tells the UID's size
// as ISO/IEC 14443-3 asks. A national ID card is an ISO14443_4 with a UID of 7
// bytes. Unknown stands for a card whose SAK says nothing.
func New(uid card.UID, technology card.Technology) (*Card, error) {
	if uid.Len() == 0 {
		return nil, fmt.Errorf("make card: no uid")
	}
	c := &Card{uid: uid, startup: memoryStartup, state: Off}
	switch technology {
	case card.MifareUltralight:
		c.atqa, c.sak = [2]byte{0x04, 0x00}, 0x00
	case card.MifareMini:
		c.atqa, c.sak = [2]byte{0x04, 0x00}, 0x09
	case card.MifareClassic1K:
		c.atqa, c.sak = [2]byte{0x04, 0x00}, 0x08
	case card.MifareClassic2K:
		c.atqa, c.sak = [2]byte{0x04, 0x00}, 0x19
	case card.MifareClassic4K:
		c.atqa, c.sak = [2]byte{0x02, 0x00}, 0x18
	case card.MifarePlus2K:
		c.atqa, c.sak = [2]byte{0x04, 0x00}, 0x10
	case card.MifarePlus4K:
		c.atqa, c.sak = [2]byte{0x02, 0x00}, 0x11
	case card.ISO14443_4:
		c.atqa, c.sak = [2]byte{0x04, 0x03}, 0x20
		c.l4 = &layer4{Layer4: DESFire(), applet: noApplet{}}
		c.startup = processorStartup
	case card.ISO18092:
		c.atqa, c.sak = [2]byte{0x04, 0x00}, 0x40
		c.startup = processorStartup
	case card.Unknown:
		c.atqa, c.sak = [2]byte{0x04, 0x00}, 0x01
	default:
		return nil, fmt.Errorf("make card: no model of technology %q", technology)
	}
	c.atqa[0] |= byte(c.levels()-1) << 6
	return c, nil
}

// NewRandom makes a card that has another identifier each time the field
// reaches it: 08 and three bytes drawn from the seed (phones and some processor
// cards, ISO/IEC 14443-3, 6.5.4).
func NewRandom(technology card.Technology, seed uint64) (*Card, error) {
	source := rand.New(rand.NewPCG(seed, 0))
	c, err := New(drawUID(source), technology)
	if err != nil {
		return nil, err
	}
	c.random = source
	return c, nil
}

// NewUnreadable makes a card that never answers, as one of type B or one that
// is broken.
func NewUnreadable() *Card {
	return &Card{silent: true, state: Off}
}

func drawUID(source *rand.Rand) card.UID {
	v := source.Uint32()
	uid, _ := card.NewUID([]byte{0x08, byte(v), byte(v >> 8), byte(v >> 16)}) // four bytes are a UID
	return uid
}

// UID is the card's identifier; of a random one, that of its last power-up.
// The zero UID is that of an unreadable card.
func (c *Card) UID() card.UID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.uid
}

// Info is what a reader should find out about the card.
func (c *Card) Info() card.Card {
	c.mu.Lock()
	defer c.mu.Unlock()
	return card.Card{UID: c.uid, ATQA: c.atqa, SAK: c.sak, TypeB: c.b != nil}
}

// ATS is the card's answer to RATS without its checksum, as 06 75 77 81 02 80;
// empty where the card speaks no ISO 14443-4.
func (c *Card) ATS() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.l4 == nil {
		return nil
	}
	return bytes.Clone(c.l4.ATS())
}

// State tells where the card stands.
func (c *Card) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// SetStartup sets how long the card needs after power-up; it counts from the
// next power-up on. The default is 5 ms for processor cards and 1 ms else.
func (c *Card) SetStartup(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.startup = d
}

// SetFault makes the card misbehave from now on; NoFault mends it.
func (c *Card) SetFault(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = f
}

// MuteAt makes the card's answers to one step go unheard, though the card acts
// on the command; NoStep ends that.
func (c *Card) MuteAt(s Step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mute = s
}

// LeaveAt has the card taken out of its field just before the nth frame from
// now on that it would have heard or not; 1 is the next one, 0 cancels.
func (c *Card) LeaveAt(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveIn = n
}

// leaves counts a frame and reports whether the card is gone before it.
func (c *Card) leaves() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaveIn == 0 {
		return false
	}
	c.leaveIn--
	return c.leaveIn == 0
}

func (c *Card) powerOn(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.random != nil && c.b != nil:
		c.uid = drawPUPI(c.random)
	case c.random != nil:
		c.uid = drawUID(c.random)
	}
	c.state, c.readyAt = Idle, now.Add(c.startup)
}

func (c *Card) powerOff() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != Off && c.l4 != nil {
		c.l4.end()
	}
	c.state = Off
}

// levels is how many cascade levels the UID takes.
func (c *Card) levels() int { return c.uid.Len() / 3 } // 4, 7, 10 bytes: 1, 2, 3

// levelBytes are the four bytes of one cascade level and their BCC.
func (c *Card) levelBytes(level int) (b [5]byte) {
	uid := c.uid.Bytes()[3*level:]
	if level == c.levels()-1 {
		copy(b[:4], uid)
	} else {
		b[0] = cascadeTag
		copy(b[1:4], uid)
	}
	b[4] = b[0] ^ b[1] ^ b[2] ^ b[3]
	if c.fault == BadBCC {
		b[4] ^= 0xFF
	}
	return b
}

// receive takes a frame and leaves the answer in c.answer, c.answerBits and c.delay;
// zero bits are silence. badParity tells that the answer's parity is wrong.
// The caller holds c.mu.
func (c *Card) receive(now time.Time, f Frame) (badParity bool) {
	c.answerBits, c.delay, c.gone = 0, 0, false
	if c.silent || c.state == Off || now.Before(c.readyAt) || f.TypeB != (c.b != nil) {
		return false
	}
	if c.b != nil {
		c.receiveB(f)
		return c.fault == BadParity && c.answerBits >= 8
	}
	step := NoStep
	switch {
	case c.state == Protocol || c.l4 != nil && c.awaitsRATS() && f.Bits == 4*8 && f.Bytes[0] == cmdRATS:
		badParity, c.gone = c.layer4Frame(now, f)
	case f.Bits == 7:
		step = StepRequest
		c.request(f.Bytes[0] & 0x7F)
	case c.state == Idle || c.state == Halt:
		// Nothing but a request wakes the card.
	case f.Bits >= 16 && (f.Bytes[0] == 0x93 || f.Bytes[0] == 0x95 || f.Bytes[0] == 0x97):
		step = c.selection(f)
	default:
		c.standard(f)
	}
	if step != NoStep && step == c.mute {
		c.answerBits = 0
	}
	return badParity || c.fault == BadParity && c.answerBits >= 8
}

// awaitsRATS reports whether the card has just been selected: any other frame takes it
// out of that state.
func (c *Card) awaitsRATS() bool { return c.state == Active || c.state == ActiveStar }

// starred reports whether the card came out of HALT.
func (c *Card) starred() bool {
	return c.state == ReadyStar || c.state == ActiveStar || c.state == Halt
}

// fallBack is what a card does after a frame that it did not expect: IDLE, or
// HALT where it came from there.
func (c *Card) fallBack() {
	if c.starred() {
		c.state = Halt
	} else {
		c.state = Idle
	}
}

func (c *Card) request(command byte) {
	switch {
	case c.state == Idle && (command == cmdREQA || command == cmdWUPA):
		c.state = Ready
	case c.state == Halt && command == cmdWUPA:
		c.state = ReadyStar
	case c.state == Idle || c.state == Halt:
		return
	default:
		c.fallBack()
		return
	}
	c.level = 0
	c.reply(c.atqa[:])
	if c.fault == ShortATQA {
		c.answerBits = 8
	}
}

// selection handles ANTICOLLISION and SELECT, which differ in NVB only
// (ISO/IEC 14443-3, "anticollision and select").
func (c *Card) selection(f Frame) Step {
	if c.state != Ready && c.state != ReadyStar || f.Bytes[0] != byte(0x93+2*c.level) {
		c.fallBack()
		return NoStep
	}
	nvb := f.Bytes[1]
	valid := int(nvb>>4)*8 + int(nvb&0x0F) // bits that count, SEL and NVB among them
	own := c.levelBytes(c.level)

	if nvb == 0x70 {
		if f.Bits != 9*8 || crcA(f.Bytes[:9]) != 0 || [5]byte(f.Bytes[2:7]) != own {
			c.fallBack()
			return StepSelect
		}
		c.selected()
		return StepSelect
	}
	if valid < 16 || valid > 16+39 || nvb&0x0F > 7 || f.Bits != valid {
		c.fallBack()
		return StepAnticollision
	}
	known := valid - 16
	for i := range known {
		if bit(f.Bytes[2:], i) != bit(own[:], i) {
			c.fallBack()
			return StepAnticollision
		}
	}
	c.answerBits = 40 - known
	clear(c.answer[:5])
	for i := known; i < 40; i++ {
		c.answer[(i-known)/8] |= bit(own[:], i) << ((i - known) % 8)
	}
	return StepAnticollision
}

// selected answers a SELECT of the current level and moves on.
func (c *Card) selected() {
	sak := c.sak
	if c.level < c.levels()-1 {
		sak = 0x04 | c.sak&0x20 // "UID not complete"; the other bits say nothing yet
		c.level++
	} else if c.state == ReadyStar {
		c.state = ActiveStar
	} else {
		c.state = Active
	}
	c.reply(AppendCRC(append(c.answer[:0], sak)))
	switch c.fault {
	case BadCRC:
		c.answer[2] ^= 0xFF
	case ShortSAK:
		c.answerBits = 8
	}
}

// standard handles the frames with a checksum that a selected card knows.
func (c *Card) standard(f Frame) {
	n := f.Bits / 8
	intact := f.Bits%8 == 0 && n >= 3 && crcA(f.Bytes[:n]) == 0
	switch {
	case c.awaitsRATS() && intact && n == 4 && f.Bytes[0] == cmdHLTA && f.Bytes[1] == 0:
		if c.fault == RefusesHalt {
			c.answer[0], c.answerBits = 0x00, 4
			return
		}
		c.state = Halt
	default:
		c.fallBack()
	}
}

func (c *Card) reply(b []byte) {
	c.answerBits = 8 * copy(c.answer[:], b)
}

// bit is bit i of b, in order of transmission: least significant first.
func bit(b []byte, i int) byte { return b[i/8] >> (i % 8) & 1 }
