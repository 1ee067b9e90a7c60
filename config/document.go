package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// document is a configuration file while it is read: its tables, and the
// problems found so far.
type document struct {
	file     string // as the problems name it
	dir      string // where relative paths begin
	root     *table // nil if the file is no TOML
	problems Problems

	lines   []int    // offset of each line's first byte
	tomlErr *Problem // what TOML itself has against the file, beyond syntax
}

// table is a table of the file. One that the file does not have is an empty
// table whose line is that of the table around it.
type table struct {
	doc    *document
	path   string // "" for the root, "hours.period" for each of its tables
	line   int
	values map[string]*value
	order  []string // the keys as the file has them
	known  []string // the keys that somebody asked for
}

// value is the value of a key. Which fields are set depends on its kind.
type value struct {
	kind  unstable.Kind
	line  int
	text  string   // of scalars; strings are unquoted
	items []*value // of arrays, and of arrays of tables
	table *table   // of tables
}

// maxKeys is how many keys and headers a file may have. The library's decoder
// takes quadratic time over them.
const maxKeys = 10_000

// newDocument reads TOML. On a syntax error there is no root, and the problem
// is alone: nothing behind it can be read.
func newDocument(file, dir string, data []byte) *document {
	d := &document{file: file, dir: dir}
	if len(data) > maxSize {
		d.report(0, "", "is larger than %d bytes: this is not a configuration file of gatewayd", maxSize)
		return d
	}
	// Windows' Notepad begins UTF-8 files with this mark.
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	d.lines = lineStarts(data)
	if at := invalidUTF8(data); at >= 0 {
		d.report(d.lineOf(at), "", "is not UTF-8 text: save the file as UTF-8")
		return d
	}

	// The library's parser goes on after a mistake and knows where everything
	// stands; its decoder knows all rules of TOML but stops at the first breach.
	root := &table{doc: d, line: 1}
	syntax, count := d.build(root, data)
	if count > maxKeys {
		d.problems = nil
		d.report(0, "", "has more than %d keys: this is not a configuration file of gatewayd", maxKeys)
		return d
	}
	var ignored map[string]any
	err := toml.Unmarshal(data, &ignored)
	if !syntax {
		d.problems = nil
		d.problems = append(d.problems, d.tomlProblem(err))
		return d
	}
	// What is there twice was reported above, with better lines.
	if err != nil && len(d.problems) == 0 {
		p := d.tomlProblem(err)
		d.tomlErr = &p
	}
	d.root = root
	return d
}

// lineStarts gives the offset of each line's first byte.
func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, b := range data {
		if b == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// lineOf is the line, from 1, of the byte at an offset.
func (d *document) lineOf(offset int) int {
	i, found := slices.BinarySearch(d.lines, offset)
	if found {
		return i + 1
	}
	return i
}

// invalidUTF8 is the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// report adds a problem.
func (d *document) report(line int, key, format string, args ...any) {
	said := say(format, args...)
	d.problems = append(d.problems, Problem{File: d.file, Line: line, Key: key, Text: said.en, ID: said.id})
}

// tomlProblem puts an error of the library into our form.
func (d *document) tomlProblem(err error) Problem {
	said := say("is not valid TOML")
	p := Problem{File: d.file, Line: 1, Text: said.en, ID: said.id}
	if err == nil {
		return p
	}
	var at *toml.DecodeError
	if errors.As(err, &at) {
		p.Line, _ = at.Position()
		for _, part := range at.Key() {
			p.Key = join(p.Key, part)
		}
	}
	said = say("is not valid TOML: %s", oneLine(strings.TrimPrefix(err.Error(), "toml: ")))
	p.Text, p.ID = said.en, said.id
	return p
}

// reportTOML reports what TOML has against the file, unless a problem that
// says it better is already known for that line.
func (d *document) reportTOML() {
	if d.tomlErr == nil {
		return
	}
	for _, p := range d.problems {
		if p.Line == d.tomlErr.Line {
			return
		}
	}
	d.problems = append(d.problems, *d.tomlErr)
}

// build fills the root table. It tells whether the syntax is right and how many
// keys and headers there are, and stops at a syntax error or beyond maxKeys.
func (d *document) build(root *table, data []byte) (syntax bool, count int) {
	var p unstable.Parser
	p.Reset(data)
	current := root
	for count <= maxKeys && p.NextExpression() {
		count++
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			current = d.open(root, e)
		case unstable.KeyValue:
			current.set(e)
		}
	}
	return p.Error() == nil, count
}

// open finds or makes the table that a header names.
func (d *document) open(root *table, e *unstable.Node) *table {
	keys, line := d.keyOf(e)
	t := root
	for _, k := range keys[:len(keys)-1] {
		t = t.inner(k, line)
	}
	last := keys[len(keys)-1]
	old := t.values[last]
	if e.Kind == unstable.Table {
		if old != nil && (old.kind != unstable.Table || len(old.table.order) > 0 && !old.table.onlyTables()) {
			d.report(line, join(t.path, last), "is there twice (first in line %d): keep one", old.line)
		}
		in := t.inner(last, line)
		in.line = line
		return in
	}
	item := &table{doc: d, path: join(t.path, last), line: line}
	v := &value{kind: unstable.Table, line: line, table: item}
	switch {
	case old == nil:
		t.put(last, &value{kind: unstable.ArrayTable, line: line, items: []*value{v}})
	case old.kind == unstable.ArrayTable:
		old.items = append(old.items, v)
	default:
		d.report(line, join(t.path, last), "is there twice (first in line %d): keep one", old.line)
	}
	return item
}

// onlyTables reports whether a table holds nothing but tables, as one does
// that was opened by the header of a table within it.
func (t *table) onlyTables() bool {
	for _, v := range t.values {
		if v.kind != unstable.Table && v.kind != unstable.ArrayTable {
			return false
		}
	}
	return true
}

// inner finds or makes the table under a key; of an array of tables it is the
// last one. Where the key has another kind of value, it returns a table that belongs
// to nothing, so that reading can go on: TOML forbids that, and it has been reported
// or will be.
func (t *table) inner(key string, line int) *table {
	switch v := t.values[key]; {
	case v == nil:
		in := &table{doc: t.doc, path: join(t.path, key), line: line}
		t.put(key, &value{kind: unstable.Table, line: line, table: in})
		return in
	case v.kind == unstable.Table:
		return v.table
	case v.kind == unstable.ArrayTable:
		return v.items[len(v.items)-1].table
	}
	return &table{doc: t.doc, path: join(t.path, key), line: line}
}

// set puts a key and its value, which may be dotted, into the table.
func (t *table) set(e *unstable.Node) {
	keys, line := t.doc.keyOf(e)
	for _, k := range keys[:len(keys)-1] {
		t = t.inner(k, line)
	}
	last := keys[len(keys)-1]
	v := t.valueOf(last, e.Value(), line)
	if old := t.values[last]; old != nil {
		t.doc.report(line, join(t.path, last), "is there twice (first in line %d): keep one", old.line)
		return
	}
	t.put(last, v)
}

func (t *table) put(key string, v *value) {
	if t.values == nil {
		t.values = make(map[string]*value)
	}
	t.values[key] = v
	t.order = append(t.order, key)
}

// valueOf copies a value out of the parser. The line is that of the key; the
// members of an array that can tell theirs stand in their own.
func (t *table) valueOf(key string, n *unstable.Node, line int) *value {
	if n.Raw.Length > 0 {
		line = t.doc.lineOf(int(n.Raw.Offset))
	}
	v := &value{kind: n.Kind, line: line}
	switch n.Kind {
	case unstable.Array:
		for it := n.Children(); it.Next(); {
			v.items = append(v.items, t.valueOf(key, it.Node(), line))
		}
	case unstable.InlineTable:
		v.kind = unstable.Table
		v.table = &table{doc: t.doc, path: join(t.path, key), line: line}
		for it := n.Children(); it.Next(); {
			v.table.set(it.Node())
		}
	default:
		v.text = string(n.Data)
	}
	return v
}

// keyOf gives the parts of an expression's key and its line.
func (d *document) keyOf(e *unstable.Node) (parts []string, line int) {
	for it := e.Key(); it.Next(); {
		if parts == nil {
			line = d.lineOf(int(it.Node().Raw.Offset))
		}
		parts = append(parts, string(it.Node().Data))
	}
	return parts, line
}

// join is the full name of a key in a table. Keys that are not bare are
// quoted, so that a name is always one short line.
func join(path, key string) string {
	bare := key != ""
	for _, r := range key {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' {
			bare = false
		}
	}
	if !bare || len(key) > maxShown {
		key = show(key)
	}
	switch {
	case path == "":
		return key
	case len(path) > maxPath:
		// No table that we know has so long a name; it must not grow without end.
		return path
	}
	return path + "." + key
}

// maxShown is how much of a text of the file a problem repeats, in bytes.
const maxShown = 60

// maxPath is the longest name of a table that a problem repeats in full, in bytes.
const maxPath = 200

// show quotes a text for a problem, cut where it is long.
func show(s string) string {
	if len(s) > maxShown {
		return fmt.Sprintf("%q...", strings.ToValidUTF8(s[:maxShown], ""))
	}
	return fmt.Sprintf("%q", s)
}

// oneLine makes a message of the library fit for one line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
