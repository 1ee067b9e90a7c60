package capture

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// version is that of the form. A reader refuses others.
const version = 1

// maxLine bounds a line of a file that is read, in bytes.
const maxLine = 1 << 20

// Header says where the bytes come from.
type Header struct {
	V        int    `json:"v"` // 1
	Gateway  string `json:"gateway,omitempty"`
	Receiver string `json:"receiver"`
	Protocol string `json:"protocol"`          // as in the configuration
	Payload  string `json:"payload,omitempty"` // likewise
	Baud     int    `json:"baud,omitempty"`
	Started  string `json:"started,omitempty"` // RFC 3339; "" where the time was not known
}

// Piece is what was read at once.
type Piece struct {
	At   time.Duration // since the start of the recording
	Data []byte

	// Lost is how many bytes before these were not recorded, because whoever recorded
	// was too slow.
	Lost int64
}

// line is a Piece as in the file.
type line struct {
	AtMS int64  `json:"at_ms"`
	Text string `json:"text,omitempty"`
	Hex  string `json:"hex,omitempty"`
	Lost int64  `json:"lost,omitempty"`
}

// MarshalJSON implements json.Marshaler: bytes that are all text are written as such.
func (p Piece) MarshalJSON() ([]byte, error) {
	l := line{AtMS: p.At.Milliseconds(), Lost: p.Lost}
	if isText(p.Data) {
		l.Text = string(p.Data)
	} else {
		l.Hex = hex.EncodeToString(p.Data)
	}
	return json.Marshal(l)
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Piece) UnmarshalJSON(b []byte) error {
	var l line
	if err := json.Unmarshal(b, &l); err != nil {
		return err
	}
	data, err := hex.DecodeString(l.Hex)
	switch {
	case err != nil:
		return fmt.Errorf("hex: %w", err)
	case l.AtMS < 0 || l.AtMS > int64(365*24*time.Hour/time.Millisecond):
		return fmt.Errorf("at_ms: %d is no time within a year", l.AtMS)
	case l.Text != "" && l.Hex != "":
		return errors.New("it has both text and hex")
	case l.Hex == "":
		data = []byte(l.Text)
	}
	*p = Piece{At: time.Duration(l.AtMS) * time.Millisecond, Data: data, Lost: l.Lost}
	return nil
}

func isText(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\r' && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

// Writer writes a file.
type Writer struct{ enc *json.Encoder }

// NewWriter begins a file with its header, whose version it sets.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.V = version
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(h); err != nil {
		return nil, fmt.Errorf("write header: %w", err)
	}
	return &Writer{enc}, nil
}

// Write adds a piece.
func (w *Writer) Write(p Piece) error {
	if err := w.enc.Encode(p); err != nil {
		return fmt.Errorf("write piece: %w", err)
	}
	return nil
}

// Reader reads a file.
type Reader struct {
	Header Header

	lines *bufio.Scanner
	n     int // lines so far
	last  time.Duration
}

// NewReader reads the header of a file.
func NewReader(r io.Reader) (*Reader, error) {
	c := &Reader{lines: bufio.NewScanner(r)}
	c.lines.Buffer(nil, maxLine)
	b, err := c.line()
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	if err := json.Unmarshal(b, &c.Header); err != nil || c.Header.V == 0 {
		return nil, errors.New("line 1 is no header of a recording: gatewayd record writes one")
	}
	if c.Header.V != version {
		return nil, fmt.Errorf("the recording has version %d, this program reads %d", c.Header.V, version)
	}
	return c, nil
}

// line is the next one that is not empty, or io.EOF.
func (c *Reader) line() ([]byte, error) {
	for c.lines.Scan() {
		c.n++
		if b := c.lines.Bytes(); len(b) > 0 {
			return b, nil
		}
	}
	if err := c.lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", c.n+1, err)
	}
	return nil, io.EOF
}

// Next is the next piece; io.EOF after the last. A line that is no piece, or lies
// before the one above it in time, is an error with its number.
func (c *Reader) Next() (Piece, error) {
	b, err := c.line()
	if err != nil {
		return Piece{}, err
	}
	var p Piece
	if err := json.Unmarshal(b, &p); err != nil {
		return Piece{}, fmt.Errorf("line %d: %w", c.n, err)
	}
	if p.At < c.last {
		return Piece{}, fmt.Errorf("line %d: at_ms goes back", c.n)
	}
	c.last = p.At
	return p, nil
}

// Stream is the file as the line that a decoder reads. At is called before each read
// with the piece that it gives.
func (c *Reader) Stream(at func(Piece)) io.Reader { return &stream{c: c, at: at} }

type stream struct {
	c    *Reader
	at   func(Piece)
	left []byte
}

// Read implements io.Reader.
func (s *stream) Read(b []byte) (int, error) {
	for len(s.left) == 0 {
		p, err := s.c.Next()
		if err != nil {
			return 0, err
		}
		s.at(p)
		s.left = p.Data
	}
	n := copy(b, s.left)
	s.left = s.left[n:]
	return n, nil
}
