package pn532

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"presence/drivers/card"
)

const (
	// maxFrame is the longest frame to or from a card, with its CRC_A. The chip's
	// frames to and from the host hold six bytes more than that (6.2.1.2), so that FSD
	// can be 256, the longest of the first edition of ISO/IEC 14443-4 (table "FSDI").
	maxFrame = 256

	crcSize = 2 // of CRC_A

	// byteOnAir is how long a byte with its parity takes at 106 kbit/s.
	byteOnAir = 9 * 128 * time.Second / 13_560_000

	// maxFaults is how many frames in a row may be lost between host and chip before
	// the chip is at fault and not the link to it.
	maxFaults = 3
)

// Codes of the times that InCommunicateThru may wait (7.3.1): 100 µs to 3.28 s.
const (
	timerShortest = 0x01
	timerLongest  = 0x10
)

// timerTime is the time that a code stands for.
func timerTime(code byte) time.Duration { return 100 * time.Microsecond << (code - 1) }

// timerCode is the code of the shortest time that is not shorter than d, or of the
// longest one there is.
func timerCode(d time.Duration) byte {
	code := byte(timerShortest)
	for code < timerLongest && timerTime(code) < d {
		code++
	}
	return code
}

// setTimer has the chip wait so long for the answers to the next raw frames.
func (r *Reader) setTimer(ctx context.Context, code byte) error {
	if r.timer == code {
		return nil
	}
	r.timer = 0
	err := r.do(ctx, cmdRFConfiguration, rfTiming, 0x00, timeoutATR, code)
	if err == nil {
		r.timer = code
	}
	return err
}

// thru has the chip send a frame to the cards as it is (InCommunicateThru, 7.3.9), and
// returns its reply, which has a status at least.
func (r *Reader) thru(ctx context.Context, q request) ([]byte, error) {
	q.code = cmdCommunicateThru
	data, err := r.link.exchange(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: no status", errFrame)
	}
	r.refusals = 0
	stale := r.link.doubt && bytes.Equal(data, r.previous)
	r.previous = append(r.previous[:0], data...)
	if stale && q.once {
		return nil, fmt.Errorf("%w: it may be the reply to the frame before", errFrame)
	}
	return data, nil
}

// frames are those of the card that is selected. They implement card.Frames.
//
// A frame is sent to the card once only. What is lost between host and chip is told as
// if it had been lost on the air: ISO/IEC 14443-4 knows how to go on from there without
// the card carrying out a command twice.
type frames struct {
	r      *Reader
	over   bool // the card was left
	lost   bool // what was sent last had no sound answer
	faults int  // of the link between host and chip, in a row
	answer [maxFrame]byte
}

// MaxFrame implements card.Frames.
func (f *frames) MaxFrame() int { return maxFrame }

// Transceive implements card.Frames.
func (f *frames) Transceive(ctx context.Context, frame []byte, wait time.Duration) ([]byte, error) {
	switch {
	case f.over:
		return nil, errors.New("send frame: the card is not selected any more")
	case len(frame) == 0 || len(frame) > maxFrame-crcSize:
		return nil, fmt.Errorf("send frame of %d bytes: want 1 to %d", len(frame), maxFrame-crcSize)
	}
	f.lost = true
	answer, err := f.r.transceive(ctx, frame, wait)
	switch {
	case err == nil:
		f.lost, f.faults = false, 0
		return f.answer[:copy(f.answer[:], answer)], nil
	case errors.Is(err, card.ErrNoAnswer):
		f.faults = 0
	case errors.Is(err, card.ErrBadFrame):
		f.faults = 0
		f.r.counts.BadFrames++
	default:
		err = f.fault(err)
	}
	return nil, fmt.Errorf("send frame: %w", err)
}

// fault is what the card's user is told of an error between host and chip.
func (f *frames) fault(err error) error {
	if errors.Is(err, card.ErrDeaf) || !passing(err) {
		return err
	}
	f.r.link.noise++
	if f.faults++; f.faults >= maxFaults {
		return err
	}
	if errors.Is(err, errSilent) || errors.Is(err, errStuck) {
		return fmt.Errorf("%w: %w", card.ErrNoAnswer, err)
	}
	return fmt.Errorf("%w: %w", card.ErrBadFrame, err)
}

// passing reports whether an error may have been an accident between host and chip, so
// that what may be done twice is worth another try.
func passing(err error) bool {
	return errors.Is(err, errSilent) || errors.Is(err, errStuck) || errors.Is(err, errFrame) || errors.Is(err, errRefused)
}

// prepare makes the chip ready for frames of a selected card.
func (r *Reader) prepare(ctx context.Context, timer byte) error {
	if err := r.setTimer(ctx, timer); err != nil {
		return err
	}
	return r.setFraming(ctx, framingWhole)
}

// transceive sends a frame of a selected card and returns the card's answer.
func (r *Reader) transceive(ctx context.Context, frame []byte, wait time.Duration) ([]byte, error) {
	if r.link.dirty {
		// A command was given up, and the next one after that can go unheard. Setting
		// what may be set twice takes it upon itself.
		r.framing, r.timer = framingUnknown, 0
	}
	timer := timerCode(wait)
	err := r.prepare(ctx, timer)
	if passing(err) {
		err = r.prepare(ctx, timer)
	}
	if err != nil {
		return nil, err
	}
	onAir := time.Duration(len(frame)+crcSize+maxFrame) * byteOnAir
	data, err := r.thru(ctx, request{
		params: frame, want: 1 + maxFrame - crcSize, wait: timerTime(timer) + onAir + rawWait, once: true,
	})
	if err != nil {
		return nil, err
	}
	return answered(data)
}

// answered takes the reply to a raw frame apart: what the card has answered.
func answered(data []byte) ([]byte, error) {
	s := status(data[0])
	if err := s.fault(); err != nil {
		return nil, fmt.Errorf("%w: %w", card.ErrDeaf, err)
	}
	switch s.code() {
	case statusOK:
	case statusTimeout:
		return nil, card.ErrNoAnswer
	case statusCRC, statusParity, statusBitCount, statusFraming, statusCollision, statusBufferSize,
		statusRFOverflow, statusProtocol, statusOverflow, statusFormat:
		return nil, fmt.Errorf("%w: status %02X", card.ErrBadFrame, byte(s.code()))
	default:
		return nil, fmt.Errorf("the chip does not send the frame: status %02X", byte(s.code()))
	}
	if n := len(data) - 1; s&statusMore != 0 || n == 0 || n > maxFrame-crcSize {
		return nil, fmt.Errorf("%w: %d bytes, status %02X", card.ErrBadFrame, n, byte(s))
	}
	return data[1:], nil
}
