package spreadsheet_test

import (
	"testing"

	"presence/gatewayd/internal/spreadsheet"
)

func TestNoCellIsAFormula(t *testing.T) {
	for text, want := range map[string]string{
		"=1+1": "'=1+1", "+1+1": "'+1+1", "-2+3": "'-2+3", "@SUM(A1)": "'@SUM(A1)",
		"\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1", "-inf": "'-inf", "+NaN": "'+NaN",
		"-7.9778": "-7.9778", "+62": "+62", "-1e-7": "-1e-7",
		"": "", "h:00": "h:00", "a=1": "a=1", "'=1": "'=1",
	} {
		if got := spreadsheet.Cell(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
