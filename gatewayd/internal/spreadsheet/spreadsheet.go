// Package spreadsheet makes texts fit for tables that people open in a
// spreadsheet.
//
// It exists because some of what a gateway writes into a table comes from
// strangers: whoever owns a radio can name a waypoint, and whoever writes the
// roster can name a badge. A spreadsheet computes a cell that begins like a
// formula, and a formula can call programs and send the table away.
package spreadsheet

import (
	"math"
	"strconv"
	"strings"
)

// Cell is the text of a cell that no spreadsheet takes for a formula: what begins
// like one gets an apostrophe in front, which spreadsheets do not show. A
// negative number stays one.
func Cell(text string) string {
	if text == "" || !strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return text
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil && !math.IsInf(n, 0) && !math.IsNaN(n) {
		return text
	}
	return "'" + text
}
