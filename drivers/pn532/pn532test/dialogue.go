package pn532test

import (
	"bytes"
	"time"

	"presence/drivers/cardtest"
)

// Blocks of ISO/IEC 14443-4 by their first byte (7.1.1.1).
const (
	blkI      = 0x02
	blkACK    = 0xA2
	blkWTX    = 0xF2
	blkNumber = 0x01
	blkMore   = 0x10
)

// fsd is the longest frame that the chip announces to take, by FSDI 5 in its RATS.
const fsd = 64

// maxRepeats is how often the chip asks for a block again.
const maxRepeats = 2

// dialogue is a command to a target that speaks ISO/IEC 14443-4, block by block: what the
// chip does by itself in InDataExchange. No board has shown how often it repeats, and for
// how long it extends.
type dialogue struct {
	chip   *Chip
	target *target
	data   []byte // of the command, still to be sent
	more   bool   // the host has more of it

	begun   bool
	sent    []byte          // the last I-block
	got     []byte          // of the answer
	heard   cardtest.Answer // to the block on air
	repeats int
}

// step takes the answer to the last block, and sends the next one.
func (d *dialogue) step(at instant) ([]byte, instant) {
	c, n := d.chip, d.target.block
	if !d.begun {
		d.begun = true
		return d.command(at)
	}
	b := d.block()
	if b == nil {
		d.repeats++
		switch {
		case d.repeats > maxRepeats:
			return d.fail(at, statusTimeout)
		case len(d.got) > 0:
			return d.put(at, d.target.waiting(), blkACK|n)
		}
		return d.put(at, d.target.waiting(), blkNAK|n)
	}
	switch pcb := b[0]; {
	case pcb == blkWTX && len(b) == 2 && b[1]&0x3F > 0 && b[1]&0x3F < 60:
		wtxm := b[1] & 0x3F
		return d.put(at, d.target.waiting()*time.Duration(wtxm), blkWTX, wtxm)
	case pcb&^blkNumber == blkACK && pcb&blkNumber != n: // the card has not heard it
		d.repeats++
		if d.repeats > maxRepeats {
			return d.fail(at, statusTimeout)
		}
		return d.put(at, d.target.waiting(), d.sent...)
	case pcb&^blkNumber == blkACK && d.sent[0]&blkMore != 0:
		d.repeats = 0
		d.target.block ^= 1
		if len(d.data) == 0 { // the host's turn
			return []byte{cmdDataExchange + 1, statusOK}, at + commandTime
		}
		return d.command(at)
	case pcb&^(blkNumber|blkMore) == blkI && pcb&blkNumber == n && d.sent[0]&blkMore == 0:
		d.repeats = 0
		d.target.block ^= 1
		d.got = append(d.got, b[1:]...)
		if pcb&blkMore != 0 && len(d.got) <= 1<<16 {
			return d.put(at, d.target.waiting(), blkACK|d.target.block)
		}
		j := c.deliver(d.got, at)
		return j.step(j.due)
	}
	return d.fail(at, statusProtocol)
}

func (d *dialogue) fail(at instant, status byte) ([]byte, instant) {
	d.chip.lastError = status
	return []byte{cmdDataExchange + 1, status}, at + commandTime
}

// command sends the next part of the command.
func (d *dialogue) command(at instant) ([]byte, instant) {
	n := min(len(d.data), d.target.frameSize()-3) // without PCB and CRC
	d.sent = append([]byte{blkI | d.target.block}, d.data[:n]...)
	d.data = d.data[n:]
	if len(d.data) > 0 || d.more {
		d.sent[0] |= blkMore
	}
	return d.put(at, d.target.waiting(), d.sent...)
}

// put sends a block. The next step is due when the answer to it has ended.
func (d *dialogue) put(at instant, wait time.Duration, b ...byte) ([]byte, instant) {
	frame := d.checksum(b)
	var end instant
	d.heard, end = d.chip.listen(at, frame, 8*len(frame), d.target.typeB, wait)
	return nil, end
}

// block is the block that has come without its checksum, nil where there is none.
func (d *dialogue) block() []byte {
	a, n := d.heard, len(d.heard.Bytes)
	if a.Bits%8 != 0 || n < 3 || n > fsd || a.BadParity || a.Collision >= 0 || d.chip.field.Interrupted() ||
		!bytes.Equal(d.checksum(a.Bytes[:n-2]), a.Bytes) {
		return nil
	}
	return bytes.Clone(a.Bytes[:n-2])
}

// checksum returns a block with the checksum of its type.
func (d *dialogue) checksum(b []byte) []byte {
	if d.target.typeB {
		return cardtest.AppendCRCB(bytes.Clone(b))
	}
	return cardtest.AppendCRC(bytes.Clone(b))
}
