package door_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
	"presence/gatewayd/internal/door"
	"presence/gatewayd/internal/presence"
)

// A door with the real driver over a chip that suffers: on the air, on its bus and
// in its registers. Whoever shows a badge for long enough is recorded once, under
// their own UID, or health says that the reader does not work. NOISY_DOORS is how
// many doors there are, each with more visits than otherwise (make torture).
func TestNoisyDoor(t *testing.T) {
	t.Parallel()
	scenes, visits := 4, 8
	if text := os.Getenv("NOISY_DOORS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		scenes, visits = n, 20
	}
	for seed := range uint64(scenes) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { noisyDoor(t, seed, visits) })
		})
	}
}

const (
	// patience is for how long somebody holds a badge before giving up. Health
	// must say what is wrong before that.
	patience = 5 * time.Second

	noisyWindow = 10 * time.Second
)

func noisyDoor(t *testing.T, seed uint64, visits int) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	rate := func(worst float64) float64 { return worst * []float64{0, 0, 0.01, 0.1, 1}[rnd.IntN(5)] }
	noise := cardtest.Noise{
		Seed: seed, Air: rate(0.002), Lost: rate(0.1), Ghost: rate(0.1),
		MOSI: rate(3e-5), MISO: rate(3e-5), Drift: rate(1e-3),
	}
	field := cardtest.NewField()
	chip := mfrc522test.New(field)
	g := build(t, noisyWindow, clock(), "door")
	ctx, cancel := context.WithCancel(t.Context())
	g.cancel = cancel
	defer g.close()
	g.tasks.Go(func() {
		_ = g.door.Run(ctx, door.Reader{Name: "door", Poll: poll, Open: func(context.Context) (card.Reader, error) {
			return mfrc522.New(chip.Port(), mfrc522.Options{Log: slog.New(slog.DiscardHandler)})
		}})
	})
	time.Sleep(time.Second)
	chip.SetNoise(noise)

	for visit := range visits {
		id := make([]byte, []int{4, 7, 10}[rnd.IntN(3)])
		for i := range id {
			id[i] = byte(rnd.Uint32())
		}
		id[0] = 0x04
		uid, err := card.NewUID(id)
		if err != nil {
			t.Fatal(err)
		}
		c, err := cardtest.New(uid, card.ISO14443_4)
		if err != nil {
			t.Fatal(err)
		}
		before := len(g.outcomes())
		field.Put(c)
		unwell := false
		hold := patience + time.Duration(rnd.IntN(60_000))*time.Millisecond
		for held := time.Duration(0); held < hold; held += poll {
			time.Sleep(poll)
			unwell = unwell || g.door.Health()[0].State != "ok"
		}
		field.Remove(c)
		time.Sleep(time.Duration(rnd.IntN(2000)) * time.Millisecond)

		synctest.Wait()
		g.mu.Lock()
		answers := append([]presence.Answer(nil), g.answers[before:]...)
		g.mu.Unlock()
		taps := 0
		for _, a := range answers {
			if a.UID != uid.String() {
				t.Fatalf("visit %d of %s: %s was recorded (%+v)", visit, uid, a.UID, noise)
			}
			if a.Outcome == presence.Accepted {
				taps++
			}
		}
		switch {
		case taps > 1:
			t.Errorf("visit %d of %s for %v: %d taps (%+v)", visit, uid, hold, taps, noise)
		case taps == 0 && !unwell:
			t.Errorf("visit %d of %s for %v: nobody heard it, and health said ok (%+v)", visit, uid, hold, noise)
		}
	}
	if h := g.door.Health()[0]; h.Taps == 0 {
		t.Errorf("nothing was read at all: %s", fmt.Sprint(h))
	}
}
