package proof

import (
	"context"
	"errors"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// air is a reader's field with one card in it: the card's side of ISO/IEC 14443-4 as far as
// a test of this room needs it. It loses no frame unless it is told to.
type air struct {
	card   card.Card
	applet cardtest.Applet

	frames int   // that the reader has sent
	gone   int   // after so many frames the card is taken away; 0: never
	mute   bool  // it does not even answer RATS
	fault  error // of the reader, in place of a selection
	left   error // of the reader, when it lets the card go

	number  byte // of the card's next block
	command []byte
	answer  []byte // what is still to be sent of an answer
}

// fits is how many bytes of an answer go into one block: FSD is 256.
const fits = 253

// Select implements card.Selector.
func (a *air) Select(_ context.Context, c card.Card, use func(card.Frames) error) error {
	if a.fault != nil {
		return a.fault
	}
	if c != a.card {
		return card.ErrGone
	}
	a.number, a.command, a.answer = 0, nil, nil
	a.applet.Reset()
	return errors.Join(use(a), a.left)
}

// MaxFrame implements card.Frames.
func (*air) MaxFrame() int { return 256 }

// Transceive implements card.Frames.
func (a *air) Transceive(ctx context.Context, frame []byte, wait time.Duration) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if a.frames++; a.mute || a.gone > 0 && a.frames > a.gone {
		return nil, card.ErrNoAnswer
	}
	switch pcb := frame[0]; {
	case pcb == 0xE0: // RATS: FSC 256, FWT of 77 ms
		return []byte{0x05, 0x78, 0x80, 0x80, 0x02}, nil
	case pcb == 0xC2: // DESELECT
		return []byte{0xC2}, nil
	case pcb&0xE2 == 0x02: // I-block
		a.command = append(a.command, frame[1:]...)
		a.number ^= 1
		if pcb&0x10 != 0 {
			return []byte{0xA2 | a.number ^ 1}, nil
		}
		answer, delay := a.applet.Command(a.command)
		if delay > 1500*time.Millisecond {
			return nil, errors.Join(card.ErrNoAnswer, card.ErrTooSlow)
		}
		a.command, a.answer = nil, answer
		return a.block(), nil
	case pcb&0xF6 == 0xA2 && len(a.answer) > 0: // R(ACK)
		a.number ^= 1
		return a.block(), nil
	}
	return nil, card.ErrNoAnswer
}

// block is the next block of the answer.
func (a *air) block() []byte {
	pcb := 0x02 | a.number ^ 1
	n := min(len(a.answer), fits)
	if n < len(a.answer) {
		pcb |= 0x10
	}
	frame := append([]byte{pcb}, a.answer[:n]...)
	a.answer = a.answer[n:]
	return frame
}
