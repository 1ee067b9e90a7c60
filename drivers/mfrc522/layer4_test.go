package mfrc522_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"presence/drivers/bus/bustest"
	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/isodep"
	"presence/drivers/mfrc522"
)

// program answers each command with a few bytes after a while.
type program struct {
	size  int
	delay time.Duration
}

func (program) Reset() {}

func (p program) Command([]byte) ([]byte, time.Duration) {
	return append(make([]byte, p.size), 0x90, 0x00), p.delay
}

// The pin is a hint in a link too: whatever becomes of it, all commands are answered, in no
// more time; and what is seen without it does not make it look broken.
func TestIRQPinChangesNothingInALink(t *testing.T) {
	took := map[string]time.Duration{}
	for name, fault := range map[string]bustest.IRQFault{
		"none": -1, "sound": bustest.IRQFine, "dead": bustest.IRQDead, "stuck": bustest.IRQStuck,
	} {
		bubble(t, name, func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			if name != "none" {
				b = withIRQ(t, fault)
			}
			badge := newCard(t, "04A1B2C3D4E5F6", card.ISO14443_4)
			b.field.Put(badge)
			started()
			b.scan(badge)
			start := time.Now()
			for n := range 100 {
				badge.SetApplet(program{size: n, delay: time.Duration(n*n) * 7 * time.Microsecond}, cardtest.JavaCard())
				if err := link(t, b, badge, 5); err != nil {
					t.Fatal(err)
				}
			}
			took[name] = time.Since(start)
			b.scan(badge)
			if log := b.log.String(); strings.Contains(log, "interrupt pin") != (name == "stuck") {
				t.Errorf("logged %q", log)
			}
		})
	}
	t.Logf("a hundred links took %v", took)
	for name := range took {
		if took[name] > took["none"]*101/100 {
			t.Errorf("with a pin that is %s a hundred links took %v, and %v without", name, took[name], took["none"])
		}
	}
	if took["sound"] >= took["none"] {
		t.Errorf("a sound pin shortens nothing: %v", took)
	}
}

// link selects a card and has it carry out a command of so many bytes.
func link(t *testing.T, b *bench, c *cardtest.Card, size int) error {
	return b.Select(t.Context(), c.Info(), func(f card.Frames) error {
		return isodep.Run(t.Context(), f, isodep.Options{}, func(l *isodep.Link) error {
			_, err := l.Exchange(t.Context(), bytes.Repeat([]byte{0x5A}, size))
			return err
		})
	})
}

// What a link costs. A transfer costs the machine 20 to 60 µs, and a door with many cards
// of that kind must not keep it busy.
func TestLinksAreCheap(t *testing.T) {
	for name, c := range map[string]struct {
		program
		command   int
		transfers int64
		time      time.Duration
	}{
		"short":                 {program{0, 0}, 5, 30, 15 * time.Millisecond},
		"a signature of 150 ms": {program{76, 150 * time.Millisecond}, 70, 230, 190 * time.Millisecond},
		"a certificate":         {program{700, 0}, 11, 190, 110 * time.Millisecond},
	} {
		bubble(t, name, func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			badge := newCard(t, "04A1B2C3D4E5F6", card.ISO14443_4)
			badge.SetApplet(c.program, cardtest.JavaCard())
			b.field.Put(badge)
			started()
			b.scan(badge)
			before, start := b.chip.Stats().Transfers, time.Now()
			if err := link(t, b, badge, c.command); err != nil {
				t.Fatal(err)
			}
			took, transfers := time.Since(start), b.chip.Stats().Transfers-before
			t.Logf("%v and %d transfers", took, transfers)
			if took > c.time || transfers > c.transfers {
				t.Errorf("want at most %v and %d", c.time, c.transfers)
			}
		})
	}
}
