package roster

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

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

// ParseCSV reads a roster: lines "badge,tag" (RFC 4180), or with ";" or a tab
// between the two as spreadsheets write them. The first line may be a heading,
// empty lines and lines with "#" at their begin are skipped. One wrong line and
// the whole file is refused, as is one without any pair, with an error of type
// Problems.
func ParseCSV(data []byte, badges presence.Badges) ([]Pair, error) {
	// Spreadsheets and Windows' Notepad begin UTF-8 files with this mark.
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return nil, Problems{{Text: `is not UTF-8 text: save it as "CSV UTF-8"`}}
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.Comma = separator(data)
	r.Comment = '#'
	r.FieldsPerRecord = -1

	var pairs []Pair
	var problems Problems
	seen := make(map[string]int) // badge: its line
	for first := true; ; first = false {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			problems = append(problems, csvProblem(err))
			break
		}
		line, _ := r.FieldPos(0)
		fields = withoutEmpty(fields)
		if len(fields) == 0 || first && heading(fields) {
			continue
		}
		p, err := pairOf(fields, badges)
		switch before := seen[p.Badge]; {
		case err != nil:
			problems = append(problems, Problem{line, err.Error()})
		case before > 0:
			problems = append(problems, Problem{line, fmt.Sprintf("has the badge of line %d again: keep one of the two", before)})
		default:
			seen[p.Badge] = line
			pairs = append(pairs, p)
		}
		if len(problems) == maxProblems {
			break
		}
	}
	if len(pairs) > maxPairs {
		problems = append(problems, Problem{Text: fmt.Sprintf("has more than %d lines: this is no roster of an office", maxPairs)})
	}
	if len(problems) == 0 && len(pairs) == 0 {
		problems = append(problems, Problem{Text: "has no pair: write a line badge,tag for each badge, or leave roster_file out"})
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return pairs, nil
}

// separator is what stands between the two fields: in a good line, the first
// character that can be in none of the forms of a badge.
func separator(data []byte) rune {
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		if i := bytes.IndexAny(line, ",;\t"); i >= 0 {
			return rune(line[i])
		}
	}
	return ','
}

// withoutEmpty takes the empty columns off the end that spreadsheets leave.
func withoutEmpty(fields []string) []string {
	for len(fields) > 0 && strings.TrimSpace(fields[len(fields)-1]) == "" {
		fields = fields[:len(fields)-1]
	}
	return fields
}

func heading(fields []string) bool {
	return len(fields) == 2 && strings.EqualFold(strings.TrimSpace(fields[0]), "badge") && strings.EqualFold(strings.TrimSpace(fields[1]), "tag")
}

func pairOf(fields []string, badges presence.Badges) (Pair, error) {
	if len(fields) != 2 {
		return Pair{}, fmt.Errorf("has %d columns: write badge,tag and nothing else, no names", len(fields))
	}
	return pair(fields[0], fields[1], badges)
}

// csvProblem puts an error of the library into our form.
func csvProblem(err error) Problem {
	p := Problem{Text: "is no CSV: " + err.Error()}
	if at := (*csv.ParseError)(nil); errors.As(err, &at) {
		p = Problem{at.Line, "is no CSV: " + at.Err.Error()}
	}
	return p
}
