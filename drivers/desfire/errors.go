package desfire

import (
	"errors"
	"fmt"
)

// Why a card proves nothing. Errors of the link, such as card.ErrGone, come as they are.
var (
	// ErrAbsent means that the card has not what was asked for: the application or the
	// file, or that it is no card of this family at all.
	ErrAbsent = errors.New("not on the card")

	// ErrNoKey means that the application has no key of that number.
	ErrNoKey = errors.New("no such key on the card")

	// ErrWrongKey means that the card does not take our key for its own. It has counted a
	// failure.
	ErrWrongKey = errors.New("the card has another key")

	// ErrLocked means that the card refuses the key: it is locked, or the card makes
	// everybody wait after too many failures. A card that speaks LRP only answers the same.
	ErrLocked = errors.New("the key is locked, or the card wants LRP")

	// ErrLRP means that the card speaks LRP, which this package does not.
	ErrLRP = errors.New("the card wants LRP, which is not supported")

	// ErrDenied means that the card asks for an authentication, or forbids the command.
	ErrDenied = errors.New("the card does not permit it")

	// ErrRnd means that the card does not know the key: its answer to the challenge is wrong.
	ErrRnd = errors.New("wrong answer to the challenge")

	// ErrMAC means that a message authentication code is wrong: the card's in its answer,
	// or ours by what the card says.
	ErrMAC = errors.New("wrong message authentication code")

	// ErrMalformed means that the card answered what the data sheets do not allow.
	ErrMalformed = errors.New("malformed answer")

	// ErrPending means that the link ended after our half of an authentication was sent and
	// before the card's answer came: it may have counted a failure.
	ErrPending = errors.New("the card's verdict was lost")

	// ErrClosed means that a session is over: closed, or ended by an error.
	ErrClosed = errors.New("session closed")
)

// StatusError is a command that the card has refused.
type StatusError struct {
	Command string // as the data sheets call it: "GetCardUID"
	SW      uint16 // status bytes: 91AE, or those of ISO/IEC 7816-4 (6A82)

	kind error
}

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: %v (status %04X)", e.Command, e.kind, e.SW)
}

// Unwrap is what the status means: ErrAbsent, ErrNoKey, ErrWrongKey, ErrLocked, ErrDenied,
// ErrMAC, or ErrMalformed where it is none that a sound card gives to what this package
// sends.
func (e *StatusError) Unwrap() error { return e.kind }

// meaning is what a status says of a command.
func meaning(sw uint16) error {
	switch sw {
	case 0x91A0, 0x91F0, 0x6A82, // no such application, no such file
		0x911C, 0x6D00, 0x6E00: // no such command: another kind of card
		return ErrAbsent
	case 0x9140:
		return ErrNoKey
	case 0x919D, 0x91AE, 0x6982: // 91AE: an authentication is needed first
		return ErrDenied
	case 0x91AD:
		return ErrLocked
	case 0x911E:
		return ErrMAC
	}
	return ErrMalformed
}

// keyMeaning is what a status says of either half of an authentication.
func keyMeaning(sw uint16) error {
	switch sw {
	case 0x91AE, 0x6982:
		return ErrWrongKey
	case 0x919D:
		return ErrLocked
	}
	return meaning(sw)
}
