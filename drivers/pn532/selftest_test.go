package pn532

import (
	"errors"
	"testing"
	"time"

	"presence/drivers/card"
)

func TestSelfTest(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(test byte, p []byte) ([]byte, time.Duration, bool)
		err    error
	}{
		"sound":   {func(test byte, p []byte) ([]byte, time.Duration, bool) { return nil, 0, true }, nil},
		"slow":    {func(byte, []byte) ([]byte, time.Duration, bool) { return nil, 900 * time.Millisecond, true }, nil},
		"ROM bad": {func(test byte, p []byte) ([]byte, time.Duration, bool) { return []byte{0xFF}, 0, test != 2 }, card.ErrDeaf},
		"RAM bad": {func(test byte, p []byte) ([]byte, time.Duration, bool) {
			if test == 2 {
				return []byte{0xFF}, 0, true
			}
			return nil, 0, true
		}, card.ErrDeaf},
		"line bad": {func(test byte, p []byte) ([]byte, time.Duration, bool) {
			if test == 0 {
				return append([]byte{1}, p...), 0, true
			}
			return nil, 0, true
		}, card.ErrDeaf},
		"unknown":     {func(byte, []byte) ([]byte, time.Duration, bool) { return nil, 0, false }, card.ErrNoReference},
		"never done":  {func(byte, []byte) ([]byte, time.Duration, bool) { return nil, never, true }, card.ErrDeaf},
		"odd answers": {func(test byte, p []byte) ([]byte, time.Duration, bool) { return []byte{}, 0, true }, card.ErrDeaf},
	} {
		f := newFirmware(newCard(t, "DEADBEEF", card.MifareClassic1K))
		onBench(t, f, func(t *testing.T, b *bench) {
			b.sees(2, "DEADBEEF")
			b.script.answer = func(code byte, p []byte) ([]byte, time.Duration, bool) {
				if code != cmdDiagnose {
					return f.answer(code, p)
				}
				data, after, ok := tt.answer(p[0], p[1:])
				if after == never {
					return nil, never, true
				}
				if data == nil {
					data = []byte{0}
					if p[0] == 0 {
						data = p
					}
				}
				// The test of the RAM leaves nothing as it was.
				f.retries, f.rats = 0xFF, true
				return data, after + time.Millisecond, ok
			}
			if err := b.reader.SelfTest(t.Context()); !errors.Is(err, tt.err) {
				t.Errorf("%s: %v, want %v", name, err, tt.err)
			}
			if f.retries == 0xFF || f.rats {
				t.Errorf("%s: the chip was left as the test left it", name)
			}
			b.sees(2, "DEADBEEF")
		})
	}
	onBench(t, newFirmware(), func(t *testing.T, b *bench) {
		b.script.deaf = true
		if err := b.reader.SelfTest(t.Context()); !errors.Is(err, card.ErrBusDead) {
			t.Errorf("without a chip: %v", err)
		}
	})
}
