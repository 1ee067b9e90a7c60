package configured

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/config"
	"presence/drivers/bus"
	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
	"presence/drivers/pn532"
	"presence/drivers/pn532/pn532test"
	"presence/gatewayd/internal/sim"
)

// Chip is a reader chip's driver, as far as the gateway and its doctor use it.
type Chip interface {
	card.Reader
	card.Counter
	card.Selector

	// SelfTest has the chip test itself, and leaves the reader as it was. An error
	// wraps card.ErrNoReference where nobody knows what the test has to find, and
	// else says what Poll's would.
	SelfTest(ctx context.Context) error
}

// chip is a kind of reader chip.
type chip struct {
	name string // in the configuration: reader.chip

	// open has a driver connect to the chip on a port. Once it has succeeded, the
	// driver closes the port.
	open func(port spi.PortCloser, r config.Reader, p pins, log *slog.Logger) (Chip, error)

	// mock makes such a chip in software, over a field of cards.
	mock func(field *cardtest.Field) sim.Chip

	// look is how long the driver looks at an empty field at most.
	look time.Duration
}

// pins are those of a reader beside its bus, nil where none is wired.
type pins struct {
	reset gpio.PinOut
	irq   gpio.PinIn
}

// chips is the table of the chips that have a driver: a new one is a row here, and
// one in config/hardware.go.
func chips() []chip {
	return []chip{
		{"mfrc522", openMFRC522, func(field *cardtest.Field) sim.Chip { return mfrc522test.New(field) }, 3 * time.Millisecond},
		{"pn532", openPN532, func(field *cardtest.Field) sim.Chip { return pn532test.New(field) }, 100 * time.Millisecond},
	}
}

func openMFRC522(port spi.PortCloser, r config.Reader, p pins, log *slog.Logger) (Chip, error) {
	reader, err := mfrc522.New(port, mfrc522.Options{
		Speed: physic.Frequency(r.SpeedHz) * physic.Hertz, GainDB: r.GainDB, Reset: p.reset, IRQ: p.irq, Log: log,
	})
	if err != nil {
		return nil, err // and no Chip that is a nil *mfrc522.Reader
	}
	return reader, nil
}

func openPN532(port spi.PortCloser, r config.Reader, p pins, log *slog.Logger) (Chip, error) {
	reader, err := pn532.New(port, pn532.Options{
		Speed: physic.Frequency(r.SpeedHz) * physic.Hertz, Reset: p.reset, IRQ: p.irq, Log: log,
	})
	if err != nil {
		return nil, err // and no Chip that is a nil *pn532.Reader
	}
	return reader, nil
}

// chipOf finds the row of a reader's chip.
func chipOf(r config.Reader) (chip, error) {
	for _, c := range chips() {
		if c.name == r.Chip {
			return c, nil
		}
	}
	return chip{}, fmt.Errorf("reader %q: no driver for chip %q", r.Name, r.Chip)
}

// OpenChip opens the chip of a reader that is wired to this machine, with its
// pins.
func OpenChip(r config.Reader, log *slog.Logger) (Chip, error) {
	var p pins
	if r.ResetPin != "" {
		pin, err := bus.Pin(r.ResetPin)
		if err != nil {
			return nil, err
		}
		p.reset = pin
	}
	if r.IRQPin != "" {
		// Only ever a hint: without it the reader is as good.
		if pin, err := bus.Pin(r.IRQPin); err != nil {
			log.With("reader", r.Name).Warn("cannot open the interrupt pin, the reader works without it", "error", err)
		} else {
			p.irq = pin
		}
	}
	port, err := bus.OpenSPI(r.Bus)
	if err != nil {
		return nil, err
	}
	return openChip(port, r, p, log)
}

// openChip opens a reader's chip on a port, which the driver owns from then on.
func openChip(port spi.PortCloser, r config.Reader, p pins, log *slog.Logger) (Chip, error) {
	c, err := chipOf(r)
	if err != nil {
		return nil, errors.Join(err, port.Close())
	}
	reader, err := c.open(port, r, p, log.With("reader", r.Name))
	if err != nil {
		return nil, errors.Join(err, port.Close())
	}
	return reader, nil
}

// MockReader adds a reader to the mocked hardware, with a chip in software that
// lives as long as the hardware. The returned function opens that chip.
func MockReader(hardware *sim.Hardware, r config.Reader, log *slog.Logger) (open func() (Chip, error)) {
	c, err := chipOf(r)
	if err != nil {
		return func() (Chip, error) { return nil, err }
	}
	mocked := hardware.Add(r.Name, max(r.Poll, c.look), c.mock)
	return func() (Chip, error) {
		chip, err := openChip(mocked.Chip.Port(), r, pins{}, log)
		if err != nil {
			return nil, err
		}
		return counted{chip, mocked.Scanned}, nil
	}
}

// counted is a chip that tells of each scan that succeeded.
type counted struct {
	Chip
	scanned func()
}

// Poll implements card.Reader.
func (c counted) Poll(ctx context.Context) ([]card.Card, error) {
	cards, err := c.Chip.Poll(ctx)
	if err == nil {
		c.scanned()
	}
	return cards, err
}
