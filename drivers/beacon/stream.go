package beacon

import (
	"bytes"
	"io"
)

const (
	// bufferSize is all that a decoder ever holds of its stream.
	bufferSize = 4096

	// maxLine is the longest line, in bytes, that may still be a report. NMEA
	// 0183 allows 82, but Kenwood's long form and waypoints with UTF-8 names
	// are longer.
	maxLine = 256

	// maxEmptyReads is how many reads in a row may deliver neither data nor an
	// error before the reader is given up as broken.
	maxEmptyReads = 100
)

// stream cuts the bytes of a reader into tokens with bounded memory.
type stream struct {
	r        io.Reader
	openings []string // what a frame begins with; all share their first byte
	longest  int      // length of the longest opening
	reject   func(Reason)

	buf      [bufferSize]byte
	from, to int   // buf[from:to] is unread
	err      error // of the reader, once it has failed
	skipping bool  // dropping what is left of a token that was counted already
}

func newStream(r io.Reader, reject func(Reason), openings ...string) *stream {
	if reject == nil {
		reject = func(Reason) {}
	}
	s := &stream{r: r, openings: openings, reject: reject}
	for _, o := range openings {
		s.longest = max(s.longest, len(o))
	}
	return s
}

// unread is what has arrived and was not consumed. It is valid until the next
// call of fill.
func (s *stream) unread() []byte { return s.buf[s.from:s.to] }

// fill waits for more bytes. It is false once the reader has failed, and the
// reason is in s.err.
func (s *stream) fill() bool {
	if s.from > 0 {
		s.to = copy(s.buf[:], s.unread())
		s.from = 0
	}
	for range maxEmptyReads {
		if s.err != nil {
			return false
		}
		n, err := s.r.Read(s.buf[s.to:])
		s.to += n
		s.err = err
		if n > 0 {
			return true
		}
	}
	if s.err == nil {
		s.err = io.ErrNoProgress
	}
	return false
}

// token returns the next stretch of bytes up to an opening or the end of its
// line, without that end. It is empty for blank lines. A token longer than
// maxLine is rejected and skipped; where a skipped token ends, an empty one is
// returned. The token is valid until the next call; the error is the reader's.
func (s *stream) token() ([]byte, error) {
	for {
		b := s.unread()
		end, next := s.border(b)
		switch {
		case end >= 0:
			s.from += next
			return s.checkLength(b[:end]), nil
		case !s.skipping && len(b) > maxLine+s.longest:
			// Any border up to maxLine would have been seen by now.
			s.reject(BadLength)
			s.skipping = true
		}
		if s.skipping {
			// The last bytes may be the first of an opening.
			s.from += max(len(b)-(s.longest-1), 0)
		}
		if s.fill() {
			continue
		}
		b = s.unread()
		s.from = s.to
		if len(b) == 0 {
			return nil, s.err
		}
		return s.checkLength(b), nil
	}
}

// checkLength rejects a complete token that is too long.
func (s *stream) checkLength(tok []byte) []byte {
	if s.skipping {
		s.skipping = false
		return nil
	}
	if len(tok) > maxLine {
		s.reject(BadLength)
		return nil
	}
	return tok
}

// border finds the end of the token that b begins with, and where the next one
// starts; -1 where b holds no end yet.
func (s *stream) border(b []byte) (end, next int) {
	first := s.openings[0][0]
	for i, c := range b {
		switch {
		case c == '\n' || c == '\r':
			return i, i + 1
		case c == first && (i > 0 || s.skipping) && s.opening(b[i:]) != "":
			return i, i
		}
	}
	return -1, -1
}

// opening is the opening that b begins with, or "".
func (s *stream) opening(b []byte) string {
	for _, o := range s.openings {
		if len(b) >= len(o) && string(b[:len(o)]) == o {
			return o
		}
	}
	return ""
}

// skip drops the frame at the head of the stream, which was counted: so many
// bytes, but at least one, and then up to the next opening or the end of its
// line.
func (s *stream) skip(n int) {
	s.from += max(n, 1)
	s.skipping = true
}

// blank reports whether a token says nothing.
func blank(tok []byte) bool { return len(bytes.Trim(tok, " \t\x00")) == 0 }
