// Command badges makes the table over which the city joins what its gateways say
// of one card: each gateway has a badge key of its own, so the same card has
// another identity at each.
//
//	badges -key badge.key -gateways gateways.txt [-issued badge-index.txt] cards.csv >table.csv
//
// gateways.txt has the id of a gateway on each line. cards.csv has the number of a
// card in its first column (UID in hex: 4, 7 or 10 bytes, with or without colons,
// hyphens or spaces), and what the city knows the card by in the others, which are
// copied. Its heading may declare another notation, as that of a roster does:
// kartu;nip;uid_format=dec. The table has the columns gateway, badge, uid, and those.
// A badge with a certificate is named by its UID or, where that is random, by its GUID.
// -issued is the list of badges that ca.sh has issued: a card in it has a second line for
// each gateway, as it is called by its GUID where it has proven who it is, and by its UID
// where it has not. Whoever has the table knows all cards of the city: it belongs where the
// names are.
//
//	badges -key badge.key -gateways gateways.txt -fingerprints
//
// prints what each gateway has to say in `badge_key` of its info.
package main

import (
	"bufio"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"presence/scripts/city"
)

func main() {
	key := flag.String("key", "", "file with the city's badge key: 64 hex digits")
	gateways := flag.String("gateways", "", "file with a gateway's id on each line")
	issued := flag.String("issued", "", "file with the badges that ca.sh has issued, badge-index.txt")
	fingerprints := flag.Bool("fingerprints", false, "print the fingerprint of each gateway's key instead of a table")
	flag.Parse()
	if err := run(*key, *gateways, *issued, *fingerprints, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "badges:", err)
		os.Exit(1)
	}
}

func run(keyFile, gatewaysFile, issuedFile string, fingerprints bool, args []string, to io.Writer) error {
	if keyFile == "" || gatewaysFile == "" || len(args) != 1 && !fingerprints {
		return errors.New("usage: badges -key BADGE.KEY -gateways IDS.txt [-fingerprints | [-issued INDEX.txt] CARDS.csv]")
	}
	key, err := city.ReadBadgeKey(keyFile)
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
		err = printTable(out, key, gateways, issuedFile, args[0])
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

// readIssued reads which badges were issued, by GUID: the index of an authority as openssl
// writes it, with the subject at the end of each line.
func readIssued(file string) (map[uuid.UUID]bool, error) {
	issued := make(map[uuid.UUID]bool)
	if file == "" {
		return issued, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read issued badges: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		_, subject, _ := strings.Cut(strings.TrimSpace(line), "/CN=")
		guid, err := uuid.Parse(subject)
		if err != nil {
			return nil, fmt.Errorf("read issued badges: %s is not the index of ca.sh badge", file)
		}
		issued[guid] = true
	}
	return issued, nil
}

func printTable(out *csv.Writer, key [32]byte, gateways []string, issuedFile, file string) error {
	issued, err := readIssued(issuedFile)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read cards: %w", err)
	}
	head, cards, err := city.ParseCards(file, text)
	if err != nil {
		return err
	}
	if err := out.Write(append([]string{"gateway", "badge", "uid"}, head...)); err != nil {
		return fmt.Errorf("print table: %w", err)
	}
	for _, gateway := range gateways {
		own := city.GatewayBadgeKey(key, gateway)
		for _, c := range cards {
			names := []string{city.BadgeIdentity(own, c.UID)}
			if guid := city.GUIDOf(c.UID); issued[guid] {
				names = append(names, city.BadgeIdentity(own, guid[:]))
			}
			for _, name := range names {
				row := []string{gateway, name, strings.ToUpper(hex.EncodeToString(c.UID))}
				if err := out.Write(append(row, c.Rest...)); err != nil {
					return fmt.Errorf("print table: %w", err)
				}
			}
		}
	}
	return nil
}
