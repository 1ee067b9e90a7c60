package main

import (
	"errors"
	"fmt"

	"presence/config"
	"presence/drivers/card"
	"presence/drivers/cardlist"
	"presence/gatewayd/internal/configured"
)

type badgeCmd struct {
	UID string `arg:"" help:"The card's UID in hex: 4, 7 or 10 bytes, with or without colons, hyphens or spaces."`
}

// Run prints the identity under which the city knows a card. Somebody who searches
// events for a badge, or writes a roster by hand, needs it.
func (b badgeCmd) Run(file configFile, con console) error {
	uid, err := parseUID(b.UID)
	if err != nil {
		return usageError{err}
	}
	cfg, err := config.LoadOnly(string(file))
	if err != nil {
		return err
	}
	if err := cfg.Badges.ReadKey(); err != nil {
		return err
	}
	if uid.Random() {
		fmt.Fprintln(con.err, "gatewayd: a UID of 4 bytes that begins with 08 is made up anew each time: this id names nobody")
	}
	if _, err := fmt.Fprintln(con.out, configured.Badges(cfg).Identity(uid.Bytes())); err != nil {
		return fmt.Errorf("print badge: %w", err)
	}
	return nil
}

// parseUID reads a UID as people copy it, also a random one.
func parseUID(s string) (card.UID, error) {
	uid, err := cardlist.ParseHex(s)
	if err != nil && !errors.Is(err, cardlist.ErrRandom) {
		return card.UID{}, fmt.Errorf("%.40q is no UID: write 4, 7 or 10 bytes in hex, such as 04:A1:B2:C3:D4:E5:F6", s)
	}
	return uid, nil
}
