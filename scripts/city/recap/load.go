package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// kind is what can be loaded, with its columns: those that have to be there and those that
// may. Others never leave this machine: the table that badges prints has the cards' numbers.
type kind struct{ required, optional []string }

func kinds() map[string]kind {
	return map[string]kind{
		"offices": {[]string{"id", "dinas"}, []string{"place", "zone"}},
		"persons": {[]string{"nip", "name", "dinas"}, []string{"office", "posts", "joined_on", "left_on"}},
		"badges":  {[]string{"gateway", "badge", "nip"}, []string{"from", "to"}},
		"tags":    {[]string{"tag", "nip"}, []string{"from", "to"}},
		"notes":   {[]string{"nip", "day", "kind", "by", "why"}, []string{"at"}},
		"rules":   {[]string{"kind", "from_s", "percent"}, []string{"dinas", "from", "to"}},
		"outages": {[]string{"gateway", "from", "to", "why", "by"}, nil},
	}
}

type loadCmd struct {
	Kind string `arg:"" help:"offices, persons, badges, tags, notes, rules or outages."`
	File string `arg:"" help:"A CSV file whose first line names the columns, with commas or semicolons." type:"existingfile"`
}

// Run loads a file, all of it or nothing.
func (l *loadCmd) Run(ctx context.Context, c *cli, to *console) (err error) {
	k, known := kinds()[l.Kind]
	if !known {
		return usageError(fmt.Sprintf("%q cannot be loaded: it is one of %s", l.Kind, strings.Join(slices.Sorted(maps.Keys(kinds())), ", ")))
	}
	text, err := os.ReadFile(l.File)
	if err != nil {
		return fmt.Errorf("read %s: %w", l.Kind, err)
	}
	lines, err := k.read(l.File, text)
	if err != nil {
		return err
	}
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	problems, err := load(ctx, conn, l.Kind, lines)
	if err != nil {
		return err
	}
	for _, p := range problems {
		if p.Line == 0 {
			fmt.Fprintf(to.out, "%s: %d lines, %s\n", l.Kind, len(lines), p.Problem)
			return nil
		}
		fmt.Fprintf(to.err, "%s: line %d: %s\n", l.File, p.Line, p.Problem)
	}
	return fmt.Errorf("load %s: nothing was loaded, as %d lines are wrong", l.Kind, len(problems))
}

// line is a line of a file: its number and its cells by column.
type line struct {
	number int
	cells  map[string]string
}

// read reads the lines of a CSV file, without those that are empty.
func (k kind) read(file string, text []byte) (lines []line, err error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord, r.TrimLeadingSpace = -1, true
	if first, _, _ := bytes.Cut(text, []byte("\n")); bytes.ContainsRune(first, ';') {
		r.Comma = ';'
	}
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("read %s: it is empty: its first line names the columns, %s", file, strings.Join(k.required, ","))
	}
	columns := make(map[string]int)
	for i, name := range rows[0] {
		columns[strings.ToLower(strings.TrimSpace(name))] = i
	}
	for _, name := range k.required {
		if _, there := columns[name]; !there {
			return nil, fmt.Errorf("read %s: the first line does not name the column %q", file, name)
		}
	}
	wanted := slices.Concat(k.required, k.optional)
	for i, row := range rows[1:] {
		cells := make(map[string]string)
		for _, name := range wanted {
			if at, there := columns[name]; there && at < len(row) && strings.TrimSpace(row[at]) != "" {
				cells[name] = strings.TrimPrefix(strings.TrimSpace(row[at]), "'") // which Excel shows as text
			}
		}
		if len(cells) > 0 {
			lines = append(lines, line{i + 2, cells})
		}
	}
	return lines, nil
}

// problem is what the database says of a line; of line 0: how many rows are new.
type problem struct {
	Line    int
	Problem string
}

// load hands lines to the database.
func load(ctx context.Context, conn *pgx.Conn, kind string, lines []line) ([]problem, error) {
	id := uuid.NewString()
	_, err := conn.CopyFrom(ctx, pgx.Identifier{"people", "staging"}, []string{"load", "line", "cells"}, pgx.CopyFromSlice(len(lines), func(i int) ([]any, error) {
		return []any{id, lines[i].number, lines[i].cells}, nil
	}))
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", kind, err)
	}
	rows, err := conn.Query(ctx, "select line, problem from people.load_"+kind+"($1)", id)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", kind, err)
	}
	problems, err := pgx.CollectRows(rows, pgx.RowToStructByPos[problem])
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", kind, err)
	}
	return problems, nil
}

type loadHoursCmd struct {
	File    string `arg:"" help:"A JSON object with the keys of [hours], as gatewayd-city keeps it." type:"existingfile"`
	Since   string `required:"" help:"From which day on it is in force."`
	Dinas   string `help:"Of which department; without it, of the city."`
	Gateway string `help:"Of which gateway of it; without it, of all."`
}

// Run loads a file with hours.
func (l *loadHoursCmd) Run(ctx context.Context, c *cli, to *console) (err error) {
	since, err := readDay(l.Since)
	if err != nil {
		return err
	}
	if l.Gateway != "" && l.Dinas == "" {
		return usageError("--gateway goes with --dinas")
	}
	body, err := os.ReadFile(l.File)
	if err != nil {
		return fmt.Errorf("read hours: %w", err)
	}
	if !json.Valid(body) {
		return fmt.Errorf("read hours: %s is no JSON", l.File)
	}
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	var wrong *string
	if err := conn.QueryRow(ctx, "select people.load_hours($1, $2, $3, $4::text::jsonb)", l.Dinas, l.Gateway, since, string(body)).Scan(&wrong); err != nil {
		return fmt.Errorf("load hours: %w", err)
	}
	if wrong != nil {
		return fmt.Errorf("load hours: %s: %s", l.File, *wrong)
	}
	fmt.Fprintf(to.out, "hours: in force from %s on\n", since.Format("02/01/2006"))
	return nil
}
