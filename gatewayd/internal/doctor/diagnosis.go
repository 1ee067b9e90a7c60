package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Diagnosis is the document that `gatewayd doctor --json` prints.
type Diagnosis struct {
	V       int       `json:"v"`
	Gateway string    `json:"gateway"` // "" where the configuration is wrong
	Level   Level     `json:"level"`   // the worst of the checks
	Checks  []Finding `json:"checks"`
}

// NewDiagnosis makes the document of what was found on a gateway.
func NewDiagnosis(gateway string, checks []Finding) Diagnosis {
	d := Diagnosis{V: 1, Gateway: gateway, Level: OK, Checks: checks}
	for _, level := range []Level{Warn, Fail} {
		if slices.ContainsFunc(checks, func(f Finding) bool { return f.Level == level }) {
			d.Level = level
		}
	}
	return d
}

// width is how many characters a printed line has at most: what a terminal on a
// technician's laptop shows without folding it in the middle of a word.
const width = 160

// Print writes what each check found, below it the command that mends it (after ->) or
// that shows more, and at the end how many there are of each level.
func (d Diagnosis) Print(w io.Writer, indonesian bool) error {
	see, checks := "see: ", "checks"
	if indonesian {
		see, checks = "lihat: ", "pemeriksaan"
	}
	codes := 0
	counts := make(map[Level]int)
	for _, f := range d.Checks {
		codes = max(codes, len(f.Code))
		counts[f.Level]++
	}
	var b strings.Builder
	for _, f := range d.Checks {
		head := fmt.Sprintf("%-4s  %-*s  ", f.Level, codes, f.Code)
		margin := strings.Repeat(" ", len(head))
		lines := fold(f.Text(indonesian), width-len(head))
		fmt.Fprintf(&b, "%s%s\n", head, strings.Join(lines, "\n"+margin))
		const indent = "      "
		if f.Mend != "" {
			fmt.Fprintf(&b, "%s-> %s\n", indent, foldCommand(f.Mend, width-len(indent)-len("-> ")))
		}
		if f.Look != "" {
			fmt.Fprintf(&b, "%s%s%s\n", indent, see, foldCommand(f.Look, width-len(indent)-len(see)))
		}
	}
	fmt.Fprintf(&b, "\n%s: %d %s, %d %s, %d %s\n", checks, counts[OK], OK, counts[Warn], Warn, counts[Fail], Fail)
	_, err := io.WriteString(w, b.String())
	return err
}

// fold breaks a text between words into lines of at most so many characters. A word
// that is longer is a line of its own.
func fold(text string, most int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > most {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// foldCommand breaks a command for the shell in such a way that it can be pasted as it
// is: after a blank outside of quotes, with a backslash.
func foldCommand(command string, most int) string {
	var b strings.Builder
	start, blank, quoted := 0, 0, false
	for i, c := range command {
		switch {
		case c == '\'':
			quoted = !quoted
		case c == ' ' && !quoted:
			blank = i + 1
		}
		if i-start >= most-1 && blank > start {
			b.WriteString(command[start:blank] + "\\\n")
			start = blank
		}
	}
	return b.String() + command[start:]
}

// shows lists how commands begin that only show more and change nothing.
var shows = []string{
	"curl -sv ", "df ", "gatewayd check", "gatewayd doctor", "gatewayd status", "gatewayd watch", "getent ", "ls ", "nc ", "openssl ",
	"sudo dmesg", "sudo gatewayd check", "sudo gatewayd doctor", "sudo grep ", "sudo ls ", "timedatectl", "vcgencmd ",
}

// onlyShows reports whether a command changes nothing, and so mends nothing.
func onlyShows(command string) bool {
	return slices.ContainsFunc(shows, func(begin string) bool { return strings.HasPrefix(command, begin) })
}
