package main

import (
	"fmt"
	"io"
)

// The exit codes of the contract.
const (
	exitDone   = 0
	exitFailed = 1 // at run time
	exitUsage  = 2 // wrong usage or wrong configuration
)

// console is where a command talks to its user.
type console struct {
	out, err io.Writer
}

// configFile is the path of the configuration file, from --config.
type configFile string

// usageError marks what the user can mend by calling or configuring otherwise.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitStatus is the outcome of a command that has said everything already.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// output remembers that something could not be printed: a command that prints a
// few lines need not look at each.
type output struct {
	io.Writer
	err error
}

// Unwrap is where it prints to: for whoever looks whether that is a terminal.
func (o *output) Unwrap() io.Writer { return o.Writer }

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}
