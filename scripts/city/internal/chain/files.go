package chain

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/go-json-experiment/json/jsontext"
)

// maxLine is the longest line that is read: longer than any event of a gateway.
const maxLine = 1 << 20

// place is where a line begins: the number of its file and the byte in it.
type place uint64

// placeBits is how many bits of a place are the byte in the file.
const placeBits = 48

func (p place) file() int     { return int(p >> placeBits) }
func (p place) offset() int64 { return int64(p & (1<<placeBits - 1)) }

// file is one input.
type file struct {
	name    string
	at      io.ReaderAt
	close   func() error
	events  uint64
	skipped uint64 // lines that are no events
	refused []refusal
	more    uint64 // refused lines that are not listed
}

// refusal is a line that looks like an event and cannot be read as one.
type refusal struct {
	line uint64
	why  error
}

// maxRefusals is how many lines of a file are listed that cannot be read.
const maxRefusals = 100

// open opens a file, to be read and to be read again at any place. What comes over
// standard input is kept in a temporary file for that.
func open(name string, in io.Reader) (*file, io.Reader, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, nil, fmt.Errorf("read events: %w", err)
		}
		return &file{name: name, at: f, close: f.Close}, f, nil
	}
	f, err := os.CreateTemp("", "audit-*")
	if err != nil {
		return nil, nil, fmt.Errorf("keep standard input: %w", err)
	}
	_ = os.Remove(f.Name()) // it goes with this process
	return &file{name: "stdin", at: f, close: f.Close}, io.TeeReader(in, f), nil
}

// lines calls do with each line that is no event longer than any has, and where it begins.
func lines(in io.Reader, do func(line []byte, offset int64), tooLong func()) error {
	r := bufio.NewReaderSize(in, maxLine)
	for offset := int64(0); ; {
		line, err := r.ReadSlice('\n')
		begin := offset
		offset += int64(len(line))
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			var rest []byte
			rest, err = r.ReadSlice('\n')
			offset += int64(len(rest))
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read events: %w", err)
		}
		if long {
			tooLong()
		} else if len(line) > 0 {
			do(line, begin)
		}
		if err != nil {
			return nil
		}
	}
}

// errTooLong means that a line was not read.
var errTooLong = fmt.Errorf("longer than %d bytes", maxLine)

// Read reads the events of a file; "-" is in.
func (a *Audit) Read(name string, in io.Reader) error {
	if len(a.files) == math.MaxUint16 {
		return fmt.Errorf("read events: more than %d files", math.MaxUint16)
	}
	f, r, err := open(name, in)
	if err != nil {
		return err
	}
	a.files = append(a.files, f)
	number := place(len(a.files)-1) << placeBits
	n := uint64(0)
	refuse := func(why error) {
		f.skipped++
		if len(f.refused) < maxRefusals {
			f.refused = append(f.refused, refusal{n, why})
		} else {
			f.more++
		}
	}
	err = lines(r, func(line []byte, offset int64) {
		n++
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			return
		}
		e, err := a.parser.parse(line)
		switch {
		case err == nil:
			f.events++
			e.place = number | place(offset)
			a.keep(e)
		case line[0] != '{' || errors.Is(err, errNoEvent) && !looksLikeEvent(line):
			f.skipped++
		default:
			refuse(err)
		}
	}, func() {
		n++
		refuse(errTooLong)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// looksLikeEvent reports whether JSON that is no event names what only an event has.
func looksLikeEvent(line []byte) bool {
	return bytes.Contains(line, []byte(`"stream"`)) && bytes.Contains(line, []byte(`"seq"`)) && bytes.Contains(line, []byte(`"id"`))
}

// Close ends what the audit holds.
func (a *Audit) Close() error {
	var errs []error
	for _, f := range a.files {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}

// again reads the line at a place once more, as its members.
func (a *Audit) again(p place) (map[string]jsontext.Value, error) {
	f := a.files[p.file()]
	r := bufio.NewReaderSize(io.NewSectionReader(f.at, p.offset(), maxLine), maxLine)
	text, err := r.ReadSlice('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s again: %w", f.name, err)
	}
	members := map[string]jsontext.Value{}
	err = newParser().members(bytes.TrimSpace(text), func(name string, _, value jsontext.Value) error {
		value = value.Clone()
		if err := value.Canonicalize(); err != nil {
			return err
		}
		members[name] = value
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s again: %w", f.name, err)
	}
	return members, nil
}
