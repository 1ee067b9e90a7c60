package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ink colours words on a terminal and leaves them plain elsewhere.
type ink bool

// inkFor tells whether w is a terminal that wants colour (no-color.org).
func inkFor(w io.Writer) ink {
	if o, ok := w.(*output); ok {
		w = o.Writer
	}
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func (i ink) paint(code, s string) string {
	if !i {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (i ink) green(s string) string  { return i.paint("32", s) }
func (i ink) red(s string) string    { return i.paint("31", s) }
func (i ink) yellow(s string) string { return i.paint("33", s) }
func (i ink) blue(s string) string   { return i.paint("36", s) }
func (i ink) dim(s string) string    { return i.paint("2", s) }
func (i ink) bold(s string) string   { return i.paint("1", s) }
