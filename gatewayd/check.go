package main

import (
	"fmt"

	"presence/config"
)

type checkCmd struct{}

// Run reads the configuration as the daemon would.
func (checkCmd) Run(c *cli, con console) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	fmt.Fprintf(con.out, "%s: ok (gateway %s of %s, %d readers, %d receivers)\n",
		c.Config, cfg.Gateway.ID, cfg.Gateway.Dinas, len(cfg.Readers), len(cfg.Receivers))
	return nil
}
