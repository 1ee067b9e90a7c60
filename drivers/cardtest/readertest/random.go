package readertest

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// scansPerPlay is how many scans one play lasts.
const scansPerPlay = 20

// RunRandom lets cards come and go at random before a chip that suffers, in many
// plays, and wants no scan to report a card that is not there. What may be missed is
// for the table.
//
// In the environment, SCENES tells how many plays there are (150 by default), and
// SCENES_AFTER after which seed to begin.
func RunRandom(t *testing.T, s Subject) {
	plays, first := number(t, "SCENES", "150"), number(t, "SCENES_AFTER", "0")
	var next, scans, seen, failed, wrong atomic.Uint64
	next.Store(first)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				seed := next.Add(1)
				if seed > first+plays || t.Failed() {
					return
				}
				synctest.Test(t, func(t *testing.T) {
					p := newPlay(t, s, seed)
					for range scansPerPlay {
						p.step()
					}
					scans.Add(scansPerPlay)
					seen.Add(p.seen)
					failed.Add(p.failed)
					wrong.Add(p.wrong)
				})
			}
		})
	}
	workers.Wait()
	line := fmt.Sprintf("scenes: plays=%d scans=%d cards-seen=%d failed-scans=%d wrong=%d",
		scans.Load()/scansPerPlay, scans.Load(), seen.Load(), failed.Load(), wrong.Load())
	if t.Log(line); os.Getenv("SCENES") != "" {
		fmt.Println(line)
	}
	if seen.Load() < scans.Load()/4 {
		t.Error("hardly a card is seen: nothing was tried")
	}
}

func number(t *testing.T, name, otherwise string) uint64 {
	n, err := strconv.ParseUint(cmp.Or(os.Getenv(name), otherwise), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// play is cards that come and go before a chip that suffers.
type play struct {
	*bench
	noise cardtest.Noise
	seed  uint64
	there []*cardtest.Card
	left  []*cardtest.Card // until the scan that is under way
	n     uint64

	seen, failed, wrong uint64
}

// newPlay makes a play whose rates, readings and cards follow from its seed.
func newPlay(t *testing.T, s Subject, seed uint64) *play {
	p := &play{seed: seed}
	rate := func(worst float64) float64 { return worst * []float64{0, 0, 0.01, 0.1, 1}[p.draw(5)] }
	p.noise = cardtest.Noise{
		Seed: seed, Air: rate(0.01), Lost: rate(0.3), Ghost: rate(0.2),
		MOSI: rate(1e-4), MISO: rate(1e-4), Drift: rate(1e-3),
	}
	p.bench = newBench(t, s, s.Readings[p.draw(len(s.Readings))])
	p.dirty = true
	p.chip.SetNoise(p.noise)
	return p
}

// draw is a number below n (SplitMix64, so that a seed alone tells a play).
func (p *play) draw(n int) int {
	p.n++
	z := (p.seed+1)*0x9E3779B97F4A7C15 + p.n*0xBF58476D1CE4E5B9
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return int((z ^ z>>31) % uint64(n))
}

// step lets cards come and go and scans once.
func (p *play) step() {
	p.Helper()
	p.left = nil
	if len(p.there) > 0 && p.draw(4) == 0 {
		i := p.draw(len(p.there))
		p.field.Remove(p.there[i])
		p.there = slices.Delete(p.there, i, i+1)
	}
	for len(p.there) < 4 && p.draw(3) == 0 {
		c := p.drawCard()
		p.field.Put(c)
		p.there = append(p.there, c)
	}
	if p.draw(6) == 0 && len(p.there) > 0 {
		i := p.draw(len(p.there))
		c := p.there[i]
		c.LeaveAt(1 + p.draw(20)) // it may still be reported
		p.left = append(p.left, c)
		p.there = slices.Delete(p.there, i, i+1)
	}
	seen, err := p.poll()
	p.seen += uint64(len(seen))
	if err != nil {
		p.failed++
	}
	for _, got := range seen {
		known := func(c *cardtest.Card) bool { return c.UID() == got.UID }
		if !slices.ContainsFunc(p.there, known) && !slices.ContainsFunc(p.left, known) {
			p.wrong++
			p.Errorf("seed %d, reading %q: saw %s, which is not there (%+v, %v)", p.seed, p.reading, got.UID, p.noise, err)
		}
	}
	p.field.Remove(p.left...)
	p.pause()
}

// drawCard is a new one, often a relative of one that lies there.
func (p *play) drawCard() *cardtest.Card {
	id := make([]byte, []int{4, 7, 7, 10}[p.draw(4)])
	for i := range id {
		id[i] = byte(p.draw(256))
	}
	if len(p.there) > 0 && p.draw(2) == 0 {
		from := p.there[p.draw(len(p.there))].UID().Bytes()
		copy(id, from)
		bit := p.draw(8 * len(id))
		id[bit/8] ^= 1 << (bit % 8)
	}
	if id[0] == 0x88 {
		id[0] = 0x04 // of 4 bytes it is a scene's, and no longer UID may begin so
	}
	c := p.card(fmt.Sprintf("%X", id), []card.Technology{card.MifareClassic1K, card.ISO14443_4, card.MifareUltralight}[p.draw(3)])
	if p.draw(8) == 0 {
		c.SetFault([]cardtest.Fault{cardtest.BadBCC, cardtest.BadCRC, cardtest.BadParity, cardtest.ShortSAK, cardtest.RefusesHalt}[p.draw(5)])
	}
	return c
}
