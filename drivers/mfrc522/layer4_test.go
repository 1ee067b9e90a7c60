package mfrc522_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"presence/drivers/bus/bustest"
	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/isodep"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
)

// program answers each command with a few bytes after a while.
type program struct {
	size  int
	delay time.Duration
}

func (program) Reset() {}

func (p program) Command([]byte) ([]byte, time.Duration) {
	return append(bytes.Repeat([]byte{byte(p.size)}, p.size), 0x90, 0x00), p.delay
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
				p := program{size: n, delay: time.Duration(n*n) * 7 * time.Microsecond}
				if err := link(t, b, badge, p, 5); err != nil {
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

// link gives a card a program, selects it, and has it carry out a command of so many bytes.
func link(t *testing.T, b *bench, c *cardtest.Card, p program, size int) error {
	c.SetApplet(p, cardtest.JavaCard())
	return b.Select(t.Context(), c.Info(), func(f card.Frames) error {
		return isodep.Run(t.Context(), f, isodep.Options{}, func(l *isodep.Link) error {
			command := bytes.Repeat([]byte{0x5A}, size)
			response, err := l.Exchange(t.Context(), command)
			if want, _ := p.Command(command); err == nil && !bytes.Equal(response, want) {
				t.Errorf("response %X, want %X", response, want)
			}
			return err
		})
	})
}

// Whether a chip leaves the checksum in its FIFO makes no difference, at any length.
func TestChecksumInFIFO(t *testing.T) {
	for _, kept := range []bool{false, true} {
		bubble(t, fmt.Sprint(kept), func(t *testing.T) {
			var options []mfrc522test.Option
			if kept {
				options = append(options, mfrc522test.ChecksumInFIFO())
			}
			b := newBench(t, mfrc522.Options{}, options...)
			badge := newCard(t, "04A1B2C3D4E5F6", card.ISO14443_4)
			b.field.Put(badge)
			started()
			for size := range 140 {
				if err := link(t, b, badge, program{size: size}, 1+size); err != nil {
					t.Errorf("%d bytes: %v", size, err)
				}
			}
			b.scan(badge)
			if n := b.Counts(); n.BadFrames != 0 || badge.Executed() != 140 || len(badge.Violations()) != 0 {
				t.Errorf("%+v, %d commands, %v", n, badge.Executed(), badge.Violations())
			}
		})
	}
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
			b.field.Put(badge)
			started()
			b.scan(badge)
			before, start := b.chip.Stats().Transfers, time.Now()
			if err := link(t, b, badge, c.program, c.command); err != nil {
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
