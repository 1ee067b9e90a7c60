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

// A card that never gets through hides no other one, whichever branch of their
// collision it lies in and whatever state the scan before left them in.
func TestFaultyCardHidesNobodyAtAnyScan(t *testing.T) {
	for _, uids := range [][2]string{{"01020304", "02030405"}, {"02030405", "01020304"}} {
		for _, fault := range []cardtest.Fault{cardtest.BadBCC, cardtest.BadCRC, cardtest.ShortSAK} {
			bubble(t, fmt.Sprintf("%s, fault %d", uids[0], fault), func(t *testing.T) {
				b := newBench(t, mfrc522.Options{})
				cards := classic(t, uids[:]...)
				cards[0].SetFault(fault)
				b.field.Put(cards...)
				started()
				for range 5 {
					b.scan(cards[1])
				}
			})
		}
	}
}

// A port that New could not use stays the caller's: it is still open.
func TestFailedNewLeavesThePortOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chip := mfrc522test.New(cardtest.NewField())
		chip.SetFault(mfrc522test.FaultBusHigh)
		port := chip.Port()
		if r, err := mfrc522.New(port, mfrc522.Options{Reset: chip.ResetPin()}); r != nil || !errors.Is(err, card.ErrBusDead) {
			t.Fatalf("got %v, %v", r, err)
		}
		if err := port.Close(); err != nil {
			t.Error(err)
		}
	})
}

// strictPort is a port that must not be used once it is closed: the real one
// would panic.
type strictPort struct {
	spi.PortCloser
	t      *testing.T
	closed int
}

func (p *strictPort) Close() error {
	p.closed++
	return p.PortCloser.Close()
}

func (p *strictPort) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	c, err := p.PortCloser.Connect(f, mode, bits)
	return strictConn{c, p}, err
}

type strictConn struct {
	spi.Conn
	port *strictPort
}

func (c strictConn) Tx(w, r []byte) error {
	if c.port.closed > 0 {
		c.port.t.Error("a transfer after Close")
	}
	return c.Conn.Tx(w, r)
}

func (c strictConn) TxPackets(p []spi.Packet) error {
	if c.port.closed > 0 {
		c.port.t.Error("a transfer after Close")
	}
	return c.Conn.TxPackets(p)
}

// The reader owns its port: Close closes it once, and nothing touches the bus
// afterwards.
func TestClosedReaderLeavesTheBusAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		port := &strictPort{PortCloser: mfrc522test.New(cardtest.NewField()).Port(), t: t}
		r, err := mfrc522.New(port, mfrc522.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if port.closed != 1 {
			t.Errorf("the port was closed %d times", port.closed)
		}
		if seen, err := r.Poll(t.Context()); err == nil {
			t.Errorf("saw %v", seen)
		}
	})
}

// A context ends a scan between two cards and not after the last one.
func TestContextEndsAScanAtACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		b.field.Put(classic(t, "00000000", "01000000", "00010000", "00000100", "00000001", "80000000", "00800000", "00008000")...)
		started()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start := time.Now()
		if seen, err := b.Poll(ctx); seen != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("saw %v, %v", seen, err)
		}
		if took := time.Since(start); took > 20*time.Millisecond {
			t.Errorf("took %v", took)
		}
		b.scan(b.field.Cards()...)
	})
}

// Cards that never get through are tried again and again, but not for ever.
func TestFaultyCrowdIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		for i := range uint32(40) {
			c := classic(t, fmt.Sprintf("%08X", i*0x9E3779B9))
			c[0].SetFault(cardtest.BadCRC)
			b.field.Put(c...)
		}
		started()
		start := time.Now()
		b.scan()
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

// ValuesAfterColl of CollReg is cleared before the anticollision: bits behind a
// collision must not be taken for received ones.
func TestValuesAfterCollisionAreOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		cards := classic(t, "DEADBEEF")
		b.field.Put(cards...)
		started()
		b.scan(cards...)
		if coll := b.chip.Register(0x0E); coll&0x80 != 0 {
			t.Errorf("CollReg %02X", coll)
		}
	})
}

// What not even the reset pin mends is told at each scan, and heals.
func TestDeafToItsResetPin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		field := cardtest.NewField()
		chip := mfrc522test.New(field, mfrc522test.DeafToResetPin())
		r, err := mfrc522.New(chip.Port(), mfrc522.Options{Reset: chip.ResetPin()})
		if err != nil {
			t.Fatal(err)
		}
		field.Put(classic(t, "DEADBEEF")...)
		chip.SetFault(mfrc522test.FaultDeaf)
		for range 3 {
			if seen, err := r.Poll(t.Context()); seen != nil || !errors.Is(err, card.ErrDeaf) {
				t.Fatalf("saw %v, %v", seen, err)
			}
		}
		chip.SetFault(mfrc522test.FaultNone)
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 {
			t.Fatalf("saw %v, %v", seen, err)
		}
	})
}

// No transfer is longer than a full FIFO and its address, so that the smallest
// buffer that spidev can be given will do.
func TestTransfersAreShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{}, mfrc522test.MaxTxSize(65))
		cards := classic(t, "0102030405060708090A", "DEADBEEF")
		b.field.Put(cards...)
		started()
		b.scan(cards...)
	})
}

// How long a scan takes bounds how soon a tap is noticed.
func TestScansAreQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		within := func(limit time.Duration, cards ...*cardtest.Card) {
			t.Helper()
			start := time.Now()
			b.scan(cards...)
			if took := time.Since(start); took > limit {
				t.Errorf("a scan at %d cards took %v, want at most %v", len(cards), took, limit)
			}
		}
		within(3 * time.Millisecond)
		cards := classic(t, "04A1B2C3D4E5F6", "DEADBEEF")
		b.field.Put(cards[0])
		started()
		within(15*time.Millisecond, cards[0])
		b.field.Put(cards[1])
		started()
		within(30*time.Millisecond, cards...)
	})
}
