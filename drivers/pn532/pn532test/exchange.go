package pn532test

import (
	"bytes"
	"time"

	"presence/drivers/cardtest"
)

// Bits of the target's number in InDataExchange and of the status (manual, sections 7.1
// and 7.3.8).
const (
	targetNumber = 0x3F
	moreData     = 0x40

	maxResponse = 262 // bytes of data in a response of InDataExchange
)

// dataExchange is InDataExchange (manual, section 7.3.8): a command to a target. With one
// that speaks ISO/IEC 14443-4 the chip sees to the blocks.
func (c *Chip) dataExchange(p []byte, at instant) *job {
	const code = cmdDataExchange + 1
	if len(p) == 0 || len(p) > 264 {
		return c.wrong(cmdDataExchange, p, at)
	}
	t := c.target(p[0] & targetNumber)
	if t == nil {
		return c.statusReply(at+commandTime, code, statusContext)
	}
	if c.fault == FaultHot {
		return c.statusReply(at+commandTime, code, statusHot)
	}
	if len(c.rest) > 0 && len(p) == 1 {
		return c.deliver(c.rest, at)
	}
	c.rest = nil
	status, at := c.reselect(t, at)
	if status != statusOK {
		return c.statusReply(at+commandTime, code, status)
	}
	if t.layer4() {
		d := &dialogue{chip: c, target: t, data: bytes.Clone(p[1:]), more: p[0]&moreData != 0}
		return &job{at, d.step}
	}
	data, status, at := c.standard(at, p[1:]...)
	if status == statusTimeout {
		wait := timeoutCode(c.commTime)
		if wait == time.Duration(never) {
			return &job{at, func(instant) ([]byte, instant) { return nil, never }}
		}
		at += wait
		if len(p) > 1 && (p[1] == 0x60 || p[1] == 0x61) {
			status = statusAuthent
		}
	}
	if status != statusOK {
		return c.statusReply(at+commandTime, code, status)
	}
	return c.statusReply(at+commandTime, code, statusOK, data...)
}

// deliver is a response with as much of an answer as it takes. The rest is for the next
// InDataExchange, which has no data then.
func (c *Chip) deliver(answer []byte, at instant) *job {
	status := byte(statusOK)
	n := min(len(answer), maxResponse)
	if n < len(answer) {
		status = moreData
	}
	c.rest = answer[n:]
	return c.statusReply(at+commandTime, cmdDataExchange+1, status, answer[:n]...)
}

// communicateThru is InCommunicateThru (manual, section 7.3.9): a frame as it is,
// with what BitFraming and the CRC bits of TxMode and RxMode say. The answer has to begin
// within the time that item 2 of RFConfiguration gives.
func (c *Chip) communicateThru(p []byte, at instant) *job {
	const code = cmdCommunicateThru + 1
	if len(p) == 0 || len(p) > 264 {
		return c.wrong(cmdCommunicateThru, p, at)
	}
	typeB := c.reg(ciuTxMode)&modeTypeB == modeTypeB
	bits := 8 * len(p)
	if last := int(c.reg(ciuBitFraming) & lastBits); last != 0 {
		bits -= 8 - last
	}
	appendCRC := cardtest.AppendCRC
	if typeB {
		appendCRC = cardtest.AppendCRCB
	}
	frame := p
	if c.reg(ciuTxMode)&modeCRC != 0 {
		frame = appendCRC(bytes.Clone(p))
		bits += 16
	}
	wait := timeoutCode(c.commTime)
	sent := at + readerFrame(bits)
	a, end := c.listen(at, frame, bits, typeB, wait)
	if end == never {
		return &job{at, func(instant) ([]byte, instant) { return nil, never }}
	}
	gone := false
	return &job{end, func(at instant) ([]byte, instant) {
		if a.Bits > 0 && c.field.Interrupted() && !gone {
			a.Bits, a.Bytes, gone = 0, nil, true
			if sent+wait > at {
				return nil, sent + wait
			}
		}
		c.ciu[ciuControl&0x3F] = c.ciu[ciuControl&0x3F]&^lastBits | byte(a.Bits%8)
		data, status := c.raw(a, appendCRC)
		c.lastError = status
		return append([]byte{code, status}, data...), at + commandTime
	}}
}

// raw is what InCommunicateThru makes of an answer.
func (c *Chip) raw(a cardtest.Answer, appendCRC func([]byte) []byte) (data []byte, status byte) {
	n := len(a.Bytes)
	switch {
	case a.Bits == 0:
		return nil, statusTimeout
	case a.Collision >= 0:
		return nil, statusCollision
	case a.BadParity:
		return nil, statusParity
	case c.reg(ciuRxMode)&modeCRC == 0:
		return bytes.Clone(a.Bytes), statusOK
	case a.Bits%8 != 0 || n < 3 || !bytes.Equal(appendCRC(bytes.Clone(a.Bytes[:n-2])), a.Bytes):
		return nil, statusCRC
	}
	return bytes.Clone(a.Bytes[:n-2]), statusOK
}
