package isodep_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/isodep"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
	"presence/drivers/pn532"
	"presence/drivers/pn532/pn532test"
)

// answers is an applet whose answer belongs to its command and to no other.
type answers struct {
	length int
	delay  time.Duration
	last   []byte // command
}

func (*answers) Reset() {}

func (a *answers) Command(apdu []byte) ([]byte, time.Duration) {
	a.last = bytes.Clone(apdu)
	return a.to(apdu), a.delay
}

func (a *answers) to(apdu []byte) (b []byte) {
	for i := byte(0); len(b) < a.length; i++ {
		sum := sha256.Sum256(append([]byte{i}, apdu...))
		b = append(b, sum[:]...)
	}
	return append(b[:a.length], 0x90, 0x00)
}

type selectingReader interface {
	card.Reader
	card.Selector
}

type noisy interface{ SetNoise(n cardtest.Noise) }

type opener func(*testing.T, *cardtest.Field) (selectingReader, noisy)

// chips open a driver over its chip in software.
func chips() map[string]opener {
	over522 := func(opts ...mfrc522test.Option) opener {
		return func(t *testing.T, f *cardtest.Field) (selectingReader, noisy) {
			chip := mfrc522test.New(f, opts...)
			r, err := mfrc522.New(chip.Port(), mfrc522.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return r, chip
		}
	}
	return map[string]opener{
		"MFRC522":                       over522(),
		"MFRC522, checksum in the FIFO": over522(mfrc522test.ChecksumInFIFO()),
		"PN532": func(t *testing.T, f *cardtest.Field) (selectingReader, noisy) {
			chip := pn532test.New(f)
			r, err := pn532.New(chip.Port(), pn532.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return r, chip
		},
	}
}

// visit is a card with random habits, commands to it, and what goes wrong meanwhile.
type visit struct {
	layer4   cardtest.Layer4
	applet   answers
	commands [][]byte
	strikes  map[int]cardtest.AirFault
	noise    cardtest.Noise
}

func randomVisit(rnd *rand.Rand) visit {
	row := func() (b []byte) {
		for range max(0, rnd.IntN(8)-4) {
			b = append(b, byte(rnd.IntN(4))<<6|byte(1+rnd.IntN(3)))
		}
		return b
	}
	l := cardtest.Layer4{
		FSCI: byte(rnd.IntN(9)), FWI: byte(4 + rnd.IntN(5)), SFGI: byte(rnd.IntN(6)), TA: 0x80, TC: byte(rnd.IntN(4)),
		Historical: make([]byte, rnd.IntN(16)), NoTA: rnd.IntN(4) == 0, NoTB: rnd.IntN(4) == 0, NoTC: rnd.IntN(4) == 0,
		NoT0: rnd.IntN(8) == 0, Latency: time.Duration(rnd.IntN(4000)) * time.Microsecond,
		Chunk: rnd.IntN(3) * (4 + rnd.IntN(40)), Multiplier: byte(rnd.IntN(3)),
		WTX: row(), WTXInChain: row(), WTXInCommand: row(),
	}
	v := visit{layer4: l, applet: answers{length: rnd.IntN(120), delay: time.Duration(rnd.IntN(60)) * time.Millisecond}, strikes: map[int]cardtest.AirFault{}}
	for range 1 + rnd.IntN(3) {
		b := make([]byte, 5+rnd.IntN(100))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		v.commands = append(v.commands, b)
	}
	for range rnd.IntN(3) {
		faults := cardtest.AirFaults()
		v.strikes[1+rnd.IntN(12)] = faults[rnd.IntN(len(faults))]
	}
	if rnd.IntN(3) == 0 {
		v.noise = cardtest.Noise{Seed: rnd.Uint64(), Air: rnd.Float64() * 0.002, Lost: rnd.Float64() * 0.2}
	}
	return v
}

// TestRandomCardsOverTheChips: cards of all habits, with some frames that go wrong, or on a
// bad air. What
// they answer is right or an error of the card, no command is carried out twice, the
// standard is kept to the letter, and nothing lasts longer than the time of a link.
func TestRandomCardsOverTheChips(t *testing.T) {
	for name, open := range chips() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(200) {
				rnd := rand.New(rand.NewPCG(seed, 4))
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						v := randomVisit(rnd)
						v.over(t, open)
					})
				})
			}
		})
	}
}

// lies reports whether the card says of a block that it heard that it did not hear it: then
// no reader can know better.
func (v visit) lies() bool {
	for _, f := range v.strikes {
		if f == cardtest.WrongNumber || f == cardtest.AnswerRepeated || f == cardtest.AckForData {
			return true
		}
	}
	return false
}

func (v *visit) over(t *testing.T, open opener) {
	t.Helper()
	field := cardtest.NewField()
	uid, _ := card.ParseUID("04A1B2C3D4E5F6")
	c, err := cardtest.New(uid, card.ISO14443_4)
	if err != nil {
		t.Fatal(err)
	}
	c.SetApplet(&v.applet, v.layer4)
	field.Put(c)
	reader, chip := open(t, field)
	defer func() { _ = reader.Close() }()
	ctx := context.Background()
	seen := poll(t, reader)
	for n, f := range v.strikes {
		c.StrikeAt(n, f)
	}
	chip.SetNoise(v.noise)
	done, start := 0, time.Now()
	err = reader.Select(ctx, seen, func(frames card.Frames) error {
		return isodep.Run(ctx, frames, isodep.Options{}, func(link *isodep.Link) error {
			for _, command := range v.commands {
				answer, err := link.Exchange(ctx, command)
				if err != nil {
					return err
				}
				if want := v.applet.to(v.applet.last); !bytes.Equal(answer, want) {
					t.Errorf("% X is answered with % X, want % X; %+v", command, answer, want, *v)
				}
				if !bytes.Equal(v.applet.last, command) && !v.lies() {
					t.Errorf("% X came as % X; %+v", command, v.applet.last, *v)
				}
				done++
			}
			return nil
		})
	})
	chip.SetNoise(cardtest.Noise{})
	disturbed := len(v.strikes) > 0 || v.noise != cardtest.Noise{}
	switch took := time.Since(start); {
	case took > 2*time.Second:
		t.Errorf("it took %v", took)
	case err == nil && done == len(v.commands):
	case errors.Is(err, card.ErrTooSlow), disturbed && (errors.Is(err, card.ErrGone) || errors.Is(err, card.ErrProtocol)):
	default:
		t.Errorf("%d of %d commands after %v: %v; %+v", done, len(v.commands), took, err, *v)
	}
	if n := c.Executed(); n < done || n > len(v.commands) && !v.lies() {
		t.Errorf("%d commands were executed, %d answered, %d sent; %+v", n, done, len(v.commands), *v)
	}
	for _, violation := range c.Violations() {
		t.Errorf("violation: %s; %+v", violation, *v)
	}
	if len(field.Cards()) > 0 {
		poll(t, reader) // and the card is found again
	}
}

// poll wants one card to be found within three looks.
func poll(t *testing.T, r card.Reader) card.Card {
	t.Helper()
	for range 3 {
		time.Sleep(50 * time.Millisecond)
		if found, err := r.Poll(context.Background()); err != nil {
			t.Fatal(err)
		} else if len(found) == 1 {
			return found[0]
		}
	}
	t.Fatal("the card is not found")
	return card.Card{}
}
