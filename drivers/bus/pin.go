package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"periph.io/x/conn/v3/driver/driverreg"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/host/v3/gpioioctl"
)

// ErrNoPin means that the machine has no pin of that name. No waiting mends it.
var ErrNoPin = errors.New("no such pin")

// Pin returns a pin of the header by its name, such as "GPIO25".
//
// The chips of a Pi are numbered differently from model to model and from
// kernel to kernel, but the one that drives the header is always labelled
// pinctrl-something (pinctrl-bcm2711, pinctrl-rp1). Pins of other chips, such
// as the expander that holds the power button's line, are never returned.
//
// periph looks for the chips once in the life of a process: a chip that was
// missing or not permitted then is found after a restart only.
func Pin(name string) (gpio.PinIO, error) {
	state, err := driverreg.Init()
	if err != nil {
		return nil, fmt.Errorf("open pin %q: %w", name, err)
	}
	line, err := find(gpioioctl.Chips, name)
	if err == nil {
		return line, nil
	}
	for _, f := range state.Failed {
		if f.D.String() == "ioctl-gpio" {
			err = fmt.Errorf("%w (%w)", err, f.Err)
		}
	}
	return nil, fmt.Errorf("open pin %q: %w", name, err)
}

// chip is the part of gpioioctl.GPIOChip that the search needs.
type chip interface {
	Label() string
	Name() string
	ByName(name string) *gpioioctl.GPIOLine
}

// find looks for the pin on the chips that drive a header.
func find[C chip](chips []C, name string) (gpio.PinIO, error) {
	header := false
	for _, c := range chips {
		if !strings.HasPrefix(c.Label(), "pinctrl-") {
			continue
		}
		header = true
		// gpioioctl puts the chip's name before a line's name that was taken
		// by then.
		for _, alias := range []string{name, c.Name() + "-" + name} {
			if line := c.ByName(alias); line != nil && name != "" {
				return line, nil
			}
		}
	}
	if !header {
		return nil, fmt.Errorf("%w: this machine shows no header (no GPIO chip labelled pinctrl-*): "+
			"is it a Raspberry Pi, and is the user in the group gpio?", fs.ErrNotExist)
	}
	return nil, fmt.Errorf("%w: names are GPIO2 to GPIO27, as in the pin-out of the header", ErrNoPin)
}
