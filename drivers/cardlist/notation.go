package cardlist

import (
	"errors"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"presence/drivers/card"
)

// Notation is how card numbers are written in a list. Nothing in a number tells it, so
// it is declared in the heading (uid_format=dec) and never guessed.
type Notation string

// The notations.
const (
	Hex         Notation = "hex"          // the bytes as a reader of ISO/IEC 14443-3 cards gets them
	Dec         Notation = "dec"          // the same as one decimal number, the first byte the highest
	HexReversed Notation = "hex-reversed" // the last byte first
	DecReversed Notation = "dec-reversed"
)

// Notations are all that there are.
func Notations() []Notation { return []Notation{Hex, Dec, HexReversed, DecReversed} }

// Cell is what stands in a list where a card number should.
type Cell struct {
	Text string
	// IsText: it is written so that it cannot be a number of a spreadsheet, which
	// writes those without quotes.
	IsText bool
}

// NewCell reads a cell, and takes off what marks it as text: quotes within the cell, the
// apostrophe with which spreadsheets mark text, and the formula ="...".
func NewCell(text string, quoted bool) Cell {
	c := Cell{Text: strings.TrimSpace(text), IsText: quoted}
	for _, mark := range [][2]string{{`="`, `"`}, {`"`, `"`}, {"'", ""}} {
		if rest, ok := strings.CutPrefix(c.Text, mark[0]); ok {
			if inner, ok := strings.CutSuffix(rest, mark[1]); ok {
				return Cell{Text: strings.TrimSpace(inner), IsText: true}
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

// Why a cell is no card number, each with a verb to follow the number of its line. None
// repeats the number: it must not reach a log.
var (
	ErrNoUID      = errors.New(`has no badge: write "h:" and 32 hex digits, the UID as 8, 14 or 20 hex digits, or the GUID of a PIV card as 32 (a spreadsheet drops leading zeros unless the column is text)`)
	ErrNoDecimal  = errors.New("has no badge: the heading says that UIDs are decimal numbers, of 4, 7 or 10 bytes")
	ErrShortened  = errors.New("has a number as a spreadsheet shortens it, such as 1,23E+11: the UID is lost; set the column to text and enter it again")
	ErrMultiplied = errors.New(`has a number that a spreadsheet may have made of another UID, as 12345600 of 123456E2: set the column to text and enter the UID again; if it is right, write it in quotes, "12345600", or as 12:34:56:00`)
	ErrRounded    = errors.New("has a number of which a spreadsheet may have cut off all but 15 digits: set the column to text and enter it again; if it is right, write it in quotes")
	ErrRandom     = errors.New("has the UID of a card that shows a random one each time (4 bytes, beginning with 08): such a card cannot be in a roster")
)

// Parse reads a card number in this notation.
func (n Notation) Parse(c Cell) (uid card.UID, err error) {
	switch reversed := n == DecReversed || n == HexReversed; {
	case shortened.MatchString(c.Text):
		return uid, ErrShortened
	case n == Dec || n == DecReversed:
		if !c.IsText && rounded.MatchString(c.Text) {
			return uid, ErrRounded
		}
		uid, err = parseDecimal(c.Text, reversed)
	default:
		if !c.IsText && multiplied.MatchString(c.Text) {
			return uid, ErrMultiplied
		}
		uid, err = parseHex(c.Text, reversed)
	}
	if err == nil && uid.Random() {
		return card.UID{}, ErrRandom
	}
	return uid, err
}

// ParseHex reads a UID as people copy it: 04:A1:B2:C3, 04-a1-b2-c3, 04 A1 B2 C3. With
// ErrRandom comes what was read.
func ParseHex(s string) (card.UID, error) {
	uid, err := parseHex(s, false)
	if err == nil && uid.Random() {
		err = ErrRandom
	}
	return uid, err
}

func parseHex(s string, reversed bool) (card.UID, error) {
	uid, err := card.ParseUID(plainHex(s))
	if err != nil {
		return card.UID{}, ErrNoUID
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
		return card.UID{}, ErrNoDecimal
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return card.UID{}, ErrNoDecimal
	}
	size := 4
	for n.BitLen() > 8*size && size <= 10 {
		size += 3
	}
	if size > 10 {
		return card.UID{}, ErrNoDecimal
	}
	b := n.FillBytes(make([]byte, size))
	if reversed {
		slices.Reverse(b)
	}
	if size > 4 && b[0] == 0 {
		return card.UID{}, ErrNoDecimal
	}
	return card.NewUID(b)
}
