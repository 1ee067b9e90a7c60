package main

import (
	"errors"
	"fmt"
	"os"

	"presence/config"
	"presence/gatewayd/internal/configured"
)

type checkCmd struct {
	Roster   string `help:"Check a roster instead, as the gateways will that the city signs it for." placeholder:"FILE" xor:"what"`
	Hours    string `help:"Check working hours (JSON) instead, as the gateways will that the city signs them for." placeholder:"FILE" xor:"what"`
	Entries  bool   `help:"With --roster: print its entries as the city signs them, instead of ok."`
	BadgeKey string `help:"With --entries: the badge key of the gateway that the roster is for, under which card numbers are hashed." placeholder:"FILE"`
}

// Run reads the configuration as the daemon would, and all files that it names; or a
// document that the city wants to sign.
func (c checkCmd) Run(file configFile, con console) error {
	switch {
	case c.Roster == "" && (c.Entries || c.BadgeKey != ""):
		return usageError{errors.New("--entries and --badge-key go with --roster")}
	case c.Roster != "":
		return c.roster(con)
	case c.Hours != "":
		return c.hours(con)
	}
	cfg, err := config.Check(string(file))
	if err != nil {
		return err
	}
	doubts, problems := configured.Check(cfg)
	for _, d := range doubts {
		fmt.Fprintf(con.err, "%s: warning: %s\n", d.File, d.Text)
	}
	if len(problems) > 0 {
		return problems
	}
	fmt.Fprintf(con.out, "%s: ok (gateway %s of %s, %s, %s)\n",
		file, cfg.Gateway.ID, cfg.Gateway.Dinas, countOf(len(cfg.Readers), "reader"), countOf(len(cfg.Receivers), "receiver"))
	return nil
}

// roster checks a roster that the city wants to sign. There is no configuration where
// the city does that.
func (c checkCmd) roster(con console) error {
	badges := config.Badges{KeyFile: c.BadgeKey}
	if err := badges.ReadKey(); err != nil {
		return err
	}
	entries, n, problems := configured.SignedRoster(c.Roster, badges.Key)
	if len(problems) > 0 {
		return problems
	}
	if c.Entries {
		fmt.Fprintf(con.out, "%s\n", entries)
		return nil
	}
	fmt.Fprintf(con.out, "%s: ok (%s)\n", c.Roster, countOf(n, "badge"))
	return nil
}

// hours checks working hours that the city wants to sign.
func (c checkCmd) hours(con console) error {
	text, err := os.ReadFile(c.Hours)
	if err != nil {
		return fmt.Errorf("read hours: %w", err)
	}
	if problems := configured.CheckSignedHours(c.Hours, text); len(problems) > 0 {
		return problems
	}
	fmt.Fprintf(con.out, "%s: ok\n", c.Hours)
	return nil
}

// countOf says how many of a thing there are, as in "1 reader".
func countOf(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
