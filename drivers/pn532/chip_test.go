package pn532_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/pn532"
	"presence/drivers/pn532/pn532test"
	"presence/scripts/skiptest"
)

// bench is the driver over the whole chip in software, in virtual time.
type bench struct {
	*testing.T
	field  *cardtest.Field
	chip   *pn532test.Chip
	reader *pn532.Reader
}

func bubble(t *testing.T, name string, opts []pn532test.Option, test func(t *testing.T, b *bench)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &bench{T: t, field: cardtest.NewField()}
			b.chip = pn532test.New(b.field, opts...)
			r, err := pn532.New(b.chip.Port(), pn532.Options{})
			if err != nil {
				t.Fatal(err)
			}
			b.reader = r
			defer func() {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}()
			test(t, b)
		})
	})
}

// obeys fails the test where the driver did what the manual forbids.
func (b *bench) obeys() {
	b.Helper()
	for _, v := range b.chip.Violations() {
		b.Errorf("violation: %s", v)
	}
}

func names(cards []card.Card) []string {
	list := []string{}
	for _, c := range cards {
		list = append(list, c.UID.String())
	}
	slices.Sort(list)
	return list
}

// sees polls so many times as a door does and wants the same cards each time.
func (b *bench) sees(times int, want ...string) {
	b.Helper()
	slices.Sort(want)
	for n := range times {
		start := time.Now()
		seen, err := b.reader.Poll(b.Context())
		if err != nil || !slices.Equal(names(seen), want) {
			b.Fatalf("scan %d after %v: saw %v, %v, want %v", n, time.Since(start), names(seen), err, want)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func newCard(t testing.TB, uid string, technology card.Technology) *cardtest.Card {
	t.Helper()
	u, err := card.ParseUID(uid)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cardtest.New(u, technology)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// interpretations are what the manual leaves open, each in turn.
func interpretations() map[string][]pn532test.Option { return pn532test.Interpretations() }

// TestCardsUnderEveryInterpretation holds none to six cards before a chip that
// answers each open question of the manual in one way or the other.
func TestCardsUnderEveryInterpretation(t *testing.T) {
	skiptest.Computation(t)
	uids := []string{"DEADBEEF", "04A1B2C3D4E5F6", "0102030405060708090A", "01020304", "88112233", "04A1B2C3D4E5F7"}
	for _, name := range slices.Sorted(maps.Keys(interpretations())) {
		for n := range len(uids) + 1 {
			bubble(t, fmt.Sprintf("%s, %d cards", name, n), interpretations()[name], func(t *testing.T, b *bench) {
				for _, uid := range uids[:n] {
					b.field.Put(newCard(t, uid, card.ISO14443_4))
				}
				time.Sleep(10 * time.Millisecond)
				b.sees(20, uids[:n]...)
				b.obeys()
				if c := b.reader.Counts(); c.Mends != 0 || c.Misses != 0 {
					t.Errorf("counted %+v", c)
				}
			})
		}
	}
	for n := range 3 {
		bubble(t, fmt.Sprintf("wakes halted cards, %d cards", n), []pn532test.Option{pn532test.WakesHalted()}, func(t *testing.T, b *bench) {
			for _, uid := range uids[:n] {
				b.field.Put(newCard(t, uid, card.ISO14443_4))
			}
			time.Sleep(10 * time.Millisecond)
			b.sees(20, uids[:n]...)
			b.obeys()
		})
	}
}

func TestFaultsOfTheChip(t *testing.T) {
	for _, fault := range []pn532test.Fault{
		pn532test.FaultDeaf, pn532test.FaultBusLow, pn532test.FaultBusHigh, pn532test.FaultI2C, pn532test.FaultHSU,
		pn532test.FaultHot, pn532test.FaultStuck,
	} {
		bubble(t, string(fault), nil, func(t *testing.T, b *bench) {
			b.field.Put(newCard(t, "DEADBEEF", card.MifareClassic1K))
			time.Sleep(10 * time.Millisecond)
			b.sees(3, "DEADBEEF")
			b.field.Remove(b.field.Cards()...)
			b.sees(3)
			b.chip.SetFault(fault)
			start := time.Now()
			var err error
			for err == nil && time.Since(start) < 2*time.Second {
				_, err = b.reader.Poll(t.Context())
				time.Sleep(50 * time.Millisecond)
			}
			want := card.ErrBusDead
			if fault == pn532test.FaultDeaf || fault == pn532test.FaultHot || fault == pn532test.FaultStuck {
				want = card.ErrDeaf
			}
			if !errors.Is(err, want) {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			if notSPI := fault == pn532test.FaultI2C || fault == pn532test.FaultHSU || fault == pn532test.FaultBusHigh; errors.Is(err, card.ErrNotSPI) != notSPI {
				t.Errorf("%v", err)
			}
			b.chip.SetFault(pn532test.FaultNone)
			if fault == pn532test.FaultStuck {
				b.chip.BrownOutAt(1)
			}
			b.field.Put(newCard(t, "01020304", card.MifareClassic1K))
			time.Sleep(10 * time.Millisecond)
			b.sees(3, "01020304")
		})
	}
}
