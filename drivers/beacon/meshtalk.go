package beacon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Talker is a Decoder whose radio has to be spoken to.
type Talker interface {
	// Talk writes to the radio what it needs to go on, until the context ends or a
	// write fails: its error is never nil. It runs beside Next, once at a time.
	Talk(ctx context.Context, radio io.Writer) error
}

const (
	// wantNonce asks a radio of firmware 2.6.8 and later for its list of nodes only.
	// Any other number brings its whole configuration, and with it all keys.
	wantNonce = 69421

	// wakeBytes is how many bytes wake a radio that sleeps, and wakePause how long it
	// takes.
	wakeBytes = 32
	wakePause = 100 * time.Millisecond

	// askEvery is how long an answer to a question may take before it is asked again,
	// and settle how long a radio that prints text is left alone.
	askEvery = 15 * time.Second
	settle   = 2 * time.Second

	// heartbeatEvery keeps a radio from forgetting us, which it does after 15 minutes.
	heartbeatEvery = 5 * time.Minute

	// quietBeats is after how many heartbeats without a packet it is asked again: it
	// answers those of somebody whom it has forgotten, and sends him nothing else.
	quietBeats = 3
)

// Talk is Talker's.
func (m *meshtastic) Talk(ctx context.Context, radio io.Writer) error {
	m.talking.Lock()
	defer m.talking.Unlock()
	say := func(message []byte) error {
		frame := append([]byte{meshStart1, meshStart2, byte(len(message) >> 8), byte(len(message))}, message...)
		if _, err := radio.Write(frame); err != nil {
			return fmt.Errorf("write to radio: %w", err)
		}
		return nil
	}
	if _, err := radio.Write(bytes.Repeat([]byte{meshStart2}, wakeBytes)); err != nil {
		return fmt.Errorf("wake radio: %w", err)
	}
	m.complete.Store(false)
	ask, beat := m.opt.After(wakePause), m.opt.After(heartbeatEvery)
	before, quiet := m.packets.Load(), 0
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.again:
			m.complete.Store(false)
			ask = m.opt.After(settle)
		case <-ask:
			ask = nil
			if m.complete.Load() {
				continue
			}
			if err := say(wantConfig()); err != nil {
				return err
			}
			ask = m.opt.After(askEvery)
		case <-m.listed:
			if err := m.askRegion(say); err != nil {
				return err
			}
		case <-beat:
			beat = m.opt.After(heartbeatEvery)
			if err := say(heartbeat()); err != nil {
				return err
			}
			quiet++
			if now := m.packets.Load(); now != before {
				before, quiet = now, 0
			}
			if quiet >= quietBeats {
				quiet = 0
				m.askAgain()
			}
		}
	}
}

// askAgain has Talk ask for the list of nodes again, which makes the radio remember us.
func (m *meshtastic) askAgain() { wake(m.again) }

// wake has Talk look at something, if it is not about to anyway.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wantConfig is a ToRadio with want_config_id.
func wantConfig() []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), wantNonce)
}

// heartbeat is a ToRadio with an empty Heartbeat: one with a nonce would be broadcast.
func heartbeat() []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), nil)
}
