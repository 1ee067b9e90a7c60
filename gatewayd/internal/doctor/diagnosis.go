package doctor

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
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

// Print writes a line for each check, with the command that mends it.
func (d Diagnosis) Print(w io.Writer, indonesian bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range d.Checks {
		text := f.Text(indonesian)
		if f.Mend != "" {
			text += " -> " + f.Mend
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.Level, f.Code, text)
	}
	return table.Flush()
}
