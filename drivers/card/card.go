package card

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// UID is a card's unique identifier as the anticollision loop delivers it:
// without cascade tags and without BCC, in the order of transmission. It has
// 4, 7 or 10 bytes (ISO/IEC 14443-3, 6.5.4: single, double and triple size).
//
// It is a comparable value, so that it can key a map.
type UID struct {
	bytes [10]byte
	size  uint8
}

// NewUID makes a UID of 4, 7 or 10 bytes; any other length is an error.
func NewUID(b []byte) (UID, error) {
	switch len(b) {
	case 4, 7, 10:
		u := UID{size: uint8(len(b))}
		copy(u.bytes[:], b)
		return u, nil
	}
	return UID{}, fmt.Errorf("uid of %d bytes: want 4, 7 or 10", len(b))
}

// ParseUID reads hex digits, upper or lower case, as in "04A1B2C3D4E5F6".
func ParseUID(s string) (UID, error) {
	b, err := hex.DecodeString(s)
	if err != nil {
		return UID{}, fmt.Errorf("parse uid %q: want hex digits, two for each of 4, 7 or 10 bytes", s)
	}
	u, err := NewUID(b)
	if err != nil {
		return UID{}, fmt.Errorf("parse uid %q: %w", s, err)
	}
	return u, nil
}

// Bytes returns a copy of the identifier's bytes.
func (u UID) Bytes() []byte { return append([]byte(nil), u.bytes[:u.size]...) }

// Len is 4, 7 or 10, or 0 for the zero UID.
func (u UID) Len() int { return int(u.size) }

// String is the identifier in upper-case hex.
func (u UID) String() string { return strings.ToUpper(hex.EncodeToString(u.bytes[:u.size])) }

// Random reports whether the identifier was made up by the card for this
// visit to the field only: four bytes that begin with 08 (ISO/IEC 14443-3,
// 6.5.4, table "coding of single size UIDs"). Phones and some processor cards
// do that; such a UID identifies nobody.
func (u UID) Random() bool { return u.size == 4 && u.bytes[0] == 0x08 }

// Card is one card that a reader has selected: its UID was confirmed by a
// SELECT whose BCC and CRC_A were right.
type Card struct {
	UID  UID
	ATQA [2]byte // in order of transmission; {0x44, 0x00} is usually printed "0044"
	SAK  byte    // of the last cascade level

	// TypeB says that it is a card of ISO/IEC 14443 type B, which has neither ATQA
	// nor SAK. Its UID is then the PUPI, and a driver reports it only where it was
	// the same before and after the card was without power.
	TypeB bool
}

// Assurance tells how far a read proves who the card is.
type Assurance string

// What a read is worth, weakest first.
const (
	AssuranceRandom  Assurance = "random-uid"            // no identity at all
	AssuranceUID     Assurance = "uid"                   // an identifier that anyone can copy
	AssuranceDESFire Assurance = "authenticated-desfire" // the card's symmetric key has answered, which the gateway knows too
	AssurancePIV     Assurance = "authenticated-piv"     // the card's private key has answered, which only the card knows
)

// rank orders assurances; 0 is none of them.
func (a Assurance) rank() int {
	return 1 + slices.Index([]Assurance{AssuranceRandom, AssuranceUID, AssuranceDESFire, AssurancePIV}, a)
}

// AtLeast reports whether a is worth as much as least, or more. What is no assurance is
// worth nothing.
func (a Assurance) AtLeast(least Assurance) bool { return a.rank() >= least.rank() }

// Authenticated reports whether the card has proven who it is by a key.
func (a Assurance) Authenticated() bool { return a.AtLeast(AssuranceDESFire) }

// Assurance says what this card's identifier is worth.
func (c Card) Assurance() Assurance {
	if c.UID.Random() && !c.TypeB {
		return AssuranceRandom
	}
	return AssuranceUID
}

// Reader is a reader chip that is ready to scan its field for cards. It is used by one
// goroutine at a time.
type Reader interface {
	// Poll scans the field once and returns every card in it, in no particular
	// order; an empty slice means that none is there. The driver bounds how long
	// a scan takes. An error means that nothing is known of the field: it wraps
	// ErrBusDead or ErrDeaf, or describes a passing fault.
	Poll(ctx context.Context) ([]Card, error)

	// Version is the chip's version in hex digits, for example "92".
	Version() string

	// Close switches the field off and lets go of the bus. It may be called
	// twice.
	Close() error
}

// UnfitError is why a chip could not be set up that has answered with its version all the
// same: its bus and its supply are sound, which whoever looks for the fault has to know.
type UnfitError struct {
	Version string // as Reader.Version has it
	Err     error
}

// Error implements error.
func (e *UnfitError) Error() string { return e.Err.Error() }

// Unwrap is what was wrong with the chip.
func (e *UnfitError) Unwrap() error { return e.Err }

// Counter is a Reader that counts how well it receives, so that a bad antenna or
// bus shows before it receives nothing at all.
type Counter interface {
	// Counts returns what the reader has counted since it was opened. It is called
	// by the goroutine that polls.
	Counts() Counts
}

// Counts are what a reader has counted since it was opened. None of them ever
// falls.
type Counts struct {
	Scans     int64 // that ended without an error
	BadFrames int64 // attempts at a card that failed: noise, or a card at the edge of the field
	Seen      int64 // cards seen, each counted once a scan
	Misses    int64 // scans that did not see a card which the scans before and after them saw
	Misreads  int64 // times that the chip's registers read wrong once and right at once afterwards: noise on the bus
	Mends     int64 // times that the chip was found unfit and made fit again
	Resets    int64 // resets of the chip, those for a mend among them

	// Unreadable counts visits of cards that were heard but have no identifier of
	// their own: those of type B with another PUPI each time.
	Unreadable int64
}

var (
	// ErrBusDead means that the chip does not answer on its bus at all, or
	// that the bus itself is missing or refuses: wiring, power, SPI switched
	// off.
	ErrBusDead = errors.New("bus dead")

	// ErrNotSPI comes with ErrBusDead where it looks as if a board were there, with
	// power, that does not speak SPI: many have switches for other interfaces.
	ErrNotSPI = errors.New("the board does not speak SPI")

	// ErrDeaf means that the chip answers on its bus but its field does not
	// work: it would not notice a card. "No card" and "deaf" look alike to a
	// driver that does not check.
	ErrDeaf = errors.New("reader deaf")

	// ErrNoReference means that nobody has published what the self test of a chip
	// of this version must find. Such a chip may well be sound.
	ErrNoReference = errors.New("nothing is known to compare the self test with")
)
