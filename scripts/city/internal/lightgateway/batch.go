package lightgateway

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"presence/scripts/city/unpack"
)

// perPlace is how many events of a batch take one place in the window.
const perPlace = 8

// Packer makes batches. All gateways of a process share one, as an encoder takes some
// 500 KB.
type Packer struct {
	mu      sync.Mutex
	encoder *zstd.Encoder
}

// NewPacker makes a packer. It starts no goroutine.
func NewPacker() (*Packer, error) {
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(unpack.MaxText),
		zstd.WithLowerEncoderMem(true),
		zstd.WithSingleSegment(true), // the frame declares how long the text is
		zstd.WithZeroFrames(true),    // a batch of no events is a frame as well
	)
	if err != nil {
		return nil, fmt.Errorf("make encoder: %w", err)
	}
	return &Packer{encoder: encoder}, nil
}

// pack makes one zstd frame of events, each ended by a line feed.
func (p *Packer) pack(text []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.encoder.EncodeAll(text, nil)
}
