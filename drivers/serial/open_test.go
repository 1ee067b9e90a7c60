package serial

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnlyOneHasThePort(t *testing.T) {
	_, name := newPTY(t)
	first := open(t, name)

	_, err := Open(Config{Port: name, Baud: 9600})
	if !errors.Is(err, ErrBusy) {
		t.Fatalf("a second opener got %v, want ErrBusy", err)
	}
	if !strings.Contains(err.Error(), "is in use by another program") {
		t.Errorf("%q does not say so", err)
	}

	// The first is not disturbed by the attempt, and lets go when closed.
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, name)
}

func TestSomebodyElsesLockCounts(t *testing.T) {
	_, name := newPTY(t)
	other, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Port: name, Baud: 9600}); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	other.Close()
	open(t, name)
}

func TestKernelRefusesOthersExceptOnPTY(t *testing.T) {
	_, name := newPTY(t)
	p := open(t, name)
	exclusive := func() bool {
		t.Helper()
		set, err := unix.IoctlGetInt(p.own, unix.TIOCGEXCL)
		if err != nil {
			t.Fatal(err)
		}
		return set != 0
	}

	// A pty would stay closed to us after a kill: the lock alone.
	if !isPTY(p.own) || exclusive() {
		t.Error("a pty was made exclusive")
	}
	// What a real port gets can be seen on a pty as well.
	if err := exclude(p.own, true); err != nil || !exclusive() {
		t.Errorf("not exclusive: %v", err)
	}
	if release(p.own); exclusive() {
		t.Error("still exclusive after release")
	}
	if err := openError(name, unix.EBUSY); !errors.Is(err, ErrBusy) {
		t.Errorf("the kernel's refusal reads %v", err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	_, name := newPTY(t)

	for _, c := range []struct {
		name string
		cfg  Config
		want error
		says string
	}{
		{"missing", Config{filepath.Join(dir, "ttyUSB9"), 9600}, fs.ErrNotExist, "plug the receiver in"},
		{"no path", Config{"", 9600}, ErrNotTTY, "by-id"},
		{"regular file", Config{file, 9600}, ErrNotTTY, "by-id"},
		{"directory", Config{dir, 9600}, ErrNotTTY, "by-id"},
		{"pipe", Config{pipe, 9600}, ErrNotTTY, "by-id"},
		{"other device", Config{"/dev/null", 9600}, ErrNotTTY, "by-id"},
		{"baud missing in Linux", Config{name, 28800}, ErrBaud, "28800: use one of"},
		{"no baud", Config{name, 0}, ErrBaud, "9600"},
		{"negative baud", Config{name, -9600}, ErrBaud, "9600"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Open(c.cfg)
			if err == nil {
				p.Close()
				t.Fatal("opened")
			}
			if !errors.Is(err, c.want) {
				t.Errorf("%v is not %v", err, c.want)
			}
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.cfg.Port) {
				t.Errorf("%q does not name the port and say %q", err, c.says)
			}
		})
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "precious" {
		t.Errorf("the file changed: %q, %v", content, err)
	}
	for _, c := range []struct{ err, want error }{
		{unix.EACCES, fs.ErrPermission},
		{unix.EIO, ErrGone},
		{unix.ENXIO, ErrGone},
	} {
		if err := openError("/dev/ttyUSB0", c.err); !errors.Is(err, c.want) {
			t.Errorf("%v is not %v", err, c.want)
		}
	}
	if err := openError("/dev/ttyUSB0", unix.EACCES); !strings.Contains(err.Error(), "dialout") {
		t.Errorf("%q does not name the group", err)
	}
}

func TestEveryBaudOpens(t *testing.T) {
	_, name := newPTY(t)
	for _, baud := range Bauds() {
		p, err := Open(Config{Port: name, Baud: baud})
		if err != nil {
			t.Errorf("%d: %v", baud, err)
			continue
		}
		if err := p.Close(); err != nil {
			t.Errorf("%d: %v", baud, err)
		}
	}
}

// A replugged receiver comes back under another number; its stable name is a
// symbolic link that then points there.
func TestPortComesBackUnderItsStableName(t *testing.T) {
	stable := filepath.Join(t.TempDir(), "usb-receiver-if00")
	for range 3 {
		master, name := newPTY(t)
		if err := os.Symlink(name, stable); err != nil {
			t.Fatal(err)
		}
		p := open(t, stable)
		if _, err := Open(Config{Port: name, Baud: 9600}); !errors.Is(err, ErrBusy) {
			t.Errorf("the same port by its other name: %v, want ErrBusy", err)
		}
		if _, err := master.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(p, got); err != nil || string(got) != "hello" {
			t.Fatalf("got %q, %v", got, err)
		}

		master.Close()
		if err := os.Remove(stable); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Read(got); !errors.Is(err, ErrGone) {
			t.Errorf("after the unplugging: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if _, err := Open(Config{Port: stable, Baud: 9600}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("while unplugged: %v", err)
		}
	}
}
