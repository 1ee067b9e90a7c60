package main

import (
	"fmt"

	"presence/config"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/person"
)

type badgeCmd struct {
	UID string `arg:"" help:"The card's UID in hex: 4, 7 or 10 bytes, with or without colons, hyphens or spaces; of a PIV card that proves who it is, the 16 bytes of its GUID."`
}

// Run prints the identity under which the city knows a card. Somebody who searches
// events for a badge, or writes a roster by hand, needs it.
func (b badgeCmd) Run(file configFile, con console) error {
	number, random, err := person.ParseCard(b.UID)
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
	if random {
		fmt.Fprintln(con.err, language.Say(
			"gatewayd: a UID of 4 bytes that begins with 08 is made up anew each time: this id names nobody",
			"gatewayd: UID 4 bita yang diawali 08 berganti setiap kali: id ini bukan milik siapa pun").In(con.lang))
	}
	if _, err := fmt.Fprintln(con.out, configured.Badges(cfg).Identity(number)); err != nil {
		return fmt.Errorf("print badge: %w", err)
	}
	return nil
}
