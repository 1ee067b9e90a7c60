package pn532_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/isodep"
	"presence/drivers/pn532/pn532test"
)

// echo is a card's program that answers each command with its data, and computes for a
// while.
type echo struct{ delay time.Duration }

func (echo) Reset() {}

func (e echo) Command(apdu []byte) ([]byte, time.Duration) {
	return append(bytes.Clone(apdu), 0x90, 0x00), e.delay
}

// speak lays a card with a program into the field.
func (b *bench) speak(uid string, a cardtest.Applet, p cardtest.Layer4) *cardtest.Card {
	b.Helper()
	c := newCard(b, uid, card.ISO14443_4)
	c.SetApplet(a, p)
	b.field.Put(c)
	time.Sleep(10 * time.Millisecond)
	return c
}

// ask selects a card and exchanges commands of so many bytes with it.
func (b *bench) ask(ctx context.Context, c *cardtest.Card, sizes ...int) error {
	return b.reader.Select(ctx, c.Info(), func(f card.Frames) error {
		return isodep.Run(ctx, f, isodep.Options{}, func(link *isodep.Link) error {
			for _, n := range sizes {
				command := bytes.Repeat([]byte{byte(n), 0x5A}, n/2+1)[:n]
				answer, err := link.Exchange(ctx, command)
				if err != nil {
					return err
				}
				if !bytes.Equal(answer, append(command, 0x90, 0x00)) {
					b.Errorf("%d bytes: answered % X", n, answer)
				}
			}
			return nil
		})
	})
}

// TestBadgeIsSpokenTo: cards with the smallest and the largest frames, those that ask for
// more time and those that need none, under every reading of the manual; the others in the
// field are seen before and after, and the standard is kept.
func TestBadgeIsSpokenTo(t *testing.T) {
	sizes := []int{5, 13, 61, 62, 253, 254, 255, 600}
	for name, p := range map[string]cardtest.Layer4{
		"FSC 16":  {FSCI: 0, FWI: 7, Latency: time.Millisecond},
		"FSC 64":  {FSCI: 5, FWI: 8, SFGI: 1, TC: 0x02, Latency: 3 * time.Millisecond},
		"FSC 256": {FSCI: 8, FWI: 4, Latency: time.Millisecond},
		"no T0":   {NoT0: true},
	} {
		for _, reading := range slices.Sorted(maps.Keys(interpretations())) {
			bubble(t, name+", "+reading, interpretations()[reading], func(t *testing.T, b *bench) {
				b.field.Put(newCard(t, "DEADBEEF", card.MifareClassic1K))
				c := b.speak("04A1B2C3D4E5F6", echo{}, p)
				b.sees(2, "DEADBEEF", "04A1B2C3D4E5F6")
				if err := b.ask(t.Context(), c, sizes...); err != nil {
					t.Error(err)
				}
				if n := c.Executed(); n != len(sizes) {
					t.Errorf("carried out %d commands", n)
				}
				b.sees(3, "DEADBEEF", "04A1B2C3D4E5F6")
				b.kept(c)
				b.obeys()
				if n := b.chip.Stats().RFOffs; n != 0 {
					t.Errorf("the field was switched off %d times", n)
				}
			})
		}
	}
}

// kept fails the test where the reader did what ISO/IEC 14443-4 forbids.
func (b *bench) kept(cards ...*cardtest.Card) {
	b.Helper()
	for _, c := range cards {
		for _, v := range c.Violations() {
			b.Errorf("%s: %s", c.UID(), v)
		}
	}
}

// TestBadgeComputes: a card that needs 300 ms with a waiting time of 77 ms, and of 5 ms.
func TestBadgeComputes(t *testing.T) {
	for _, fwi := range []byte{4, 8, 11} {
		bubble(t, fmt.Sprintf("FWI %d", fwi), nil, func(t *testing.T, b *bench) {
			c := b.speak("04A1B2C3D4E5F6", echo{300 * time.Millisecond}, cardtest.Layer4{FSCI: 5, FWI: fwi, Latency: time.Millisecond})
			b.sees(1, "04A1B2C3D4E5F6")
			start := time.Now()
			if err := b.ask(t.Context(), c, 20, 20); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took < 600*time.Millisecond || took > 700*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			b.kept(c)
			b.sees(2, "04A1B2C3D4E5F6")
			b.obeys()
		})
	}
}

// TestFaultsOfTheLinkWithABadge: each fault of each command between host and chip, and the
// card carries out each of its commands once.
func TestFaultsOfTheLinkWithABadge(t *testing.T) {
	for _, fault := range pn532test.LinkFaults() {
		for _, reading := range slices.Sorted(maps.Keys(interpretations())) {
			bubble(t, string(fault)+", "+reading, interpretations()[reading], func(t *testing.T, b *bench) {
				failed := b.bearsLinkFault(fault)
				// RATS cannot be repeated; and a card that has lost its power with the
				// field, when the chip was told to give up, has to be tried anew.
				if failed > 2 && !strings.Contains(reading, "abort switches the field off") && reading != "all together" {
					t.Errorf("%d of 24 failed", failed)
				}
			})
		}
	}
}

// bearsLinkFault has each of the first commands of some selections suffer a fault, and
// returns how many of 24 links ended by it.
func (b *bench) bearsLinkFault(fault pn532test.LinkFault) (failed int) {
	b.Helper()
	c := b.speak("04A1B2C3D4E5F6", echo{20 * time.Millisecond}, cardtest.Layer4{FSCI: 5, FWI: 8, Latency: time.Millisecond})
	b.sees(1, "04A1B2C3D4E5F6")
	for n := 1; n <= 24; n++ {
		before := c.Executed()
		b.chip.Trip(fault, n)
		err := b.ask(b.Context(), c, 30, 100, 30)
		b.chip.Calm()
		if ran := c.Executed() - before; ran > 3 || err == nil && ran != 3 {
			b.Errorf("command %d: carried out %d times, %v", n, ran, err)
		}
		if err != nil {
			if failed++; !errors.Is(err, card.ErrGone) && !errors.Is(err, card.ErrProtocol) {
				b.Errorf("command %d: %v", n, err)
			}
		}
		b.sees(1, "04A1B2C3D4E5F6")
	}
	return failed
}

// TestBadgeIsTakenAway before each frame: the link ends, and nobody else is missed.
func TestBadgeIsTakenAway(t *testing.T) {
	for n := 1; n < 30; n++ {
		bubble(t, fmt.Sprint(n), nil, func(t *testing.T, b *bench) {
			b.field.Put(newCard(t, "DEADBEEF", card.MifareClassic1K))
			c := b.speak("04A1B2C3D4E5F6", echo{}, cardtest.Layer4{FSCI: 5, FWI: 8, Latency: time.Millisecond})
			b.sees(2, "DEADBEEF", "04A1B2C3D4E5F6")
			c.LeaveAt(n)
			start := time.Now()
			err := b.ask(t.Context(), c, 30, 100, 30)
			if (err != nil || c.Executed() != 3) && !errors.Is(err, card.ErrGone) || time.Since(start) > 600*time.Millisecond {
				t.Errorf("%v after %v, %d commands", err, time.Since(start), c.Executed())
			}
			c.LeaveAt(0)
			b.field.Remove(c)
			b.sees(4, "DEADBEEF")
			b.obeys()
		})
	}
}

// TestBadgeBesideOneWhoseUIDBeginsAlike: both answer SELECT of the first cascade level, each
// with another SAK. Each is found and the badge is spoken to all the same.
func TestBadgeBesideOneWhoseUIDBeginsAlike(t *testing.T) {
	for _, other := range []card.Technology{card.MifareClassic1K, card.MifareUltralight} {
		for _, reading := range slices.Sorted(maps.Keys(interpretations())) {
			bubble(t, fmt.Sprintf("%s, %s", other, reading), interpretations()[reading], func(t *testing.T, b *bench) {
				b.field.Put(newCard(t, "04A1B2C3D4E5F7", other))
				c := b.speak("04A1B2C3D4E5F6", echo{}, cardtest.DESFire())
				b.sees(2, "04A1B2C3D4E5F6", "04A1B2C3D4E5F7")
				for range 3 {
					if err := b.ask(t.Context(), c, 5, 61); err != nil {
						t.Error(err)
					}
					b.sees(1, "04A1B2C3D4E5F6", "04A1B2C3D4E5F7")
				}
				b.kept(c)
				b.obeys()
			})
		}
	}
}
