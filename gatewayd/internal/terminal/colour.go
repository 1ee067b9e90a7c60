package terminal

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Palette colours words if it is true, and leaves them plain if it is false.
type Palette bool

// PaletteFor returns the palette for what is printed to w: true if w is a terminal
// whose user wants colour (no-color.org).
func PaletteFor(w io.Writer) Palette {
	return Palette(os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && IsTerminal(w))
}

// IsTerminal reports whether what is printed to w appears on a terminal. If w writes to
// another writer, a method Unwrap of w may return that one, which then decides.
func IsTerminal(w io.Writer) bool {
	if outer, ok := w.(interface{ Unwrap() io.Writer }); ok {
		w = outer.Unwrap()
	}
	f, ok := w.(*os.File)
	if !ok {
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

// Green is for what works.
func (p Palette) Green(s string) string { return p.paint("32", s) }

// Red is for what does not work, or was lost.
func (p Palette) Red(s string) string { return p.paint("31", s) }

// Yellow is for what was recorded before.
func (p Palette) Yellow(s string) string { return p.paint("33", s) }

// Blue is for news that is neither good nor bad.
func (p Palette) Blue(s string) string { return p.paint("36", s) }

// Dim is for what matters less, such as the time of day.
func (p Palette) Dim(s string) string { return p.paint("2", s) }

// Bold is for titles.
func (p Palette) Bold(s string) string { return p.paint("1", s) }
