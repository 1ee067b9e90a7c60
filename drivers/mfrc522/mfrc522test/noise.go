package mfrc522test

import (
	"math"
	"math/rand/v2"
)

// Noise is what a board suffers by chance in a bad place: long wires, a motor
// on the same supply, a card at the edge of the field. All rates are chances
// from 0 to 1, and the same seed makes the same noise for the same transfers.
type Noise struct {
	Seed uint64

	// Air is the chance that a bit on the air is taken for the other one, parity
	// bits included, on the way to the cards and back.
	Air float64
	// Lost is the chance that the cards' answer to a frame is not heard at all.
	Lost float64
	// Ghost is the chance that the receiver makes a frame of random bits out of
	// silence.
	Ghost float64

	// MOSI and MISO are the chances that a bit on the bus is taken for the other
	// one, on its way to the chip and from it.
	MOSI, MISO float64

	// Drift is the chance that, at a transfer, some bit of some register flips.
	Drift float64
}

// noise is Noise at work.
type noise struct {
	Noise
	rnd        *rand.Rand
	mosi, miso flips
}

// flips says which bits of a long row are flipped at a rate. It draws the gap to
// the next one, so that a rate of 1e-6 costs nothing for each bit.
type flips struct {
	rate float64
	gap  float64 // bits until the next flip
	rnd  *rand.Rand
}

func (f *flips) draw() float64 {
	if f.rate >= 1 {
		return 0
	}
	return math.Floor(math.Log(1-f.rnd.Float64()) / math.Log1p(-f.rate))
}

// byte is the mask of the next eight bits, the first one in bit 7.
func (f *flips) byte() (mask byte) {
	if f.rate <= 0 {
		return 0
	}
	for f.gap < 8 {
		mask |= 0x80 >> int(f.gap)
		f.gap += 1 + f.draw()
	}
	f.gap -= 8
	return mask
}

func newFlips(rate float64, rnd *rand.Rand) flips {
	f := flips{rate: rate, rnd: rnd}
	if rate > 0 {
		f.gap = f.draw()
	}
	return f
}

// SetNoise makes the chip suffer from now on; the zero Noise ends it.
func (c *Chip) SetNoise(n Noise) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rnd := rand.New(rand.NewPCG(n.Seed, 0x14443))
	c.noise = noise{n, rnd, newFlips(n.MOSI, rnd), newFlips(n.MISO, rnd)}
}

func (n *noise) chance(rate float64) bool { return rate > 0 && n.rnd.Float64() < rate }

// FlipMOSI flips the nth bit on its way to the chip from now on, once; 1 is the
// next one, and the first of a byte is its bit 7.
func (c *Chip) FlipMOSI(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flipMOSI = n
}

// FlipMISO flips the nth bit on its way from the chip from now on, once.
func (c *Chip) FlipMISO(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flipMISO = n
}

// flipOnce counts a flip that is to come down by the eight bits of v.
func flipOnce(left *int, v byte) byte {
	if *left > 0 && *left <= 8 {
		v ^= 0x80 >> (*left - 1)
	}
	*left = max(*left-8, 0)
	return v
}

// toChip and toHost are a byte as it arrives at the other end of the bus.
func (c *Chip) toChip(v byte) byte { return flipOnce(&c.flipMOSI, v^c.noise.mosi.byte()) }

func (c *Chip) toHost(v byte) byte { return flipOnce(&c.flipMISO, v^c.noise.miso.byte()) }

// Upset flips bits of a register, as a dip of the supply or a spark does: the
// chip goes on as if they had been written so. Bits that no write can change,
// and the FIFO, stay as they are.
func (c *Chip) Upset(addr, mask byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.advance(now)
	c.upset(addr&0x3F, mask, now)
}

func (c *Chip) upset(addr, mask byte, now instant) {
	if c.held || c.booting {
		return
	}
	switch addr {
	case regFIFOData, regFIFOLevel, regControl:
	case regCommand:
		c.command(c.reg[regCommand]^mask&^0xC0, now)
	case regComIrq:
		c.reg[regComIrq] ^= mask & 0x7F
	case regDivIrq:
		c.reg[regDivIrq] ^= mask & divIrqBits
	case regStatus2:
		c.reg[regStatus2] ^= mask & (0xC0 | status2Crypto1)
	case regBitFraming, regTxControl, regColl:
		c.write(addr, c.reg[addr]^mask, now)
	default:
		c.reg[addr] ^= mask & writable(addr)
		c.updateRF(now)
	}
}

// drift flips a bit of a register now and then.
func (c *Chip) drift(now instant) {
	if c.noise.chance(c.noise.Drift) {
		c.upset(byte(c.noise.rnd.IntN(64)), 1<<c.noise.rnd.IntN(8), now)
	}
}

// disturb flips bits of a frame on the air. It reports whether a parity bit does
// not fit its byte any more; a frame that ends within a byte has none there.
func (n *noise) disturb(frame []byte, bits int) (badParity bool) {
	if n.Air <= 0 {
		return false
	}
	for from := 0; from < bits; from += 8 {
		odd := false
		for i := from; i < min(from+8, bits); i++ {
			if n.chance(n.Air) {
				frame[i/8] ^= 1 << (i % 8)
				odd = !odd
			}
		}
		if from+8 <= bits {
			if n.chance(n.Air) {
				odd = !odd
			}
			badParity = badParity || odd
		}
	}
	return badParity
}
