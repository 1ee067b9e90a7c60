package roster

import (
	"errors"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// uidFormat is how card numbers are written in a roster file. Nothing in a number tells
// it, so it is declared in the heading and never guessed.
type uidFormat string

const (
	hex         uidFormat = "hex"          // the bytes as a reader of ISO/IEC 14443-3 cards gets them
	dec         uidFormat = "dec"          // the same as one decimal number, the first byte the highest
	hexReversed uidFormat = "hex-reversed" // the last byte first
	decReversed uidFormat = "dec-reversed"
)

// uidFormats are all that there are.
func uidFormats() []uidFormat { return []uidFormat{hex, dec, hexReversed, decReversed} }

// badgeCell is what stands in a file where a badge should.
type badgeCell struct {
	text string
	// isText: it is written so that it cannot be a number of a spreadsheet, which
	// writes those without quotes.
	isText bool
}

// newBadgeCell reads a cell, and takes off what marks it as text: quotes within the
// cell, the apostrophe with which spreadsheets mark text, and the formula ="...".
func newBadgeCell(text string, quoted bool) badgeCell {
	c := badgeCell{text: strings.TrimSpace(text), isText: quoted}
	for _, mark := range [][2]string{{`="`, `"`}, {`"`, `"`}, {"'", ""}} {
		if rest, ok := strings.CutPrefix(c.text, mark[0]); ok {
			if inner, ok := strings.CutSuffix(rest, mark[1]); ok {
				return badgeCell{text: strings.TrimSpace(inner), isText: true}
			}
		}
	}
	return c
}

// What a spreadsheet does to a card number in a cell that is no text: one with a single
// E becomes the number that it reads like (123456E2 becomes 12345600), a long one is
// shortened (1,23457E+13), or loses all but its first 15 digits.
var (
	shortened = regexp.MustCompile(`^[0-9]+([.,][0-9]+)?[eE]\+[0-9]+$|^[0-9]+[.,][0-9]+$`)
	// A number has no leading zero. No UID of 4 bytes becomes another one but with two
	// zeros or more at its end: of its 8 places, the E and the exponent take two.
	multiplied = regexp.MustCompile(`^[1-9][0-9]*00$`)
	rounded    = regexp.MustCompile(`^0*[1-9][0-9]{14}0+$`)
)

var (
	errShortened  = errors.New("has a number as a spreadsheet shortens it, such as 1,23E+11: the UID is lost; set the column to text and enter it again")
	errMultiplied = errors.New(`has a number that a spreadsheet may have made of another UID, as 12345600 of 123456E2: set the column to text and enter the UID again; if it is right, write it in quotes, "12345600", or as 12:34:56:00`)
	errRounded    = errors.New("has a number of which a spreadsheet may have cut off all but 15 digits: set the column to text and enter it again; if it is right, write it in quotes")
	errNoDecimal  = errors.New("has no badge: the heading says that UIDs are decimal numbers, of 4, 7 or 10 bytes")
)

// identify makes the identity of a badge: an identity stays, a card number in this
// format becomes one. Its errors do not repeat it.
func (f uidFormat) identify(c badgeCell, badges presence.Badges) (string, error) {
	switch {
	case presence.IsHashedBadge(c.text):
		return identify(c.text, badges)
	case shortened.MatchString(c.text):
		return "", errShortened
	}
	var uid card.UID
	var err error
	if f == dec || f == decReversed {
		if !c.isText && rounded.MatchString(c.text) {
			return "", errRounded
		}
		uid, err = parseDecimal(c.text, f == decReversed)
	} else {
		if !c.isText && multiplied.MatchString(c.text) {
			return "", errMultiplied
		}
		uid, err = parseHex(c.text, f == hexReversed)
	}
	if err != nil {
		return "", err
	}
	return identityOf(uid, badges)
}

// parseHex reads a UID as people copy it: 04:A1:B2:C3, 04-a1-b2-c3, 04 A1 B2 C3.
func parseHex(s string, reversed bool) (card.UID, error) {
	uid, err := card.ParseUID(strings.NewReplacer(":", "", " ", "", "-", "").Replace(s))
	if err != nil {
		return card.UID{}, errors.New(noBadge)
	}
	if !reversed {
		return uid, nil
	}
	b := uid.Bytes()
	slices.Reverse(b)
	return card.NewUID(b)
}

// parseDecimal reads a UID that is written as a number. UIDs have 4, 7 or 10 bytes
// (ISO/IEC 14443-3, 6.5.4): the number is one of the shortest that can hold it. Of a
// longer one the first byte is the maker's code (ISO/IEC 7816-6), which is never 0, so
// that a number of another kind of card, which has 5 bytes, is refused.
func parseDecimal(s string, reversed bool) (card.UID, error) {
	if strings.Trim(s, "0123456789") != "" || s == "" || len(s) > 30 {
		return card.UID{}, errNoDecimal
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return card.UID{}, errNoDecimal
	}
	size := 4
	for n.BitLen() > 8*size && size <= 10 {
		size += 3
	}
	if size > 10 {
		return card.UID{}, errNoDecimal
	}
	b := n.FillBytes(make([]byte, size))
	if reversed {
		slices.Reverse(b)
	}
	if size > 4 && b[0] == 0 {
		return card.UID{}, errNoDecimal
	}
	return card.NewUID(b)
}
