package cardtest

import (
	"math"
	"math/rand/v2"
)

// Noise is what a reader's board suffers by chance in a bad place: long wires, a
// motor on the same supply, a card at the edge of the field. All rates are chances
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

	// Drift is the chance that, at a transfer, a setting of the chip changes by
	// itself. What that does is up to the chip.
	Drift float64
}

// Disturber is Noise at work. It is used by one goroutine at a time.
type Disturber struct {
	Noise
	Rand       *rand.Rand
	mosi, miso flips
	hit        bool // something was lost or flipped on the air
}

// NewDisturber makes a disturber; the zero Noise disturbs nothing.
func NewDisturber(n Noise) Disturber {
	rnd := rand.New(rand.NewPCG(n.Seed, 0x14443))
	return Disturber{Noise: n, Rand: rnd, mosi: newFlips(n.MOSI, rnd), miso: newFlips(n.MISO, rnd)}
}

// MOSIByte is which of the next eight bits to the chip are flipped, the first one
// in bit 7; MISOByte is the same for bits from it.
func (d *Disturber) MOSIByte() byte { return d.mosi.byte() }

// MISOByte is which of the next eight bits from the chip are flipped.
func (d *Disturber) MISOByte() byte { return d.miso.byte() }

// Chance draws whether something of such a chance happens.
func (d *Disturber) Chance(rate float64) bool { return rate > 0 && d.Rand.Float64() < rate }

// OnAir flips bits of a frame on the air. It reports whether a parity bit does
// not fit its byte any more; a frame that ends within a byte has none there.
func (d *Disturber) OnAir(frame []byte, bits int) (badParity bool) {
	if d.Air <= 0 {
		return false
	}
	for from := 0; from < bits; from += 8 {
		odd := false
		for i := from; i < min(from+8, bits); i++ {
			if d.Chance(d.Air) {
				frame[i/8] ^= 1 << (i % 8)
				odd, d.hit = !odd, true
			}
		}
		if from+8 <= bits {
			if d.Chance(d.Air) {
				odd, d.hit = !odd, true
			}
			badParity = badParity || odd
		}
	}
	return badParity
}

// Heard is what a receiver makes of an answer, whose bytes it may change: it is
// lost, or some of its bits are flipped, or out of silence comes a frame that
// nobody sent, for which buffer has room (6 bytes).
func (d *Disturber) Heard(answer Answer, buffer []byte) Answer {
	switch {
	case answer.Bits > 0 && d.Chance(d.Lost):
		d.hit = true
		return Answer{Collision: -1}
	case answer.Bits > 0:
		answer.BadParity = d.OnAir(answer.Bytes, answer.Bits) || answer.BadParity
	case d.Chance(d.Ghost):
		return d.ghost(buffer)
	}
	return answer
}

// Hit reports whether a frame or an answer was disturbed since it was last asked. A chip
// tells its field (Disturbed).
func (d *Disturber) Hit() bool {
	hit := d.hit
	d.hit = false
	return hit
}

// ghost is a frame that nobody sent.
func (d *Disturber) ghost(buffer []byte) Answer {
	length := 1 + d.Rand.IntN(48)
	buffer = buffer[:(length+7)/8]
	for i := range buffer {
		buffer[i] = byte(d.Rand.Uint32())
	}
	a := Answer{Bytes: buffer, Bits: length, Collision: -1, BadParity: length >= 8 && d.Rand.IntN(4) != 0}
	if d.Rand.IntN(4) == 0 {
		a.Collision = d.Rand.IntN(length)
	}
	return a
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
