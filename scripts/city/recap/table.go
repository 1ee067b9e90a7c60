package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// writeTable writes rows as CSV that Excel opens rightly under Windows' Indonesian
// settings: semicolons, decimal commas, dates as 30/11/2026, and a byte order mark,
// without which Excel takes UTF-8 for Windows-1252. The values come as text.
func writeTable(w io.Writer, rows pgx.Rows) error {
	if _, err := io.WriteString(w, "\ufeff"); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	table := csv.NewWriter(w)
	table.Comma, table.UseCRLF = ';', true
	columns := rows.FieldDescriptions()
	line := make([]string, len(columns))
	for i, column := range columns {
		line[i] = column.Name
	}
	_ = table.Write(line) // the error is kept, see Error below
	for rows.Next() {
		for i, value := range rows.RawValues() {
			line[i] = cell(columns[i].DataTypeOID, string(value))
		}
		_ = table.Write(line)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("ask database: %w", err)
	}
	table.Flush()
	if err := table.Error(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// cell is how a value of a type stands in the table.
func cell(oid uint32, text string) string {
	switch oid {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
		return text
	case pgtype.NumericOID, pgtype.Float4OID, pgtype.Float8OID:
		if strings.Contains(text, ".") {
			text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
		}
		return strings.Replace(text, ".", ",", 1)
	case pgtype.DateOID:
		if d, err := time.Parse(time.DateOnly, text); err == nil {
			return d.Format("02/01/2006")
		}
	case pgtype.TimestampOID:
		// Seconds are cut off and never rounded, as a clock shows them.
		if t, err := time.Parse("2006-01-02 15:04:05.999999", text); err == nil {
			return t.Format("02/01/2006 15:04:05")
		}
	}
	return harmless(text)
}

// harmless is a text as a cell that no spreadsheet takes for a formula, a number or a
// date: of personnel number 198001012005011001 Excel would keep 15 digits. An apostrophe
// in front makes it text. Names come from files that others write, and a formula can call
// programs.
func harmless(text string) string {
	if text == "" {
		return ""
	}
	number := strings.Trim(text, "0123456789.,:/+-eE ") == "" && strings.ContainsAny(text, "0123456789")
	if number || strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}
