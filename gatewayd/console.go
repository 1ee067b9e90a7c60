package main

import (
	"fmt"
	"io"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/terminal"
)

// The exit codes of the contract.
const (
	exitDone   = 0
	exitFailed = 1 // at run time
	exitUsage  = 2 // wrong usage or wrong configuration; of verify, that it could not look
)

// console is where a command talks to its user.
type console struct {
	out, err io.Writer
	lang     language.Language
}

// screen is what the command's output is shown on.
func (c console) screen() terminal.Screen {
	return terminal.Screen{Palette: terminal.PaletteFor(c.out), Language: c.lang}
}

// configFile is the path of the configuration file, from --config.
type configFile string

// defaultConfig is where the package puts it.
const defaultConfig = "/etc/gatewayd/gatewayd.toml"

// usageError marks an error that is mended by another command line or configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitStatus is the outcome of a command that has printed already what is wrong.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// output remembers the first error of printing, so that a command need not check it
// after each line.
type output struct {
	io.Writer
	err error
}

// Unwrap returns the writer that it prints to, so that one can see whether that is a
// terminal.
func (o *output) Unwrap() io.Writer { return o.Writer }

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}
