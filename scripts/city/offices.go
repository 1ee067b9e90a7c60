package city

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Office is a line of the city's list of offices, as far as the city's programs need it.
// offices.sh says what else stands there.
type Office struct {
	ID, Dinas string
	Place     string // in words; may be empty
	Contact   string // whom to call; may be empty
}

// Name is what an office is called where people read it.
func (o Office) Name() string {
	if o.Place == "" {
		return o.Dinas + "/" + o.ID
	}
	return o.Dinas + "/" + o.ID + " (" + o.Place + ")"
}

// OfficeList is the city's list of offices: a CSV file whose first line names the
// columns, with commas or semicolons. What it does not know it leaves as it is.
type OfficeList struct {
	path      string
	separator rune
	columns   map[string]int
	rows      [][]string // with the heading
}

var officeID = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// ReadOffices reads the list.
func ReadOffices(path string) (*OfficeList, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read list of offices: %w", err)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	l := &OfficeList{path: path, separator: ',', columns: make(map[string]int)}
	if first, _, _ := bytes.Cut(text, []byte("\n")); bytes.ContainsRune(first, ';') {
		l.separator = ';'
	}
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma, r.FieldsPerRecord, r.TrimLeadingSpace = l.separator, -1, true
	if l.rows, err = r.ReadAll(); err != nil {
		return nil, fmt.Errorf("read list of offices: %s: %w", path, err)
	}
	if len(l.rows) == 0 {
		return nil, fmt.Errorf("read list of offices: %s is empty: its first line names the columns, id,dinas,place,contact", path)
	}
	for i, name := range l.rows[0] {
		l.columns[strings.ToLower(strings.TrimSpace(name))] = i
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *OfficeList) check() error {
	for _, name := range []string{"id", "dinas"} {
		if _, ok := l.columns[name]; !ok {
			return fmt.Errorf("read list of offices: the first line of %s does not name the column %q", l.path, name)
		}
	}
	lines := make(map[string]int)
	for i, row := range l.rows[1:] {
		o := l.office(row)
		switch {
		case strings.Join(row, "") == "":
		case !officeID.MatchString(o.ID) || !officeID.MatchString(o.Dinas):
			return fmt.Errorf("read list of offices: line %d of %s: want id and dinas of 1 to 32 of a-z, 0-9 and -", i+2, l.path)
		case lines[o.ID] > 0:
			return fmt.Errorf("read list of offices: line %d of %s has the id of line %d again", i+2, l.path, lines[o.ID])
		}
		lines[o.ID] = i + 2
	}
	return nil
}

func (l *OfficeList) office(row []string) Office {
	return Office{ID: l.cell(row, "id"), Dinas: l.cell(row, "dinas"), Place: l.cell(row, "place"), Contact: l.cell(row, "contact")}
}

func (l *OfficeList) cell(row []string, column string) string {
	if i, ok := l.columns[column]; ok && i < len(row) {
		return strings.TrimSpace(row[i])
	}
	return ""
}

// Offices are those in the list.
func (l *OfficeList) Offices() (offices []Office) {
	for _, row := range l.rows[1:] {
		if o := l.office(row); o.ID != "" {
			offices = append(offices, o)
		}
	}
	return offices
}

// Find is the office of an id.
func (l *OfficeList) Find(id string) (Office, bool) {
	offices := l.Offices()
	if i := slices.IndexFunc(offices, func(o Office) bool { return o.ID == id }); i >= 0 {
		return offices[i], true
	}
	return Office{}, false
}

// Add adds an office. The cells go by the names of the columns; each has to be one of
// the list.
func (l *OfficeList) Add(cells map[string]string) error {
	if _, there := l.Find(cells["id"]); there {
		return fmt.Errorf("add office: %s is in the list already", cells["id"])
	}
	row := make([]string, len(l.rows[0]))
	if err := l.fill(row, cells); err != nil {
		return fmt.Errorf("add office: %w", err)
	}
	return l.write(append(slices.Clone(l.rows), row))
}

// Change changes cells of an office, its id among them.
func (l *OfficeList) Change(id string, cells map[string]string) error {
	rows := slices.Clone(l.rows)
	for i, row := range rows {
		if i == 0 || l.cell(row, "id") != id {
			continue
		}
		rows[i] = append(slices.Clone(row), make([]string, max(0, len(rows[0])-len(row)))...)
		if err := l.fill(rows[i], cells); err != nil {
			return fmt.Errorf("change office: %w", err)
		}
		return l.write(rows)
	}
	return fmt.Errorf("change office: %s is not in %s", id, l.path)
}

// Remove removes an office, if it is there.
func (l *OfficeList) Remove(id string) error {
	return l.write(slices.DeleteFunc(slices.Clone(l.rows), func(row []string) bool { return l.cell(row, "id") == id }))
}

func (l *OfficeList) fill(row []string, cells map[string]string) error {
	for name, value := range cells {
		i, ok := l.columns[name]
		if !ok {
			return fmt.Errorf("the list has no column %q", name)
		}
		if strings.ContainsAny(value, "\r\n") {
			return fmt.Errorf("%s has a line feed", name)
		}
		row[i] = value
	}
	return nil
}

// write replaces the list by other rows, if they make a right one: whole or not at all.
func (l *OfficeList) write(rows [][]string) error {
	next := &OfficeList{path: l.path, separator: l.separator, columns: l.columns, rows: rows}
	if err := next.check(); err != nil {
		return err
	}
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	w.Comma = l.separator
	if err := errors.Join(w.WriteAll(rows), w.Error()); err != nil {
		return fmt.Errorf("write list of offices: %w", err)
	}
	if err := replaceFile(l.path, text.Bytes()); err != nil {
		return fmt.Errorf("write list of offices: %w", err)
	}
	l.rows = rows
	return nil
}

// replaceFile writes a file so that there is always a whole one, with the mode that it
// had.
func replaceFile(path string, data []byte) error {
	mode := os.FileMode(0o600)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
