package main

import (
	"fmt"

	"presence/config"
)

type configCmd struct{}

// Run prints the commented reference, which is a valid configuration itself.
func (configCmd) Run(con console) error {
	if _, err := con.out.Write(config.Reference()); err != nil {
		return fmt.Errorf("print reference: %w", err)
	}
	return nil
}
