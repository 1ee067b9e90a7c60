package serial

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must happen at once, on a machine
// that is busy.
const patience = 5 * time.Second

// newPTY makes a pseudo terminal: what is written to master arrives at the port
// called name.
func newPTY(t *testing.T) (master *os.File, name string) {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	// The master stays alive without it, until a port was opened and closed.
	t.Cleanup(func() { slave.Close() })
	return master, slave.Name()
}

func open(t *testing.T, name string) *Port {
	t.Helper()
	p, err := Open(Config{Port: name, Baud: 9600})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closed := start(func() (int, error) { return 0, p.Close() })
		select {
		case <-closed:
		case <-time.After(patience):
			t.Error("close hangs")
		}
	})
	return p
}

type result struct {
	n    int
	err  error
	took time.Duration
}

// start runs a call that blocks and tells when it ended.
func start(call func() (int, error)) <-chan result {
	done := make(chan result, 1)
	go func() {
		begin := time.Now()
		n, err := call()
		done <- result{n, err, time.Since(begin)}
	}()
	return done
}

func await(t *testing.T, done <-chan result) result {
	t.Helper()
	select {
	case r := <-done:
		return r
	case <-time.After(patience):
		t.Fatal("still blocked")
		return result{}
	}
}

// awaitBlocked returns once a goroutine waits in poll(2) on behalf of this
// package.
func awaitBlocked(t *testing.T) {
	t.Helper()
	stacks := make([]byte, 1<<16)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); runtime.Gosched() {
		if n := runtime.Stack(stacks, true); bytes.Contains(stacks[:n], []byte("serial.(*Port).wait")) {
			return
		}
	}
	t.Fatal("nobody waits")
}

func TestEveryByteArrivesUnchanged(t *testing.T) {
	master, name := newPTY(t)
	p := open(t, name)

	// All byte values, so that nothing is translated, echoed or taken as a
	// signal, in more than the kernel's buffer holds.
	var all [256]byte
	for i := range all {
		all[i] = byte(i)
	}
	want := bytes.Repeat(all[:], 200)
	sent := start(func() (int, error) { return master.Write(want) })

	got := make([]byte, len(want))
	if _, err := io.ReadFull(p, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the bytes changed on their way")
	}
	if r := await(t, sent); r.err != nil {
		t.Error(r.err)
	}

	received := make([]byte, len(want))
	reading := start(func() (int, error) { return io.ReadFull(master, received) })
	if n, err := p.Write(want); n != len(want) || err != nil {
		t.Fatalf("wrote %d of %d: %v", n, len(want), err)
	}
	if r := await(t, reading); r.err != nil || !bytes.Equal(received, want) {
		t.Errorf("the other end got something else: %v", r.err)
	}
}

func TestReadWaitsWithoutSpinning(t *testing.T) {
	master, name := newPTY(t)
	p := open(t, name)
	before := cpuTime(t)

	const quiet = 400 * time.Millisecond // longer than the driver's own time-out
	time.AfterFunc(quiet, func() { master.Write([]byte("x")) })
	r := await(t, start(func() (int, error) { return p.Read(make([]byte, 10)) }))

	if r.n != 1 || r.err != nil {
		t.Errorf("got %d bytes, error %v", r.n, r.err)
	}
	if r.took < quiet/2 {
		t.Errorf("returned after %v: it did not wait", r.took)
	}
	if used := cpuTime(t) - before; used > quiet/4 {
		t.Errorf("used %v of processor time while the line was quiet for %v", used, quiet)
	}
}

// cpuTime is what this process has used so far.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestHangUpEndsRead(t *testing.T) {
	master, name := newPTY(t)
	p := open(t, name)
	done := start(func() (int, error) { return p.Read(make([]byte, 10)) })
	awaitBlocked(t)
	master.Close()

	r := await(t, done)
	if r.n != 0 || !errors.Is(r.err, ErrGone) {
		t.Fatalf("got %d bytes, error %v; want ErrGone", r.n, r.err)
	}
	if !strings.Contains(r.err.Error(), name) {
		t.Errorf("%q does not name the port", r.err)
	}
	// It stays gone, and says so each time.
	for range 3 {
		if n, err := p.Read(make([]byte, 10)); n != 0 || !errors.Is(err, ErrGone) {
			t.Errorf("then %d bytes, error %v", n, err)
		}
	}
	if _, err := p.Write([]byte("x")); !errors.Is(err, ErrGone) {
		t.Errorf("write: %v, want ErrGone", err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestCloseEndsRead(t *testing.T) {
	_, name := newPTY(t)
	p := open(t, name)
	done := start(func() (int, error) { return p.Read(make([]byte, 10)) })
	awaitBlocked(t)

	begin := time.Now()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if r := await(t, done); r.n != 0 || !errors.Is(r.err, os.ErrClosed) || errors.Is(r.err, ErrGone) {
		t.Errorf("got %d bytes, error %v; want os.ErrClosed", r.n, r.err)
	}
	// Nothing comes to read: without Close it would go on for ever.
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}

	// The next port gets the same descriptor numbers, and is left alone.
	open(t, name)
	later := await(t, start(func() (int, error) { return p.Read(make([]byte, 10)) }))
	if !errors.Is(later.err, os.ErrClosed) {
		t.Errorf("a later read: %v", later.err)
	}
	later = await(t, start(func() (int, error) { return p.Write([]byte("x")) }))
	if !errors.Is(later.err, os.ErrClosed) {
		t.Errorf("a later write: %v", later.err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("a second close: %v", err)
	}
}

func TestWriteThatNobodyTakesEnds(t *testing.T) {
	much := make([]byte, 1<<20) // more than a pty holds

	t.Run("by close", func(t *testing.T) {
		_, name := newPTY(t)
		p := open(t, name)
		done := start(func() (int, error) { return p.Write(much) })
		awaitBlocked(t)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if r := await(t, done); r.n >= len(much) || !errors.Is(r.err, os.ErrClosed) {
			t.Errorf("wrote %d, error %v", r.n, r.err)
		}
	})
	t.Run("by hang-up", func(t *testing.T) {
		master, name := newPTY(t)
		p := open(t, name)
		done := start(func() (int, error) { return p.Write(much) })
		awaitBlocked(t)
		master.Close()
		if r := await(t, done); r.n >= len(much) || !errors.Is(r.err, ErrGone) {
			t.Errorf("wrote %d, error %v", r.n, r.err)
		}
	})
}

func TestEmptyReadReturns(t *testing.T) {
	_, name := newPTY(t)
	if n, err := open(t, name).Read(nil); n != 0 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

// A port that is opened and closed for ever must not use the process up.
func TestNothingLeaks(t *testing.T) {
	_, name := newPTY(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	count := func() int {
		t.Helper()
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	before := count()
	for range 50 {
		p, err := Open(Config{Port: name, Baud: 9600})
		if err != nil {
			t.Fatal(err)
		}
		for _, cfg := range []Config{{name, 9600}, {file, 9600}, {"/dev/null", 9600}} {
			if _, err := Open(cfg); err == nil {
				t.Fatalf("%s opened", cfg.Port)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
