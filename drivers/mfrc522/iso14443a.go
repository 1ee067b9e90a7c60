package mfrc522

import (
	"errors"
	"fmt"

	"presence/drivers/card"
)

// Commands of ISO/IEC 14443-3 type A (6.4).
const (
	cmdREQA = 0x26 // wakes cards in IDLE
	cmdWUPA = 0x52 // wakes cards in IDLE and in HALT
	cmdHLTA = 0x50

	cascadeTag = 0x88 // leads the UID bytes of a level that is not the last
	sakCascade = 0x04 // another cascade level follows
	nvbSelect  = 0x70 // all 40 bits of a level are known
)

// levels is the number of cascade levels, levelBits that of the UID bits in
// each.
const (
	levels    = 3
	levelBits = 32
)

// selCommand is the SEL byte of each cascade level.
func selCommand(level int) byte { return 0x93 + 2*byte(level) }

// crcA is the checksum of ISO/IEC 14443-3, annex B: polynomial x^16+x^12+x^5+1,
// preset 6363, least significant bit first. It is sent low byte first.
func crcA(data []byte) (lo, hi byte) {
	crc := uint16(0x6363)
	for _, b := range data {
		crc ^= uint16(b)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0x8408
			} else {
				crc >>= 1
			}
		}
	}
	return byte(crc), byte(crc >> 8)
}

// bcc is the check byte of one cascade level.
func bcc(uid []byte) byte { return uid[0] ^ uid[1] ^ uid[2] ^ uid[3] }

// path is the beginning of a card's UID as the anticollision sees it: four
// bytes per cascade level, cascade tags included, of which the first bits are
// known.
type path struct {
	bytes [4 * levels]byte
	bits  int
}

// pathOf is the whole path to a card.
func pathOf(uid card.UID) path {
	var p path
	rest := uid.Bytes()
	add := func(b ...byte) {
		copy(p.bytes[p.bits/8:], b)
		p.bits += 8 * len(b)
	}
	for len(rest) > 4 {
		add(cascadeTag)
		add(rest[:3]...)
		rest = rest[3:]
	}
	add(rest...)
	return p
}

// level is one cascade level's part of the path.
func (p *path) level(n int) []byte { return p.bytes[4*n : 4*n+4] }

// extend makes the first bits known, the last of them with the given value.
func (p path) extend(bits int, last byte) path {
	p.bits = bits
	at := bits - 1
	p.bytes[at/8] = p.bytes[at/8]&^(1<<(at%8)) | last<<(at%8)
	return p
}

// reading is how a chip counts the position of a collision in a frame whose
// beginning was known. NXP's sheets (of the MFRC631, where it is spelled out)
// and libraries count from the frame's first byte. Widespread code, and maybe
// some clones, count from the first bit of the cascade level. The two agree
// below eight known bits.
type reading bool

const (
	fromFrame reading = false // NXP's
	fromLevel reading = true
)

// position returns how many bits of the level are known up to and including
// the one that collided, by this reading. It is 0 where the reading cannot be
// right: a collision lies behind the bits that were known, and before the BCC.
func (r reading) position(collPos, known int) int {
	if r == fromFrame {
		collPos += known / 8 * 8
	}
	if collPos <= known || collPos > levelBits {
		return 0
	}
	return collPos
}

// walk is one way through the anticollision down to one card.
type walk struct {
	reading  reading
	guessed  bool // both readings of a collision were possible
	branches []path
}

// request sends REQA or WUPA and returns the ATQA, errSilence where nobody
// answers. An ATQA that collided counts, because somebody is there.
func (c *chip) request(command byte) (atqa [2]byte, err error) {
	a, err := c.transceive([]byte{command}, 7, 0, 2)
	if err != nil {
		return atqa, err
	}
	if !a.collided && !a.complete(2) {
		return atqa, fmt.Errorf("%w: ATQA of %d bytes and %d bits", errFrame, a.bytes, a.lastBits)
	}
	copy(atqa[:], a.data())
	return atqa, nil
}

// halt sends HLTA. The card acknowledges it by silence; a card that was not
// selected goes back to sleep. Whatever else is heard says that a card might
// still be awake, so it is told again.
func (c *chip) halt() error {
	lo, hi := crcA([]byte{cmdHLTA, 0})
	var err error
	for range 2 {
		_, err = c.transceive([]byte{cmdHLTA, 0, lo, hi}, 0, 0, 0)
		if errors.Is(err, errSilence) {
			return nil
		}
		if err != nil && !errors.Is(err, errFrame) {
			return err
		}
	}
	return nil
}

// descend selects the card at the end of the path, level by level. Where the
// path ends before the UID does, the anticollision loop finds a way and
// remembers the branches that it left aside.
func (c *chip) descend(p path, w *walk) (uid card.UID, sak byte, err error) {
	var id []byte
	for level := range levels {
		if p.bits < levelBits*(level+1) {
			if p, err = c.anticollide(level, p, w); err != nil {
				return card.UID{}, 0, err
			}
		}
		part := p.level(level)
		if sak, err = c.selectLevel(level, part); err != nil {
			return card.UID{}, 0, err
		}
		if sak&sakCascade == 0 {
			id = append(id, part...)
			uid, err = card.NewUID(id)
			return uid, sak, err
		}
		if part[0] != cascadeTag {
			return card.UID{}, 0, fmt.Errorf("%w: SAK %02X announces a level after %X, which has no cascade tag", errFrame, sak, part)
		}
		id = append(id, part[1:]...)
	}
	return card.UID{}, 0, fmt.Errorf("%w: SAK %02X announces a fourth level", errFrame, sak)
}

// anticollide is the anticollision loop of one level (ISO/IEC 14443-3, 6.5.3).
// It returns the path with all bits of the level known.
func (c *chip) anticollide(level int, p path, w *walk) (path, error) {
	// ValuesAfterColl off: bits behind a collision are received as zeros.
	if err := c.write(regColl, 0); err != nil {
		return p, err
	}
	base := levelBits * level
	p.bits = max(p.bits, base)
	for {
		known := p.bits - base
		whole, extra := known/8, byte(known%8)
		frame := append([]byte{selCommand(level), byte(2+whole)<<4 | extra}, p.level(level)[:(known+7)/8]...)
		a, err := c.transceive(frame, extra, extra, 5-whole)
		if err != nil {
			return p, err
		}

		// What came is laid over the level's five bytes; the first byte keeps
		// the bits that were known before.
		var heard [5]byte
		copy(heard[:], p.level(level)[:whole])
		n := whole + copy(heard[whole:], a.data())
		if extra != 0 {
			mask := byte(1)<<extra - 1
			heard[whole] = heard[whole]&^mask | p.level(level)[whole]&mask
		}

		if !a.collided {
			if whole+a.bytes != 5 || a.lastBits != 0 {
				return p, fmt.Errorf("%w: %d bytes and %d bits to complete %d known bits", errFrame, a.bytes, a.lastBits, known)
			}
			if heard[4] != bcc(heard[:4]) {
				return p, fmt.Errorf("%w: BCC %02X of %X", errFrame, heard[4], heard[:4])
			}
			copy(p.level(level), heard[:4])
			p.bits = base + levelBits
			return p, nil
		}

		now := w.judge(a.collPos, known)
		if now == 0 || 8*n < now-1 {
			return p, fmt.Errorf("%w: collision at %d with %d known bits", errFrame, a.collPos, known)
		}
		copy(p.level(level), heard[:4])
		w.branches = append(w.branches, p.extend(base+now, 0))
		p = p.extend(base+now, 1)
	}
}

// judge turns the chip's collision position into a number of known bits, 0
// where it makes no sense. A position that only one reading allows tells how
// this chip counts.
func (w *walk) judge(collPos, known int) int {
	if collPos == 0 {
		return 0
	}
	mine, other := w.reading.position(collPos, known), (!w.reading).position(collPos, known)
	switch {
	case mine == 0 && other != 0:
		w.reading = !w.reading
		return other
	case other != 0 && other != mine:
		w.guessed = true
	}
	return mine
}

// selectLevel sends SELECT with all bits of a level and returns the SAK.
func (c *chip) selectLevel(level int, uid []byte) (sak byte, err error) {
	frame := [9]byte{selCommand(level), nvbSelect}
	copy(frame[2:], uid)
	frame[6] = bcc(uid)
	frame[7], frame[8] = crcA(frame[:7])
	a, err := c.transceive(frame[:], 0, 0, 3)
	if err != nil {
		return 0, err
	}
	if !a.complete(3) {
		return 0, fmt.Errorf("%w: SAK of %d bytes and %d bits", errFrame, a.bytes, a.lastBits)
	}
	if lo, hi := crcA(a.buf[:1]); a.buf[1] != lo || a.buf[2] != hi {
		return 0, fmt.Errorf("%w: SAK % X with a wrong CRC_A", errFrame, a.data())
	}
	return a.buf[0], nil
}
