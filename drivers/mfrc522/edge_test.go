package mfrc522_test

import (
	"strings"
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

const (
	scanEvery = 50 * time.Millisecond // as a door does unless told otherwise

	// patience is how long a reader may see nobody without an error.
	patience = 5 * time.Second
)

// mustHear polls for as long as patience allows and wants c seen, or an error
// from some moment on. Nothing else may be seen in any case.
func (b *bench) mustHear(c *cardtest.Card) {
	b.Helper()
	var err error
	for range patience / scanEvery {
		var seen []card.Card
		seen, err = b.Poll(b.Context())
		for _, s := range seen {
			if s.UID != c.UID() {
				b.Fatalf("saw %v, which is not there", s.UID)
			}
		}
		if len(seen) > 0 {
			return
		}
		time.Sleep(scanEvery)
	}
	if err == nil {
		b.Errorf("deaf for %v without a word", patience)
	}
}

// Whichever bit of whichever register flips, the reader hears again at once or
// says that it does not.
func TestNoRegisterBitDeafensInSilence(t *testing.T) {
	for reg := range byte(64) {
		for bit := range 8 {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, mfrc522.Options{})
				c := newCard(t, "04A1B2C3D4E5F6", card.ISO14443_4)
				b.scan()
				b.chip.Upset(reg, 1<<bit)
				b.field.Put(c)
				started()
				b.mustHear(c)
				if t.Failed() {
					t.Fatalf("bit %d of register %02X", bit, reg)
				}
			})
		}
	}
	t.Logf("%d flips of single register bits, 0 of them deaf for %v without a word", 64*8, patience)
}

// Values that had passed the check of before, and left 60 of 60 people unseen.
func TestWrongSettingsAreNoticedExactly(t *testing.T) {
	settings := map[byte][]byte{0x24: {0x7F}, 0x1D: {0x10}, 0x13: {0x10}, 0x26: {0x00}}
	for v := range 256 { // TxControl
		settings[0x14] = append(settings[0x14], byte(v))
	}
	for reg, values := range settings {
		for _, v := range values {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, mfrc522.Options{})
				c := newCard(t, "04A1B2C3D4E5F6", card.ISO14443_4)
				b.scan()
				before := b.chip.Register(reg)
				b.chip.Upset(reg, before^v)
				b.field.Put(c)
				started()
				b.scan(c)
				if got := b.chip.Register(reg); got != before {
					t.Errorf("register %02X set to %02X is left at %02X, want %02X", reg, v, got, before)
				}
			})
		}
	}
}

// wire counts the bytes that go over the bus.
type wire struct {
	spi.PortCloser
	bytes int
}

func (w *wire) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	c, err := w.PortCloser.Connect(f, mode, bits)
	return wireConn{c, w}, err
}

type wireConn struct {
	spi.Conn
	wire *wire
}

func (c wireConn) Tx(w, r []byte) error {
	c.wire.bytes += len(w)
	return c.Conn.Tx(w, r)
}

func (c wireConn) TxPackets(packets []spi.Packet) error {
	for _, p := range packets {
		c.wire.bytes += len(p.W)
	}
	return c.Conn.TxPackets(packets)
}

// One register that lost a bit is written anew with the field on.
func TestOneWrongRegisterIsMendedWithTheFieldOn(t *testing.T) {
	for _, reg := range []byte{0x11, 0x13, 0x17, 0x18, 0x19, 0x1D, 0x24, 0x26, 0x27, 0x28, 0x2B} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			c := newCard(t, "04A1B2C3D4E5F6", card.ISO14443_4)
			b.field.Put(c)
			started()
			b.scan(c)
			off := b.chip.Stats().RFOffs
			b.chip.Upset(reg, 0x10)
			b.scan(c)
			if n := b.chip.Stats().RFOffs - off; n != 0 {
				t.Errorf("register %02X: the field went off", reg)
			}
			if n := b.Counts(); n.Mends != 1 || n.Resets != 0 {
				t.Errorf("register %02X: %+v", reg, n)
			}
		})
	}
}

// Whichever bit on the way to the chip is flipped while it is set up: the reader
// is not there at all, or it hears or says that it does not.
func TestNoFlippedBitOfTheSetUpDeafensInSilence(t *testing.T) {
	t.Parallel()
	for _, warm := range []bool{false, true} { // whether an earlier reader has left its settings
		end := 1
		for n := 1; n <= end; n++ {
			synctest.Test(t, func(t *testing.T) {
				b := &bench{TB: t, field: cardtest.NewField(), log: new(strings.Builder)}
				b.chip = mfrc522test.New(b.field)
				if warm {
					b.open(mfrc522.Options{GainDB: 18})
					b.chip.Upset(0x17, 0x40) // RxSel
				}
				b.chip.FlipMOSI(n)
				b.wire = &wire{PortCloser: b.chip.Port()}
				r, err := mfrc522.New(b.wire, mfrc522.Options{})
				if n == 1 {
					end = 8 * b.wire.bytes
				}
				if err != nil {
					return
				}
				b.Reader = r
				c := newCard(t, "04A1B2C3D4E5F6", card.ISO14443_4)
				b.field.Put(c)
				started()
				b.mustHear(c)
				if got := b.chip.Register(0x26); got != 0x48 {
					t.Errorf("RFCfgReg %02X", got)
				}
				if t.Failed() {
					t.Fatalf("bit %d of the set-up, settings left: %v", n, warm)
				}
			})
		}
		t.Logf("%d flips of single bits of the set-up, settings left: %v, 0 of them deaf for %v without a word", end, warm, patience)
	}
}
