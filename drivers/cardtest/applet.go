package cardtest

import "time"

// Applet is what answers commands in a card that speaks ISO/IEC 14443-4: the card's
// program. Its methods are called one at a time.
type Applet interface {
	// Reset is called when the card loses power, is deselected or selected anew: what
	// was selected or authenticated within the card is forgotten.
	Reset()

	// Command answers a command APDU of ISO/IEC 7816-4, with the two status bytes last.
	// delay is for how long the card computes before its answer is ready; a card that
	// needs longer than its frame waiting time asks for an extension meanwhile.
	Command(apdu []byte) (answer []byte, delay time.Duration)
}
