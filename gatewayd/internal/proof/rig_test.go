package proof_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/cardtest/applets"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
	"presence/drivers/pn532"
	"presence/drivers/pn532/pn532test"
	"presence/gatewayd/internal/door"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/proof"
)

// reader is a kind of reader: the chip in software and its real driver.
type reader struct {
	name string
	chip func(*cardtest.Field) chip
	open func(spi.Port) (card.Reader, error)
}

type chip interface {
	Port() spi.PortCloser
	SetNoise(cardtest.Noise)
}

func readers() []reader {
	return []reader{
		{"mfrc522", func(f *cardtest.Field) chip { return mfrc522test.New(f) }, func(p spi.Port) (card.Reader, error) {
			return mfrc522.New(p, mfrc522.Options{})
		}},
		{"pn532", func(f *cardtest.Field) chip { return pn532test.New(f) }, func(p spi.Port) (card.Reader, error) {
			return pn532.New(p, pn532.Options{})
		}},
	}
}

const (
	// gatewayID is the gateway's, which cards sign.
	gatewayID = "dinkes-01"

	// poll is from one scan to the next.
	poll = 50 * time.Millisecond

	// perTransfer is what a Pi's kernel needs for a transfer beside its bytes.
	perTransfer = 15 * time.Microsecond
)

// stream is the gateway's stream of events, which cards sign.
func stream() presence.ID { return presence.ID{7, 7} }

// bus is a port that knows how long its transfers take. The bytes themselves take no
// virtual time: the chip in software counts them on its own clock, and so is it done here.
type bus struct {
	spi.PortCloser
	perByte time.Duration
	bytes   atomic.Int64
}

func (b *bus) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	conn, err := b.PortCloser.Connect(f, mode, bits)
	b.perByte = 8 * f.Period()
	return &line{conn, b}, err
}

// took is how long all bytes have taken until now.
func (b *bus) took() time.Duration { return time.Duration(b.bytes.Load()) * b.perByte }

type line struct {
	spi.Conn
	bus *bus
}

func (l *line) Tx(w, r []byte) error {
	l.bus.bytes.Add(int64(max(len(w), len(r))))
	time.Sleep(perTransfer)
	return l.Conn.Tx(w, r)
}

func (l *line) TxPackets(p []spi.Packet) error {
	for _, one := range p {
		l.bus.bytes.Add(int64(max(len(one.W), len(one.R))))
	}
	time.Sleep(perTransfer)
	return l.Conn.TxPackets(p)
}

// office is a door with the real driver over a chip in software, and the real prover. All
// of it is in one bubble of virtual time.
type office struct {
	t      *testing.T
	field  *cardtest.Field
	chip   chip
	bus    *bus
	door   *door.Door
	prover *proof.Prover
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu       sync.Mutex
	drafts   []presence.Draft
	answers  []presence.Answer
	attempts []time.Duration // that Prove took
}

// openOffice opens the door. demanding says that everybody is enrolled as one who proves
// who he is; trusting, that nothing is configured by which that could be done.
func openOffice(t *testing.T, r reader, demanding, trusting bool) *office {
	t.Helper()
	o := &office{t: t, field: cardtest.NewField()}
	o.chip = r.chip(o.field)
	o.bus = &bus{PortCloser: o.chip.Port()}
	opt := proof.Options{
		Gateway: gatewayID, Stream: stream, StateDir: t.TempDir(), Badges: presence.PlainBadges(),
		Between: func(r presence.Reading) (time.Time, time.Time) {
			return r.WallTime().Add(-time.Second), r.WallTime().Add(time.Second)
		},
		Log: slog.New(slog.DiscardHandler),
	}
	if !trusting {
		opt.Authority, opt.Simulated = authorityOf(t), keys{}
	}
	o.prover = proof.New(opt)
	least := func([]byte) card.Assurance { return card.AssuranceUID }
	if demanding {
		least = func([]byte) card.Assurance { return card.AssuranceDESFire }
	}
	started := time.Now()
	o.door = door.New(door.Options{
		Badges: presence.PlainBadges(), Journal: o, Lamp: o, Prover: o, Least: least, Log: slog.New(slog.DiscardHandler),
		Now: func() presence.Reading {
			return presence.Reading{
				Boot: presence.ID{1}, Boottime: time.Minute + time.Since(started), Wall: time.Now().UnixNano(), State: presence.ClockSynced,
			}
		},
		Observe: func(a presence.Answer) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.answers = append(o.answers, a)
		},
	}, "door")
	ctx, cancel := context.WithCancel(t.Context())
	o.cancel = cancel
	o.tasks.Go(func() {
		_ = o.door.Run(ctx, door.Reader{Name: "door", Poll: poll, Open: func(context.Context) (card.Reader, error) {
			return r.open(o.bus)
		}})
	})
	return o
}

func authorityOf(t *testing.T) *proof.Authority {
	t.Helper()
	ca, err := applets.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	a, err := proof.ParseAuthority(ca.PEM(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (o *office) close() {
	o.cancel()
	o.tasks.Wait()
}

// keys are those of simulated cards.
type keys struct{}

func (keys) KeyOf(uid card.UID) proof.CardKey {
	return proof.CardKey{No: applets.KeyNumber, Key: applets.CardKey([7]byte(uid.Bytes()))}
}

func (keys) KeyOfNumber(number [16]byte) proof.CardKey {
	return proof.CardKey{No: applets.KeyNumber, Key: applets.NumberKey(number)}
}

// Append implements door.Journal.
func (o *office) Append(_ context.Context, d presence.Draft) (presence.Entry, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drafts = append(o.drafts, d)
	return presence.Entry{Record: presence.Record{Stream: stream(), Seq: uint64(len(o.drafts)), Draft: d}}, nil
}

// Show implements door.Lamp.
func (*office) Show(presence.Outcome) {}

// Prove implements door.Prover, and takes the time.
func (o *office) Prove(ctx context.Context, s card.Selector, c card.Card, seen presence.Reading) (presence.Identity, error) {
	start := time.Now()
	id, err := o.prover.Prove(ctx, s, c, seen)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.attempts = append(o.attempts, time.Since(start))
	return id, err
}

// answered returns the answers to cards from the nth on.
func (o *office) answered(from int) []presence.Answer {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]presence.Answer(nil), o.answers[from:]...)
}
