// Package batch packs events that travel together: one zstd frame (RFC 8878) that holds
// them as text, one JSON object a line.
//
// It exists because on a metered line most of an event's bytes are the names of its
// fields, and most of its cost on a gateway is that of one more publication, whatever is
// in it. Both become small when events that wait anyway travel together.
//
// What unpacks a batch is the city's: see scripts/city/unpack.
package batch

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// The bounds of a batch. The AsyncAPI document of the city names them too, and a reader
// may refuse what exceeds them.
const (
	// MaxFrame is the most bytes of a frame, which is the payload of a message.
	MaxFrame = 48 << 10
	// MaxText is the most bytes of what is in a frame, with the line feeds.
	MaxText = 256 << 10
	// MaxLine is the most bytes of an event in a frame: a longer one has to go by itself.
	MaxLine = 32 << 10
	// MaxEvents is the most events in a frame.
	MaxEvents = 256
)

// Packer makes batches. Its buffers are used again for each batch, so it belongs to one
// goroutine.
type Packer struct {
	encoder *zstd.Encoder
	text    []byte
	ends    []int // of each event in the text, behind its line feed
	limit   int   // the most bytes of a frame
}

// NewPacker makes a packer. It starts no goroutine.
func NewPacker() (*Packer, error) {
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(MaxText),
		zstd.WithLowerEncoderMem(true),
		zstd.WithSingleSegment(true), // the frame declares how long the text is
		zstd.WithZeroFrames(true),    // a batch of no events is a frame as well
	)
	if err != nil {
		return nil, fmt.Errorf("make encoder: %w", err)
	}
	return &Packer{encoder: encoder, limit: MaxFrame}, nil
}

// Reset empties the packer. The frames that follow have at most so many bytes, and at
// most MaxFrame.
func (p *Packer) Reset(limit int) {
	p.text, p.ends, p.limit = p.text[:0], p.ends[:0], min(limit, MaxFrame)
}

// Add adds an event, which is JSON on one line, unless the batch is full or the event is
// too long for any: then it returns false.
func (p *Packer) Add(event []byte) bool {
	if len(event) > MaxLine || len(p.ends) == MaxEvents || len(p.text)+len(event)+1 > MaxText {
		return false
	}
	p.text = append(append(p.text, event...), '\n')
	p.ends = append(p.ends, len(p.text))
	return true
}

// Frame returns a frame that holds the first of the events that were added, and how many
// those are: all of them, unless the frame would be too large. It returns 0 where not
// even the first event fits. The frame is the caller's.
func (p *Packer) Frame() (frame []byte, events int) {
	for events = len(p.ends); events > 0; events /= 2 {
		text := p.text[:p.ends[events-1]]
		frame = p.encoder.EncodeAll(text, make([]byte, 0, len(text)/8+64))
		if len(frame) <= p.limit {
			return frame, events
		}
	}
	return nil, 0
}

// Empty returns a frame that holds no event, with which a gateway tries whether it may
// publish batches.
func (p *Packer) Empty() []byte { return p.encoder.EncodeAll(nil, nil) }
