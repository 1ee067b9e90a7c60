package spreadsheet

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"time"
)

// Dialect is how a table is written for one kind of reader.
type Dialect int

const (
	// Plain is RFC 4180: commas, decimal points, times as in RFC 3339. Programs read it.
	Plain Dialect = iota
	// Indonesian is what Excel opens rightly under Windows' Indonesian settings:
	// semicolons, decimal commas, times of day without an offset, and a byte order mark,
	// without which Excel takes UTF-8 for Windows-1252.
	Indonesian
)

// Kind is what the cells of a column hold.
type Kind int

// The kinds of columns.
const (
	Text    Kind = iota
	Number       // a decimal number with a point
	Instant      // a time as in RFC 3339, in the zone in which it is to be read
)

// instantLayout is how Excel reads a time of day on a date. Year, month and day in this
// order mean the same under all regional settings; 03/12/2026 would not. Excel also
// reads no offset and, under some settings, no milliseconds: they are cut off.
const instantLayout = "2006-01-02 15:04:05"

// Table writes a table with a line of headings.
type Table struct {
	w       *csv.Writer
	dialect Dialect
	columns []string
	kinds   map[string]Kind
	err     error
}

// NewTable begins a table in a dialect. Columns that are not among the kinds hold text.
func NewTable(w io.Writer, d Dialect, columns []string, kinds map[string]Kind) *Table {
	t := &Table{w: csv.NewWriter(w), dialect: d, columns: columns, kinds: kinds}
	if d == Indonesian {
		t.w.Comma, t.w.UseCRLF = ';', true
		_, t.err = io.WriteString(w, "\ufeff")
	}
	t.put(columns)
	return t
}

// Row writes one row: its cells by column. The first error is kept and returned by all
// calls after it.
func (t *Table) Row(cells map[string]string) error {
	row := make([]string, len(t.columns))
	for i, column := range t.columns {
		row[i] = t.dialect.cell(t.kinds[column], cells[column])
	}
	t.put(row)
	return t.err
}

// Flush passes on what is written, and returns the first error.
func (t *Table) Flush() error {
	t.w.Flush()
	if t.err == nil {
		t.err = t.w.Error()
	}
	return t.err
}

func (t *Table) put(row []string) {
	if t.err != nil {
		return
	}
	if err := t.w.Write(row); err != nil {
		t.err = fmt.Errorf("write row: %w", err)
	}
}

// cell is the text of a cell in a dialect.
func (d Dialect) cell(k Kind, text string) string {
	safe := Cell(text)
	if d == Plain || safe != text {
		return safe
	}
	switch k {
	case Number:
		return strings.Replace(text, ".", ",", 1)
	case Instant:
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return at.Format(instantLayout)
		}
	case Text:
		if looksComputed(text) {
			return "'" + text
		}
	}
	return text
}

// looksComputed reports whether Excel may take a text for a number or a date, and so
// lose digits of it: card number 04112233 would become 4112233, 123456E2 12345600, and
// version 1.2 the second of January.
func looksComputed(text string) bool {
	return text != "" && strings.Trim(text, "0123456789.,:/+-eE ") == "" && strings.ContainsAny(text, "0123456789")
}
