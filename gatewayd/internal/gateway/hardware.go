package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"

	"periph.io/x/conn/v3/gpio"

	"presence/config"
	"presence/drivers/card"
	"presence/drivers/lamp"
	"presence/drivers/serial"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/presence"
)

// clockSource opens the clock that [clock] source names, unless another one is
// given. The mock is nil but for "sim".
func clockSource(name string, given clock.Source) (source clock.Source, mock *clock.Sim, err error) {
	if given != nil {
		return given, nil, nil
	}
	switch name {
	case "sim":
		if mock, err = clock.NewSim(); err != nil {
			return nil, nil, err
		}
		return mock, mock, nil
	case "trust":
		source, err = clock.NewTrusted()
	default:
		source, err = clock.NewKernel()
	}
	return source, nil, err
}

// openLamp opens those of the lamp's pins that it can. An error tells which pins
// cannot be opened; the lamp does without them.
func openLamp(f config.Feedback, open func(name string) (gpio.PinIO, error), log *slog.Logger) (*lamp.Lamp, error) {
	var faults []error
	pin := func(key, name string) gpio.PinOut {
		if name == "" {
			return nil
		}
		p, err := open(name)
		if err != nil {
			faults = append(faults, err)
			return nil
		}
		if slices.Contains(f.Invert, key) {
			return lamp.Inverted(p)
		}
		return p
	}
	l := lamp.New(lamp.Pins{Green: pin("green", f.Green), Red: pin("red", f.Red), Buzzer: pin("buzzer", f.Buzzer)}, log)
	return l, errors.Join(faults...)
}

// signals shows the door's answers on the lamp.
type signals struct{ lamp *lamp.Lamp }

// Show implements door.Lamp.
func (s signals) Show(o presence.Outcome) {
	switch o {
	case presence.Accepted:
		s.lamp.Show(lamp.Accepted)
	case presence.Repeat:
		s.lamp.Show(lamp.Repeat)
	case presence.Refused:
		s.lamp.Show(lamp.Refused)
	}
}

// readerOpener returns how a reader is opened: over the real bus, or over a mocked
// chip that lives as long as the gateway.
func (g *Gateway) readerOpener(r config.Reader) func(context.Context) (card.Reader, error) {
	if g.around.reader != nil {
		return func(ctx context.Context) (card.Reader, error) { return g.around.reader(ctx, r) }
	}
	open := func() (configured.Chip, error) { return configured.OpenChip(r, g.log) }
	if r.Bus == config.SimBus {
		open = configured.MockReader(g.mocks, r, g.log)
	}
	return func(context.Context) (card.Reader, error) {
		chip, err := open()
		if err != nil {
			return nil, err // and no reader that is a nil chip
		}
		return chip, nil
	}
}

// portOpener returns how the serial port of a receiver is opened.
func (g *Gateway) portOpener(r config.Receiver) func(context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) {
		if g.around.port != nil {
			return g.around.port(ctx, r)
		}
		return serial.Open(serial.Config{Port: r.Port, Baud: r.Baud})
	}
}
