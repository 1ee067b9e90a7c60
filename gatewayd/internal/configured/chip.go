package configured

import (
	"errors"
	"log/slog"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/config"
	"presence/drivers/bus"
	"presence/drivers/mfrc522"
)

// ChipOptions are what the configuration says of a reader's chip, pins aside.
func ChipOptions(r config.Reader, log *slog.Logger) mfrc522.Options {
	return mfrc522.Options{
		Speed:  physic.Frequency(r.SpeedHz) * physic.Hertz,
		GainDB: r.GainDB,
		Log:    log.With("reader", r.Name),
	}
}

// OpenChip opens the chip of a reader that is wired to this machine, with its
// pins.
func OpenChip(r config.Reader, log *slog.Logger) (*mfrc522.Reader, error) {
	opt := ChipOptions(r, log)
	if r.ResetPin != "" {
		pin, err := bus.Pin(r.ResetPin)
		if err != nil {
			return nil, err
		}
		opt.Reset = pin
	}
	if r.IRQPin != "" {
		// Only ever a hint: without it the reader is as good.
		if pin, err := bus.Pin(r.IRQPin); err != nil {
			opt.Log.Warn("cannot open the interrupt pin, the reader works without it", "error", err)
		} else {
			opt.IRQ = pin
		}
	}
	port, err := bus.OpenSPI(r.Bus)
	if err != nil {
		return nil, err
	}
	return NewChip(port, opt)
}

// NewChip makes the driver own the port.
func NewChip(port spi.PortCloser, opt mfrc522.Options) (*mfrc522.Reader, error) {
	reader, err := mfrc522.New(port, opt)
	if err != nil {
		return nil, errors.Join(err, port.Close())
	}
	return reader, nil
}
