package proof_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/cardtest/applets"
	"presence/gatewayd/internal/presence"
)

// inTime is how soon a badge that signs has to be green.
const inTime = 600 * time.Millisecond

// visits is how often each badge is shown, at other instants between two scans each time.
const visits = 25

// TestTapTimes shows badges to a door at 1 MHz SPI, in virtual time, and prints how long
// each takes from lying in the field to the lamp: a PIV card that signs for 150 ms, with its
// certificate known here and not, and badges that have only a number, where nothing is
// configured and where cards are asked for a proof; the journal is left out. `make bench`
// prints it.
func TestTapTimes(t *testing.T) {
	for _, r := range readers() {
		t.Run(r.name, func(t *testing.T) {
			piv := func() *cardtest.Card {
				return badge(t, applets.Badge{Kind: applets.KindPIV, UID: mustUID("04A1B2C3D4E5F6")})
			}
			plain := func() *cardtest.Card { return plainCard(t, card.MifareClassic1K) }
			first := tapTimes(t, r, true, true, piv)
			known := tapTimes(t, r, true, false, piv)
			before := tapTimes(t, r, false, false, plain)
			after := tapTimes(t, r, true, false, plain)
			asked := tapTimes(t, r, true, false, func() *cardtest.Card {
				return badge(t, applets.Badge{Kind: applets.KindClone, UID: mustUID("04112233445566")})
			})
			fmt.Printf("bench-badges: %-7s PIV card, signature 150 ms: %s, certificate known: %s; number alone: %s, without a badge CA: %s (%.2f times); processor card that proves nothing: %s\n",
				r.name, said(first), said(known), said(after), said(before), float64(sum(after))/float64(sum(before)), said(asked))
			for _, times := range [][]time.Duration{first, known} {
				if worst := slices.Max(times); worst > inTime {
					t.Errorf("a PIV card was green after %v, want within %v", worst, inTime)
				}
			}
			if sum(after) > sum(before)*101/100 {
				t.Errorf("a badge that has only a number took %v, and %v before", sum(after), sum(before))
			}
		})
	}
}

func badge(t *testing.T, b applets.Badge) *cardtest.Card {
	t.Helper()
	b.Now = time.Now()
	c, err := b.NewCard()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func plainCard(t *testing.T, technology card.Technology) *cardtest.Card {
	t.Helper()
	c, err := cardtest.New(mustUID("04112233445566"), technology)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tapTimes shows a badge again and again; anew says that the gateway knows nothing of it
// each time.
func tapTimes(t *testing.T, r reader, proves, anew bool, shown func() *cardtest.Card) (times []time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := openOffice(t, r, false, !proves)
		time.Sleep(time.Second)
		if !anew {
			o.timeOf(shown())
		}
		for n := range visits {
			if anew && n > 0 {
				o.close()
				o = openOffice(t, r, false, !proves)
				time.Sleep(time.Second)
			}
			time.Sleep(time.Duration(n) * 7 * time.Millisecond)
			times = append(times, o.timeOf(shown()))
		}
		o.close()
	})
	return times
}

// timeOf is how long a card lies in the field until the lamp answers.
func (o *office) timeOf(c *cardtest.Card) time.Duration {
	o.t.Helper()
	from, start, counted := len(o.answered(0)), time.Now(), o.bus.took()
	o.field.Put(c)
	for len(o.answered(from)) == 0 {
		time.Sleep(time.Millisecond / 4)
		if time.Since(start) > giveUp {
			o.t.Fatal("no answer")
		}
	}
	took := time.Since(start) + o.bus.took() - counted
	if a := o.answered(from)[0]; a.Outcome != presence.Accepted {
		o.t.Errorf("answered %+v", a)
	}
	o.field.Remove(c)
	time.Sleep(time.Second)
	return took
}

func sum(times []time.Duration) (total time.Duration) {
	for _, d := range times {
		total += d
	}
	return total
}

// said are times in milliseconds: the median and the longest.
func said(times []time.Duration) string {
	sorted := slices.Sorted(slices.Values(times))
	ms := func(d time.Duration) int64 { return d.Round(time.Millisecond).Milliseconds() }
	return fmt.Sprintf("%d ms (at most %d)", ms(sorted[len(sorted)/2]), ms(sorted[len(sorted)-1]))
}
