package cardtest

import (
	"bytes"
	"time"
)

// block is a block taken apart: its first byte without the bits for what may follow,
// whether there is a CID, and INF.
type block struct {
	pcb    byte
	hasCID bool
	inf    []byte
}

// parse takes a block apart. What is not for this card is not ok.
func (l *layer4) parse(b []byte) (block, bool) {
	out := block{pcb: b[0], inf: b[1:]}
	tc := l.announced().TC
	if b[0]&pcbCID != 0 {
		if tc&tcCID == 0 {
			l.violation("% X has a CID though none was agreed", b)
			return out, false
		}
		if len(out.inf) == 0 || out.inf[0]&0x0F != l.cid {
			return out, false
		}
		out.pcb, out.hasCID, out.inf = b[0]&^pcbCID, true, out.inf[1:]
	} else if l.cid != 0 && tc&tcCID != 0 {
		return out, false // a card with CID 0 is meant
	}
	if isI(b[0]) && b[0]&pcbNAD != 0 {
		if tc&tcNAD == 0 {
			l.violation("% X has a NAD though none was agreed", b)
			return out, false
		}
		if len(out.inf) == 0 {
			return out, false
		}
		out.pcb, out.inf = out.pcb&^pcbNAD, out.inf[1:]
	}
	return out, true
}

func (c *Card) block(now time.Time, b block) {
	l := c.l4
	l.withCID = b.hasCID
	switch {
	case isI(b.pcb):
		c.information(now, b)
	case isR(b.pcb) && len(b.inf) == 0:
		c.receiveReady(now, b)
	case b.pcb == blkDeselect && len(b.inf) == 0:
		c.sendBlock(l.Latency, blkDeselect)
		l.end()
		c.state = Halt
	case b.pcb == blkWTX && len(b.inf) == 1:
		c.extended(now, b.inf[0])
	}
	// To what it does not know, as S(PARAMETERS), a card is silent.
}

// information is an I-block: a command, or part of one.
func (c *Card) information(now time.Time, b block) {
	l := c.l4
	if l.waiting {
		l.violation("an I-block where the response to S(WTX) was due")
		return
	}
	if b.pcb&pcbNumber == l.number {
		l.violation("an I-block comes a second time with the number %d: its command would run twice", l.number)
	}
	l.number ^= 1 // rule D: whatever number the block has
	l.command = append(l.command, b.inf...)
	l.answer, l.more, l.part = nil, false, 0
	l.acks, l.ready, l.script = true, now, l.WTXInCommand
	if len(l.command) > maxCommand {
		l.command = nil
	}
	if b.pcb&pcbMore == 0 {
		answer, delay := l.applet.Command(l.command)
		l.executed++
		l.answer, l.command = bytes.Clone(answer), nil
		l.acks, l.ready, l.script = false, now.Add(delay), l.WTX
	}
	c.proceed(now)
}

// receiveReady is R(ACK) or R(NAK), by the rules 11 to 13 of ISO/IEC 14443-4, 7.5.4.3.
func (c *Card) receiveReady(now time.Time, b block) {
	l := c.l4
	nak, same := b.pcb&pcbMore != 0, b.pcb&pcbNumber == l.number
	switch {
	case same && l.last != nil:
		if nak && l.part > 0 && !l.waiting {
			l.violation("R(NAK) inside a chain of the card: R(ACK) is due")
		}
		c.delay = l.Latency
		c.reply(AppendCRC(append(c.answer[:0], l.last...)))
	case same:
		l.violation("R-block %02X asks for a block, but there was none", b.pcb)
	case nak:
		c.sendBlock(l.Latency, blkACK|l.number)
	case !l.more || l.waiting:
		l.violation("R(ACK) where no further block is due")
	default:
		l.number ^= 1 // rule E
		l.part++
		l.acks, l.ready, l.script = false, now, l.WTXInChain
		c.proceed(now)
	}
}

// extended is the response to S(WTX): WTXM as it was asked for, without a power level.
// It holds for the next answer only.
func (c *Card) extended(now time.Time, inf byte) {
	l := c.l4
	wtxm := l.asked & 0x3F
	switch {
	case !l.waiting:
		l.violation("a response to S(WTX) that nobody asked for")
		return
	case wtxm == 0 || wtxm > maxWTXM:
		l.violation("S(WTX) with WTXM %d was responded to", wtxm)
		return
	case inf != wtxm:
		l.violation("S(WTX) %02X is responded to with %02X", l.asked, inf)
		return
	}
	l.waiting = false
	l.allowed = min(l.allowed*time.Duration(wtxm), FrameWaiting(maxFWI))
	c.proceed(now)
}

// proceed sends what is due: an S(WTX) of the script, one that the applet needs, or the
// block itself.
func (c *Card) proceed(now time.Time) {
	l := c.l4
	wait := l.ready.Sub(now)
	switch {
	case len(l.script) > 0:
		l.asked, l.script, l.waiting = l.script[0], l.script[1:], true
		c.sendBlock(max(l.WTXAfter, l.Latency), blkWTX, l.asked)
	case wait > l.allowed:
		l.asked, l.waiting = l.Multiplier, true
		if l.asked == 0 {
			fwt := FrameWaiting(l.announced().FWI)
			l.asked = byte(min(1+wait/fwt, maxWTXM))
		}
		c.sendBlock(l.allowed*3/4, blkWTX, l.asked)
	case l.acks:
		c.sendBlock(l.Latency, blkACK|l.number)
	default:
		c.sendPart(max(wait, l.Latency))
	}
}

// sendPart sends an I-block with as much of the answer as one takes.
func (c *Card) sendPart(delay time.Duration) {
	l := c.l4
	room := l.fsd - 3 // PCB and CRC_A
	if l.withCID {
		room--
	}
	if l.Chunk > 0 {
		room = min(room, l.Chunk)
	}
	if l.EndlessChain && len(l.answer) <= room {
		l.answer = append(l.answer, make([]byte, room)...)
	}
	n := min(room, len(l.answer))
	pcb := byte(blkI) | l.number
	l.more = n < len(l.answer)
	if l.more {
		pcb |= pcbMore
	}
	inf := l.answer[:n]
	l.answer = l.answer[n:]
	c.sendBlock(delay, pcb, inf...)
}

// sendBlock sends a block after a delay, with a CID where the reader's block had one.
func (c *Card) sendBlock(delay time.Duration, pcb byte, inf ...byte) {
	l := c.l4
	l.last = append(make([]byte, 0, 2+len(inf)), pcb)
	if l.withCID {
		l.last = append(l.last, l.cid)
		l.last[0] |= pcbCID
	}
	l.last = append(l.last, inf...)
	c.delay = delay
	c.reply(AppendCRC(append(c.answer[:0], l.last...)))
}
