package card

import (
	"context"
	"errors"
	"time"
)

// SAKLayer4 is the bit of SAK by which a card says that it speaks ISO/IEC 14443-4
// (ISO/IEC 14443-3, 6.5.3, table "coding of SAK").
const SAKLayer4 = 0x20

// Layer4 reports whether the card says that it speaks ISO/IEC 14443-4, so that a Link to
// it is worth trying.
func (c Card) Layer4() bool { return !c.TypeB && c.SAK&SAKLayer4 != 0 }

// Selector is a Reader that can hold on to one card of its field.
type Selector interface {
	// Select wakes the card with the UID of c, selects it and no other, and calls use
	// with its frames. The field is not switched off before, so that a random UID is
	// still the same. When use has returned, the card is left so that the next Poll sees
	// it again: in HALT, or without power for a moment.
	//
	// The error is what use returned, or ErrGone where the card could not be selected, or
	// one as of Poll. It is called by the goroutine that polls.
	Select(ctx context.Context, c Card, use func(Frames) error) error
}

// Frames carries frames to and from one selected card of type A (ISO/IEC 14443-3). The
// chip adds CRC_A to what is sent, and checks and removes it from what comes.
type Frames interface {
	// Transceive sends a frame and returns the answer, which is valid until the next
	// call. wait bounds the time from the end of the frame to the beginning of the
	// answer. The error wraps ErrNoAnswer or ErrBadFrame; any other one is the chip's or
	// the bus's, and ends the link.
	Transceive(ctx context.Context, frame []byte, wait time.Duration) ([]byte, error)

	// MaxFrame is the longest frame in bytes, CRC_A included, that the chip sends and
	// receives: FSD (ISO/IEC 14443-4, 5.1) is chosen by it.
	MaxFrame() int
}

// Link is a card that takes commands of ISO/IEC 7816-4. It lasts until its user returns,
// the card goes, or its time is over. One goroutine uses it.
type Link interface {
	// ATS is the card's answer to select without its checksum (ISO/IEC 14443-4, 5.2).
	ATS() []byte

	// Exchange sends a command APDU and returns the response APDU with its two status
	// bytes, at least two bytes in all. The command is carried out once, whatever is
	// repeated on the air. An error ends the link: it wraps ErrGone where the card does
	// not answer any more, ErrProtocol where it answers what the standard does not know,
	// ErrTooSlow where the time of the link is over; any other one is the chip's or the
	// bus's.
	Exchange(ctx context.Context, command []byte) ([]byte, error)
}

// What can become of an exchange with a selected card.
var (
	ErrNoAnswer = errors.New("no answer")               // within the time that it had
	ErrBadFrame = errors.New("bad frame")               // wrong CRC_A, parity or length
	ErrGone     = errors.New("the card is gone")        // taken away, or out of reach
	ErrProtocol = errors.New("protocol error")          // an answer that ISO/IEC 14443-4 does not know
	ErrTooSlow  = errors.New("the card takes too long") // more than a door can wait for
)
