// Package unpack reads the batches that gateways publish on event/batch: one zstd frame
// (RFC 8878) for each message, which holds events as text, one JSON object a line.
//
// It exists because what comes over a broker may be broken or hostile: a few hundred
// bytes can unpack to gigabytes. It bounds the frame, what is in it, each line and their
// number before it keeps anything, and refuses a batch as a whole.
package unpack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// The bounds of a batch, as asyncapi.yaml has them.
const (
	// MaxFrame is the most bytes of a frame.
	MaxFrame = 48 << 10
	// MaxText is the most bytes of what is in a frame, with the line feeds.
	MaxText = 256 << 10
	// MaxLine is the most bytes of an event. Most have about 500.
	MaxLine = 32 << 10
	// MaxEvents is the most events in a frame.
	MaxEvents = 256
)

var (
	errFrame  = fmt.Errorf("a batch of more than %d bytes", MaxFrame)
	errText   = fmt.Errorf("a batch that unpacks to more than %d bytes", MaxText)
	errLine   = fmt.Errorf("an event of more than %d bytes", MaxLine)
	errEvents = fmt.Errorf("a batch of more than %d events", MaxEvents)
	errFrames = errors.New("a batch that is not one zstd frame")
	errObject = errors.New("a line that is not a JSON object")
	errCut    = errors.New("a batch whose last line has no end")
)

// Reader unpacks batches. It may be used by several goroutines at once.
type Reader struct {
	decoder *zstd.Decoder
}

// NewReader makes a reader. It starts no goroutine.
func NewReader() (*Reader, error) {
	decoder, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxText),
		zstd.WithDecoderMaxWindow(MaxText),
	)
	if err != nil {
		return nil, fmt.Errorf("make decoder: %w", err)
	}
	return &Reader{decoder}, nil
}

// Text returns what is in a frame: whole lines, each a JSON object of its own.
func (r *Reader) Text(frame []byte) ([]byte, error) {
	if len(frame) > MaxFrame {
		return nil, errFrame
	}
	var head zstd.Header
	if err := head.Decode(frame); err != nil {
		return nil, fmt.Errorf("%w: %w", errFrames, err)
	}
	switch {
	case head.Skippable, !head.HasFCS, !endsWith(frame, &head):
		return nil, errFrames // gatewayd's frames declare their size
	case head.FrameContentSize > MaxText:
		return nil, errText
	}
	text, err := r.decoder.DecodeAll(frame, make([]byte, 0, head.FrameContentSize))
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return nil, errText
	case err != nil:
		return nil, fmt.Errorf("unpack batch: %w", err)
	case uint64(len(text)) != head.FrameContentSize:
		return nil, errFrames
	}
	return text, nil
}

// endsWith reports whether a frame ends where the bytes end, by the sizes that its blocks
// have in their headers of 3 bytes (RFC 8878, 3.1.1.2). Unless that is so nothing is
// unpacked: a message may hold a thousand frames, and each would take memory of its own.
func endsWith(frame []byte, head *zstd.Header) bool {
	const (
		lastBlock  = 1
		repetition = 1 // of one byte, as often as the size says
		checksum   = 4 // bytes behind the last block
	)
	rest := frame[min(head.HeaderSize, len(frame)):]
	for last := false; !last; {
		if len(rest) < 3 {
			return false
		}
		header := int(rest[0]) | int(rest[1])<<8 | int(rest[2])<<16
		last = header&lastBlock != 0
		size := header >> 3
		if kind := header >> 1 & 3; kind == repetition {
			size = 1
		}
		if len(rest) < 3+size {
			return false
		}
		rest = rest[3+size:]
	}
	if head.HasCheckSum {
		return len(rest) == checksum
	}
	return len(rest) == 0
}

// Events returns the events of a batch, in order, each byte for byte what its own topic
// would have carried. That they are what a gateway publishes is for the caller to check,
// as with events that come alone; that each is a JSON object has been checked.
func (r *Reader) Events(frame []byte) ([][]byte, error) {
	text, err := r.Text(frame)
	if err != nil {
		return nil, err
	}
	var events [][]byte
	for len(text) > 0 {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		switch {
		case len(line) > MaxLine:
			return nil, errLine
		case len(events) == MaxEvents:
			return nil, errEvents
		case !ended:
			return nil, errCut
		case len(line) < 2 || line[0] != '{' || !json.Valid(line):
			return nil, errObject
		}
		events, text = append(events, line[:len(line):len(line)]), rest
	}
	return events, nil
}

// Kind returns the kind of an event, by which its own topic would be event/<kind>.
func Kind(event []byte) (string, error) {
	var head struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(event, &head); err != nil {
		return "", fmt.Errorf("read event: %w", err)
	}
	for _, known := range []string{"badge", "tag", "presence", "start", "gap", "seal"} {
		if head.Kind == known {
			return known, nil
		}
	}
	return "", fmt.Errorf("an event of the kind %.40q", head.Kind)
}
