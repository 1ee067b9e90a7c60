package cardtest

import (
	"bytes"
	"time"
)

// AirFault is something that goes wrong with one frame of ISO/IEC 14443-4, or with the
// card's answer to it, once.
type AirFault string

// The faults of one frame.
const (
	RequestLost    AirFault = "request lost"    // the card does not hear it
	RequestSpoilt  AirFault = "request spoilt"  // a bit of it is flipped
	AnswerLost     AirFault = "answer lost"     // the card acts, and is not heard
	AnswerSpoilt   AirFault = "answer spoilt"   // a bit of the answer is flipped: CRC_A is wrong
	AnswerParity   AirFault = "answer parity"   // a parity bit of the answer is wrong
	AnswerCut      AirFault = "answer cut"      // its last byte is missing
	AnswerRepeated AirFault = "answer repeated" // the block before it comes once more in its place
	WrongNumber    AirFault = "wrong number"    // the block number of an I-block or R-block is wrong
	AckForData     AirFault = "ACK for data"    // R(ACK) in place of an I-block
	CardLeaves     AirFault = "card leaves"     // it is taken away just before the frame
	CardLeavesMid  AirFault = "card leaves mid" // it is taken away while it answers
)

// AirFaults are all of them.
func AirFaults() []AirFault {
	return []AirFault{
		RequestLost, RequestSpoilt, AnswerLost, AnswerSpoilt, AnswerParity, AnswerCut,
		AnswerRepeated, WrongNumber, AckForData, CardLeaves, CardLeavesMid,
	}
}

// strike is a fault, or a delay of the answer, that waits for its frame.
type strike struct {
	fault AirFault
	delay time.Duration
	in    int // frames until then
}

// StrikeAt has the nth frame of ISO/IEC 14443-4 from now on suffer a fault; RATS is one
// of them, and 1 is the next one. Several may be waiting.
func (c *Card) StrikeAt(n int, f AirFault) { c.strikeAt(strike{fault: f, in: n}) }

// DelayAt has the answer to the nth frame of ISO/IEC 14443-4 from now on come so much
// later than the card's applet and protocol say.
func (c *Card) DelayAt(n int, d time.Duration) { c.strikeAt(strike{delay: d, in: n}) }

func (c *Card) strikeAt(s strike) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.l4 != nil {
		c.l4.strikes = append(c.l4.strikes, s)
	}
}

// CalmAir forgets the faults of frames that have not come yet.
func (c *Card) CalmAir() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.l4 != nil {
		c.l4.strikes = nil
	}
}

// struck counts a frame, and tells what it suffers.
func (l *layer4) struck() (s strike) {
	if len(l.strikes) == 0 {
		return s
	}
	left := l.strikes[:0]
	for _, one := range l.strikes {
		if one.in--; one.in > 0 {
			left = append(left, one)
			continue
		}
		s.delay += one.delay
		if one.fault != "" {
			s.fault = one.fault
		}
	}
	l.strikes = left
	return s
}

// heardIn is a frame as it reaches the card, if it does.
func (s strike) heardIn(f Frame) (heard Frame, reaches bool) {
	switch s.fault {
	case RequestLost, CardLeaves:
		return f, false
	case RequestSpoilt:
		b := bytes.Clone(f.Bytes)
		b[len(b)/2] ^= 0x10
		f.Bytes = b
	}
	return f, true
}

// lies reports whether the card itself breaks the standard by a fault, so that a reader
// that trusts it does so as well.
func (s strike) lies() bool {
	return s.fault == AnswerRepeated || s.fault == WrongNumber || s.fault == AckForData
}

// spoil does to the card's answer what the fault says. before is the block that the card
// sent last before this answer, without CRC_A. An ATS has no number, and is none that
// could come twice.
func (c *Card) spoil(s strike, before []byte) (badParity bool) {
	n := c.answerBits / 8
	if s.lies() && (c.l4.fresh || c.state == Halt) {
		return false
	}
	if n < 3 {
		return false
	}
	switch s.fault {
	case AnswerLost:
		c.answerBits = 0
	case AnswerSpoilt:
		c.answer[n/2] ^= 0x04
	case AnswerParity:
		return true
	case AnswerCut, CardLeavesMid:
		c.answerBits -= 8
	case AnswerRepeated:
		if before != nil {
			c.reply(AppendCRC(append(c.answer[:0], before...)))
		}
	case WrongNumber:
		if isI(c.answer[0]) || isR(c.answer[0]) {
			c.answer[0] ^= 1
			AppendCRC(c.answer[:n-2])
		}
	case AckForData:
		if isI(c.answer[0]) {
			c.reply(AppendCRC(append(c.answer[:0], blkACK|c.answer[0]&1)))
		}
	}
	return s.fault == CardLeavesMid
}
