package pn532

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"presence/drivers/card"
)

// Tests of Diagnose (7.2.1).
const (
	testLine = 0x00 // sends back what it was sent
	testROM  = 0x01
	testRAM  = 0x02
)

// testPattern is what is sent over the bus and has to come back: the bytes that frames
// begin and end with, and each bit by itself.
func testPattern() []byte {
	return []byte{0x00, 0xFF, 0x00, 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xAA, 0x55, 0xFF, 0xFF, 0x00}
}

// SelfTest has the chip test its ROM, its RAM and the bus to the host (7.2.1). It
// switches the field off for a moment, and says nothing of the antenna. Afterwards
// the reader is as before.
//
// A chip that knows no such test is card.ErrNoReference, one that fails
// card.ErrDeaf.
func (r *Reader) SelfTest(ctx context.Context) error {
	if r.closed {
		return errors.New("test PN532: the reader is closed")
	}
	err := r.selfTest(ctx)
	// The test of the RAM may leave anything in it. Where that fails, the bus says
	// more than the test did.
	if resetErr := r.reset(ctx); resetErr != nil && !errors.Is(err, errFaulty) {
		err = resetErr
	}
	if errors.Is(err, errFaulty) || errors.Is(err, errStuck) || errors.Is(err, errFrame) || errors.Is(err, errSilent) {
		err = fmt.Errorf("%w: %w", card.ErrDeaf, err)
	}
	if err != nil {
		return fmt.Errorf("test PN532: %w", err)
	}
	return nil
}

// errFaulty means that the chip has found a fault in itself.
var errFaulty = errors.New("self test failed")

func (r *Reader) selfTest(ctx context.Context) error {
	if !r.ready {
		if err := r.reset(ctx); err != nil {
			return err
		}
	}
	sent := append([]byte{testLine}, testPattern()...)
	got, err := r.diagnose(ctx, len(sent), sent...)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, sent) {
		return fmt.Errorf("%w: what was sent over the bus came back as % X: the chip, or its wires", errFaulty, got)
	}
	for _, part := range []struct {
		test byte
		name string
	}{{testROM, "ROM"}, {testRAM, "RAM"}} {
		got, err := r.diagnose(ctx, 1, part.test)
		if err != nil {
			return err
		}
		if len(got) != 1 || got[0] != 0 {
			return fmt.Errorf("%w: the chip finds its %s faulty (% X)", errFaulty, part.name, got)
		}
	}
	return nil
}

// diagnose has the chip do one of its tests and returns what it found.
func (r *Reader) diagnose(ctx context.Context, want int, params ...byte) ([]byte, error) {
	got, err := r.link.exchange(ctx, request{code: cmdDiagnose, params: params, want: want, wait: testWait})
	if errors.Is(err, errRefused) {
		return nil, fmt.Errorf("%w: it knows no test %02X", card.ErrNoReference, params[0])
	}
	return got, err
}
