package mfrc522_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"
	"periph.io/x/conn/v3/physic"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
)

// bench is a reader on a chip in software with a field in front of it.
type bench struct {
	testing.TB
	field *cardtest.Field
	chip  *mfrc522test.Chip
	wire  *wire
	*mfrc522.Reader
	log *strings.Builder
}

func newBench(t testing.TB, o mfrc522.Options, chip ...mfrc522test.Option) *bench {
	t.Helper()
	b := &bench{TB: t, field: cardtest.NewField(), log: new(strings.Builder)}
	b.chip = mfrc522test.New(b.field, chip...)
	b.open(o)
	return b
}

// open makes the reader on the chip that is there.
func (b *bench) open(o mfrc522.Options) {
	b.Helper()
	o.Log = slog.New(slog.NewTextHandler(b.log, nil))
	b.wire = &wire{PortCloser: b.chip.Port()}
	r, err := mfrc522.New(b.wire, o)
	if err != nil {
		b.Fatal(err)
	}
	b.Reader = r
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// scan polls once and wants exactly these cards.
func (b *bench) scan(want ...*cardtest.Card) {
	b.Helper()
	seen, err := b.Poll(context.Background())
	if err != nil {
		b.Fatalf("scan: %v\n%s", err, b.log)
	}
	var got, wanted []string
	for _, c := range seen {
		got = append(got, c.UID.String())
	}
	for _, c := range want {
		wanted = append(wanted, c.UID().String())
	}
	slices.Sort(got)
	slices.Sort(wanted)
	if !slices.Equal(got, wanted) {
		b.Fatalf("saw %v, want %v", got, wanted)
	}
}

// fails polls once and wants an error.
func (b *bench) fails(want error) {
	b.Helper()
	start := time.Now()
	seen, err := b.Poll(context.Background())
	if !errors.Is(err, want) || seen != nil {
		b.Fatalf("saw %v, %v, want %v", seen, err, want)
	}
	if took := time.Since(start); took > 700*time.Millisecond {
		b.Fatalf("the scan took %v", took)
	}
}

func newCard(t testing.TB, uid string, tech card.Technology) *cardtest.Card {
	t.Helper()
	u, err := card.ParseUID(uid)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cardtest.New(u, tech)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func classic(t testing.TB, uids ...string) (cards []*cardtest.Card) {
	t.Helper()
	for _, u := range uids {
		cards = append(cards, newCard(t, u, card.MifareClassic1K))
	}
	return cards
}

// started waits until newly laid cards have started up.
func started() { time.Sleep(10 * time.Millisecond) }

// Most scans see nobody, and there are twenty in a second. A transfer costs the
// machine 20 to 60 µs.
func TestScansAreCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		costs := func(transfers, frames int64, cards ...*cardtest.Card) {
			t.Helper()
			before := b.chip.Stats()
			b.scan(cards...)
			after := b.chip.Stats()
			if n := after.Transfers - before.Transfers; n > transfers {
				t.Errorf("%d transfers at %d cards, want at most %d", n, len(cards), transfers)
			}
			if n := after.Frames - before.Frames; n > frames {
				t.Errorf("%d frames at %d cards, want at most %d", n, len(cards), frames)
			}
		}
		costs(3, 1)
		c := classic(t, "04A1B2C3D4E5F6")
		b.field.Put(c...)
		started()
		for range 3 {
			costs(16, 7, c...)
		}
	})
}

// A context ends a scan between two cards, whenever it comes, and leaves none
// awake.
func TestCancelledScanLeavesNoCardActive(t *testing.T) {
	for n := range 40 {
		bubble(t, fmt.Sprint(n), func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			cards := classic(t, "04A1B2C3D4E5F6", "04A1B2C3D4E5F7", "04A1B2C3D4E5F8", "04A1B2C3D4E5F9", "DEADBEEF")
			b.field.Put(cards...)
			started()
			limit := time.Duration(n) * time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			start := time.Now()
			seen, err := b.Poll(ctx)
			if took := time.Since(start); took > limit+20*time.Millisecond {
				t.Errorf("ended %v after the context", took-limit)
			}
			if ctx.Err() != nil && (!errors.Is(err, context.DeadlineExceeded) || seen != nil) {
				t.Errorf("saw %v, %v", seen, err)
			}
			for _, c := range cards {
				if s := c.State(); s != cardtest.Halt && s != cardtest.Idle {
					t.Errorf("%v is left in %s", c.UID(), s)
				}
			}
			b.scan(cards...)
		})
	}
}

// brokenPin is a reset pin that somebody else holds.
type brokenPin struct{ gpiotest.Pin }

func (*brokenPin) Out(gpio.Level) error { return errors.New("device or resource busy") }

func TestResetPin(t *testing.T) {
	bubble(t, "none", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{Reset: nil})
		b.scan()
	})
	bubble(t, "refuses", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{Reset: &brokenPin{}})
		b.scan()
		b.chip.BrownOutAt(1)
		b.scan()
		if n := strings.Count(b.log.String(), "reset pin"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, b.log)
		}
	})
}

func TestOptions(t *testing.T) {
	for db, code := range map[int]byte{0: 4, 18: 0, 23: 1, 33: 4, 38: 5, 43: 6, 48: 7} {
		bubble(t, fmt.Sprintf("%d dB", db), func(t *testing.T) {
			if got := newBench(t, mfrc522.Options{GainDB: db}).chip.Register(0x26) >> 4; got != code {
				t.Errorf("RxGain %d, want %d", got, code)
			}
		})
	}
	for name, o := range map[string]mfrc522.Options{
		"gain": {GainDB: 40}, "speed": {Speed: 11 * physic.MegaHertz}, "negative speed": {Speed: -1},
	} {
		if _, err := mfrc522.New(mfrc522test.New(cardtest.NewField()).Port(), o); err == nil || errors.Is(err, card.ErrBusDead) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, f := range []physic.Frequency{100 * physic.KiloHertz, physic.MegaHertz, 4 * physic.MegaHertz, 10 * physic.MegaHertz} {
		bubble(t, f.String(), func(t *testing.T) {
			b := newBench(t, mfrc522.Options{Speed: f})
			c := classic(t, "04A1B2C3D4E5F6")
			b.field.Put(c...)
			started()
			b.scan(c...)
		})
	}
}
