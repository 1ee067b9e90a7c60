package mfrc522_test

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
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
)

// Whatever the data sheet leaves open, the same cards come out.
func TestEveryInterpretationOfTheDataSheet(t *testing.T) {
	t.Parallel()
	scenes := map[string][]string{
		"nobody":                    nil,
		"one of each length":        {"04A1B2C3", "04A1B2C3D4E5F6", "0102030405060708090A"},
		"relatives":                 {"AA030200", "AA010000", "AA000000"},
		"relatives in later bytes":  {"AA001122", "AA041122", "AA241122"},
		"apart in the last bit":     {"04A1B2C3D4E5F6", "04A1B2C3D4E576"},
		"apart in the second level": {"0582C7204CA100", "0582C7214CA100", "0582C7244CA100"},
		"one that leads with 88":    {"88112233", "89112233"},
	}
	for reading, opts := range mfrc522test.Interpretations() {
		for scene, uids := range scenes {
			bubble(t, cmp.Or(reading, "defaults")+"/"+scene, func(t *testing.T) {
				b := newBench(t, mfrc522.Options{}, opts...)
				var cards []*cardtest.Card
				for _, uid := range uids {
					technology := card.MifareClassic1K
					if uid[0] == '0' {
						technology = card.ISO14443_4
					}
					cards = append(cards, newCard(t, uid, technology))
				}
				b.field.Put(cards...)
				started()
				for range 3 {
					b.scan(cards...)
					time.Sleep(50 * time.Millisecond)
				}
			})
		}
	}
}

// In random scenes with noise on the air, on the bus and in the registers, no
// scan reports a card that is not there. What may be missed is other tests'.
// `make torture` says for how long it goes on (SCENES_FOR).
func TestNoWrongUIDInNoise(t *testing.T) {
	t.Parallel()
	var ends time.Time
	if text := os.Getenv("SCENES_FOR"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		ends = time.Now().Add(d)
	}
	var next, looks, seen, failed, wrong atomic.Uint64
	next.Store(uint64(sceneFirst(t)))
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				seed := next.Add(1)
				if ends.IsZero() && seed > 60 || !ends.IsZero() && time.Now().After(ends) || t.Failed() {
					return
				}
				synctest.Test(t, func(t *testing.T) {
					s := newScene(t, seed)
					for range 60 {
						s.step(t)
					}
					looks.Add(60)
					seen.Add(s.seen)
					failed.Add(s.failed)
					wrong.Add(s.wrong)
				})
			}
		})
	}
	workers.Wait()
	line := fmt.Sprintf("scenes: looks=%d cards-seen=%d failed-looks=%d wrong=%d", looks.Load(), seen.Load(), failed.Load(), wrong.Load())
	if t.Log(line); !ends.IsZero() {
		fmt.Println(line)
	}
	if seen.Load() < looks.Load()/4 {
		t.Error("hardly a card is seen: nothing was tried")
	}
}

// sceneFirst is after which seed to begin (SCENES_AFTER).
func sceneFirst(t *testing.T) int {
	text := cmp.Or(os.Getenv("SCENES_AFTER"), "0")
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// scene is cards that come and go before a chip that suffers.
type scene struct {
	*bench
	noise cardtest.Noise
	seed  uint64
	there []*cardtest.Card
	left  []*cardtest.Card // until the scan that is under way
	n     uint64

	seen, failed, wrong uint64
}

// newScene makes a scene whose rates, readings and cards follow from its seed.
func newScene(t testing.TB, seed uint64) *scene {
	s := &scene{seed: seed}
	rate := func(worst float64) float64 { return worst * []float64{0, 0, 0.01, 0.1, 1}[s.draw(5)] }
	s.noise = cardtest.Noise{
		Seed: seed, Air: rate(0.01), Lost: rate(0.3), Ghost: rate(0.2),
		MOSI: rate(1e-4), MISO: rate(1e-4), Drift: rate(1e-3),
	}
	readings := mfrc522test.Interpretations()
	names := make([]string, 0, len(readings))
	for name := range readings {
		names = append(names, name)
	}
	slices.Sort(names)
	s.bench = newBench(t, mfrc522.Options{}, readings[names[s.draw(len(names))]]...)
	s.chip.SetNoise(s.noise)
	return s
}

// draw is a number below n (SplitMix64, so that a seed alone tells a scene).
func (s *scene) draw(n int) int {
	s.n++
	z := (s.seed+1)*0x9E3779B97F4A7C15 + s.n*0xBF58476D1CE4E5B9
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return int((z ^ z>>31) % uint64(n))
}

// step lets cards come and go and scans once.
func (s *scene) step(t testing.TB) {
	t.Helper()
	s.left = nil
	if len(s.there) > 0 && s.draw(4) == 0 {
		i := s.draw(len(s.there))
		s.field.Remove(s.there[i])
		s.there = slices.Delete(s.there, i, i+1)
	}
	for len(s.there) < 4 && s.draw(3) == 0 {
		c := s.card(t)
		s.field.Put(c)
		s.there = append(s.there, c)
	}
	if s.draw(6) == 0 && len(s.there) > 0 {
		i := s.draw(len(s.there))
		c := s.there[i]
		c.LeaveAt(1 + s.draw(20)) // it may still be reported
		s.left = append(s.left, c)
		s.there = slices.Delete(s.there, i, i+1)
	}
	seen, err := s.Poll(t.Context())
	s.seen += uint64(len(seen))
	if err != nil {
		s.failed++
	}
	for _, got := range seen {
		known := func(c *cardtest.Card) bool { return c.UID() == got.UID }
		if !slices.ContainsFunc(s.there, known) && !slices.ContainsFunc(s.left, known) {
			s.wrong++
			t.Errorf("seed %d: saw %s, which is not there (%+v, %v)", s.seed, got.UID, s.noise, err)
		}
	}
	s.field.Remove(s.left...)
	time.Sleep(50 * time.Millisecond)
}

// card is a new one, often a relative of one that lies there.
func (s *scene) card(t testing.TB) *cardtest.Card {
	id := make([]byte, []int{4, 7, 7, 10}[s.draw(4)])
	for i := range id {
		id[i] = byte(s.draw(256))
	}
	if len(s.there) > 0 && s.draw(2) == 0 {
		from := s.there[s.draw(len(s.there))].UID().Bytes()
		copy(id, from)
		bit := s.draw(8 * len(id))
		id[bit/8] ^= 1 << (bit % 8)
	}
	if id[0] == 0x88 {
		id[0] = 0x04 // of 4 bytes it is another test's, and no longer UID may begin so
	}
	c := newCard(t, fmt.Sprintf("%X", id), []card.Technology{card.MifareClassic1K, card.ISO14443_4, card.MifareUltralight}[s.draw(3)])
	if s.draw(8) == 0 {
		c.SetFault([]cardtest.Fault{cardtest.BadBCC, cardtest.BadCRC, cardtest.BadParity, cardtest.ShortSAK, cardtest.RefusesHalt}[s.draw(5)])
	}
	return c
}
