package mfrc522_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
)

func TestSelfTest(t *testing.T) {
	for name, c := range map[string]struct {
		version byte
		fault   mfrc522test.Fault
		want    error
	}{
		"genuine, 1.0":                {0x91, mfrc522test.FaultNone, nil},
		"genuine, 2.0":                {0x92, mfrc522test.FaultNone, nil},
		"broken":                      {0x92, mfrc522test.FaultSelfTest, card.ErrDeaf},
		"a copy that nobody has seen": {0xB2, mfrc522test.FaultNone, card.ErrNoReference},
	} {
		bubble(t, name, func(t *testing.T) {
			b := newBench(t, mfrc522.Options{}, mfrc522test.Version(c.version))
			cards := classic(t, "04A1B2C3D4E5F6")
			b.field.Put(cards...)
			started()
			b.scan(cards...)
			b.chip.SetFault(c.fault)
			start := time.Now()
			if err := b.SelfTest(t.Context()); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if took := time.Since(start); took > 200*time.Millisecond {
				t.Errorf("took %v", took)
			}
			// The reader reads as before.
			b.chip.SetFault(mfrc522test.FaultNone)
			for range 3 {
				b.scan(cards...)
			}
			if got := b.chip.Register(0x36); got != 0x40 {
				t.Errorf("AutoTestReg is left at %02X", got)
			}
		})
	}
	bubble(t, "no chip", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		b.chip.SetFault(mfrc522test.FaultBusHigh)
		if err := b.SelfTest(t.Context()); !errors.Is(err, card.ErrBusDead) {
			t.Errorf("got %v", err)
		}
	})
	bubble(t, "a context that ends", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.SelfTest(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		b.scan()
	})
}

// gainPort has answers lost as the gain that is set makes it.
type gainPort struct {
	spi.PortCloser
	chip *mfrc522test.Chip
	lost map[byte]float64 // by RxGain
}

func (p *gainPort) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	c, err := p.PortCloser.Connect(f, mode, bits)
	return gainConn{c, p}, err
}

type gainConn struct {
	spi.Conn
	port *gainPort
}

func (c gainConn) TxPackets(packets []spi.Packet) error {
	const rfCfg = 0x26 << 1
	for _, p := range packets {
		if p.W[0] == rfCfg {
			c.port.chip.SetNoise(cardtest.Noise{Seed: 1, Lost: c.port.lost[p.W[1]>>4]})
		}
	}
	return c.Conn.TxPackets(packets)
}

// The sweep finds the gain at which a card is heard, and leaves the reader as it
// was.
func TestSweepGain(t *testing.T) {
	for name, c := range map[string]struct {
		lost map[byte]float64
		best int
	}{
		"one":                 {map[byte]float64{0: 1, 1: 1, 4: 0.9, 5: 0.1, 6: 0.8, 7: 1}, 38},
		"the most":            {map[byte]float64{0: 1, 1: 1, 4: 1, 5: 0.9, 6: 0.7, 7: 0.2}, 48},
		"the middle of three": {map[byte]float64{0: 1, 1: 0, 4: 0, 5: 0, 6: 0.3, 7: 1}, 33},
		"all":                 {nil, 33},
		"none":                {map[byte]float64{0: 1, 1: 1, 4: 1, 5: 1, 6: 1, 7: 1}, 0},
	} {
		bubble(t, name, func(t *testing.T) {
			field := cardtest.NewField()
			chip := mfrc522test.New(field)
			r, err := mfrc522.New(&gainPort{chip.Port(), chip, c.lost}, mfrc522.Options{GainDB: 43})
			if err != nil {
				t.Fatal(err)
			}
			field.Put(classic(t, "04A1B2C3D4E5F6")...)
			started()
			results, err := r.SweepGain(t.Context(), 50)
			if err != nil || len(results) != 6 {
				t.Fatalf("%+v, %v", results, err)
			}
			best, ok := card.BestGain(results)
			if best != c.best || ok != (c.best != 0) {
				t.Errorf("best is %d, want %d: %+v", best, c.best, results)
			}
			if _, err := r.Poll(t.Context()); err != nil || chip.Register(0x26) != 0x68 {
				t.Errorf("afterwards RFCfgReg is %02X, %v", chip.Register(0x26), err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		b.chip.SetFault(mfrc522test.FaultDeaf)
		if _, err := b.SweepGain(t.Context(), 50); !errors.Is(err, card.ErrDeaf) {
			t.Errorf("of a deaf reader: %v", err)
		}
	})
	if db, ok := card.BestGain(nil); ok {
		t.Error(fmt.Sprint("the best of none is ", db))
	}
}
