package serial

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	tarm "github.com/tarm/serial"
	"golang.org/x/sys/unix"
)

var (
	// ErrGone means that the line hung up: the device was unplugged, or the
	// other end of a pseudo terminal closed. Close the port and open it again
	// when the device is back.
	ErrGone = errors.New("the device is gone")

	// ErrBusy means that another program holds the port.
	ErrBusy = errors.New("is in use by another program")

	// ErrNotTTY means that the path is no serial port.
	ErrNotTTY = errors.New("is not a serial port")

	// ErrBaud means that the speed is none that a serial port can be set to
	// here. No waiting mends it.
	ErrBaud = errors.New("unsupported baud rate")
)

// Bauds are the speeds that a port can be opened with, in bit/s, slowest first.
func Bauds() []int {
	return []int{
		50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600,
		19200, 38400, 57600, 115200, 230400, 460800, 500000, 576000, 921600,
		1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000,
	}
}

// Config says which port to open, and how fast it is.
type Config struct {
	Port string // any tty or pty; symbolic links such as those of /dev/serial/by-id are followed
	Baud int    // bit/s, one of Bauds; the format is always 8N1
}

// readTimeout is how long the driver may wait for bytes that poll(2) has
// already seen: the shortest that tarm/serial can be set to. It is waited for
// only where somebody else took the bytes, and it bounds Close.
const readTimeout = 100 * time.Millisecond

// Port is an open serial port in raw mode. One goroutine may read, another
// write and any close it, all at the same time.
type Port struct {
	name string // as configured, for errors
	line *tarm.Port
	own  int // a second descriptor of the same tty, non-blocking
	wake int // an eventfd that is readable from the start of Close on

	// Close takes both before it closes the descriptors, so that nobody uses
	// them afterwards.
	reading, writing sync.Mutex

	closed bool // guarded by reading and writing together

	closing  sync.Once
	closeErr error
}

// Open opens a port exclusively and sets it to raw 8N1 without making it the
// controlling terminal. Bytes that are already waiting are kept.
//
// Errors wrap fs.ErrNotExist, fs.ErrPermission, ErrNotTTY, ErrBusy, ErrGone or
// ErrBaud where one of them fits, and say what to do.
func Open(cfg Config) (*Port, error) {
	if !slices.Contains(Bauds(), cfg.Baud) {
		return nil, fmt.Errorf("open serial port %s: %w %d: use one of %s", cfg.Port, ErrBaud, cfg.Baud, list(Bauds()))
	}
	path, err := filepath.EvalSymlinks(cfg.Port)
	if err != nil {
		return nil, openError(cfg.Port, err)
	}
	own, err := claim(path)
	if err != nil {
		return nil, openError(cfg.Port, err)
	}
	line, err := tarm.OpenPort(&tarm.Config{Name: path, Baud: cfg.Baud, ReadTimeout: readTimeout})
	if err != nil {
		unix.Close(own)
		return nil, openError(cfg.Port, err)
	}
	// Only now, because TIOCEXCL would refuse the second open as well.
	if err := exclude(own, !isPTY(own)); err != nil {
		line.Close()
		unix.Close(own)
		return nil, openError(cfg.Port, err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		release(own)
		line.Close()
		unix.Close(own)
		return nil, openError(cfg.Port, err)
	}
	return &Port{name: cfg.Port, line: line, own: own, wake: wake}, nil
}

// claim opens a descriptor of the tty and takes the lock. The path is looked at
// before it is opened: opening a pipe or another device can have effects.
func claim(path string) (fd int, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return -1, err
	}
	if info.Mode()&fs.ModeCharDevice == 0 {
		return -1, ErrNotTTY
	}
	err = unix.EINTR
	for errors.Is(err, unix.EINTR) {
		fd, err = unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return -1, err
	}
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
			err = ErrNotTTY
		}
		return -1, err
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrBusy
		}
		return -1, err
	}
	return fd, nil
}

// exclude asks the kernel to refuse other openers, where that is wanted.
func exclude(fd int, wanted bool) error {
	if !wanted {
		return nil
	}
	return unix.IoctlSetInt(fd, unix.TIOCEXCL, 0)
}

// release lets others open the tty again. A tty that is gone cannot answer, and
// need not; the lock goes with the descriptor.
func release(fd int) {
	_ = unix.IoctlSetInt(fd, unix.TIOCNXCL, 0)
}

// isPTY tells the slave side of a pseudo terminal: majors 136 to 143 (Linux,
// Documentation/admin-guide/devices.txt).
func isPTY(fd int) bool {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false
	}
	major := unix.Major(uint64(st.Rdev))
	return 136 <= major && major <= 143
}

// openError says in words what kept a port from opening, and what to do.
func openError(name string, err error) error {
	var advice string
	switch {
	case errors.Is(err, fs.ErrNotExist):
		advice = "plug the receiver in, or choose another port: ls -l /dev/serial/by-id"
	case errors.Is(err, fs.ErrPermission):
		advice = "add the user to the port's group (ls -lL " + name + "), usually dialout"
	case errors.Is(err, ErrNotTTY):
		advice = "choose a port from: ls -l /dev/serial/by-id"
	case errors.Is(err, ErrBusy), errors.Is(err, unix.EBUSY):
		err = ErrBusy
		advice = "stop it; this names it: fuser -v " + name
	case hungUp(err):
		err = fmt.Errorf("%w (%w)", ErrGone, err)
		advice = "nothing answers at this port: plug the receiver in again, or choose another port"
	default:
		return fmt.Errorf("open serial port %s: %w", name, err)
	}
	// The path is named once.
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("open serial port %s: %w: %s", name, err, advice)
}

// hungUp tells the errors of a tty whose device has left.
func hungUp(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV)
}

func list(bauds []int) string {
	words := make([]string, len(bauds))
	for i, b := range bauds {
		words[i] = strconv.Itoa(b)
	}
	return strings.Join(words, ", ")
}

// Read waits for at least one byte. It returns an error that wraps ErrGone
// after a hang-up and os.ErrClosed after Close, which it notices at once, and
// never (0, nil) unless b is empty.
func (p *Port) Read(b []byte) (int, error) {
	p.reading.Lock()
	defer p.reading.Unlock()
	if len(b) == 0 {
		return 0, nil
	}
	for {
		events, err := p.wait(unix.POLLIN)
		if err != nil {
			return 0, fmt.Errorf("read serial port %s: %w", p.name, err)
		}
		n, err := 0, error(nil)
		if events&unix.POLLIN != 0 {
			n, err = p.line.Read(b)
		}
		switch {
		case n > 0:
			return n, nil
		case events&^unix.POLLIN != 0, hungUp(err):
			return 0, fmt.Errorf("read serial port %s: %w", p.name, ErrGone)
		case err != nil && !errors.Is(err, io.EOF):
			return 0, fmt.Errorf("read serial port %s: %w", p.name, err)
		}
		// A time-out: somebody else took the bytes that were there. The wait
		// goes on, and would have ended above after a hang-up.
	}
}

// Write hands all of b to the line. It waits while the line takes no more, and
// ends like Read on a hang-up and on Close.
func (p *Port) Write(b []byte) (int, error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	written := 0
	for written < len(b) {
		events, err := p.wait(unix.POLLOUT)
		if err == nil && events&^unix.POLLOUT != 0 {
			err = ErrGone
		}
		if err != nil {
			return written, fmt.Errorf("write serial port %s: %w", p.name, err)
		}
		// Not through the library: a write of its own could not be ended.
		n, err := unix.Write(p.own, b[written:])
		written += max(n, 0)
		switch {
		case err == nil, errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		case hungUp(err):
			return written, fmt.Errorf("write serial port %s: %w", p.name, ErrGone)
		default:
			return written, fmt.Errorf("write serial port %s: %w", p.name, err)
		}
	}
	return written, nil
}

// wait blocks until the line is ready for want, has hung up (POLLHUP, POLLERR),
// or the port is closed, which is an error.
func (p *Port) wait(want int16) (events int16, err error) {
	if p.closed {
		return 0, os.ErrClosed
	}
	fds := [2]unix.PollFd{{Fd: int32(p.own), Events: want}, {Fd: int32(p.wake), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds[:], -1)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("poll: %w", err)
		case fds[1].Revents != 0:
			return 0, os.ErrClosed
		}
		return fds[0].Revents, nil
	}
}

// Close lets go of the port and ends a Read and a Write that are waiting,
// within readTimeout. It may be called twice.
func (p *Port) Close() error {
	p.closing.Do(func() {
		one := [8]byte{7: 1} // any number but 0 in either byte order
		if _, err := unix.Write(p.wake, one[:]); err != nil {
			p.closeErr = fmt.Errorf("close serial port %s: wake its users: %w", p.name, err)
			return
		}
		p.reading.Lock()
		defer p.reading.Unlock()
		p.writing.Lock()
		defer p.writing.Unlock()
		p.closed = true
		release(p.own)
		err := errors.Join(p.line.Close(), unix.Close(p.own), unix.Close(p.wake))
		if err != nil {
			p.closeErr = fmt.Errorf("close serial port %s: %w", p.name, err)
		}
	})
	return p.closeErr
}
