package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"presence/scripts/brokertest"
)

// TestCommandsSpeakIndonesian: whoever has an Indonesian locale is answered in
// Indonesian, with the office's time. What programs read stays as it is.
func TestCommandsSpeakIndonesian(t *testing.T) {
	t.Setenv("LC_ALL", "")
	t.Setenv("LANG", "id_ID.UTF-8")
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	says := func(code int, want string, args ...string) {
		t.Helper()
		out, got := g.try(args...)
		if got != code || !strings.Contains(out, want) {
			t.Errorf("%v: exit %d, want %q in\n%s", args, got, want, out)
		}
	}
	says(0, g.config+": benar (gateway dinkes-01 dari dinkes, 1 pembaca, 0 penerima)", "check")
	says(1, "gatewayd: gatewayd tidak berjalan di sini (tidak ada jawaban di ", "status")
	says(2, "; lihat gatewayd --help", "stauts")
	right := g.text()
	g.configure(strings.Replace(right, "poll =", "pol =", 1))
	says(2, ": reader.pol: tidak dikenal: maksud Anda reader.poll?", "check")
	g.configure(right + "[office]\nlat = -7.9\nlon = 112.6\nradius_m = 5\n")
	says(0, "peringatan: ", "check")
	g.configure(right)

	g.start()
	g.must("sim", "reader", "--reader", "door", "--fault", "deaf")
	g.await("the alert", func() bool { return g.health().Level == "fault" })
	for _, want := range []string{
		"ada yang tidak berfungsi (perangkat simulasi); menyala selama ", "peringatan reader-door  gangguan: Pembaca kartu", " WIB)",
		"menjawab, tetapi tidak mendengar kartu, cip 92, 0 tap", "jam                     dianggap benar", "tidak tersambung selama",
	} {
		says(0, want, "status")
	}
	says(0, `"level":"fault"`, "status", "--json")
	if line := firstLine(t, g, "watch"); !strings.Contains(line, "pembaca door menjawab, tetapi tidak mendengar kartu") || !strings.Contains(line, "tidak tersambung ke kota") {
		t.Errorf("watch says %s", line)
	}
}

// TestDoctorIsColouredOnATerminal, and only there: not in a pipe, and not for whom it
// would disturb (no-color.org).
func TestDoctorIsColouredOnATerminal(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	b := brokertest.Start(t)
	g := newGateway(t, b.URL(), "")
	for _, tc := range []struct {
		env      string
		terminal bool
		coloured bool
	}{
		{"TERM=xterm", true, true},
		{"TERM=xterm", false, false},
		{"NO_COLOR=1", true, false},
		{"TERM=dumb", true, false},
	} {
		cmd := exec.Command(path, "--config", g.config, "doctor")
		cmd.Env = append(os.Environ(), "TERM=xterm", tc.env)
		out := onTerminal
		if !tc.terminal {
			out = func(cmd *exec.Cmd) (string, error) {
				text, err := cmd.Output()
				return string(text), err
			}
		}
		text, err := out(cmd)
		if status := (*exec.ExitError)(nil); err != nil && !errors.As(err, &status) {
			t.Fatal(err)
		}
		if !strings.Contains(text, "checks: ") || strings.Contains(text, "\x1b[32mok  \x1b[0m  config") != tc.coloured || strings.Contains(text, "\x1b") != tc.coloured {
			t.Errorf("%+v: %q", tc, text)
		}
	}
}

// onTerminal runs a command with a terminal as its output, and returns what it printed.
func onTerminal(cmd *exec.Cmd) (string, error) {
	screen, err := pty.Start(cmd)
	if err != nil {
		return "", fmt.Errorf("open a terminal: %w", err)
	}
	defer screen.Close()
	var text bytes.Buffer
	// Reading a terminal that nobody has open any more is an error on Linux.
	if _, err := io.Copy(&text, bufio.NewReader(screen)); err != nil && !errors.Is(err, syscall.EIO) {
		return "", fmt.Errorf("read a terminal: %w", err)
	}
	return text.String(), cmd.Wait()
}
