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

// extend makes the first bits known, the last of them with the given value, and
// forgets those behind: two paths are equal where their known bits are.
func (p path) extend(bits int, last byte) path {
	p.bits = bits
	at := bits - 1
	p.bytes[at/8] = p.bytes[at/8]&(1<<(at%8)-1) | last<<(at%8)
	clear(p.bytes[at/8+1:])
	return p
}

// bit is one of the path's bits, counted from 0.
func (p *path) bit(at int) byte { return p.bytes[at/8] >> (at % 8) & 1 }

// counting is how a chip counts the position of a collision in a frame whose
// beginning was known. NXP's data sheets (of the MFRC631, where it is spelled out)
// and libraries count from the frame's first byte. Widespread code, and maybe
// some clones, count from the first bit of the cascade level. The two agree
// below eight known bits.
type counting bool

const (
	fromFrame counting = false // NXP's
	fromLevel counting = true
)

// position returns how many bits of the level are known up to and including
// the one that collided, by this way of counting. It is 0 where that cannot be
// right: a collision lies behind the bits that were known, and before the BCC.
func (r counting) position(collPos, known int) int {
	if r == fromFrame {
		collPos += known / 8 * 8
	}
	if collPos <= known || collPos > levelBits {
		return 0
	}
	return collPos
}

// walk is one way down the tree of UIDs to one card.
type walk struct {
	branches []path // the other branches of the collisions on the way
}

// atqa is the answer to a request.
type atqa struct {
	bytes    [2]byte
	collided bool // several cards answered, each something else
}

// levels is how many cascade levels the card's UID has, 0 where the answer
// does not tell (ISO/IEC 14443-3, 6.5.2).
func (a atqa) levels() int {
	size := int(a.bytes[0] >> 6)
	if a.collided || size >= levels {
		return 0
	}
	return size + 1
}

// request sends REQA or WUPA and returns the ATQA, errSilence where nobody
// answers. An ATQA that collided counts, because somebody is there.
func (c *chip) request(command byte) (atqa, error) {
	a, err := c.transceive(exchange{frame: []byte{command}, lastBits: 7, want: 2, timeout: answerTimeout})
	if err != nil {
		return atqa{}, err
	}
	if !a.collided && !a.complete(2) {
		return atqa{}, fmt.Errorf("%w: ATQA of %d bytes and %d bits", errFrame, a.bytes, a.lastBits)
	}
	return atqa{[2]byte(a.buf[:2]), a.collided}, nil
}

// halt sends HLTA. The card acknowledges it by silence; a card that was not
// selected goes back to sleep. Whatever else is heard says that a card might
// still be awake, so it is told again.
func (c *chip) halt() error {
	lo, hi := crcA([]byte{cmdHLTA, 0})
	var err error
	for range 2 {
		_, err = c.transceive(exchange{frame: []byte{cmdHLTA, 0, lo, hi}, timeout: haltTimeout})
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
// remembers the branches that it did not follow. announced is how many levels the
// ATQA told of, 0 where it did not.
func (c *chip) descend(p path, announced int, w *walk) (uid card.UID, sak byte, err error) {
	var id []byte
	for level := range levels {
		if p.bits < levelBits*(level+1) {
			if p, err = c.anticollide(level, p, w); err != nil {
				return card.UID{}, 0, err
			}
		}
		part := p.level(level)
		sak, more, err := c.selectLevel(level, part)
		if err != nil {
			return card.UID{}, 0, err
		}
		if !more {
			// Clones have UIDs of four bytes that lead with the cascade tag. But
			// where the card itself announced more, this is the beginning of its
			// UID and a SAK that was spoilt in a way that CRC_A does not see.
			if part[0] == cascadeTag && announced > level+1 {
				return card.UID{}, 0, fmt.Errorf("%w: SAK %02X ends a UID after %X, whose ATQA announced %d levels", errFrame, sak, part, announced)
			}
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
//
// Where both ways of counting a collision's position make sense, the loop goes no
// farther than the nearer one, which is right either way: if the chip counts
// so, the cards part there, and the other side is remembered as a branch; if it
// does not, all cards have that bit as it was heard, and the collision is still
// ahead. The next answer most often tells which it was.
func (c *chip) anticollide(level int, p path, w *walk) (path, error) {
	base := levelBits * level
	p.bits = max(p.bits, base)
	var doubt []path // the branch at a bit that may not have collided
	defer func() { w.branches = append(w.branches, doubt...) }()
	for {
		known := p.bits - base
		whole, extra := known/8, byte(known%8)
		a, err := c.transceive(exchange{
			frame:    append([]byte{selCommand(level), byte(2+whole)<<4 | extra}, p.level(level)[:(known+7)/8]...),
			lastBits: extra, align: extra, want: 5 - whole, timeout: answerTimeout,
		})
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

		near, far := fromLevel.position(a.collPos, known), fromFrame.position(a.collPos, known)
		now := near
		switch {
		case near == 0 && far == 0:
			return p, fmt.Errorf("%w: collision at %d with %d known bits", errFrame, a.collPos, known)
		case near == 0:
			// This chip counts from the frame, and what was doubtful before has
			// not collided.
			now, doubt = far, nil
		}
		if 8*n < now-1 {
			return p, fmt.Errorf("%w: collision at bit %d of %d bytes", errFrame, now, n)
		}
		copy(p.level(level), heard[:4])
		w.branches, doubt = append(w.branches, doubt...), nil
		if far != 0 && far != near && near != 0 {
			here := p.bit(base + now - 1)
			doubt = append(doubt, p.extend(base+now, 1-here))
			p = p.extend(base+now, here)
			continue
		}
		w.branches = append(w.branches, p.extend(base+now, 0))
		p = p.extend(base+now, 1)
	}
}

// selectLevel sends SELECT with all bits of a level and returns the SAK, and
// whether the UID has another level.
//
// Cards of several technologies that share this level answer together, each
// with a SAK of its own. As long as none of them has ended its UID, that is no
// error: the other bits of SAK mean nothing yet, and whichever card is found at
// the next level has taken this one's bytes for its own.
func (c *chip) selectLevel(level int, uid []byte) (sak byte, more bool, err error) {
	frame := [9]byte{selCommand(level), nvbSelect}
	copy(frame[2:], uid)
	frame[6] = bcc(uid)
	frame[7], frame[8] = crcA(frame[:7])
	a, err := c.transceive(exchange{frame: frame[:], want: 3, timeout: answerTimeout})
	if err != nil {
		return 0, false, err
	}
	if a.collided && a.bytes == 3 && a.lastBits == 0 && uid[0] == cascadeTag && level < levels-1 {
		// Bits before the collision are good. "UID not complete" is the third.
		if a.collPos > 0 && a.collPos <= 3 || a.buf[0]&sakCascade != 0 {
			return a.buf[0], true, nil
		}
	}
	if !a.complete(3) {
		return 0, false, fmt.Errorf("%w: SAK of %d bytes and %d bits", errFrame, a.bytes, a.lastBits)
	}
	if lo, hi := crcA(a.buf[:1]); a.buf[1] != lo || a.buf[2] != hi {
		return 0, false, fmt.Errorf("%w: SAK % X with a wrong CRC_A", errFrame, a.data())
	}
	return a.buf[0], a.buf[0]&sakCascade != 0, nil
}
