package main

import (
	"fmt"

	"presence/config"
	"presence/gatewayd/internal/configured"
)

type checkCmd struct{}

// Run reads the configuration as the daemon would, and all files that it names.
func (checkCmd) Run(file configFile, con console) error {
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

// countOf says how many of a thing there are, as in "1 reader".
func countOf(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
