package roster

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"presence/drivers/cardlist"
	"presence/gatewayd/internal/presence"
)

// maxPairs is how many pairs a roster may have.
const maxPairs = 20_000

// maxProblems is how many problems of a file are reported.
const maxProblems = 20

// Problem is one thing that is wrong with a roster file. It repeats none of the
// file's content.
type Problem struct {
	Line int    // from 1; 0 where the file as a whole is meant
	Text string // what is wrong and what to do
}

// Problems is what is wrong with a roster file, by line. It is the error that
// ParseCSV returns.
type Problems []Problem

// Error lists the problems on one line.
func (ps Problems) Error() string {
	var parts []string
	for _, p := range ps {
		if p.Line == 0 {
			parts = append(parts, p.Text)
			continue
		}
		parts = append(parts, fmt.Sprintf("line %d %s", p.Line, p.Text))
	}
	return strings.Join(parts, "; ")
}

// ParseCSV reads a roster: lines "badge,tag" or "badge,tag,assurance" (RFC 4180), or with
// ";" or a tab between them as spreadsheets write them. The first line may say which
// (sep=;), the next be a heading, which may declare how card numbers are written
// (badge,tag,assurance,uid_format=dec); empty lines and lines with "#" at their begin are skipped.
// One wrong line and the whole file is refused, as is one without any pair, with an
// error of type Problems.
func ParseCSV(data []byte, badges presence.Badges) ([]Pair, error) {
	pairs, err := parseCSV(data, badges)
	if err == nil && len(pairs) == 0 {
		return nil, Problems{{Text: noPair}}
	}
	return pairs, err
}

// noPair says that a file has nothing in it.
const noPair = "has no pair: write a line badge,tag for each badge, or leave roster_file out"

func parseCSV(data []byte, badges namer) ([]Pair, error) {
	data, comma, problem := cardlist.Prepare(data)
	if problem != nil {
		return nil, Problems{Problem(*problem)}
	}
	f := csvFile{badges: badges, lines: slices.Collect(bytes.Lines(data)), heading: noHeading(), seen: make(map[string]int)}
	r := csv.NewReader(bytes.NewReader(data))
	r.Comma = comma
	r.Comment = '#'
	r.FieldsPerRecord = -1
	for first := true; len(f.problems) < maxProblems; first = false {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			f.problems = append(f.problems, csvProblem(err))
			break
		}
		line, column := r.FieldPos(0)
		fields = withoutEmpty(fields)
		if first {
			h, problem := readHeading(fields)
			if problem != "" {
				f.problems = append(f.problems, Problem{line, problem})
				break
			}
			if h.is {
				f.heading = h
				continue
			}
		}
		if len(fields) > 0 {
			f.add(line, fields, f.isQuoted(line, column))
		}
	}
	return f.result()
}

// csvFile is a file that is being read.
type csvFile struct {
	badges   namer
	lines    [][]byte
	heading  heading
	pairs    []Pair
	problems Problems
	seen     map[string]int // badge: its line
}

// isQuoted reports whether a quote stands at a place of the file. Both count from 1.
func (f *csvFile) isQuoted(line, column int) bool {
	return line <= len(f.lines) && column <= len(f.lines[line-1]) && f.lines[line-1][column-1] == '"'
}

// add reads the pair of a line.
func (f *csvFile) add(line int, fields []string, quoted bool) {
	p, err := f.pairOf(fields, quoted)
	switch before := f.seen[p.Badge]; {
	case err != nil:
		f.problems = append(f.problems, Problem{line, err.Error()})
	case before > 0:
		f.problems = append(f.problems, Problem{line, fmt.Sprintf("has the badge of line %d again: keep one of the two", before)})
	default:
		f.seen[p.Badge] = line
		f.pairs = append(f.pairs, p)
	}
}

func (f *csvFile) result() ([]Pair, error) {
	if len(f.pairs) > maxPairs {
		f.problems = append(f.problems, Problem{Text: fmt.Sprintf("has more than %d lines: this is no roster of an office", maxPairs)})
	}
	if len(f.problems) > 0 {
		return nil, f.problems
	}
	return f.pairs, nil
}

// withoutEmpty takes the empty columns off the end that spreadsheets leave.
func withoutEmpty(fields []string) []string {
	for len(fields) > 0 && strings.TrimSpace(fields[len(fields)-1]) == "" {
		fields = fields[:len(fields)-1]
	}
	return fields
}

func (f *csvFile) pairOf(fields []string, quoted bool) (Pair, error) {
	badge, tag, assurance, ok := f.heading.columns(fields)
	if !ok {
		return Pair{}, fmt.Errorf("has %d columns: write badge,tag or badge,tag,assurance and nothing else, no names", len(fields))
	}
	identity, err := identifyCell(f.heading.notation, cardlist.NewCell(badge, quoted), f.badges)
	if err != nil {
		return Pair{}, err
	}
	return withTag(identity, tag, assurance)
}

// csvProblem puts an error of the library into our form.
func csvProblem(err error) Problem {
	p := Problem{Text: "is no CSV: " + err.Error()}
	if at := (*csv.ParseError)(nil); errors.As(err, &at) {
		p = Problem{at.Line, "is no CSV: " + at.Err.Error()}
	}
	return p
}
