package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a configuration file.
type Problem struct {
	File string
	Line int    // from 1; 0 where the file as a whole is meant
	Key  string // with its table, such as "reader.speed_hz"; may be empty
	Text string // what is wrong and what to do
	ID   string // the same in Indonesian; may be empty
}

// String is the problem on one line: file:line: key: text.
func (p Problem) String() string { return p.line(p.Text) }

// Indonesian is the problem on one line in Indonesian, where that is known.
func (p Problem) Indonesian() string {
	if p.ID == "" {
		return p.String()
	}
	return p.line(p.ID)
}

func (p Problem) line(text string) string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	b.WriteString(": " + text)
	return b.String()
}

// Problems is everything that is wrong with a configuration file, sorted by
// line. It is the error that Load and Parse return.
type Problems []Problem

// Error lists the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// sorted puts the problems in the order of the file.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return ps
}
