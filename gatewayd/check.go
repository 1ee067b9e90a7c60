package main

import (
	"errors"
	"fmt"

	"presence/config"
	"presence/gatewayd/internal/roster"
)

type checkCmd struct{}

// Run reads the configuration as the daemon would.
func (checkCmd) Run(c *cli, con console) error {
	cfg, err := config.Check(c.Config)
	if err != nil {
		return err
	}
	if err := checkRoster(cfg); err != nil {
		return err
	}
	fmt.Fprintf(con.out, "%s: ok (gateway %s of %s, %d readers, %d receivers)\n",
		c.Config, cfg.Gateway.ID, cfg.Gateway.Dinas, len(cfg.Readers), len(cfg.Receivers))
	return nil
}

// checkRoster reads the roster file as the daemon would.
func checkRoster(cfg *config.Config) error {
	file := cfg.Tags.RosterFile
	if file == "" {
		return nil
	}
	_, err := roster.ReadFile(file, identitiesOf(cfg))
	var wrong roster.Problems
	if !errors.As(err, &wrong) {
		if err != nil {
			return config.Problems{{File: file, Text: err.Error()}}
		}
		return nil
	}
	var problems config.Problems
	for _, p := range wrong {
		problems = append(problems, config.Problem{File: file, Line: p.Line, Text: p.Text})
	}
	return problems
}
