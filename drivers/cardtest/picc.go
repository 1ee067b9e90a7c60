package cardtest

import (
	"fmt"
	"slices"
	"time"
)

// Blocks of ISO/IEC 14443-4 by their first byte (7.1.1.1), with neither CID nor NAD.
const (
	blkI        = 0x02
	blkACK      = 0xA2
	blkNAK      = 0xB2
	blkDeselect = 0xC2
	blkWTX      = 0xF2
	blkParams   = 0xF0
	cmdPPS      = 0xD0

	pcbNumber = 0x01
	pcbNAD    = 0x04
	pcbCID    = 0x08
	pcbMore   = 0x10
)

func isI(pcb byte) bool { return pcb&0xE2 == blkI }

func isR(pcb byte) bool { return pcb&0xE6 == blkACK }

// The longest that a card may take for an answer, however long its S(WTX) asks for
// (ISO/IEC 14443-4, 7.2 and 7.3: FWT of FWI 14), and the largest WTXM.
const (
	maxFWI  = 14
	maxWTXM = 59
)

// What bounds the lists of a card that lives for days.
const (
	maxViolations = 100
	maxCommand    = 1 << 16
)

// layer4 is a card's side of ISO/IEC 14443-4.
type layer4 struct {
	Layer4
	applet Applet

	strikes    []strike
	executed   int
	violations []string

	session
}

// session is what lasts from RATS to S(DESELECT), or to the loss of power.
type session struct {
	fsd     int
	cid     byte
	withCID bool // the reader's last block had it
	fresh   bool // the ATS is under way
	astray  bool // the card has broken the standard itself
	blocks  int  // received since the ATS
	deaf    bool // another bit rate was agreed, which the field does not carry
	number  byte // of the card's last block

	// The ATS, S(DESELECT) or the answer to it may have been lost, so that the reader does
	// not know that there is a session, or believes that it is over.
	disturbed bool

	command []byte // what has come of a chained command

	// What is to be sent next: an R(ACK), or the next part of the answer from ready on.
	acks    bool
	ready   time.Time
	answer  []byte // what is left of it
	more    bool   // the last I-block said that another one follows
	part    int    // of the answer, from 0
	script  []byte // the S(WTX) to be sent before
	asked   byte   // the INF of the S(WTX) whose response is awaited
	waiting bool   // for that response
	last    []byte // the block that was sent last, without CRC_A

	allowed   time.Duration // the card may take for the answer under way
	deafUntil time.Time     // the end of SFGT
	sentUntil time.Time     // the end of its last answer
	due       time.Time     // until when the reader has to wait for an answer
}

// SetApplet gives the card a program and has it speak ISO/IEC 14443-4 in such a way; its
// SAK says so. A nil applet answers that it knows no application and no command. It
// counts from the next RATS on. The methods of an applet must not call those of the card
// or its field. A card of type B stays as it is.
func (c *Card) SetApplet(a Applet, p Layer4) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.b != nil {
		return
	}
	c.sak |= sakLayer4
	if c.l4 == nil {
		c.l4 = &layer4{}
	}
	if a == nil {
		a = noApplet{}
	}
	c.l4.applet, c.l4.Layer4 = a, p
}

// sakLayer4 is the bit of SAK for ISO/IEC 14443-4 (ISO/IEC 14443-3, 6.5.3).
const sakLayer4 = 0x20

// noApplet is the program of a card on which there is nothing that we know.
type noApplet struct{}

func (noApplet) Reset() {}

// Command knows no file and no application (6A82) and no other instruction (6D00).
func (noApplet) Command(apdu []byte) ([]byte, time.Duration) {
	if len(apdu) >= 2 && apdu[0] == 0x00 && apdu[1] == 0xA4 {
		return []byte{0x6A, 0x82}, 0
	}
	return []byte{0x6D, 0x00}, 0
}

// Executed tells how many commands the card's applet has carried out. What a reader
// repeats on the air must not count twice.
func (c *Card) Executed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.l4 == nil {
		return 0
	}
	return c.l4.executed
}

// Violations lists what the reader did that ISO/IEC 14443-4 forbids, in order. It is empty
// after a reader that does everything right. Where frames were spoilt on the air, a reader
// may ask for the ATS again, or wake cards as if there were no session. After a fault by
// which the card itself breaks the standard, nothing of that session is held against the
// reader.
func (c *Card) Violations() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.l4 == nil {
		return nil
	}
	return slices.Clone(c.l4.violations)
}

func (l *layer4) violation(format string, args ...any) {
	if len(l.violations) < maxViolations && !l.astray {
		l.violations = append(l.violations, fmt.Sprintf(format, args...))
	}
}

// end forgets the session and what the applet knew of it.
func (l *layer4) end() {
	l.session = session{}
	l.applet.Reset()
}

// layer4Frame is RATS, or a frame that comes after it. It reports whether the answer's
// parity is wrong, and whether the card is taken away.
func (c *Card) layer4Frame(now time.Time, f Frame) (badParity, gone bool) {
	l := c.l4
	s, before := l.struck(), l.last
	l.allowed = FrameWaiting(l.announced().FWI)
	heard, reaches := s.heardIn(f)
	switch {
	case c.state == Protocol:
		l.checkPatience(now, f)
		l.disturbed = l.disturbed || s.fault != "" && f.Bytes[0]&^pcbCID == blkDeselect
		if reaches {
			c.inProtocol(now, heard)
		}
	case reaches:
		c.rats(heard.Bytes)
	}
	if c.state == Protocol || c.answerBits > 0 {
		badParity = c.answered(now, s, before)
	}
	return badParity, s.fault == CardLeaves || s.fault == CardLeavesMid
}

// answered spoils the answer as the fault says, and notes until when it lasts.
func (c *Card) answered(now time.Time, s strike, before []byte) (badParity bool) {
	l := c.l4
	l.due = now.Add(l.allowed)
	if c.answerBits == 0 {
		return false
	}
	full := c.answerBits
	badParity = c.spoil(s, before)
	c.delay += s.delay
	begins := now.Add(max(c.delay, carrier(frameDelay)))
	l.sentUntil = begins.Add(cardFrame(min(full, max(c.answerBits, 8))))
	if c.answerBits > 0 && !begins.After(l.due) {
		l.due = l.sentUntil
	}
	l.astray = l.astray || s.lies()
	if l.fresh {
		l.fresh, l.disturbed = false, s.fault != ""
		l.deafUntil = l.sentUntil.Add(StartupGuard(l.announced().SFGI))
	}
	return badParity
}

// checkPatience wants the reader to have waited for as long as the card may take, or for
// the end of its answer. Whoever gives a card up may do so at any time.
func (l *layer4) checkPatience(now time.Time, f Frame) {
	begins := now.Add(-readerFrame(f.Bits))
	if begins.Before(l.due) && intact(f) && f.Bytes[0]&^pcbCID != blkDeselect {
		l.violation("% X comes %v before the card's time for its answer is over", f.Bytes[:f.Bits/8], l.due.Sub(begins))
	}
}

// intact reports whether a frame has whole bytes and its checksum.
func intact(f Frame) bool {
	n := f.Bits / 8
	return f.Bits%8 == 0 && n >= 3 && crcA(f.Bytes[:n]) == 0
}

// rats answers RATS (ISO/IEC 14443-4, 5.6): its second byte has FSDI and CID.
func (c *Card) rats(b []byte) {
	l := c.l4
	switch {
	case len(b) != 4 || crcA(b) != 0:
		c.fallBack()
		return
	case b[1]&0x0F == 0x0F:
		l.violation("RATS with CID 15")
		c.fallBack()
		return
	case c.fault == RefusesRATS:
		c.fallBack()
		return
	case c.fault == NAKsRATS:
		c.fallBack()
		c.answer[0], c.answerBits = 0x00, 4
		return
	}
	l.end()
	l.fsd, l.cid = min(frameSize(b[1]>>4), MaxAnswer), b[1]&0x0F
	l.number, l.fresh = 1, true
	c.state, c.delay = Protocol, l.Latency
	c.reply(AppendCRC(append(c.answer[:0], l.ATS()...)))
}

// inProtocol is a frame that comes after RATS. What is damaged is answered with silence.
func (c *Card) inProtocol(now time.Time, f Frame) {
	l := c.l4
	begins, n := now.Add(-readerFrame(f.Bits)), f.Bits/8
	switch {
	case begins.Before(l.sentUntil): // the card sends, and hears nothing
	case f.Bits == 7:
		if !l.disturbed {
			l.violation("%02X in a session that no S(DESELECT) has ended", f.Bytes[0])
		}
	case !intact(f):
	case begins.Before(l.deafUntil):
		if l.disturbed && f.Bytes[0] == blkDeselect {
			return
		}
		l.violation("% X comes %v before the startup frame guard time is over", f.Bytes[:n-2], l.deafUntil.Sub(begins))
	case n > frameSize(l.announced().FSCI):
		l.violation("a frame of %d bytes; the card takes %d", n, frameSize(l.announced().FSCI))
	case l.deaf:
	case f.Bytes[0] == cmdRATS:
		if !l.disturbed {
			l.violation("RATS twice")
		}
	case f.Bytes[0]&0xF0 == cmdPPS:
		c.pps(f.Bytes[:n-2])
	default:
		l.blocks++
		if b, ok := l.parse(f.Bytes[:n-2]); ok {
			c.block(now, b)
		}
	}
}

// pps agrees on bit rates (ISO/IEC 14443-4, 5.3): PPSS with the CID, PPS0, PPS1.
func (c *Card) pps(b []byte) {
	l := c.l4
	if l.blocks > 0 {
		l.violation("PPS after the first block")
		return
	}
	if len(b) != 3 || b[0]&0x0F != l.cid || b[1] != 0x11 {
		return
	}
	// DRI and DSI against the bits that TA has for the two directions.
	ta := l.announced().TA
	for _, way := range []struct{ index, has byte }{{b[2] & 0x03, ta}, {b[2] >> 2 & 0x03, ta >> 4}} {
		if way.index != 0 && way.has>>(way.index-1)&1 == 0 {
			l.violation("PPS for a bit rate that the card does not have: %02X", b[2])
			return
		}
		l.deaf = l.deaf || way.index != 0
	}
	l.blocks++
	c.delay = l.Latency
	c.reply(AppendCRC(append(c.answer[:0], b[0])))
}
