package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"presence/drivers/cardtest"
	"presence/drivers/mfrc522/mfrc522test"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/export"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sim"
)

// fake is a daemon without rooms.
func fake() control.Daemon {
	return control.Daemon{
		Health: func() presence.Health {
			return presence.Health{V: 1, Level: presence.LevelOK, AlertTexts: []presence.Alert{{Code: "lamp"}}}
		},
		Owner: os.Geteuid(),
		Watch: func(_ context.Context, line func(control.WatchLine) error) error {
			return line(control.WatchLine{Event: json.RawMessage(`{"kind":"badge"}`)})
		},
		Export: func(_ context.Context, w io.Writer, x export.Request, _ int) error {
			fmt.Fprintln(w, x.Format, x.Since.Format(time.RFC3339))
			if x.Format == "csv" {
				return errors.New("the disk is gone")
			}
			return nil
		},
		Verify: func(_ context.Context, w io.Writer, _ language.Language) (bool, error) {
			fmt.Fprintln(w, "journal: damaged")
			return false, nil
		},
	}
}

// serve runs a daemon's socket until the test ends.
func serve(t *testing.T, d control.Daemon) (dir string) {
	t.Helper()
	dir = t.TempDir()
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, l, control.Handler(d), slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() { cancel(); <-done })
	return dir
}

func TestSocketIsForOwnerAndGroupOnly(t *testing.T) {
	dir := serve(t, fake())
	info, err := os.Stat(filepath.Join(dir, control.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o660 {
		t.Errorf("mode %o", mode)
	}
}

func TestSecondDaemonIsRefusedAndADeadOnesSocketReplaced(t *testing.T) {
	dir := serve(t, fake())
	if _, err := control.Listen(dir); err == nil || !strings.Contains(err.Error(), "another gatewayd") {
		t.Errorf("a second daemon: %v", err)
	}
	dead := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dead, control.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as kill -9 leaves it
	l.Close()
	if _, err := control.Dial(dead); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("dial a dead socket: %v", err)
	}
	again, err := control.Listen(dead)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestClient(t *testing.T) {
	dir := serve(t, fake())
	c, err := control.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.Get(t.Context(), "/status")
	if err != nil {
		t.Fatal(err)
	}
	var h presence.Health
	if err := json.NewDecoder(body).Decode(&h); err != nil || h.Level != presence.LevelOK || len(h.AlertTexts) != 0 {
		t.Errorf("health %+v, %v", h, err)
	}
	body.Close()
	if body, err = c.Get(t.Context(), "/report"); err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(body).Decode(&h); err != nil || len(h.AlertTexts) != 1 {
		t.Errorf("report %+v, %v", h, err)
	}
	body.Close()

	var out bytes.Buffer
	if _, err := c.Copy(t.Context(), &out, "/export?format=jsonl&since=2026-11-23T00:00:00Z"); err != nil || out.String() != "jsonl 2026-11-23T00:00:00Z\n" {
		t.Errorf("export %q, %v", out.String(), err)
	}
	if _, err := c.Copy(t.Context(), io.Discard, "/export?format=csv"); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("an export that broke off: %v", err)
	}
	if damaged, err := c.Copy(t.Context(), io.Discard, "/verify"); err != nil || !damaged {
		t.Errorf("verify: damaged %v, %v", damaged, err)
	}
	if _, err := control.Post(t.Context(), c, "/sim/tap", sim.Tap{Reader: "door", UIDs: []string{"01020304"}}); err == nil || !strings.Contains(err.Error(), "the hardware is real") {
		t.Errorf("a simulated tap at real hardware: %v", err)
	}
}

// TestReportOfAnEarlierVersion: while an upgrade is on trial, command and daemon
// may differ.
func TestReportOfAnEarlierVersion(t *testing.T) {
	dir := t.TempDir()
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("words")) })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, l, mux, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() { cancel(); <-done })
	c, err := control.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.Report(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if text, err := io.ReadAll(body); err != nil || string(text) != "words" {
		t.Errorf("report %q, %v", text, err)
	}
}

// TestASilentDaemonIsNotWaitedFor: it holds its socket, and answers nothing.
func TestASilentDaemonIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // nobody accepts
	c, err := control.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := c.Get(t.Context(), "/status"); !errors.Is(err, control.ErrSilent) || time.Since(began) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

// TestASlowAnswerIsWaitedFor: a daemon that works for longer than a silent one
// may keep anybody waiting.
func TestASlowAnswerIsWaitedFor(t *testing.T) {
	t.Parallel()
	d := fake()
	d.Verify = func(ctx context.Context, w io.Writer, _ language.Language) (bool, error) {
		select {
		case <-time.After(6 * time.Second):
			_, err := fmt.Fprintln(w, "journal: ok")
			return true, err
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	c, err := control.Dial(serve(t, d))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if damaged, err := c.Copy(t.Context(), &out, "/verify"); err != nil || damaged || out.String() != "journal: ok\n" {
		t.Errorf("%q, damaged %v, %v", out.String(), damaged, err)
	}
}

// simulated is a daemon whose mocks can be reached.
func simulated() control.Daemon {
	d := fake()
	d.Hardware = sim.New()
	d.Hardware.Add("door", 50*time.Millisecond, func(f *cardtest.Field) sim.Chip { return mfrc522test.New(f) })
	return d
}

func TestWrongRequests(t *testing.T) {
	h := control.Handler(simulated())
	for _, tc := range []struct {
		method, target, body string
		status               int
		says                 string
	}{
		{"GET", "/", "", 404, ""},
		{"DELETE", "/status", "", 405, ""},
		{"GET", "/export", "", 400, "csv or jsonl"},
		{"GET", "/export?day=2026-11-23T00:00:00Z&format=jsonl", "", 400, "csv or html"},
		{"GET", "/export?format=jsonl&since=yesterday", "", 400, "RFC 3339"},
		{"GET", "/export/selected?format=html&badge=h:1", "", 400, "csv-id, csv or jsonl"},
		{"GET", "/export/selected?format=jsonl&month=2026-11-01T00:00:00Z", "", 400, "csv-id, csv or html"},
		{"POST", "/sim/tap", "", 400, "read request"},
		{"POST", "/sim/tap", "{} {}", 400, "more than one"},
		{"POST", "/sim/tap", `{"speed":1}`, 400, "unknown field"},
		{"POST", "/sim/tap", `{"reader":"door"}`, 400, "no uid"},
		{"POST", "/sim/tap", `{"reader":"door","uids":["0102"],"card":"mifare-classic-1k"}`, 400, "want 4, 7 or 10"},
		{"POST", "/sim/tap", `{"reader":"door","uids":["01020304"],"card":"paper"}`, 400, "paper"},
		{"POST", "/sim/tap", `{"reader":"gate","uids":["01020304"],"card":"mifare-classic-1k"}`, 404, "gate"},
		{"POST", "/sim/tap", `{"reader":"door","uids":["01020304"],"card":"mifare-classic-1k","count":-1}`, 400, "count"},
		{"POST", "/sim/reader", `{"reader":"door","fault":"tired"}`, 400, "tired"},
		{"POST", "/sim/clock", `{"synced":true,"offset":0}`, 403, "clock is real"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tc.method, tc.target, strings.NewReader(tc.body)))
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
			t.Errorf("%s %s %s: %d %s", tc.method, tc.target, tc.body, w.Code, w.Body)
		}
	}
}

// FuzzControl sends anything to the socket's handler: it answers, and never
// panics.
func FuzzControl(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/status", ""},
		{"GET", "/export?format=csv&since=2026-11-23T00:00:00Z", ""},
		{"GET", "/watch", ""},
		{"POST", "/sim/tap", `{"reader":"gate","uids":["01020304"],"card":"mifare-classic-1k","count":1}`},
		{"POST", "/sim/reader", `{"reader":"door","fault":"deaf"}`},
		{"POST", "/sim/clock", `{"synced":true}`},
		{"PUT", "/sim/../status", "\x00\xff"},
		{"POST", "/sim/tap", `{"uids":[` + strings.Repeat(`"01020304",`, 20) + `""]}`},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	h := control.Handler(simulated())
	f.Fuzz(func(t *testing.T, method, target, body string) {
		req, err := http.NewRequest(method, "http://gatewayd/", strings.NewReader(body))
		if err != nil {
			return
		}
		path, query, _ := strings.Cut(target, "?")
		req.URL.Path, req.URL.RawQuery = path, query
		// A tap that is well formed would wait for a lamp that nobody lights.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req.WithContext(ctx))
		if w.Code < 200 || w.Code > 599 {
			t.Errorf("status %d", w.Code)
		}
	})
}

// A tap that a reload cuts off is to be asked for again; one that a stop cuts off
// has failed.
func TestTapThatTheDaemonsEndCutsOff(t *testing.T) {
	for _, reloading := range []bool{true, false} {
		d := simulated()
		d.Reloading = func() bool { return reloading }
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w := httptest.NewRecorder()
		body := strings.NewReader(`{"reader":"door","uids":["01020304"],"card":"mifare-classic-1k"}`)
		control.Handler(d).ServeHTTP(w, httptest.NewRequest("POST", "/sim/tap", body).WithContext(ctx))
		var line sim.Line
		if err := json.Unmarshal(w.Body.Bytes(), &line); err != nil || line.Reload != reloading || (line.Error == "") != reloading {
			t.Errorf("reloading %v: %s %v", reloading, w.Body, err)
		}
	}
}

// Whoever asks between two daemons on one socket is answered by the second.
func TestSocketThatIsKeptOutlivesItsFirstDaemon(t *testing.T) {
	dir := t.TempDir()
	first, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := control.Keep(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := control.Dial(dir) // nobody serves it yet
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- control.Serve(ctx, second, control.Handler(fake()), slog.New(slog.DiscardHandler))
	}()
	body, err := c.Get(t.Context(), "/status")
	if err != nil {
		t.Fatal(err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	stop()
	<-served
	if _, err := os.Stat(filepath.Join(dir, control.SocketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// TestWhoIsCutOffAsksAgain: a daemon that is reloaded cuts off whom it could not answer,
// and the next one does. What changes something is not asked twice.
func TestWhoIsCutOffAsksAgain(t *testing.T) {
	dir := t.TempDir()
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/alive", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1)%2 == 1 {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "{}")
	})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- control.Serve(ctx, l, mux, slog.New(slog.DiscardHandler)) }()
	defer func() { stop(); <-served }()
	c, err := control.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.Get(t.Context(), "/status")
	if err != nil {
		t.Fatalf("a question: %v", err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	if body, err := control.Post(t.Context(), c, "/sim/tap", "a tap"); err == nil {
		_ = body.Close()
		t.Error("a tap that may have happened was made again")
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times", n)
	}
}

// TestAnEarlierDaemonIsNotAskedForEverybody: it would pass over what it does not know,
// and answer with all events of all badges, or with a part of those that tie them together.
func TestAnEarlierDaemonIsNotAskedForEverybody(t *testing.T) {
	month := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		request  export.Request
		selected bool
	}{
		{export.Request{Format: export.CSV}, false},
		{export.Request{Format: export.CSV, Day: month}, false},
		{export.Request{Format: export.CSV, Month: month}, true},
		{export.Request{Format: export.JSONLines, Badges: []string{"h:1", "h:2"}}, true},
		{export.Request{Format: export.JSONLines, Since: month, Sealed: true}, true},
	} {
		if path := control.ExportPath(tc.request); strings.HasPrefix(path, "/export?") == tc.selected {
			t.Errorf("%+v is asked for at %s", tc.request, path)
		}
		var got export.Request
		d := fake()
		d.Export = func(_ context.Context, _ io.Writer, x export.Request, _ int) error {
			got = x
			return nil
		}
		w := httptest.NewRecorder()
		control.Handler(d).ServeHTTP(w, httptest.NewRequest("GET", control.ExportPath(tc.request), http.NoBody))
		if w.Code != http.StatusOK || !got.Month.Equal(tc.request.Month) || !slices.Equal(got.Badges, tc.request.Badges) || got.Sealed != tc.request.Sealed {
			t.Errorf("%+v arrives as %+v: %d %s", tc.request, got, w.Code, w.Body)
		}
	}
}
