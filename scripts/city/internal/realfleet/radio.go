package realfleet

import (
	"errors"
	"os"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"presence/drivers/beacon/beacontest"
)

// radio is a pseudo terminal: what is written to it the gateway hears from a radio.
type radio struct {
	near *os.File
	far  *os.File // kept open, so that the terminal outlives a killed gateway
	port string
}

func openRadio() (*radio, error) {
	near, far, err := pty.Open()
	if err != nil {
		return nil, err
	}
	r := &radio{near, far, far.Name()}
	attr, err := unix.IoctlGetTermios(int(far.Fd()), unix.TCGETS)
	if err == nil {
		attr.Iflag, attr.Oflag, attr.Lflag = 0, 0, 0 // raw, also before the gateway opens it
		err = unix.IoctlSetTermios(int(far.Fd()), unix.TCSETS, attr)
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *radio) close() error { return errors.Join(r.near.Close(), r.far.Close()) }

// Report is what a tag reports of itself over a Kenwood radio.
type Report struct {
	Fleet, Unit int // 100-349, 1000-4999: the tag is kenwood:<fleet>-<unit>
	Lat, Lon    float64
	At          time.Time
}

// Hear has the gateway hear reports.
func (g *Gateway) Hear(reports ...Report) error {
	var lines []byte
	for _, r := range reports {
		lines = append(lines, beacontest.PKLDS(r.Fleet, r.Unit, r.Lat, r.Lon, r.At)...)
	}
	_, err := g.radio.near.Write(lines)
	return err
}
