package pn532test

import (
	"bytes"
	"time"

	"presence/drivers/cardtest"
)

// Commands of ISO/IEC 14443 that the chip sends by itself.
const (
	cmdREQA     = 0x26
	cmdWUPA     = 0x52
	cmdHLTA     = 0x50
	cmdRATS     = 0xE0
	blkDeselect = 0xC2 // S(DESELECT)
	blkNAK      = 0xB2 // R(NAK)
	cascadeTag  = 0x88
)

// target is a card that the chip has activated.
type target struct {
	typeB bool

	// Of type A.
	atqa [2]byte // in order of transmission
	sak  byte
	uid  []byte // without cascade tags
	ats  []byte // without its checksum; nil where there was no RATS

	// Of type B.
	atqb   []byte
	attrib []byte

	selected bool
	block    byte // number of the next I-block
}

// layer4 reports whether blocks of ISO/IEC 14443-4 go to the target.
func (t *target) layer4() bool { return t.typeB || t.ats != nil }

// modulation is the target's type as GetGeneralStatus has it.
func (t *target) modulation() byte {
	if t.typeB {
		return 0x03
	}
	return 0x10
}

// data is the target as a listing reports it (manual, section 7.3.5).
func (t *target) data(number byte) []byte {
	if t.typeB {
		b := append([]byte{number}, t.atqb...)
		return append(append(b, byte(len(t.attrib))), t.attrib...)
	}
	b := append([]byte{number, t.atqa[1], t.atqa[0], t.sak, byte(len(t.uid))}, t.uid...)
	return append(b, t.ats...)
}

// send puts a frame on the air and returns what the receiver makes of the answer,
// and when that has ended.
func (c *Chip) send(at instant, frame []byte, bits int, typeB bool) (cardtest.Answer, instant) {
	end := at + readerFrame(bits)
	if !c.rf {
		return cardtest.Answer{Collision: -1}, end
	}
	c.stats.Frames++
	frame = bytes.Clone(frame)
	if c.noise.OnAir(frame, bits) {
		for i := range frame {
			frame[i] ^= 0xA5 // a card drops a frame whose parity is wrong
		}
	}
	answer := c.field.Exchange(c.clockAt(end), cardtest.Frame{Bytes: frame, Bits: bits, TypeB: typeB})
	answer.Bytes = c.heard[:copy(c.heard[:], answer.Bytes)]
	answer = c.noise.Heard(answer, c.heard[:])
	if c.noise.Hit() {
		c.field.Disturbed()
	}
	if c.fault == FaultSilent {
		answer = cardtest.Answer{Collision: -1}
	}
	if answer.Bits > 0 {
		end += max(answer.Delay, cycles(frameDelay)) + cardFrame(answer.Bits)
	}
	return answer, end
}

// listen sends a frame and waits so long, from its end on, for an answer to begin. It
// returns when the answer has ended, or the wait.
func (c *Chip) listen(at instant, frame []byte, bits int, typeB bool, wait time.Duration) (cardtest.Answer, instant) {
	sent := at + readerFrame(bits)
	a, end := c.send(at, frame, bits, typeB)
	if a.Bits > 0 && a.Delay <= wait {
		return a, end
	}
	a.Bits, a.Bytes = 0, nil
	if wait == time.Duration(never) {
		return a, never
	}
	return a, sent + wait
}

// standard sends a frame with CRC_A and returns the answer without it.
func (c *Chip) standard(at instant, frame ...byte) (data []byte, status byte, end instant) {
	f := cardtest.AppendCRC(frame)
	a, end := c.send(at, f, 8*len(f), false)
	switch n := a.Bits / 8; {
	case a.Bits == 0:
		return nil, statusTimeout, end + silenceTime
	case a.Collision >= 0:
		return nil, statusCollision, end
	case a.BadParity:
		return nil, statusParity, end
	case a.Bits%8 != 0 || n < 3 || !bytes.Equal(cardtest.AppendCRC(bytes.Clone(a.Bytes[:n-2])), a.Bytes):
		return nil, statusCRC, end
	default:
		return bytes.Clone(a.Bytes[:n-2]), statusOK, end
	}
}

// standardB is standard for type B.
func (c *Chip) standardB(at instant, frame ...byte) (data []byte, status byte, end instant) {
	f := cardtest.AppendCRCB(frame)
	a, end := c.send(at, f, 8*len(f), true)
	switch n := a.Bits / 8; {
	case a.Bits == 0:
		return nil, statusTimeout, end + silenceTime
	case a.Bits%8 != 0 || n < 3 || a.BadParity || !bytes.Equal(cardtest.AppendCRCB(bytes.Clone(a.Bytes[:n-2])), a.Bytes):
		return nil, statusCRC, end
	default:
		return bytes.Clone(a.Bytes[:n-2]), statusOK, end
	}
}

// activateA requests cards of type A and selects one of them, through the
// anticollision loop (ISO/IEC 14443-3, 6.5). known is the UID, or its beginning,
// with cascade tags, of the card that is meant; nil means any.
func (c *Chip) activateA(at instant, request byte, known []byte) (*target, byte, instant) {
	a, at := c.send(at, []byte{request}, 7, false)
	switch {
	case a.Bits == 0:
		return nil, statusTimeout, at
	case a.Bits != 16:
		return nil, statusBitCount, at
	case a.BadParity && a.Collision < 0:
		return nil, statusParity, at
	}
	t := &target{atqa: [2]byte(a.Bytes[:2]), selected: true}
	for level := range 3 {
		var part []byte
		if from := 4 * level; from < len(known) {
			part = known[from:min(from+4, len(known))]
		}
		own, status, end := c.anticollision(at, level, part)
		if status != statusOK {
			return nil, status, end
		}
		sak, status, end := c.standard(end, append([]byte{sel(level), 0x70}, own[:]...)...)
		// The SAKs of two cards of one batch may differ before their last level
		// behind the third bit, which is the one that matters.
		if status == statusCollision && c.cascades(own) {
			sak, status = []byte{0x04}, statusOK
		}
		if status != statusOK {
			return nil, status, end
		}
		if len(sak) != 1 {
			return nil, statusBitCount, end
		}
		at = end
		if sak[0]&0x04 == 0 {
			t.sak, t.uid = sak[0], append(t.uid, own[:4]...)
			return c.rats(t, at)
		}
		if own[0] != cascadeTag {
			return nil, statusBitCount, at
		}
		t.uid = append(t.uid, own[1:4]...)
	}
	return nil, statusBitCount, at
}

// cascades reports whether the last answer, which collided, says for all who sent
// it that the UID goes on.
func (c *Chip) cascades(own [5]byte) bool {
	return own[0] == cascadeTag && c.heard[0]&0x04 != 0
}

// sel is the command of a cascade level.
func sel(level int) byte { return byte(0x93 + 2*level) }

// anticollision finds out the four bytes of a level and their BCC.
func (c *Chip) anticollision(at instant, level int, part []byte) (own [5]byte, status byte, end instant) {
	copy(own[:], part)
	if len(part) == 4 {
		own[4] = own[0] ^ own[1] ^ own[2] ^ own[3]
		return own, statusOK, at
	}
	for known := 8 * len(part); known < 40; {
		frame := append([]byte{sel(level), byte(2+known/8)<<4 | byte(known%8)}, own[:(known+7)/8]...)
		a, end := c.send(at, frame, 16+known, false)
		at = end
		switch {
		case a.Bits == 0:
			return own, statusTimeout, at + silenceTime
		case a.Bits != 40-known:
			return own, statusBitCount, at
		case a.BadParity && a.Collision < 0:
			return own, statusParity, at
		case a.Collision >= 0 && known+a.Collision >= 32:
			return own, statusCollision, at // their BCCs differ, and nothing else
		}
		good := a.Bits
		if a.Collision >= 0 {
			good = a.Collision
		}
		for i := range good {
			own[(known+i)/8] |= a.Bytes[i/8] >> (i % 8) & 1 << ((known + i) % 8)
		}
		known += good
		if a.Collision >= 0 {
			if !c.open.zeroFirst {
				own[known/8] |= 1 << (known % 8)
			}
			known++
		}
	}
	if own[0]^own[1]^own[2]^own[3] != own[4] {
		return own, statusBCC, at
	}
	return own, statusOK, at
}

// rats has the card go on with ISO/IEC 14443-4, where it can and the host wants it.
func (c *Chip) rats(t *target, at instant) (*target, byte, instant) {
	if t.sak&0x20 == 0 || c.parameters&parameterAutoRATS == 0 {
		return t, statusOK, at
	}
	ats, status, end := c.standard(at, cmdRATS, 0x50)
	if status != statusOK {
		return nil, status, end
	}
	t.ats = ats
	return t, statusOK, end + t.guard()
}

// waiting is how long the target may take for an answer (ISO/IEC 14443-4, 7.2: FWT and
// its tolerance).
func (t *target) waiting() time.Duration {
	fwi := t.interfaceB() >> 4
	if t.typeB {
		fwi = t.atqb[11] >> 4
	}
	if fwi == 15 {
		fwi = 4
	}
	return cycles(4096<<fwi + 49152)
}

// frameSize is the longest frame that the target takes (ISO/IEC 14443-4, 5.2.3: FSC), up
// to that which the chip sends.
func (t *target) frameSize() int {
	fsci := byte(2)
	switch {
	case t.typeB:
		fsci = t.atqb[10] >> 4
	case len(t.ats) > 1:
		fsci = t.ats[1] & 0x0F
	}
	return [...]int{16, 24, 32, 40, 48, 64}[min(fsci, 5)]
}

// guard is how long the target needs after its ATS (ISO/IEC 14443-4, 5.2.5: SFGT).
func (t *target) guard() time.Duration {
	if sfgi := t.interfaceB() & 0x0F; sfgi > 0 && sfgi < 15 {
		return cycles((4096 + 384) << sfgi)
	}
	return 0
}

// interfaceB is TB of the target's ATS, or its default.
func (t *target) interfaceB() byte {
	const hasTA, hasTB, usual = 0x10, 0x20, 0x40
	if len(t.ats) < 2 || t.ats[1]&hasTB == 0 {
		return usual
	}
	at := 2
	if t.ats[1]&hasTA != 0 {
		at++
	}
	if at >= len(t.ats) {
		return usual
	}
	return t.ats[at]
}

// activateB requests cards of type B and activates one of them: first all in one
// slot, and in 16 where several answer (ISO/IEC 14443-3, 7.6).
func (c *Chip) activateB(at instant, afi byte) (*target, byte, instant) {
	atqb, status, at := c.standardB(at, 0x05, afi, 0x00)
	if status == statusCRC {
		atqb, status, at = c.standardB(at, 0x05, afi, 0x04)
		for slot := byte(1); slot < 16 && status != statusOK; slot++ {
			atqb, status, at = c.standardB(at, slot<<4|0x05)
		}
	}
	if status != statusOK {
		return nil, status, at
	}
	if len(atqb) != 12 || atqb[0] != 0x50 {
		return nil, statusBitCount, at
	}
	attrib := append(append([]byte{0x1D}, atqb[1:5]...), 0x00, 0x08, 0x01, 0x00)
	answer, status, at := c.standardB(at, attrib...)
	if status != statusOK {
		return nil, status, at
	}
	return &target{typeB: true, atqb: atqb, attrib: answer, selected: true}, statusOK, at
}

// dismiss sends a target to sleep: by S(DESELECT) from ISO/IEC 14443-4, else by
// HLTA, whose success is silence.
func (c *Chip) dismiss(t *target, at instant) instant {
	if !t.selected {
		return at
	}
	t.selected = false
	var status byte
	switch {
	case t.typeB:
		_, status, at = c.standardB(at, blkDeselect)
	case t.ats != nil:
		_, status, at = c.standard(at, blkDeselect)
	default:
		_, _, at = c.standard(at, cmdHLTA, 0x00)
	}
	if t.layer4() && status != statusOK {
		at += releaseTries
	}
	t.block = 0
	return at
}
