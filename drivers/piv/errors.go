package piv

import (
	"errors"
	"fmt"
)

// Why a card or a certificate proves nothing. Errors of the link, such as card.ErrGone,
// come as they are.
var (
	// ErrAbsent means that the card has no PIV application, or not the object or the key
	// that was asked for.
	ErrAbsent = errors.New("not on the card")

	// ErrPIN means that the card wants a PIN first: the key is not in slot 9E, or was not
	// made for use without a PIN.
	ErrPIN = errors.New("the card wants a PIN")

	// ErrAlgorithm means that the card does not compute with the algorithm, or that a key
	// is neither P-256 nor P-384.
	ErrAlgorithm = errors.New("algorithm not supported")

	// ErrMalformed means that the card answered what SP 800-73 does not allow, or without
	// end.
	ErrMalformed = errors.New("malformed answer")

	// ErrBadCertificate means that a certificate is not one of a badge: it cannot be read,
	// or has not the form that ParseCertificate asks for.
	ErrBadCertificate = errors.New("not a certificate of a badge")

	// ErrForeignCA means that none of the authorities has signed the certificate.
	ErrForeignCA = errors.New("signed by no authority of ours")

	// ErrExpired means that the certificate, or its authority's, was over already.
	ErrExpired = errors.New("certificate expired")

	// ErrNotYetValid means that the certificate begins later.
	ErrNotYetValid = errors.New("certificate not valid yet")

	// ErrSignature means that a signature is not one by the certificate's key over the
	// challenge.
	ErrSignature = errors.New("wrong signature")
)

// StatusError is a command that the card has refused.
type StatusError struct {
	Command string // as SP 800-73-5 part 2 calls it, with the object: "GET DATA 5FC102"
	SW      uint16 // status bytes SW1 and SW2 (ISO/IEC 7816-4, 5.6)

	kind error // ErrAbsent, ErrPIN, ErrAlgorithm or ErrMalformed
}

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: %v (status %04X)", e.Command, e.kind, e.SW)
}

// Unwrap is what the status means: ErrAbsent, ErrPIN, ErrAlgorithm, or ErrMalformed where
// it is none that the standard knows for the command.
func (e *StatusError) Unwrap() error { return e.kind }

// dataStatus is what a status says of a command that reads an object (SP 800-73-5 part 2,
// 3.1.2). Cards say 6A81 too of an object that they have no place for.
func dataStatus(sw uint16) error {
	switch sw {
	case 0x6A82, 0x6A88, 0x6A81:
		return ErrAbsent
	case 0x6982:
		return ErrPIN
	}
	return ErrMalformed
}

// keyStatus is what a status says of a command that uses a key (SP 800-73-5 part 2, 3.2.4).
// A card that can only sign what it has hashed itself says 6A80.
func keyStatus(sw uint16) error {
	switch sw {
	case 0x6A82, 0x6A88: // no such key
		return ErrAbsent
	case 0x6982:
		return ErrPIN
	case 0x6A80, 0x6A81, 0x6A86: // wrong data, function not supported, wrong P1 or P2
		return ErrAlgorithm
	}
	return ErrMalformed
}
