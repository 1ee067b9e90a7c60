package bus

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"periph.io/x/host/v3/gpioioctl"

	"presence/drivers/card"
)

func TestMissingBusIsAnErrorWithAdvice(t *testing.T) {
	_, err := OpenSPI("/dev/spidev31999.250")
	if !errors.Is(err, card.ErrBusDead) || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v, want bus dead because the file is missing", err)
	}
	for _, word := range []string{"/dev/spidev31999.250", "dtparam=spi=on"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

func TestForbiddenBusNamesTheGroup(t *testing.T) {
	err := spiError("/dev/spidev0.0", &fs.PathError{Op: "open", Path: "/dev/spidev0.0", Err: os.ErrPermission})
	if !errors.Is(err, card.ErrBusDead) || !strings.Contains(err.Error(), "group spi") {
		t.Errorf("got %q", err)
	}
	if n := strings.Count(err.Error(), "/dev/spidev0.0"); n != 1 {
		t.Errorf("%q names the device %d times", err, n)
	}
}

func TestErrorWithoutPathNamesTheDevice(t *testing.T) {
	err := spiError("/dev/spidev0.0", errors.New("sysfs-spi: odd"))
	if !strings.Contains(err.Error(), "/dev/spidev0.0") {
		t.Errorf("got %q", err)
	}
}

func TestOddNamesAreRefused(t *testing.T) {
	for _, path := range []string{"", "/dev/spidev0", "/dev/spidev0.0.0", "/dev/spidev-1.0", "../dev/spidev0.0", "/dev/null", "/dev/spidev0.0\n"} {
		if _, err := OpenSPI(path); !errors.Is(err, card.ErrBusDead) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// TestMachineWithoutPins runs on a machine without a Pi's header, as build
// machines are; on a Pi it asks for a pin that no Pi has.
func TestMachineWithoutPins(t *testing.T) {
	for range 2 {
		if pin, err := Pin("GPIO9999"); err == nil {
			t.Fatalf("got %v", pin)
		} else if !strings.Contains(err.Error(), "GPIO9999") {
			t.Errorf("%q does not name the pin", err)
		}
	}
}

// fakeChip has lines but no device; a GPIOLine without one is enough to be
// found.
type fakeChip struct {
	label, name string
	lines       map[string]*gpioioctl.GPIOLine
}

func (c fakeChip) Label() string                          { return c.label }
func (c fakeChip) Name() string                           { return c.name }
func (c fakeChip) ByName(name string) *gpioioctl.GPIOLine { return c.lines[name] }

func TestPinIsTakenFromTheHeader(t *testing.T) {
	expander, header, renamed := new(gpioioctl.GPIOLine), new(gpioioctl.GPIOLine), new(gpioioctl.GPIOLine)
	chips := []fakeChip{
		{"raspberrypi-exp-gpio", "gpiochip1", map[string]*gpioioctl.GPIOLine{"GPIO25": expander, "PWR_LED": expander}},
		{"pinctrl-rp1", "gpiochip0", map[string]*gpioioctl.GPIOLine{"GPIO25": header, "gpiochip0-GPIO24": renamed}},
	}
	if got, err := find(chips, "GPIO25"); err != nil || got != header {
		t.Errorf("GPIO25: %p %v, want the header's %p", got, err, header)
	}
	if got, err := find(chips, "GPIO24"); err != nil || got != renamed {
		t.Errorf("GPIO24: %p %v, want %p", got, err, renamed)
	}
	for _, name := range []string{"", "PWR_LED", "GPIO99", "gpio25"} {
		if _, err := find(chips, name); !errors.Is(err, ErrNoPin) {
			t.Errorf("%q: %v, want no such pin", name, err)
		}
	}
	if _, err := find(chips[:1], "GPIO25"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "group gpio") {
		t.Errorf("without a header: %v", err)
	}
}
