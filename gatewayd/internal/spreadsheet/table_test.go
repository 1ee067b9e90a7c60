package spreadsheet_test

import (
	"bytes"
	"errors"
	"testing"

	"presence/gatewayd/internal/spreadsheet"
)

// TestTheTwoDialects: what each cell becomes.
func TestTheTwoDialects(t *testing.T) {
	const text, number, instant = "name", "count", "at"
	for _, tc := range []struct{ column, cell, plain, indonesian string }{
		{number, "-7.9778", "-7.9778", "-7,9778"},
		{number, "112.634", "112.634", "112,634"},
		{number, "17", "17", "17"},
		{number, "=1+1", "'=1+1", "'=1+1"},
		{instant, "2026-11-23T07:30:59.900+07:00", "2026-11-23T07:30:59.900+07:00", "2026-11-23 07:30:59"},
		{instant, "2026-03-12T00:00:00.000+09:00", "2026-03-12T00:00:00.000+09:00", "2026-03-12 00:00:00"},
		{instant, "2026-11-23", "2026-11-23", "2026-11-23"},
		{instant, "", "", ""},
		{text, "04112233", "04112233", "'04112233"},
		{text, "123456E2", "123456E2", "'123456E2"},
		{text, "1.2", "1.2", "'1.2"},
		{text, "-7.9778", "-7.9778", "'-7.9778"},
		{text, "12:34:56", "12:34:56", "'12:34:56"},
		{text, "=1+1", "'=1+1", "'=1+1"},
		{text, "@SUM(A1)", "'@SUM(A1)", "'@SUM(A1)"},
		{text, "04A1B2C3", "04A1B2C3", "04A1B2C3"},
		{text, "waypoint:Bu Sari", "waypoint:Bu Sari", "waypoint:Bu Sari"},
		{text, "a;b", "a;b", `"a;b"`},
		{text, "a,b", `"a,b"`, "a,b"},
		{text, "Pos é", "Pos é", "Pos é"},
		{text, "", "", ""},
	} {
		for dialect, want := range map[spreadsheet.Dialect]string{
			spreadsheet.Plain:      "at,count,name\n" + line(tc.column, tc.plain, ",") + "\n",
			spreadsheet.Indonesian: "\ufeffat;count;name\r\n" + line(tc.column, tc.indonesian, ";") + "\r\n",
		} {
			var b bytes.Buffer
			table := spreadsheet.NewTable(&b, dialect, []string{instant, number, text}, map[string]spreadsheet.Kind{
				number: spreadsheet.Number, instant: spreadsheet.Instant,
			})
			if err := errors.Join(table.Row(map[string]string{tc.column: tc.cell}), table.Flush()); err != nil {
				t.Fatal(err)
			}
			if b.String() != want {
				t.Errorf("%s %q in dialect %d: %q, want %q", tc.column, tc.cell, dialect, b.String(), want)
			}
		}
	}
}

// line is a row with one cell that is not empty.
func line(column, cell, comma string) string {
	switch column {
	case "at":
		return cell + comma + comma
	case "count":
		return comma + cell + comma
	}
	return comma + comma + cell
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no room") }

// TestATableThatCannotBeWrittenSaysSo: an error is kept until somebody asks.
func TestATableThatCannotBeWrittenSaysSo(t *testing.T) {
	for _, dialect := range []spreadsheet.Dialect{spreadsheet.Plain, spreadsheet.Indonesian} {
		table := spreadsheet.NewTable(full{}, dialect, []string{"a"}, nil)
		_ = table.Row(map[string]string{"a": "1"})
		if table.Flush() == nil {
			t.Errorf("dialect %d: no error", dialect)
		}
	}
}
