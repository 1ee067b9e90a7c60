package terminal

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Palette colours words where it is true, and leaves them plain elsewhere.
type Palette bool

// PaletteFor is the one for what is printed to w: true where w is a terminal whose
// user wants colour (no-color.org). A writer around another one may have a method
// Unwrap that returns that.
func PaletteFor(w io.Writer) Palette {
	if outer, ok := w.(interface{ Unwrap() io.Writer }); ok {
		w = outer.Unwrap()
	}
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func (p Palette) paint(code, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Green is for what is well.
func (p Palette) Green(s string) string { return p.paint("32", s) }

// Red is for what is not.
func (p Palette) Red(s string) string { return p.paint("31", s) }

// Yellow is for what was done before.
func (p Palette) Yellow(s string) string { return p.paint("33", s) }

// Blue is for what is news, neither good nor bad.
func (p Palette) Blue(s string) string { return p.paint("36", s) }

// Dim is for what stands beside the matter.
func (p Palette) Dim(s string) string { return p.paint("2", s) }

// Bold is for titles.
func (p Palette) Bold(s string) string { return p.paint("1", s) }
