package main

import (
	"errors"
	"fmt"

	"presence/config"
	"presence/gatewayd/internal/roster"
	"presence/gatewayd/internal/tags"
)

type checkCmd struct{}

// Run reads the configuration as the daemon would, and all files that it names.
func (checkCmd) Run(c *cli, con console) error {
	cfg, err := config.Check(c.Config)
	if err != nil {
		return err
	}
	doubts, problems := checkContents(cfg)
	for _, d := range doubts {
		fmt.Fprintf(con.err, "%s: warning: %s\n", d.File, d.Text)
	}
	if len(problems) > 0 {
		return problems
	}
	fmt.Fprintf(con.out, "%s: ok (gateway %s of %s, %s, %s)\n",
		c.Config, cfg.Gateway.ID, cfg.Gateway.Dinas, countOf(len(cfg.Readers), "reader"), countOf(len(cfg.Receivers), "receiver"))
	return nil
}

// countOf says how many of a thing there are, as in "1 reader".
func countOf(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// checkContents looks into the files that only the rooms understand. Doubts are
// what a gateway runs with, though it is probably not what was meant.
func checkContents(cfg *config.Config) (doubts, problems config.Problems) {
	doubts, problems = checkFence(cfg)
	return doubts, append(problems, checkRoster(cfg)...)
}

// checkFence makes the fence as the daemon would.
func checkFence(cfg *config.Config) (doubts, problems config.Problems) {
	if cfg.Office == nil {
		return nil, nil
	}
	file := cfg.Office.FenceFile
	if file == "" {
		file = "[office]"
	}
	problem := func(err error) config.Problems {
		if w := (*tags.FenceError)(nil); errors.As(err, &w) {
			return config.Problems{{File: file, Text: w.EN, ID: w.ID}}
		}
		return config.Problems{{File: file, Text: err.Error()}}
	}
	fence, err := fenceOf(cfg.Office)
	if err != nil {
		return nil, problem(err)
	}
	if d := fence.Doubt(); d != nil {
		return problem(d), nil
	}
	return nil, nil
}

// checkRoster reads the roster file as the daemon would.
func checkRoster(cfg *config.Config) (problems config.Problems) {
	file := cfg.Tags.RosterFile
	if file == "" {
		return nil
	}
	_, err := roster.ReadFile(file, identitiesOf(cfg))
	var wrong roster.Problems
	if !errors.As(err, &wrong) {
		if err != nil {
			return config.Problems{{File: file, Text: err.Error(), ID: roster.Indonesian(err.Error())}}
		}
		return nil
	}
	for _, p := range wrong {
		problems = append(problems, config.Problem{File: file, Line: p.Line, Text: p.Text, ID: p.Indonesian()})
	}
	return problems
}
