package door_test

import (
	"context"
	"fmt"
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

// One badge that lies at the edge of the field is one tap and not one repeat: the
// lamp lights up once.
func TestBadgeAtTheEdgeOfTheFieldIsOneTap(t *testing.T) {
	t.Parallel()
	for _, lost := range []float64{0.01, 0.02, 0.05, 0.10} {
		t.Run(fmt.Sprintf("%.0f %% of answers lost", 100*lost), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { atTheEdge(t, lost) })
		})
	}
}

// atTheEdge lays a badge into a field where some answers are lost, and takes it away
// after minutes.
func atTheEdge(t *testing.T, lost float64) {
	g := build(t, 30*time.Second, clock(), "front")
	field := cardtest.NewField()
	chip := mfrc522test.New(field)
	chip.SetNoise(cardtest.Noise{Seed: 5, Lost: lost})
	ctx, cancel := context.WithCancel(t.Context())
	g.cancel = cancel
	g.tasks.Go(func() {
		_ = g.door.Run(ctx, door.Reader{Name: "front", Poll: poll, Open: func(context.Context) (card.Reader, error) {
			return mfrc522.New(chip.Port(), mfrc522.Options{})
		}})
	})
	defer g.close()
	c, err := cardtest.New(badge(1).UID, card.ISO14443_4)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	field.Put(c)
	time.Sleep(5 * time.Minute)
	field.Remove(c)
	time.Sleep(time.Minute)
	if got := g.outcomes(); got != "c" {
		t.Errorf("%s, want one tap", got)
	}
	if h := g.door.Health()[0]; h.State != "ok" || h.Errors != 0 {
		t.Errorf("%+v", h)
	}
}

// What the real driver counts is told in health, also over a reader that was
// closed and opened again.
func TestHealthTellsHowWellAReaderHears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := build(t, time.Minute, clock(), "front")
		field := cardtest.NewField()
		chip := mfrc522test.New(field)
		opened := 0
		ctx, cancel := context.WithCancel(t.Context())
		g.cancel = cancel
		g.tasks.Go(func() {
			_ = g.door.Run(ctx, door.Reader{Name: "front", Poll: poll, Open: func(context.Context) (card.Reader, error) {
				opened++
				return mfrc522.New(chip.Port(), mfrc522.Options{})
			}})
		})
		defer g.close()
		health := func() presence.ReaderHealth {
			synctest.Wait()
			return g.door.Health()[0]
		}
		c, err := cardtest.New(badge(1).UID, card.MifareClassic1K)
		if err != nil {
			t.Fatal(err)
		}
		field.Put(c)
		time.Sleep(30*time.Second + poll/2)
		h := health()
		if h.LooksPerS < 19.5 || h.LooksPerS > 20.5 || h.Seen != 601 || h.Misses+h.BadFrames+h.Misreads+h.Mends+h.Resets != 0 {
			t.Errorf("a sound reader: %+v", h)
		}

		chip.SetNoise(cardtest.Noise{Seed: 1, Lost: 0.2, MISO: 1e-4})
		time.Sleep(time.Minute)
		chip.SetNoise(cardtest.Noise{})
		time.Sleep(time.Second)
		h = health()
		if h.Misses == 0 || h.BadFrames < 100 || h.Misreads < 10 || h.Mends != 0 || h.Resets != 0 {
			t.Errorf("a card at the edge, noise on the bus: %+v", h)
		}

		chip.Upset(0x24, 0x10) // ModWidth
		time.Sleep(time.Second)
		chip.BrownOutAt(1)
		time.Sleep(time.Second)
		before := h
		if h = health(); h.Mends != 2 || h.Resets != 1 {
			t.Errorf("a register and a dip of the supply: %+v", h)
		}

		chip.SetFault(mfrc522test.FaultDeaf)
		time.Sleep(time.Minute)
		if h = health(); h.State != "deaf" || h.LooksPerS != 0 {
			t.Errorf("deaf: %+v", h)
		}
		chip.SetFault(mfrc522test.FaultNone)
		time.Sleep(time.Minute)
		h = health()
		if opened < 2 || h.State != "ok" || h.LooksPerS < 19 || h.Seen < before.Seen+1000 || h.BadFrames < before.BadFrames || h.Mends != 2 {
			t.Errorf("opened %d times: %+v", opened, h)
		}
	})
}
