package pn532test

import (
	"bytes"
	"slices"
)

// Bytes of frames (manual, section 6.2.1).
const (
	tfiHost = 0xD4
	tfiChip = 0xD5

	maxData  = 265 // TFI and 264 bytes
	maxFrame = maxData + 64
)

// ackFrame acknowledges a command, and aborts one when the host sends it.
func ackFrame() []byte { return []byte{0x00, 0x00, 0xFF, 0x00, 0xFF, 0x00} }

// frame wraps data, which begins with its TFI, into a normal or extended frame.
func (c *Chip) frame(data []byte) []byte {
	f := append(slices.Clone(c.open.preamble), 0xFF)
	if n := len(data); n <= 0xFF {
		f = append(f, byte(n), byte(-n))
	} else {
		f = append(f, 0xFF, 0xFF, byte(n>>8), byte(n), byte(-(n>>8 + n)))
	}
	f = append(f, data...)
	return append(f, -sum(data), 0x00)
}

func sum(b []byte) (s byte) {
	for _, v := range b {
		s += v
	}
	return s
}

// errorFrame tells of a command that the chip does not know, or not with such
// parameters, or not now (manual, section 6.2.1.5).
func errorFrame() []byte { return []byte{0x7F} }

// received takes what the host has written in one transfer. A frame that is damaged
// is not acknowledged, so that the host sends it again after 15 ms (manual, section
// 6.2.2).
func (c *Chip) received(now instant) {
	at := bytes.Index(c.in, []byte{0x00, 0xFF})
	if at < 0 || len(c.in) < at+4 {
		c.bad("no frame in % X", c.in)
		return
	}
	f := c.in[at+2:]
	var length int
	switch {
	case f[0] == 0x00 && f[1] == 0xFF:
		c.abort(now)
		return
	case f[0] == 0xFF && f[1] == 0x00:
		c.repeat(now)
		return
	case f[0] == 0xFF && f[1] == 0xFF:
		if len(f) < 5 || f[2]+f[3]+f[4] != 0 {
			c.bad("the checksum of an extended length in % X", c.in)
			return
		}
		length, f = int(f[2])<<8|int(f[3]), f[5:]
	case f[0]+f[1] != 0:
		c.bad("the checksum of the length in % X", c.in)
		return
	default:
		length, f = int(f[0]), f[2:]
	}
	switch {
	case length < 2 || length > maxData || len(f) < length+1:
		c.bad("a length of %d with %d bytes behind it", length, len(f))
	case sum(f[:length+1]) != 0:
		c.bad("the checksum of the data in % X", c.in)
	case f[0] != tfiHost:
		c.bad("a frame that begins with %02X", f[0])
	default:
		c.accept(f[1:length], now)
	}
}

func (c *Chip) bad(format string, args ...any) {
	c.stats.BadFrames++
	c.violation(format, args...)
}

// abort is an ACK from the host: the command under way ends without a response
// (manual, section 6.2.1.3).
func (c *Chip) abort(now instant) {
	c.stats.Aborts++
	busy := c.phase != idle
	c.stop(now)
	if busy && c.open.abortDeafens {
		c.deaf = true
	}
}

// stop ends the command under way.
func (c *Chip) stop(now instant) {
	if c.phase == running && c.open.abortSilences {
		c.setRF(false, now)
	}
	c.forget()
}

// repeat is a NACK from the host: it gets the last response again (manual, section
// 6.2.1.4).
func (c *Chip) repeat(now instant) {
	if c.last == nil || c.phase == acking || c.phase == running || c.fault == FaultStuck {
		c.violation("NACK where there is no response to repeat")
		return
	}
	c.stats.Repeats++
	c.phase, c.out, c.outAt, c.taken, c.readyAt = answering, c.frame(c.last), 0, false, now+ackTime
}

// accept begins a command.
func (c *Chip) accept(data []byte, now instant) {
	if c.fault == FaultStuck {
		return
	}
	if c.deaf {
		c.deaf = false
		return
	}
	fault := c.tripped()
	if fault == LostCommand {
		return
	}
	if c.phase == acking || c.phase == running || c.phase == answering && !c.taken {
		c.violation("command %02X while command %02X was under way: abort that one first", data[0], c.cmd[0])
	}
	c.stop(now)
	c.stats.Commands++
	c.fresh = false
	c.cmd, c.last = slices.Clone(data), nil
	c.spoil, c.lost, c.again = fault, fault == LostResponse, fault == DoubleACK
	c.phase, c.out, c.readyAt = acking, ackFrame(), now+ackTime
	switch {
	case fault == LostACK:
		c.run(now + ackTime)
		return
	case fault == LateACK:
		c.readyAt = now + lateACK
	}
	if c.open.runsUnread {
		c.job = c.begin(c.cmd, now+ackTime)
	}
}

// run starts the command whose acknowledgement is through.
func (c *Chip) run(now instant) {
	c.phase, c.out, c.outAt, c.taken, c.readyAt = running, nil, 0, false, never
	if c.job == nil && c.last == nil {
		c.job = c.begin(c.cmd, now)
		return
	}
	if c.last != nil { // it ran before its ACK was read
		c.offer(now)
	}
}

// respond is a command that has ended with a response, which may be an error frame.
func (c *Chip) respond(data []byte, at instant) {
	if data[0] != errorFrame()[0] {
		data = append([]byte{tfiChip}, data...)
	}
	if c.spoil == ErrorFrame {
		data = errorFrame()
	}
	c.last = data
	if c.phase == running {
		c.offer(at)
	}
}

// offer lets the host read the response.
func (c *Chip) offer(at instant) {
	if c.lost {
		c.last = nil
		return
	}
	f := c.frame(c.last)
	start := len(c.open.preamble) + 1
	switch c.spoil {
	case BadLCS:
		f[start+1] ^= 0x10
	case BadDCS:
		f[len(f)-2] ^= 0x10
	case CutResponse:
		for i := start + (len(f)-start)/2; i < len(f); i++ {
			f[i] = 0xFF
		}
	case LeadingGarbage:
		f = append([]byte{0x5A, 0xC3, 0x00, 0xA5}, f...)
	case WrongResponse:
		f[len(f)-2] -= 2 // the checksum
		f[start+3] += 2
	}
	c.phase, c.out, c.outAt, c.taken, c.readyAt = answering, f, 0, false, at
}

// passed is the host having read what there was, once chip select rises.
func (c *Chip) passed(now instant) {
	switch {
	case c.phase == acking && c.again:
		c.again = false
		c.out, c.outAt, c.taken, c.readyAt = ackFrame(), 0, false, now+ackTime
	case c.phase == acking:
		c.run(now)
	default:
		ending := c.ending
		last := c.last
		c.forget()
		c.last = last
		if ending != nil {
			ending()
		}
	}
}
