// Command badges makes the table over which the city joins what its gateways say
// of one card: each gateway has a badge key of its own, so the same card has
// another identity at each.
//
//	badges -key badge.key -gateways gateways.txt cards.csv >table.csv
//
// gateways.txt has the id of a gateway on each line. cards.csv has the number of a
// card in its first column (UID in hex: 4, 7 or 10 bytes, with or without colons,
// hyphens or spaces), and what the city knows the card by in the others, which are
// copied. Its heading may declare another notation, as that of a roster does:
// kartu;nip;uid_format=dec. The table has the columns gateway, badge, uid, and those.
// Whoever has it knows all cards of the city: it belongs where the names are.
//
//	badges -key badge.key -gateways gateways.txt -fingerprints
//
// prints what each gateway has to say in `badge_key` of its info.
package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"presence/drivers/cardlist"
	"presence/scripts/city"
)

func main() {
	key := flag.String("key", "", "file with the city's badge key: 64 hex digits")
	gateways := flag.String("gateways", "", "file with a gateway's id on each line")
	fingerprints := flag.Bool("fingerprints", false, "print the fingerprint of each gateway's key instead of a table")
	flag.Parse()
	if err := run(*key, *gateways, *fingerprints, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "badges:", err)
		os.Exit(1)
	}
}

func run(keyFile, gatewaysFile string, fingerprints bool, args []string, to io.Writer) error {
	if keyFile == "" || gatewaysFile == "" || len(args) != 1 && !fingerprints {
		return errors.New("usage: badges -key BADGE.KEY -gateways IDS.txt [-fingerprints | CARDS.csv]")
	}
	key, err := readKey(keyFile)
	if err != nil {
		return err
	}
	gateways, err := readGateways(gatewaysFile)
	if err != nil {
		return err
	}
	out := csv.NewWriter(to)
	if fingerprints {
		err = printFingerprints(out, key, gateways)
	} else {
		err = printTable(out, key, gateways, args[0])
	}
	if err != nil {
		return err
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("print table: %w", err)
	}
	return nil
}

// readKey reads the city's badge key. What it says of a file holds nothing of it.
func readKey(file string) (key [32]byte, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return key, fmt.Errorf("read badge key: %w", err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != len(key) {
		return key, fmt.Errorf("read badge key: %s does not hold 64 hex digits", file)
	}
	copy(key[:], raw)
	return key, nil
}

func readGateways(file string) (ids []string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read gateways: %w", err)
	}
	defer f.Close()
	id := regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	lines := bufio.NewScanner(f)
	for line := 1; lines.Scan(); line++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if !id.MatchString(text) {
			return nil, fmt.Errorf("read gateways: line %d of %s is no gateway's id", line, file)
		}
		ids = append(ids, text)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read gateways: %w", err)
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("read gateways: %s names none", file)
	}
	return ids, nil
}

func printFingerprints(out *csv.Writer, key [32]byte, gateways []string) error {
	if err := out.Write([]string{"gateway", "badge_key"}); err != nil {
		return fmt.Errorf("print table: %w", err)
	}
	for _, gateway := range gateways {
		if err := out.Write([]string{gateway, city.BadgeKeyFingerprint(city.GatewayBadgeKey(key, gateway))}); err != nil {
			return fmt.Errorf("print table: %w", err)
		}
	}
	return nil
}

func printTable(out *csv.Writer, key [32]byte, gateways []string, file string) error {
	head, cards, err := readCards(file)
	if err != nil {
		return err
	}
	if err := out.Write(append([]string{"gateway", "badge", "uid"}, head...)); err != nil {
		return fmt.Errorf("print table: %w", err)
	}
	for _, gateway := range gateways {
		own := city.GatewayBadgeKey(key, gateway)
		for _, c := range cards {
			row := []string{gateway, city.BadgeIdentity(own, c.uid), strings.ToUpper(hex.EncodeToString(c.uid))}
			if err := out.Write(append(row, c.rest...)); err != nil {
				return fmt.Errorf("print table: %w", err)
			}
		}
	}
	return nil
}

// card is a line of the city's list.
type card struct {
	uid  []byte
	rest []string // the other columns
}

// readCards reads the list as gateways read a roster: separator, heading, notation and
// what a spreadsheet may have made of a number are the same. head are the names of the
// other columns, where the first line is a heading.
func readCards(file string) (head []string, cards []card, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("read cards: %w", err)
	}
	text, comma, problem := cardlist.Prepare(text)
	if problem != nil {
		return nil, nil, wrong(file, problem.Line, problem.Text)
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
		uid, err := notation.Parse(cardlist.NewCell(row[0], quoted))
		if first && (err != nil && isHeading(row[0]) || declares(row)) {
			if head, notation, err = readHeading(row); err != nil {
				return nil, nil, wrong(file, line, err.Error())
			}
			continue
		}
		if strings.TrimSpace(strings.Join(row, "")) == "" {
			continue // what a spreadsheet leaves below its rows
		}
		if err != nil {
			return nil, nil, wrong(file, line, err.Error())
		}
		if before := seen[uid.String()]; before > 0 {
			return nil, nil, wrong(file, line, fmt.Sprintf("has the card of line %d again", before))
		}
		seen[uid.String()] = line
		cards = append(cards, card{uid.Bytes(), row[1:]})
	}
	if len(cards) == 0 {
		return nil, nil, fmt.Errorf("read cards: %s has none", file)
	}
	return head, sameWidth(cards, len(head)), nil
}

// readHeading reads the first line: what the columns behind the card's are called, and
// how card numbers are written. A cell that only says the latter is no column if it is
// the last one.
func readHeading(row []string) (head []string, n cardlist.Notation, err error) {
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
func sameWidth(cards []card, width int) []card {
	for i, c := range cards {
		for width > 0 && len(c.rest) > width && c.rest[len(c.rest)-1] == "" {
			c.rest = c.rest[:len(c.rest)-1]
		}
		cards[i] = c
	}
	return cards
}

// wrong names the line. The number on it is not repeated.
func wrong(file string, line int, text string) error {
	if line == 0 {
		return fmt.Errorf("read cards: %s %s", file, text)
	}
	return fmt.Errorf("read cards: line %d of %s %s", line, file, text)
}
