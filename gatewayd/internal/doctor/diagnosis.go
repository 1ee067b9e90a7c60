package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/terminal"
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
func (d Diagnosis) Print(w io.Writer, s terminal.Screen) error {
	see, checks := language.Text{EN: "see: ", ID: "lihat: "}.In(s.Language), language.Text{EN: "checks", ID: "pemeriksaan"}.In(s.Language)
	paint := map[Level]func(string) string{OK: s.Green, Warn: s.Yellow, Fail: s.Red}
	codes := 0
	counts := make(map[Level]int)
	for _, f := range d.Checks {
		codes = max(codes, len(f.Code))
		counts[f.Level]++
	}
	var b strings.Builder
	for _, f := range d.Checks {
		level := fmt.Sprintf("%-4s", f.Level) // as wide as it looks: colours have no width
		margin := strings.Repeat(" ", len(level)+2+codes+2)
		lines := fold(f.Text().In(s.Language), width-len(margin))
		fmt.Fprintf(&b, "%s  %-*s  %s\n", paint[f.Level](level), codes, f.Code, strings.Join(lines, "\n"+margin))
		const indent = "      "
		if f.Mend != "" {
			fmt.Fprintf(&b, "%s-> %s\n", indent, s.Bold(foldCommand(f.Mend, width-len(indent)-len("-> "))))
		}
		if f.Look != "" {
			fmt.Fprintf(&b, "%s%s%s\n", indent, see, foldCommand(f.Look, width-len(indent)-len(see)))
		}
	}
	var closing []string
	for _, level := range []Level{OK, Warn, Fail} {
		count := fmt.Sprintf("%d %s", counts[level], level)
		if counts[level] > 0 {
			count = paint[level](count)
		}
		closing = append(closing, count)
	}
	fmt.Fprintf(&b, "\n%s: %s\n", checks, strings.Join(closing, ", "))
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
