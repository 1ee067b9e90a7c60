package mfrc522_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"

	"presence/drivers/bus/bustest"
	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
)

// withIRQ is a bench whose chip has its interrupt pin wired, in some fashion.
func withIRQ(t *testing.T, f bustest.IRQFault) *bench {
	t.Helper()
	b := &bench{TB: t, field: cardtest.NewField(), log: new(strings.Builder)}
	b.chip = mfrc522test.New(b.field)
	b.chip.SetIRQFault(f)
	b.open(mfrc522.Options{IRQ: b.chip.IRQPin()})
	return b
}

// The pin is a hint: whatever becomes of it, before or while it is used, every
// scan sees what it sees without it, in hardly more time or transfers.
func TestIRQPinChangesNothing(t *testing.T) {
	t.Parallel()
	none := bustest.IRQFault(-1)
	for name, changes := range map[string][]bustest.IRQFault{
		"none":            {none},
		"sound":           {bustest.IRQFine},
		"dead":            {bustest.IRQDead},
		"stuck":           {bustest.IRQStuck},
		"breaks":          {bustest.IRQFine, bustest.IRQDead},
		"sticks":          {bustest.IRQFine, bustest.IRQStuck},
		"is soldered on":  {bustest.IRQDead, bustest.IRQFine},
		"loose all along": {bustest.IRQStuck, bustest.IRQFine, bustest.IRQDead, bustest.IRQStuck, bustest.IRQFine},
	} {
		bubble(t, name, func(t *testing.T) {
			var b *bench
			if changes[0] == none {
				b = newBench(t, mfrc522.Options{})
			} else {
				b = withIRQ(t, changes[0])
			}
			cards := classic(t, "04A1B2C3D4E5F6", "DEADBEEF", "DEADBEEE")
			for _, f := range changes {
				b.chip.SetIRQFault(f)
				for n := range 40 {
					b.field.Remove(cards...)
					b.field.Put(cards[:n%4]...)
					started()
					start, transfers := time.Now(), b.chip.Stats().Transfers
					b.scan(cards[:n%4]...)
					if took := time.Since(start); took > 35*time.Millisecond {
						t.Errorf("a scan took %v", took)
					}
					if n := b.chip.Stats().Transfers - transfers; n > 120 {
						t.Errorf("a scan took %d transfers", n)
					}
					time.Sleep(scanEvery)
				}
			}
			if n := b.Counts(); n.Mends != 0 || n.BadFrames != 0 {
				t.Errorf("counted %+v", n)
			}
		})
	}
}

// With a sound pin a scan is over sooner.
func TestIRQPinShortensTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scan := func(b *bench) (took time.Duration, transfers int64) {
			c := newCard(t, "04A1B2C3D4E5F6", card.ISO14443_4)
			b.field.Put(c)
			started()
			b.scan(c) // in which the pin proves itself
			start, before := time.Now(), b.chip.Stats().Transfers
			b.scan(c)
			return time.Since(start), b.chip.Stats().Transfers - before
		}
		without, n := scan(newBench(t, mfrc522.Options{}))
		with, m := scan(withIRQ(t, bustest.IRQFine))
		t.Logf("%v and %d transfers without the pin, %v and %d with it", without, n, with, m)
		if with >= without || m > 16 {
			t.Errorf("want less than %v, and at most 16 transfers", without)
		}
	})
}

// A pin that cannot be used, and one that turns out to be of no use, is told
// once.
func TestUselessIRQPinIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		fault bustest.IRQFault
		word  string
	}{
		"dead": {bustest.IRQDead, "no edge ever comes"}, "stuck": {bustest.IRQStuck, "without anything having happened"}, "sound": {bustest.IRQFine, ""},
	} {
		bubble(t, name, func(t *testing.T) {
			b := withIRQ(t, c.fault)
			cards := classic(t, "DEADBEEF")
			b.field.Put(cards...)
			started()
			for range 500 {
				b.scan(cards...)
				time.Sleep(scanEvery)
			}
			lines := slices.DeleteFunc(strings.Split(b.log.String(), "\n"), func(s string) bool { return !strings.Contains(s, "interrupt pin") })
			switch {
			case c.word == "" && len(lines) != 0, c.word != "" && (len(lines) != 1 || !strings.Contains(lines[0], c.word)):
				t.Errorf("log: %q", lines)
			}
		})
	}
	bubble(t, "refuses", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{IRQ: &brokenInput{}})
		b.scan()
		if n := strings.Count(b.log.String(), "cannot use the interrupt pin"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, b.log)
		}
	})
}

// brokenInput is a pin that has no interrupts, or that somebody else holds.
type brokenInput struct{ gpiotest.Pin }

func (*brokenInput) In(gpio.Pull, gpio.Edge) error { return errors.New("device or resource busy") }
