package pn532

import (
	"errors"
	"fmt"

	"presence/drivers/card"
)

// maxTarget is how many bytes the data of a target have at most: those of a type A
// card with a UID of 10 bytes, and an ATS or the like as long as the chip takes.
const maxTarget = 5 + 10 + 64

// maxAnswer is how many bytes a card answers to a raw frame at most, of those that
// this driver sends.
const maxAnswer = 16

// cascadeTag leads the UID bytes of a level that is not the last (ISO 6.5.4).
const cascadeTag = 0x88

var (
	// errTarget means that a reply came whole but tells of no card as the standard
	// has them.
	errTarget = errors.New("impossible card")

	// errParameters means that the chip has sent RATS, which it was told not to: it
	// has lost its settings, as after a dip of its supply.
	errParameters = errors.New("the chip has lost its settings")
)

// oneTarget takes the reply to InListPassiveTarget for at most one card apart, and
// returns what it tells of the card, without the number that the chip gives it; nil
// where there was none (7.3.5).
func oneTarget(data []byte) ([]byte, error) {
	switch {
	case len(data) == 1 && data[0] == 0:
		return nil, nil
	case len(data) < 2 || data[0] != 1 || data[1] != 1:
		return nil, fmt.Errorf("%w: reply % X to a search for one", errTarget, data)
	}
	return data[2:], nil
}

// parseA reads the target data of a card of type A: SENS_RES, whose more significant
// byte comes first, SEL_RES, the UID's length and the UID without cascade tags.
func parseA(b []byte) (card.Card, error) {
	if len(b) < 4 {
		return card.Card{}, fmt.Errorf("%w: type A with %d bytes", errTarget, len(b))
	}
	c := card.Card{ATQA: [2]byte{b[1], b[0]}, SAK: b[2]}
	n := int(b[3])
	if len(b) < 4+n {
		return card.Card{}, fmt.Errorf("%w: UID of %d bytes, of which %d are there", errTarget, n, len(b)-4)
	}
	uid, err := card.NewUID(b[4 : 4+n])
	if err != nil {
		return card.Card{}, fmt.Errorf("%w: %w", errTarget, err)
	}
	c.UID = uid
	// The SAK of the last level says that the UID is complete. A clone may have a UID
	// of 4 bytes that leads with the cascade tag; but where the card announced more
	// bytes in its ATQA (ISO 6.5.2) this is the beginning of a longer UID.
	announced := int(c.ATQA[0] >> 6)
	switch {
	case c.SAK&sakCascade != 0:
		return card.Card{}, fmt.Errorf("%w: SAK %02X says that UID %s is not complete", errTarget, c.SAK, uid)
	case b[4] == cascadeTag && n == 4 && (announced == 1 || announced == 2):
		return card.Card{}, fmt.Errorf("%w: UID %s ends too soon", errTarget, uid)
	}
	switch ats := b[4+n:]; {
	case len(ats) == 0:
		return c, nil
	case c.SAK&sakLayer4 != 0 && int(ats[0]) == len(ats):
		return c, errParameters
	}
	return card.Card{}, fmt.Errorf("%w: %d bytes behind UID %s", errTarget, len(b)-4-n, uid)
}

const (
	atqbLength = 12   // of which the first is atqbCode
	atqbCode   = 0x50 // leads an ATQB (ISO 7.9.1)
	pupiLength = 4
)

// parseB reads the target data of a card of type B: its ATQB with 12 bytes, and the
// length and bytes of its answer to ATTRIB. It returns the PUPI.
func parseB(b []byte) (card.UID, error) {
	if len(b) < atqbLength+1 || b[0] != atqbCode || len(b) != atqbLength+1+int(b[atqbLength]) {
		return card.UID{}, fmt.Errorf("%w: type B with % X", errTarget, b)
	}
	return card.NewUID(b[1 : 1+pupiLength])
}
