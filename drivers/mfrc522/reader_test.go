package mfrc522_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
	"pgregory.net/rapid"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
)

// bench is a reader on a chip in software with a field in front of it.
type bench struct {
	testing.TB
	field *cardtest.Field
	chip  *mfrc522test.Chip
	wire  *wire
	*mfrc522.Reader
	log *strings.Builder
}

func newBench(t testing.TB, o mfrc522.Options, chip ...mfrc522test.Option) *bench {
	t.Helper()
	b := &bench{TB: t, field: cardtest.NewField(), log: new(strings.Builder)}
	b.chip = mfrc522test.New(b.field, chip...)
	b.open(o)
	return b
}

// open makes the reader on the chip that is there.
func (b *bench) open(o mfrc522.Options) {
	b.Helper()
	o.Log = slog.New(slog.NewTextHandler(b.log, nil))
	b.wire = &wire{PortCloser: b.chip.Port()}
	r, err := mfrc522.New(b.wire, o)
	if err != nil {
		b.Fatal(err)
	}
	b.Reader = r
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// look polls once and wants exactly these cards.
func (b *bench) look(want ...*cardtest.Card) {
	b.Helper()
	seen, err := b.Poll(context.Background())
	if err != nil {
		b.Fatalf("look: %v\n%s", err, b.log)
	}
	var got, wanted []string
	for _, c := range seen {
		got = append(got, c.UID.String())
	}
	for _, c := range want {
		wanted = append(wanted, c.UID().String())
	}
	slices.Sort(got)
	slices.Sort(wanted)
	if !slices.Equal(got, wanted) {
		b.Fatalf("saw %v, want %v", got, wanted)
	}
}

// fails polls once and wants an error.
func (b *bench) fails(want error) {
	b.Helper()
	start := time.Now()
	seen, err := b.Poll(context.Background())
	if !errors.Is(err, want) || seen != nil {
		b.Fatalf("saw %v, %v, want %v", seen, err, want)
	}
	if took := time.Since(start); took > 700*time.Millisecond {
		b.Fatalf("the look took %v", took)
	}
}

func newCard(t testing.TB, uid string, tech card.Technology) *cardtest.Card {
	t.Helper()
	u, err := card.ParseUID(uid)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cardtest.New(u, tech)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func classic(t testing.TB, uids ...string) (cards []*cardtest.Card) {
	t.Helper()
	for _, u := range uids {
		cards = append(cards, newCard(t, u, card.MifareClassic1K))
	}
	return cards
}

// started waits until newly laid cards have started up.
func started() { time.Sleep(10 * time.Millisecond) }

// UIDs cut to four bytes make one person of two: the whole UID, SAK and ATQA
// are reported, whatever its length and first byte.
func TestUIDsOfEveryLength(t *testing.T) {
	for _, uid := range []string{
		"DEADBEEF", "04A1B2C3D4E5F6", "0102030405060708090A", "0582C7204CA100",
		"88112233", // clones have those; the SAK says that the UID is whole
		"88888888", "88A1B2C3D4E5F6", "88888888888888888888", "00000000", "FFFFFFFFFFFFFF",
	} {
		for _, tech := range []card.Technology{card.MifareClassic1K, card.ISO14443_4} {
			bubble(t, fmt.Sprintf("%s %s", uid, tech), func(t *testing.T) {
				b := newBench(t, mfrc522.Options{})
				c := newCard(t, uid, tech)
				b.field.Put(c)
				started()
				seen, err := b.Poll(t.Context())
				if err != nil || len(seen) != 1 || seen[0] != c.Info() {
					t.Fatalf("saw %v, %v, want %v", seen, err, c.Info())
				}
			})
		}
	}
}

// An ACTIVE card answers neither REQA nor WUPA, and one that was woken from
// HALT and not selected falls back there, out of REQA's reach: held cards would
// come and go. The field must stay on, or each look would be a new arrival to
// a card with a random UID.
func TestHeldCardsAreSeenAtEveryLook(t *testing.T) {
	for name, uids := range map[string][]string{
		"one":                      {"DEADBEEF"},
		"one of seven bytes":       {"04A1B2C3D4E5F6"},
		"two":                      {"DEADBEEF", "DEADBEEE"},
		"two of one batch":         {"04A1B2C3D4E5F6", "04A1B2C3D4E5F7"},
		"three, all lengths":       {"DEADBEEF", "04A1B2C3D4E5F6", "0102030405060708090A"},
		"ten bytes, last one only": {"0102030405060708090A", "0102030405060708090B"},
	} {
		bubble(t, name, func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			cards := classic(t, uids...)
			b.field.Put(cards...)
			started()
			looks := 1000
			if len(cards) > 1 {
				looks = 100
			}
			for range looks {
				b.look(cards...)
				for _, c := range cards {
					if c.State() != cardtest.Halt {
						t.Fatalf("%v is left in %s", c.UID(), c.State())
					}
				}
				time.Sleep(50 * time.Millisecond)
			}
			b.field.Remove(cards...)
			b.look()
			if s := b.chip.Stats(); s.RFOffs != 0 || s.SoftResets != 1 {
				t.Errorf("the field went off %d times, %d soft resets", s.RFOffs, s.SoftResets)
			}
		})
	}
}

// Several cards at once, with both readings of CollReg and whatever the chip
// leaves where bits collided.
func TestCollisions(t *testing.T) {
	for name, uids := range map[string][]string{
		"two, first bit":           {"00000000", "01000000"},
		"two, last bit":            {"00000000", "00000080"},
		"two, middle":              {"12345678", "12745678"},
		"two that differ wholly":   {"55555555", "AAAAAAAA"},
		"three behind eight bits":  {"01020304", "01020305", "01060304"},
		"three in the second byte": {"AA000000", "AA010000", "AA030000"},
		"three, both readings fit": {"00010000", "00000000", "00000800"},
		"five":                     {"DEADBEEF", "DEADBEEE", "DEADBE6F", "DE2DBEEF", "5EADBEEF"},
		"five in one byte":         {"A0B0C000", "A0B0C001", "A0B0C002", "A0B0C003", "A0B0C083"},
		"five of a batch":          {"04A1B2C3D4E5F6", "04A1B2C3D4E5F7", "04A1B2C3D4E4F6", "04A1B2C3D4E5B6", "04A1B2C3C4E5F6"},
		"lengths mixed":            {"88010207", "04A1B2C3D4E5F6", "0102030405060708090A", "0102030405060708090B"},
		"eight":                    {"00000000", "01000000", "00010000", "00000100", "00000001", "80000000", "00800000", "00008000"},
	} {
		for _, reading := range []mfrc522test.CollPos{mfrc522test.CollPosFrame, mfrc522test.CollPosUID} {
			for bit := range byte(2) {
				bubble(t, fmt.Sprintf("%s, reading %d, bit %d", name, reading, bit), func(t *testing.T) {
					b := newBench(t, mfrc522.Options{}, mfrc522test.CollisionPosition(reading), mfrc522test.CollisionBit(bit))
					cards := classic(t, uids...)
					b.field.Put(cards...)
					started()
					for range 3 {
						b.look(cards...)
						time.Sleep(50 * time.Millisecond)
					}
				})
			}
		}
	}
}

// Any cards, close relatives above all, come out of the field whole.
func TestAnyCardsAreEnumerated(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(rt, "cards")
		base := rapid.SliceOfN(rapid.Byte(), 10, 10).Draw(rt, "base")
		var ids [][]byte
		for range n {
			id := slices.Clone(base[:rapid.SampledFrom([]int{4, 7, 10}).Draw(rt, "length")])
			for range rapid.IntRange(1, 4).Draw(rt, "changes") {
				bit := rapid.IntRange(0, 8*len(id)-1).Draw(rt, "bit")
				id[bit/8] ^= 1 << (bit % 8)
			}
			// A card of four bytes whose UID is the beginning of a longer one
			// cannot be told from it: both answer the same SELECT.
			if len(id) == 4 && id[0] == 0x88 {
				id[0] = 0x80
			}
			ids = append(ids, id)
		}
		slices.SortFunc(ids, bytes.Compare)
		ids = slices.CompactFunc(ids, bytes.Equal)
		reading := rapid.SampledFrom([]mfrc522test.CollPos{mfrc522test.CollPosFrame, mfrc522test.CollPosUID}).Draw(rt, "reading")
		bit := rapid.ByteRange(0, 1).Draw(rt, "collided bit")

		var problem string
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, mfrc522.Options{}, mfrc522test.CollisionPosition(reading), mfrc522test.CollisionBit(bit))
			for _, id := range ids {
				b.field.Put(newCard(t, fmt.Sprintf("%X", id), card.MifareClassic1K))
			}
			started()
			for range 2 {
				seen, err := b.Poll(t.Context())
				if err != nil || len(seen) != len(ids) {
					problem = fmt.Sprintf("saw %v, %v, want %X", seen, err, ids)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

// More cards than a look reports must not hold it up.
func TestCrowdIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		for i := range 40 {
			b.field.Put(classic(t, fmt.Sprintf("%08X", uint32(i)*0x9E3779B9))...)
		}
		started()
		start := time.Now()
		seen, err := b.Poll(t.Context())
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("the look took %v", took)
		}
		if err != nil || len(seen) == 0 || len(seen) > 8 {
			t.Errorf("saw %v, %v", seen, err)
		}
	})
}

// A card that speaks badly is not reported, and hides no sound card.
func TestFaultyCards(t *testing.T) {
	for name, fault := range map[string]cardtest.Fault{
		"bad BCC": cardtest.BadBCC, "bad CRC": cardtest.BadCRC, "bad parity": cardtest.BadParity,
		"short SAK": cardtest.ShortSAK, "short ATQA": cardtest.ShortATQA,
	} {
		bubble(t, name, func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			bad := newCard(t, "04A1B2C3D4E5F6", card.MifareUltralight)
			bad.SetFault(fault)
			b.field.Put(bad)
			started()
			b.look()
			if s := b.chip.Stats(); s.SoftResets != 1 {
				t.Errorf("a bad card had the chip reset")
			}
			bad.SetFault(cardtest.NoFault)
			b.look(bad)
		})
		if fault == cardtest.BadParity {
			continue // its ATQA spoils that of all others
		}
		bubble(t, name+" beside a sound card", func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			bad, sound := newCard(t, "0FA1B2C3", card.MifareClassic1K), newCard(t, "00A1B2C3", card.MifareClassic1K)
			bad.SetFault(fault)
			b.field.Put(bad, sound)
			started()
			seen, err := b.Poll(t.Context())
			if err != nil || !slices.Contains(seen, card.Card{UID: sound.UID(), SAK: 0x08, ATQA: [2]byte{4, 0}}) {
				t.Errorf("saw %v, %v", seen, err)
			}
		})
	}
	bubble(t, "refuses HLTA", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		c := classic(t, "DEADBEEF")
		c[0].SetFault(cardtest.RefusesHalt)
		b.field.Put(c...)
		started()
		for range 20 {
			b.look(c...)
			time.Sleep(50 * time.Millisecond)
		}
	})
	bubble(t, "unreadable", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		b.field.Put(cardtest.NewUnreadable())
		b.look()
	})
	for name, step := range map[string]cardtest.Step{
		"request": cardtest.StepRequest, "anticollision": cardtest.StepAnticollision, "select": cardtest.StepSelect,
	} {
		bubble(t, "mute at "+name, func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			c := classic(t, "04A1B2C3D4E5F6")
			b.field.Put(c...)
			started()
			c[0].MuteAt(step)
			b.look()
			c[0].MuteAt(cardtest.NoStep)
			if step == cardtest.StepRequest {
				// It is READY now, unknown to the reader, and takes the next
				// WUPA for an error.
				b.look()
			}
			b.look(c...)
		})
	}
}

// A card is taken away before every single frame of an exchange. That is no
// reader fault, half a UID is never reported, and whoever stays is seen.
func TestCardTakenAwayBeforeEveryFrame(t *testing.T) {
	for n := 1; n <= 24; n++ {
		bubble(t, fmt.Sprintf("alone, frame %d", n), func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			c := newCard(t, "0102030405060708090A", card.MifareUltralight)
			b.field.Put(c)
			started()
			c.LeaveAt(n)
			seen, err := b.Poll(t.Context())
			if err != nil || len(seen) > 1 || len(seen) == 1 && seen[0] != c.Info() {
				t.Fatalf("saw %v, %v", seen, err)
			}
			c.LeaveAt(0)
			b.field.Remove(c)
			b.look()
			b.field.Put(c)
			started()
			b.look(c)
		})
		bubble(t, fmt.Sprintf("one of two, frame %d", n), func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			cards := classic(t, "04A1B2C3D4E5F6", "04A1B2C3D4E5F7")
			b.field.Put(cards...)
			started()
			b.look(cards...)
			cards[n%2].LeaveAt(n)
			seen, err := b.Poll(t.Context())
			if err != nil || !slices.Contains(seen, cards[1-n%2].Info()) {
				t.Fatalf("saw %v, %v", seen, err)
			}
		})
	}
}

// The chip loses its supply for a moment before every single transfer of a
// look. The driver sets it up again on the spot and sees the card.
func TestSupplyDipBeforeEveryTransfer(t *testing.T) {
	for n := 1; n <= 130; n++ {
		bubble(t, fmt.Sprintf("transfer %d", n), func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			c := newCard(t, "04A1B2C3D4E5F6", card.ISO14443_4)
			b.field.Put(c)
			started()
			b.look(c)
			b.chip.BrownOutAt(n)
			b.look(c)
			time.Sleep(50 * time.Millisecond)
			b.look(c)
			if !b.field.RF() {
				t.Error("the field is off")
			}
		})
	}
}

// The same with a bus error in place of every single transfer.
func TestBusErrorAtEveryTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		field := cardtest.NewField()
		port := &flakyPort{PortCloser: mfrc522test.New(field).Port()}
		r, err := mfrc522.New(port, mfrc522.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := newCard(t, "04A1B2C3D4E5F6", card.ISO14443_4)
		field.Put(c)
		started()
		for n := 1; n <= 130; n++ {
			port.failAt = n
			if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 || seen[0] != c.Info() {
				t.Fatalf("transfer %d fails: saw %v, %v", n, seen, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
}

// A bus that stays broken is told with the kernel's own words, and heals.
func TestBrokenBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("input/output error")
		b := newBench(t, mfrc522.Options{})
		c := classic(t, "DEADBEEF")
		b.field.Put(c...)
		started()
		b.chip.FailTransfers(1<<20, broken)
		b.fails(card.ErrBusDead)
		b.fails(broken)
		b.chip.FailTransfers(0, nil)
		b.look(c...)
	})
}

// flakyPort fails one transfer.
type flakyPort struct {
	spi.PortCloser
	failAt int // the transfer from now on that fails; 0 none
}

func (p *flakyPort) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	c, err := p.PortCloser.Connect(f, mode, bits)
	return &flakyConn{c, p}, err
}

type flakyConn struct {
	spi.Conn
	port *flakyPort
}

func (c *flakyConn) fails() error {
	if c.port.failAt > 0 {
		if c.port.failAt--; c.port.failAt == 0 {
			return errors.New("input/output error")
		}
	}
	return nil
}

func (c *flakyConn) Tx(w, r []byte) error {
	if err := c.fails(); err != nil {
		return err
	}
	return c.Conn.Tx(w, r)
}

func (c *flakyConn) TxPackets(p []spi.Packet) error {
	if err := c.fails(); err != nil {
		return err
	}
	return c.Conn.TxPackets(p)
}

// "No card" and "deaf" look alike to a driver that does not ask.
func TestDeafReaderIsReportedAndHeals(t *testing.T) {
	bubble(t, "no reset pin", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		c := classic(t, "DEADBEEF")
		b.field.Put(c...)
		started()
		b.look(c...)
		b.chip.SetFault(mfrc522test.FaultDeaf)
		for range 5 {
			b.fails(card.ErrDeaf)
			time.Sleep(time.Second)
		}
		b.chip.SetFault(mfrc522test.FaultNone)
		b.look(c...)
	})
	bubble(t, "the reset pin mends it", func(t *testing.T) {
		field := cardtest.NewField()
		chip := mfrc522test.New(field)
		r, err := mfrc522.New(chip.Port(), mfrc522.Options{Reset: chip.ResetPin()})
		if err != nil {
			t.Fatal(err)
		}
		c := classic(t, "DEADBEEF")
		field.Put(c...)
		chip.SetFault(mfrc522test.FaultDeaf)
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 {
			t.Fatalf("saw %v, %v", seen, err)
		}
		if n := chip.Stats().HardResets; n != 2 {
			t.Errorf("%d pulses, want one at the start and one for the fault", n)
		}
	})
	bubble(t, "Crypto1 that only a reset clears", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		c := classic(t, "DEADBEEF")
		b.field.Put(c...)
		started()
		b.chip.SetFault(mfrc522test.FaultCrypto1)
		b.look(c...)
	})
	bubble(t, "interrupts never come", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		b.chip.SetFault(mfrc522test.FaultNoIRQ)
		b.fails(card.ErrDeaf)
		b.chip.SetFault(mfrc522test.FaultNone)
		b.look()
	})
	bubble(t, "a reset never ends", func(t *testing.T) {
		start := time.Now()
		chip := mfrc522test.New(cardtest.NewField(), mfrc522test.ResetTime(time.Hour))
		if _, err := mfrc522.New(chip.Port(), mfrc522.Options{}); !errors.Is(err, card.ErrDeaf) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
	bubble(t, "a slow reset", func(t *testing.T) {
		newBench(t, mfrc522.Options{}, mfrc522test.ResetTime(100*time.Millisecond)).look()
	})
}

// A supply that dips between all looks would be healed in silence for ever.
func TestFlappingChipIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		faults := 0
		for range 20 {
			b.chip.BrownOutAt(1)
			if _, err := b.Poll(t.Context()); errors.Is(err, card.ErrDeaf) {
				faults++
			} else if err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if faults < 15 {
			t.Errorf("%d of 20 looks reported", faults)
		}
		if n := strings.Count(b.log.String(), "was reset"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, b.log)
		}
		b.look()
	})
}

// Init hangs and versions of 00 or FF: every loop ends in time, the error says
// that the bus is dead, and the reader heals by itself.
func TestDeadBusIsReportedAndHeals(t *testing.T) {
	for _, fault := range []mfrc522test.Fault{mfrc522test.FaultBusLow, mfrc522test.FaultBusHigh} {
		bubble(t, string(fault), func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			c := classic(t, "DEADBEEF")
			b.field.Put(c...)
			started()
			b.look(c...)
			b.chip.SetFault(fault)
			for range 3 {
				b.fails(card.ErrBusDead)
			}
			b.chip.SetFault(mfrc522test.FaultNone)
			b.look(c...)
		})
		bubble(t, string(fault)+" from the start", func(t *testing.T) {
			chip := mfrc522test.New(cardtest.NewField())
			chip.SetFault(fault)
			if _, err := mfrc522.New(chip.Port(), mfrc522.Options{}); !errors.Is(err, card.ErrBusDead) {
				t.Fatalf("got %v", err)
			}
			chip.SetFault(mfrc522test.FaultNone)
			if _, err := mfrc522.New(chip.Port(), mfrc522.Options{}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Clones often work: one warning, no refusal.
func TestClonesAreWarnedAboutOnce(t *testing.T) {
	for version, warnings := range map[byte]int{0x91: 0, 0x92: 0, 0x88: 1, 0xB2: 1, 0x12: 1, 0x90: 1} {
		bubble(t, fmt.Sprintf("%02X", version), func(t *testing.T) {
			b := newBench(t, mfrc522.Options{}, mfrc522test.Version(version))
			c := classic(t, "DEADBEEF")
			b.field.Put(c...)
			started()
			b.look(c...)
			b.chip.BrownOutAt(1)
			b.look(c...)
			if b.Version() != fmt.Sprintf("%02X", version) {
				t.Errorf("version %s", b.Version())
			}
			if n := strings.Count(b.log.String(), `level=WARN msg="the reader chip is a copy`); n != warnings {
				t.Errorf("%d warnings, want %d:\n%s", n, warnings, b.log)
			}
		})
	}
}

// A random UID stays the same for as long as the card lies there.
func TestRandomUID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		c, err := cardtest.NewRandom(card.ISO14443_4, 1)
		if err != nil {
			t.Fatal(err)
		}
		b.field.Put(c)
		started()
		first := c.UID()
		for range 20 {
			b.look(c)
			time.Sleep(50 * time.Millisecond)
		}
		if c.UID() != first || !first.Random() {
			t.Errorf("%v became %v", first, c.UID())
		}
	})
}

// A driver that switches the field just before each request never reads a card
// that needs time to start.
func TestProcessorCardHasTimeToStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		field := cardtest.NewField()
		c := newCard(t, "0582C7204CA100", card.ISO14443_4)
		field.Put(c)
		chip := mfrc522test.New(field)
		r, err := mfrc522.New(chip.Port(), mfrc522.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 {
			t.Errorf("first look: saw %v, %v", seen, err)
		}
		// One that takes longer than the standard lets it is seen a look later.
		slow := newCard(t, "0582C7204CA101", card.ISO14443_4)
		slow.SetStartup(20 * time.Millisecond)
		field.Put(slow)
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 {
			t.Errorf("second look: saw %v, %v", seen, err)
		}
		time.Sleep(50 * time.Millisecond)
		if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 2 {
			t.Errorf("third look: saw %v, %v", seen, err)
		}
	})
}

// Most looks see nobody, and there are twenty in a second. A transfer costs the
// machine 20 to 60 µs.
func TestLooksAreCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		costs := func(transfers, frames int64, cards ...*cardtest.Card) {
			t.Helper()
			before := b.chip.Stats()
			b.look(cards...)
			after := b.chip.Stats()
			if n := after.Transfers - before.Transfers; n > transfers {
				t.Errorf("%d transfers at %d cards, want at most %d", n, len(cards), transfers)
			}
			if n := after.Frames - before.Frames; n > frames {
				t.Errorf("%d frames at %d cards, want at most %d", n, len(cards), frames)
			}
		}
		costs(3, 1)
		c := classic(t, "04A1B2C3D4E5F6")
		b.field.Put(c...)
		started()
		for range 3 {
			costs(16, 7, c...)
		}
	})
}

func TestSecondClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		for range 3 {
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if b.field.RF() {
			t.Error("the field is still on")
		}
		if _, err := b.Poll(t.Context()); err == nil {
			t.Error("a closed reader looked")
		}
	})
	bubble(t, "on a dead bus", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{})
		b.chip.FailTransfers(100, errors.New("gone"))
		if err := b.Close(); !errors.Is(err, card.ErrBusDead) {
			t.Errorf("got %v", err)
		}
		if err := b.Close(); err != nil {
			t.Errorf("the second time: %v", err)
		}
	})
}

// A context ends a look between two cards, whenever it comes, and leaves none
// awake.
func TestCancelledLookLeavesNoCardActive(t *testing.T) {
	for n := range 40 {
		bubble(t, fmt.Sprint(n), func(t *testing.T) {
			b := newBench(t, mfrc522.Options{})
			cards := classic(t, "04A1B2C3D4E5F6", "04A1B2C3D4E5F7", "04A1B2C3D4E5F8", "04A1B2C3D4E5F9", "DEADBEEF")
			b.field.Put(cards...)
			started()
			limit := time.Duration(n) * time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			start := time.Now()
			seen, err := b.Poll(ctx)
			if took := time.Since(start); took > limit+20*time.Millisecond {
				t.Errorf("ended %v after the context", took-limit)
			}
			if ctx.Err() != nil && (!errors.Is(err, context.DeadlineExceeded) || seen != nil) {
				t.Errorf("saw %v, %v", seen, err)
			}
			for _, c := range cards {
				if s := c.State(); s != cardtest.Halt && s != cardtest.Idle {
					t.Errorf("%v is left in %s", c.UID(), s)
				}
			}
			b.look(cards...)
		})
	}
}

// brokenPin is a reset pin that somebody else holds.
type brokenPin struct{ gpiotest.Pin }

func (*brokenPin) Out(gpio.Level) error { return errors.New("device or resource busy") }

func TestResetPin(t *testing.T) {
	bubble(t, "none", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{Reset: nil})
		b.look()
	})
	bubble(t, "refuses", func(t *testing.T) {
		b := newBench(t, mfrc522.Options{Reset: &brokenPin{}})
		b.look()
		b.chip.BrownOutAt(1)
		b.look()
		if n := strings.Count(b.log.String(), "reset pin"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, b.log)
		}
	})
}

func TestOptions(t *testing.T) {
	for db, code := range map[int]byte{0: 4, 18: 0, 23: 1, 33: 4, 38: 5, 43: 6, 48: 7} {
		bubble(t, fmt.Sprintf("%d dB", db), func(t *testing.T) {
			if got := newBench(t, mfrc522.Options{GainDB: db}).chip.Register(0x26) >> 4; got != code {
				t.Errorf("RxGain %d, want %d", got, code)
			}
		})
	}
	for name, o := range map[string]mfrc522.Options{
		"gain": {GainDB: 40}, "speed": {Speed: 11 * physic.MegaHertz}, "negative speed": {Speed: -1},
	} {
		if _, err := mfrc522.New(mfrc522test.New(cardtest.NewField()).Port(), o); err == nil || errors.Is(err, card.ErrBusDead) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, f := range []physic.Frequency{100 * physic.KiloHertz, physic.MegaHertz, 4 * physic.MegaHertz, 10 * physic.MegaHertz} {
		bubble(t, f.String(), func(t *testing.T) {
			b := newBench(t, mfrc522.Options{Speed: f})
			c := classic(t, "04A1B2C3D4E5F6")
			b.field.Put(c...)
			started()
			b.look(c...)
		})
	}
}

// BenchmarkPoll measures a look in real time, most of which is asleep: what the
// machine has to do is the transfers, each of them a call of the kernel, and the
// processor time. Beside them stands what the transfers were when each register
// was written in one of its own.
func BenchmarkPoll(b *testing.B) {
	for _, c := range []struct {
		name   string
		uids   []string
		before float64
	}{{"Idle", nil, 10}, {"OneCard", []string{"04A1B2C3D4E5F6"}, 66}} {
		b.Run(c.name, func(b *testing.B) {
			bench := newBench(b, mfrc522.Options{})
			bench.field.Put(classic(b, c.uids...)...)
			time.Sleep(10 * time.Millisecond)
			before, cpu := bench.chip.Stats().Transfers, cpuTime(b)
			b.ReportAllocs()
			for b.Loop() {
				if seen, err := bench.Poll(b.Context()); err != nil || len(seen) != len(c.uids) {
					b.Fatalf("saw %v, %v", seen, err)
				}
			}
			b.ReportMetric(float64(bench.chip.Stats().Transfers-before)/float64(b.N), "transfers/op")
			b.ReportMetric(c.before, "transfers-before/op")
			b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N)/1e3, "cpu-µs/op")
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
