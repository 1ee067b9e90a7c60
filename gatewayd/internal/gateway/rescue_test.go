package gateway

import (
	"log/slog"
	"math"
	"net"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/supervise"
)

// TestARescueHasMemoryAndTime: while a damaged journal is replaced there is no
// limit on the heap, and the service manager is told to wait; after it all is as
// before.
func TestARescueHasMemoryAndTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	heard := func() string {
		t.Helper()
		if err := manager.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1000)
		n, err := manager.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	systemd, err := supervise.NewSystemd(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	const usual = 32 << 20
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(usual))
	rescue := (&process{systemd: systemd}).rescue()
	for _, done := range []float64{0, 0.3, 0.6} {
		rescue(done)
		if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
			t.Errorf("at %v the heap is limited to %d", done, limit)
		}
		if got := heard(); !strings.Contains(got, "EXTEND_TIMEOUT_USEC=120000000") {
			t.Errorf("at %v the manager hears %q", done, got)
		}
	}
	rescue(1)
	if limit := debug.SetMemoryLimit(-1); limit != usual {
		t.Errorf("after it the heap is limited to %d", limit)
	}
}
