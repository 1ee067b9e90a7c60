package cardtest

import (
	"slices"
	"sync"
	"time"
)

// MaxAnswer is the longest answer in bytes that a field carries: the largest frame that
// cards have today (ISO/IEC 14443-4, 5.1: FSD 256).
const MaxAnswer = 256

// Frame is what a reader sends: bits without parity, least significant first
// in each byte. 7 bits are a short frame, whole bytes a standard frame, and
// what begins with SEL and NVB may end within a byte.
//
// A frame of type B is modulated in another way, so that cards of type A do not
// notice it, and the other way round (ISO/IEC 14443-2, 8 and 9). It has whole
// bytes.
type Frame struct {
	Bytes []byte
	Bits  int
	TypeB bool
}

// Answer is what a receiver makes of everything that the cards sent at once.
type Answer struct {
	// Bytes hold the bits in order of arrival from bit 0 on, without parity.
	// Where cards sent different bits there is a 1, as a receiver takes the sum of
	// both signals. They are valid until the field's next exchange.
	Bytes []byte
	// Bits tells how many bits came; 0 is silence.
	Bits int
	// Collision is the first bit at which two cards differed, counted from 0;
	// -1 if none.
	Collision int
	// BadParity tells that a parity bit was wrong.
	BadParity bool
	// Delay is the time from the end of the frame to the beginning of the answer, as far
	// as the cards need it; below the frame delay time of ISO/IEC 14443-3 (86 or 91 µs),
	// and so in all of the selection, the answer begins after that.
	Delay time.Duration
}

// Field is the radio field in front of one reader. Cards may be put and removed
// while the reader polls.
//
// The reader passes its own clock. It may run ahead of the wall clock, because
// a simulated bus takes no time, but never falls behind it.
type Field struct {
	mu    sync.Mutex
	cards []*Card
	rf    bool
	ups   int           // times that the field came on
	ahead time.Duration // of the reader's clock, as far as seen

	// ones and zeros say which bits some card sent as 1 and as 0, as far as the answer
	// goes.
	ones, zeros [MaxAnswer]byte
	answering   []*Card // to the last frame
	interrupted bool    // one of them has gone since
	leaving     []*Card // with this frame
	coming      []arrival
}

// arrival is a card that is put into the field in so many frames.
type arrival struct {
	card *Card
	in   int
}

// NewField makes a field that is off and has no card in it.
func NewField() *Field { return &Field{} }

// Put lays cards into the field. A card that is there already stays as it is.
func (f *Field) Put(cards ...*Card) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range cards {
		if slices.Contains(f.cards, c) {
			continue
		}
		f.cards = append(f.cards, c)
		if f.rf {
			c.powerOn(time.Now().Add(f.ahead))
		}
	}
}

// PutAt lays a card into the field just before the nth frame from now on; 1 is the next
// one. It starts up from then on.
func (f *Field) PutAt(n int, c *Card) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.coming = append(f.coming, arrival{c, n})
}

// arrive counts a frame, and puts those cards into the field that come with it.
func (f *Field) arrive(now time.Time) {
	left := f.coming[:0]
	for _, a := range f.coming {
		if a.in--; a.in > 0 {
			left = append(left, a)
			continue
		}
		if !slices.Contains(f.cards, a.card) {
			f.cards = append(f.cards, a.card)
			a.card.powerOn(now)
		}
	}
	f.coming = left
}

// Remove takes cards away; one that is not there is no error.
func (f *Field) Remove(cards ...*Card) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range cards {
		if i := slices.Index(f.cards, c); i >= 0 {
			f.interrupted = f.interrupted || slices.Contains(f.answering, c)
			f.cards = slices.Delete(f.cards, i, i+1)
			c.powerOff()
		}
	}
}

// Cards returns the cards in the field.
func (f *Field) Cards() []*Card {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.cards)
}

// Interrupted reports whether a card that answers the last frame was taken away, or has
// lost its power, since then. A chip asks when the answer begins and when it ends: a card
// may compute for long before it answers.
func (f *Field) Interrupted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.interrupted
}

// Disturbed tells the cards that the last frame or the answer to it was spoilt on the air,
// which they cannot notice. They are then less strict about what the reader does next.
func (f *Field) Disturbed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.cards {
		c.mu.Lock()
		if c.l4 != nil {
			c.l4.disturbed = true
		}
		c.mu.Unlock()
	}
}

// RF reports whether the reader drives the field.
func (f *Field) RF() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rf
}

// PowerUps tells how often the field has come on.
func (f *Field) PowerUps() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ups
}

// SetRF switches the field at a time of the reader's clock. Without it the
// cards lose their state; with it they start up.
func (f *Field) SetRF(on bool, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sawClock(now)
	if f.rf == on {
		return
	}
	f.rf = on
	if on {
		f.ups++
	} else {
		f.interrupted = len(f.answering) > 0
	}
	for _, c := range f.cards {
		if on {
			c.powerOn(now)
		} else {
			c.powerOff()
		}
	}
}

// Exchange sends a frame, whose last bit ends at a time of the reader's clock,
// and returns what the cards answer. Only one reader may use a field.
func (f *Field) Exchange(now time.Time, frame Frame) Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sawClock(now)
	f.answering, f.interrupted = f.answering[:0], false
	answer := Answer{Collision: -1}
	if !f.rf || frame.Bits <= 0 {
		return answer
	}
	if len(f.coming) > 0 {
		f.arrive(now)
	}
	f.cards = slices.DeleteFunc(f.cards, func(c *Card) bool {
		if !c.leaves() {
			return false
		}
		c.powerOff()
		return true
	})

	for _, c := range f.cards {
		c.mu.Lock()
		if c.receive(now, frame) {
			answer.BadParity = true
		}
		if c.answerBits > 0 {
			f.answering = append(f.answering, c)
			f.mix(&answer, c)
		}
		if c.gone {
			f.leaving = append(f.leaving, c)
		}
		c.mu.Unlock()
	}
	if len(f.leaving) > 0 {
		f.letGo()
	}
	for i := range answer.Bits {
		if len(f.answering) > 1 && bit(f.ones[:], i)&bit(f.zeros[:], i) == 1 {
			answer.Collision = i
			break
		}
	}
	answer.Bytes = f.ones[:(answer.Bits+7)/8]
	return answer
}

// mix adds what a card sends to what is on the air. Cards that begin at different times
// spoil each other's answer.
func (f *Field) mix(answer *Answer, c *Card) {
	if len(f.answering) == 1 {
		answer.Bits, answer.Delay = c.answerBits, c.delay
		n := (c.answerBits + 7) / 8
		copy(f.ones[:], c.answer[:n])
		for i := range n {
			f.zeros[i] = ^c.answer[i]
		}
		if cut := c.answerBits % 8; cut != 0 {
			f.ones[n-1] &= 1<<cut - 1
			f.zeros[n-1] &= 1<<cut - 1
		}
		return
	}
	if c.delay != answer.Delay {
		answer.BadParity = true
		answer.Delay = min(answer.Delay, c.delay)
	}
	old := (answer.Bits + 7) / 8
	answer.Bits = max(answer.Bits, c.answerBits)
	if n := (answer.Bits + 7) / 8; n > old {
		clear(f.ones[old:n])
		clear(f.zeros[old:n])
	}
	for i := range c.answerBits {
		if bit(c.answer[:], i) == 1 {
			f.ones[i/8] |= 1 << (i % 8)
		} else {
			f.zeros[i/8] |= 1 << (i % 8)
		}
	}
}

// letGo takes away the cards that leave with the frame that was just sent.
func (f *Field) letGo() {
	for _, c := range f.leaving {
		f.cards = slices.DeleteFunc(f.cards, func(other *Card) bool { return other == c })
		c.powerOff()
	}
	f.leaving = f.leaving[:0]
}

// sawClock learns how far the reader's clock runs ahead. A reader may tell of a
// moment that has passed, so the largest lead is the true one.
func (f *Field) sawClock(now time.Time) {
	f.ahead = max(f.ahead, time.Until(now))
}
