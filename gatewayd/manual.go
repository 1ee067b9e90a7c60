package main

import (
	"github.com/alecthomas/kong"

	"presence/gatewayd/internal/manual"
)

// manualCmd prints what the package installs beside the binary. It is hidden because
// a machine with the package has what it prints.
type manualCmd struct {
	Form string `arg:"" enum:"mdoc,bash" help:"mdoc (the manual page, for man) or bash (completion)."`
}

// Run prints the manual page or the completion.
func (m manualCmd) Run(k *kong.Kong, con console) error {
	if m.Form == "bash" {
		return manual.BashCompletion(con.out, k.Model.Node)
	}
	return manual.Page(con.out, k.Model.Node)
}
