package readertest

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// scanEvery is how often a door scans unless told otherwise.
const scanEvery = 50 * time.Millisecond

// bench is a driver on its chip with a field before it.
type bench struct {
	*testing.T
	subject Subject
	reading string
	field   *cardtest.Field
	chip    Chip
	wire    *wire
	reader  Reader
	log     *strings.Builder
	dirty   bool // what the chip saw is not all the driver's doing
}

func newBench(t *testing.T, s Subject, reading string) *bench {
	t.Helper()
	b := &bench{T: t, subject: s, reading: reading, log: new(strings.Builder)}
	b.build()
	b.open()
	return b
}

// build makes another chip before another field.
func (b *bench) build() {
	b.field = cardtest.NewField()
	b.chip = b.subject.Chip(b.field, b.reading)
	b.wire = &wire{PortCloser: b.chip.Port(), t: b.T}
}

// open has the driver connect to the chip.
func (b *bench) open() {
	b.Helper()
	r, err := b.connect()
	if err != nil {
		b.Fatalf("open: %v", err)
	}
	b.reader = r
}

func (b *bench) connect() (Reader, error) {
	return b.subject.Open(b.wire, b.chip, slog.New(slog.NewTextHandler(b.log, nil)))
}

// again is a fresh start of the same scene: another chip, another field.
func (b *bench) again() {
	b.Helper()
	b.end()
	b.build()
	b.open()
}

// end looks whether the driver kept to the data sheet.
func (b *bench) end() {
	b.Helper()
	if b.subject.Violations == nil || b.dirty {
		return
	}
	for _, v := range b.subject.Violations(b.chip) {
		b.Errorf("violation: %s", v)
	}
}

// started waits until newly laid cards have started up.
func (b *bench) started() { time.Sleep(10 * time.Millisecond) }

func (b *bench) card(uid string, technology card.Technology) *cardtest.Card {
	b.Helper()
	u, err := card.ParseUID(uid)
	if err != nil {
		b.Fatal(err)
	}
	c, err := cardtest.New(u, technology)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// put lays cards of one technology into the field and lets them start.
func (b *bench) put(technology card.Technology, uids ...string) (cards []*cardtest.Card) {
	b.Helper()
	for _, u := range uids {
		cards = append(cards, b.card(u, technology))
	}
	b.field.Put(cards...)
	b.started()
	return cards
}

func (b *bench) classic(uids ...string) []*cardtest.Card {
	b.Helper()
	return b.put(card.MifareClassic1K, uids...)
}

// poll scans once, and bounds how long that may take.
func (b *bench) poll() ([]card.Card, error) {
	b.Helper()
	start := time.Now()
	seen, err := b.reader.Poll(context.Background())
	if took := time.Since(start); took > b.subject.Limits.Worst {
		b.Errorf("a scan took %v", took)
	}
	if err != nil && seen != nil {
		b.Errorf("cards beside an error: %v, %v", seen, err)
	}
	return seen, err
}

// scan polls once and wants exactly these cards, each once.
func (b *bench) scan(want ...*cardtest.Card) {
	b.Helper()
	seen, err := b.poll()
	if err != nil {
		b.Fatalf("scan: %v\n%s", err, b.log)
	}
	if got, wanted := sortedUIDs(seen), sortedCards(want); !slices.Equal(got, wanted) {
		b.Fatalf("saw %v, want %v", got, wanted)
	}
}

// settles polls as often as the driver may take after a disturbance, and wants
// exactly these cards at last. On the way it may see fewer, and fail.
func (b *bench) settles(want ...*cardtest.Card) {
	b.Helper()
	wanted := sortedCards(want)
	var got []string
	var err error
	for range max(b.subject.Limits.Settles, 1) {
		var seen []card.Card
		seen, err = b.poll()
		b.onlyOf(seen, want...)
		if got = sortedUIDs(seen); err == nil && slices.Equal(got, wanted) {
			return
		}
		b.pause()
	}
	b.Fatalf("saw %v, %v at last, want %v", got, err, wanted)
}

// onlyOf wants no card seen but these.
func (b *bench) onlyOf(seen []card.Card, there ...*cardtest.Card) {
	b.Helper()
	for _, s := range seen {
		if !slices.ContainsFunc(there, func(c *cardtest.Card) bool { return c.UID() == s.UID }) {
			b.Fatalf("saw %v, which is not there", s.UID)
		}
	}
}

// fails polls once and wants an error.
func (b *bench) fails(want error) {
	b.Helper()
	if seen, err := b.poll(); !errors.Is(err, want) {
		b.Fatalf("saw %v, %v, want %v", seen, err, want)
	}
}

// pause is the time from one scan to the next.
func (b *bench) pause() { time.Sleep(scanEvery) }

func sortedUIDs(cards []card.Card) (uids []string) {
	for _, c := range cards {
		uids = append(uids, c.UID.String())
	}
	slices.Sort(uids)
	return uids
}

func sortedCards(cards []*cardtest.Card) (uids []string) {
	for _, c := range cards {
		uids = append(uids, c.UID().String())
	}
	slices.Sort(uids)
	return uids
}

// taps counts the arrivals that a door makes of what so many scans see.
func (b *bench) taps(scans int) (taps int) {
	b.Helper()
	tracker := card.NewTracker(3)
	for range scans {
		seen, err := b.poll()
		if err != nil {
			b.Fatal(err)
		}
		arrived, _ := tracker.Observe(seen)
		taps += len(arrived)
		b.pause()
	}
	return taps
}

// hears polls for five seconds and wants the card seen, or an error from some moment
// on. Nothing else may be seen in any case.
func (b *bench) hears(c *cardtest.Card) {
	b.Helper()
	var err error
	for range 5 * time.Second / scanEvery {
		var seen []card.Card
		seen, err = b.poll()
		b.onlyOf(seen, c)
		if len(seen) > 0 {
			return
		}
		b.pause()
	}
	if err == nil {
		b.Error("deaf for 5s without a word")
	}
}

// wire is the port that the driver gets. It counts what goes over it, fails one
// transfer on demand, and wants no transfer after it was closed.
type wire struct {
	spi.PortCloser
	t         testing.TB
	bytes     int // clocked
	transfers int
	failAt    int  // the transfer from now on that fails; 0 none
	dies      bool // and all after it
	closed    int
}

var errIO = errors.New("input/output error")

// Close implements spi.PortCloser.
func (w *wire) Close() error {
	w.closed++
	return w.PortCloser.Close()
}

// Connect implements spi.Port.
func (w *wire) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	c, err := w.PortCloser.Connect(f, mode, bits)
	return wireConn{c, w}, err
}

type wireConn struct {
	spi.Conn
	wire *wire
}

func (c wireConn) passes(n int) error {
	w := c.wire
	if w.closed > 0 {
		w.t.Error("a transfer after Close")
	}
	w.transfers++
	w.bytes += n
	if w.failAt > 0 {
		if w.failAt--; w.failAt == 0 {
			if w.dies {
				w.failAt = 1
			}
			return errIO
		}
	}
	return nil
}

// Tx implements conn.Conn.
func (c wireConn) Tx(w, r []byte) error {
	if err := c.passes(max(len(w), len(r))); err != nil {
		return err
	}
	return c.Conn.Tx(w, r)
}

// TxPackets implements spi.Conn.
func (c wireConn) TxPackets(packets []spi.Packet) error {
	n := 0
	for _, p := range packets {
		n += max(len(p.W), len(p.R))
	}
	if err := c.passes(n); err != nil {
		return err
	}
	return c.Conn.TxPackets(packets)
}
