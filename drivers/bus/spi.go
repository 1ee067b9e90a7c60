package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"

	"periph.io/x/conn/v3/spi"
	"periph.io/x/host/v3/sysfs"

	"presence/drivers/card"
)

// spidev is the name of an SPI port: bus and chip select.
var spidev = regexp.MustCompile(`^/dev/spidev([0-9]{1,5})\.([0-9]{1,3})$`)

// OpenSPI opens an SPI port such as "/dev/spidev0.0". Each failure wraps
// card.ErrBusDead and says what to do; none of them is final, so that the
// caller may try again later.
func OpenSPI(path string) (spi.PortCloser, error) {
	m := spidev.FindStringSubmatch(path)
	if m == nil {
		return nil, fmt.Errorf("open SPI port %q: %w: want a name such as /dev/spidev0.0", path, card.ErrBusDead)
	}
	// The expression admits only digits, and few enough of them.
	number, _ := strconv.Atoi(m[1])
	chipSelect, _ := strconv.Atoi(m[2])

	// sysfs.NewSPI turns the kernel's error into text, so the kernel is asked
	// here first, where the error can still be understood.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, spiError(path, err)
	}
	if err := f.Close(); err != nil {
		return nil, spiError(path, err)
	}
	port, err := sysfs.NewSPI(number, chipSelect)
	if err != nil {
		return nil, spiError(path, err)
	}
	return port, nil
}

// spiError adds to the kernel's error what to do about it.
func spiError(path string, err error) error {
	advice := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		advice = "; SPI is switched off or the name is wrong: put dtparam=spi=on into /boot/firmware/config.txt and reboot"
	case errors.Is(err, fs.ErrPermission):
		advice = "; add the user to the group spi, and check that /dev/spidev* belongs to that group"
	}
	return fmt.Errorf("open SPI port: %w: %w%s", card.ErrBusDead, pathError(path, err), advice)
}

// pathError makes sure that the error names the device.
func pathError(path string, err error) error {
	var known *fs.PathError
	if errors.As(err, &known) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
