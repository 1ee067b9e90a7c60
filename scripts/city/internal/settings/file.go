package settings

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// file is the configuration as it stands in the file. A nil is a key that is not there.
type file struct {
	Database struct {
		Connection   *string `toml:"connection"`
		PasswordFile *string `toml:"password_file"`
	} `toml:"database"`
	Broker   []brokerTable `toml:"broker"`
	Receipts struct {
		Send    *bool   `toml:"send"`
		KeyFile *string `toml:"key_file"`
	} `toml:"receipts"`
	Events struct {
		Batch      *int64  `toml:"batch"`
		BatchWait  *string `toml:"batch_wait"`
		QueueMB    *int64  `toml:"queue_mb"`
		TagDetails *bool   `toml:"tag_details"`
	} `toml:"events"`
	Resync struct {
		After  *string `toml:"after"`
		AtMost *int64  `toml:"at_most"`
	} `toml:"resync"`
	Watch struct {
		Listen *string `toml:"listen"`
	} `toml:"watch"`
}

type brokerTable struct {
	URL          *string `toml:"url"`
	ClientID     *string `toml:"client_id"`
	CAFile       *string `toml:"ca_file"`
	CertFile     *string `toml:"cert_file"`
	KeyFile      *string `toml:"key_file"`
	Username     *string `toml:"username"`
	PasswordFile *string `toml:"password_file"`
	Insecure     *bool   `toml:"insecure"`
}

// Problem is one thing that is wrong with a configuration file.
type Problem struct {
	File string
	Line int    // from 1; 0: the file as a whole
	Key  string // such as "events.batch"; "": none
	Text string // what is wrong and what to do
}

// String is the problem on one line: file:line: key: text.
func (p Problem) String() string {
	s := p.File
	if p.Line > 0 {
		s = fmt.Sprintf("%s:%d", s, p.Line)
	}
	if p.Key != "" {
		s += ": " + p.Key
	}
	return s + ": " + p.Text
}

// Problems is everything that is wrong with a file, by line. It is the error of Load.
type Problems []Problem

// Error lists the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// maxFile is how large a file may be in bytes. The reference has about 4,000.
const maxFile = 1 << 20

// Load reads a file. What is wrong with it is returned as Problems.
func Load(path string) (*Settings, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		var failed *os.PathError
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, Problems{{File: path, Text: fmt.Sprintf("cannot be read: %v", err)}}
	}
	return Parse(path, text)
}

// Parse reads the text of a file, whose name is for the problems.
func Parse(path string, text []byte) (*Settings, error) {
	if len(text) > maxFile {
		return nil, Problems{{File: path, Text: fmt.Sprintf("is larger than %d bytes: this is no configuration of the recorder", maxFile)}}
	}
	r := &reader{file: path, lines: linesOf(text)}
	var f file
	d := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		r.decoding(err)
		return nil, r.problems
	}
	s := r.settings(&f)
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
		return nil, r.problems
	}
	return s, nil
}

// decoding takes what the library has against the file.
func (r *reader) decoding(err error) {
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		for i := range unknown.Errors {
			e := &unknown.Errors[i]
			line, _ := e.Position()
			r.problems = append(r.problems, Problem{r.file, line, strings.Join(e.Key(), "."), "is no key of the recorder: recorder config prints those that there are"})
		}
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		r.problems = append(r.problems, Problem{r.file, line, strings.Join(wrong.Key(), "."), strings.TrimPrefix(wrong.Error(), "toml: ")})
	default:
		r.problems = append(r.problems, Problem{File: r.file, Text: strings.ReplaceAll(err.Error(), "\n", " ")})
	}
}

// linesOf finds the line of each key: "events.batch", "broker.1.url" for that of the
// second broker, and of each table. What is no TOML has no lines.
func linesOf(text []byte) map[string]int {
	lines := make(map[string]int)
	arrays := make(map[string]int)
	table := ""
	var p unstable.Parser
	p.Reset(text)
	for p.NextExpression() {
		node := p.Expression()
		var parts []string
		line := 0
		for it := node.Key(); it.Next(); {
			if line == 0 {
				line = p.Shape(it.Node().Raw).Start.Line
			}
			parts = append(parts, string(it.Node().Data))
		}
		name := strings.Join(parts, ".")
		switch node.Kind {
		case unstable.Table:
			table = name
		case unstable.ArrayTable:
			table = fmt.Sprintf("%s.%d", name, arrays[name])
			arrays[name]++
			name = table
		case unstable.KeyValue:
			if table != "" {
				name = table + "." + name
			}
		default:
			continue
		}
		lines[name] = line
	}
	return lines
}
