package city

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"presence/drivers/cardlist"
)

// Cards finds the cards of a person: the UID or GUID itself, in hex, or what any other
// column of the city's list of cards (cards.csv) has, such as a staff number.
func Cards(person, list string) (uids [][]byte, err error) {
	if uid, err := cardlist.ParseHex(person); err == nil {
		return [][]byte{uid.Bytes()}, nil
	}
	if guid, ok := cardlist.ParseGUID(person); ok {
		return [][]byte{guid[:]}, nil
	}
	text, err := os.ReadFile(list)
	if err != nil {
		return nil, fmt.Errorf("read cards: %q is no UID in hex, and the list of cards cannot be read: %w", person, err)
	}
	_, cards, err := ParseCards(list, text)
	if err != nil {
		return nil, err
	}
	for _, c := range cards {
		if slices.ContainsFunc(c.Rest, func(cell string) bool { return strings.TrimSpace(cell) == person }) {
			uids = append(uids, c.UID)
		}
	}
	if len(uids) == 0 {
		return nil, fmt.Errorf("read cards: nobody in %s has %q", list, person)
	}
	return uids, nil
}

// Card is a line of the city's list of cards.
type Card struct {
	UID  []byte   // or the GUID of a badge with a certificate, which has 16 bytes
	Rest []string // the other columns
}

// ParseCards reads the city's list of cards as gateways read a roster: separator,
// heading, notation and what a spreadsheet may have made of a number are the same. head
// are the names of the other columns, where the first line is a heading. Errors name the
// file and the line, and do not repeat the number.
func ParseCards(file string, text []byte) (head []string, cards []Card, err error) {
	text, comma, problem := cardlist.Prepare(text)
	if problem != nil {
		return nil, nil, wrongCards(file, problem.Line, problem.Text)
	}
	lines := slices.Collect(bytes.Lines(text))
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma, r.Comment, r.FieldsPerRecord = comma, '#', -1
	notation := cardlist.Hex
	seen := make(map[string]int) // lines of UIDs
	for first := true; ; first = false {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read cards: %s: %w", file, err)
		}
		line, column := r.FieldPos(0)
		quoted := line <= len(lines) && column <= len(lines[line-1]) && lines[line-1][column-1] == '"'
		uid, err := parseCard(notation, cardlist.NewCell(row[0], quoted))
		if first && (err != nil && isHeading(row[0]) || declares(row)) {
			if head, notation, err = readCardHeading(row); err != nil {
				return nil, nil, wrongCards(file, line, err.Error())
			}
			continue
		}
		if strings.TrimSpace(strings.Join(row, "")) == "" {
			continue // what a spreadsheet leaves below its rows
		}
		if err != nil {
			return nil, nil, wrongCards(file, line, err.Error())
		}
		if before := seen[string(uid)]; before > 0 {
			return nil, nil, wrongCards(file, line, fmt.Sprintf("has the card of line %d again", before))
		}
		seen[string(uid)] = line
		cards = append(cards, Card{uid, sameWidth(row[1:], len(head))})
	}
	if len(cards) == 0 {
		return nil, nil, fmt.Errorf("read cards: %s has none", file)
	}
	return head, cards, nil
}

// parseCard reads what a card is known by: its UID, or its GUID.
func parseCard(notation cardlist.Notation, cell cardlist.Cell) ([]byte, error) {
	if guid, ok := cell.GUID(); ok {
		return guid[:], nil
	}
	uid, err := notation.Parse(cell)
	return uid.Bytes(), err
}

// readCardHeading reads the first line: what the columns behind the card's are called, and
// how card numbers are written. A cell that only says the latter is no column if it is
// the last one.
func readCardHeading(row []string) (head []string, n cardlist.Notation, err error) {
	n = cardlist.Hex
	for i, cell := range row {
		declared, ok := cardlist.Declared(cell)
		switch {
		case !ok:
			continue
		case i == 0 || !cardlist.IsCardHeading(row[0]):
			return nil, n, errors.New(cardlist.NoHeading)
		case !slices.Contains(cardlist.Notations(), declared):
			return nil, n, errors.New(cardlist.NoSuchFormat)
		case i < len(row)-1:
			return nil, n, errors.New("declares uid_format before its last column: write it behind all others")
		}
		n, row = declared, row[:i]
	}
	return row[1:], n, nil
}

// isHeading reports whether a cell without a card number stands over the column. One
// with digits is a number that somebody mistyped.
func isHeading(cell string) bool {
	return cardlist.IsCardHeading(cell) || !strings.ContainsAny(cell, "0123456789")
}

// declares reports whether a row declares a notation.
func declares(row []string) bool {
	return slices.ContainsFunc(row, func(cell string) bool { _, ok := cardlist.Declared(cell); return ok })
}

// sameWidth cuts the empty columns off that a spreadsheet writes below a heading's last
// cell. Without a heading all stay as they are.
func sameWidth(row []string, width int) []string {
	for width > 0 && len(row) > width && row[len(row)-1] == "" {
		row = row[:len(row)-1]
	}
	return row
}

// wrongCards names the line. The number on it is not repeated.
func wrongCards(file string, line int, text string) error {
	if line == 0 {
		return fmt.Errorf("read cards: %s %s", file, text)
	}
	return fmt.Errorf("read cards: line %d of %s %s", line, file, text)
}
