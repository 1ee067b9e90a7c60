package badgekeys

import (
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"presence/drivers/cardlist"
)

// Number is what a card with a random UID is known by: 16 bytes in its file 01, which
// anybody may read.
type Number [16]byte

// Kind is a kind of card, as the document calls it.
type Kind string

// The kinds.
const (
	DESFire Kind = "desfire"
	NTAG424 Kind = "ntag424"
)

// Card is a card of the office's staff, or of the city's list of keys.
type Card struct {
	Line   int // of the file that it stands in
	UID    []byte
	Number *Number // of a card with a random UID; UID is nil then
	Kind   Kind

	// Of a list of keys only.
	Key   *Key
	KeyNo *int
}

// id is what the card is known by.
func (c Card) id() []byte {
	if c.Number != nil {
		return c.Number[:]
	}
	return c.UID
}

// columns are where in a row what stands; -1: nowhere.
type columns struct{ uid, number, card, key, keyNo int }

// MaxKeyNo is the highest number of a key in a DESFire application.
const MaxKeyNo = 13

// ParseCards reads a CSV file of cards: uid, or number for a card with a random UID, and
// card ("desfire" if empty, or "ntag424"); of a list of keys also key and key_no. The first
// line names the columns; without one they are uid, number and card. Separators and how
// UIDs are written are those of a roster. Errors name file and line, and repeat neither
// numbers nor keys.
func ParseCards(file string, text []byte) ([]Card, error) {
	text, comma, problem := cardlist.Prepare(text)
	if problem != nil {
		return nil, fmt.Errorf("read cards: line %d of %s %s", problem.Line, file, problem.Text)
	}
	r := csv.NewReader(strings.NewReader(string(text)))
	r.Comma, r.Comment, r.FieldsPerRecord, r.TrimLeadingSpace = comma, '#', -1, true
	at := columns{uid: 0, number: 1, card: 2, key: -1, keyNo: -1}
	notation := cardlist.Hex
	var cards []Card
	seen := make(map[string]int)
	for first := true; ; first = false {
		row, err := r.Read()
		if first && errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read cards: %s is empty: where nobody has such a badge, write the heading uid,number,card alone", file)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read cards: %s: %w", file, err)
		}
		line, _ := r.FieldPos(0)
		wrong := func(err error) error { return fmt.Errorf("read cards: line %d of %s %w", line, file, err) }
		if first && isHeading(row) {
			if at, notation, err = readHeading(row); err != nil {
				return nil, wrong(err)
			}
			continue
		}
		if strings.TrimSpace(strings.Join(row, "")) == "" {
			continue // what a spreadsheet leaves below its rows
		}
		c, err := at.read(row, notation)
		if err != nil {
			return nil, wrong(err)
		}
		c.Line = line
		if before := seen[string(c.id())]; before > 0 {
			return nil, wrong(fmt.Errorf("has the card of line %d again", before))
		}
		seen[string(c.id())] = line
		cards = append(cards, c)
	}
	return cards, nil
}

// isHeading reports whether a row names columns: no cell of it has a digit, but for the
// notation that it may declare.
func isHeading(row []string) bool {
	return !slices.ContainsFunc(row, func(cell string) bool {
		_, declares := cardlist.Declared(cell)
		return !declares && strings.ContainsAny(cell, "0123456789")
	}) && strings.TrimSpace(strings.Join(row, "")) != ""
}

func readHeading(row []string) (at columns, n cardlist.Notation, err error) {
	at, n = columns{-1, -1, -1, -1, -1}, cardlist.Hex
	for i, cell := range row {
		if declared, ok := cardlist.Declared(cell); ok {
			if !slices.Contains(cardlist.Notations(), declared) {
				return at, n, errors.New(cardlist.NoSuchFormat)
			}
			n = declared
			continue
		}
		switch name := cardlist.PlainHeading(cell); {
		case name == "card" || name == "kind" || name == "jenis":
			at.card = i
		case name == "number" || name == "nomor":
			at.number = i
		case name == "key" || name == "kunci":
			at.key = i
		case name == "key no":
			at.keyNo = i
		case cardlist.IsCardHeading(cell):
			at.uid = i
		case name != "":
			return at, n, fmt.Errorf("has a column %d that is none of uid, number, card, key and key_no", i+1)
		}
	}
	if at.uid < 0 && at.number < 0 {
		return at, n, errors.New("names neither a column uid nor number")
	}
	return at, n, nil
}

// read reads a row.
func (at columns) read(row []string, notation cardlist.Notation) (c Card, err error) {
	cell := func(column int) string {
		if column < 0 || column >= len(row) {
			return ""
		}
		return strings.TrimSpace(row[column])
	}
	uid, number := cell(at.uid), cell(at.number)
	switch {
	case number != "" && uid != "":
		return c, errors.New("has a UID and a number: of a card that shows a random UID write the number alone, else the UID alone")
	case number != "":
		if c.Number, err = parseNumber(number); err != nil {
			return c, err
		}
	case uid == "":
		return c, errors.New("has neither a UID nor a number")
	default:
		parsed, err := notation.Parse(cardlist.NewCell(uid, false))
		if err != nil {
			return c, err
		}
		if c.UID = parsed.Bytes(); len(c.UID) != 7 {
			return c, errors.New("has a UID of another length than DESFire and NTAG 424 have, 7 bytes; of a card that shows a random one, write the number in its file")
		}
	}
	switch kind := strings.ToLower(cell(at.card)); kind {
	case "", string(DESFire):
		c.Kind = DESFire
	case string(NTAG424):
		c.Kind = NTAG424
	default:
		return c, errors.New("has a card that is neither desfire nor ntag424")
	}
	if c.Kind == NTAG424 && c.Number != nil {
		return c, errors.New("has an ntag424 with a number: only DESFire cards have a file for one, of an NTAG 424 write the UID")
	}
	err = at.readKey(&c, cell)
	return c, err
}

func parseNumber(s string) (*Number, error) {
	var n Number
	if len(s) != 2*len(n) {
		return nil, errors.New("has a number that is not 32 hex digits")
	}
	if _, err := hex.Decode(n[:], []byte(s)); err != nil {
		return nil, errors.New("has a number that is not 32 hex digits")
	}
	return &n, nil
}

func (at columns) readKey(c *Card, cell func(int) string) error {
	if at.key >= 0 {
		key, err := ParseKey(cell(at.key))
		if err != nil {
			return fmt.Errorf("has a key that is %w", err)
		}
		c.Key = &key
	}
	if text := cell(at.keyNo); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > MaxKeyNo {
			return fmt.Errorf("has a key_no that is no number from 0 to %d", MaxKeyNo)
		}
		c.KeyNo = &n
	}
	return nil
}

var errNoKey = errors.New("not 32 hex digits")

// ParseKey reads a key of AES-128. What it says holds nothing of it.
func ParseKey(s string) (key Key, err error) {
	if s = strings.TrimSpace(s); len(s) != 2*len(key) {
		return key, errNoKey
	}
	if _, err := hex.Decode(key[:], []byte(s)); err != nil {
		return Key{}, errNoKey
	}
	return key, nil
}
