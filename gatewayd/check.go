package main

import (
	"cmp"
	"fmt"
	"os"

	"presence/config"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/language"
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
		return usageError{language.Errorf("--entries and --badge-key go with --roster", "--entries dan --badge-key dipakai bersama --roster")}
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
		what := language.Text{EN: d.Text, ID: cmp.Or(d.ID, d.Text)}
		fmt.Fprintln(con.err, language.Say("%s: warning: %s", "%s: peringatan: %s", d.File, what).In(con.lang))
	}
	if len(problems) > 0 {
		return problems
	}
	fmt.Fprintln(con.out, language.Say(
		"%s: ok (gateway %s of %s, %s, %s)", "%s: benar (gateway %s dari %s, %s, %s)", file, cfg.Gateway.ID, cfg.Gateway.Dinas,
		countOf(len(cfg.Readers), "reader", "pembaca"), countOf(len(cfg.Receivers), "receiver", "penerima")).In(con.lang))
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
	fmt.Fprintln(con.out, language.Say("%s: ok (%s)", "%s: benar (%s)", c.Roster, countOf(n, "badge", "kartu")).In(con.lang))
	return nil
}

// hours checks working hours that the city wants to sign.
func (c checkCmd) hours(con console) error {
	text, err := os.ReadFile(c.Hours)
	if err != nil {
		return language.Errorf("read hours: %v", "baca jam kerja: %v", err)
	}
	if problems := configured.CheckSignedHours(c.Hours, text); len(problems) > 0 {
		return problems
	}
	fmt.Fprintln(con.out, language.Say("%s: ok", "%s: benar", c.Hours).In(con.lang))
	return nil
}

// countOf says how many of a thing there are, as in "1 reader".
func countOf(n int, en, id string) language.Text {
	if n != 1 {
		en += "s" // Indonesian has no plural after a number
	}
	return language.Text{EN: fmt.Sprintf("%d %s", n, en), ID: fmt.Sprintf("%d %s", n, id)}
}
