package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// ErrNotRunning means that no daemon answers on the socket.
var ErrNotRunning error = language.Errorf("gatewayd is not running here", "gatewayd tidak berjalan di sini")

// Client asks a running daemon.
type Client struct {
	http *http.Client
	path string
	pid  int
}

// PID is the process that listens on the socket, 0 where the kernel does not tell
// (unix(7), SO_PEERCRED).
func (c *Client) PID() int { return c.pid }

// Dial finds the daemon of a state directory. ErrNotRunning tells that there is
// none.
func Dial(stateDir string) (*Client, error) {
	path := filepath.Join(stateDir, SocketName)
	pid := 0
	conn, err := net.DialTimeout("unix", path, patience)
	switch {
	case err == nil:
		if cred := peer(conn); cred != nil {
			pid = int(cred.Pid)
		}
		_ = conn.Close()
	case errors.Is(err, os.ErrPermission):
		return nil, language.Errorf(
			"open %s: %v; run as root or join the group that owns it",
			"buka %s: %v; jalankan dengan sudo, atau masuk ke grup pemiliknya", path, errNotAllowed)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, os.ErrDeadlineExceeded):
		return nil, silent(path) // more wait to be heard than the kernel lets wait
	default:
		return nil, language.Errorf(
			"%v (no answer on %s); start it with: systemctl start gatewayd",
			"%v (tidak ada jawaban di %s); jalankan dengan: sudo systemctl start gatewayd", ErrNotRunning, path)
	}
	return &Client{path: path, pid: pid, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}}, nil
}

// Get asks and returns the answer's body, which the caller closes.
func (c *Client) Get(ctx context.Context, target string) (io.ReadCloser, error) {
	resp, err := c.do(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Post asks with a JSON body and returns the answer's body, which the caller
// closes.
func Post[T any](ctx context.Context, c *Client, path string, request T) (io.ReadCloser, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	resp, err := c.do(ctx, http.MethodPost, path, body)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Copy passes an answer of /export or /verify on, and tells whether it says
// that the journal is damaged. An answer that broke off is an error.
func (c *Client) Copy(ctx context.Context, w io.Writer, target string) (damaged bool, err error) {
	resp, err := c.do(ctx, http.MethodGet, target, nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return false, language.Errorf("read answer: %v", "baca jawaban: %v", err)
	}
	if text := resp.Trailer.Get(trailerError); text != "" {
		return false, language.Errorf("gatewayd says: %s", "gatewayd menjawab: %s", said(text, resp.Trailer))
	}
	return resp.Trailer.Get(trailerDamaged) != "", nil
}

func (c *Client) do(ctx context.Context, method, target string, body []byte) (*http.Response, error) {
	pulse := c.watchLiveness(ctx)
	resp, err := c.ask(pulse.ctx, method, target, body)
	if method == http.MethodGet && cutOff(err) {
		resp, err = c.ask(pulse.ctx, method, target, body)
	}
	if err != nil {
		err = pulse.blame(err)
		pulse.end()
		if errors.Is(err, ErrSilent) {
			return nil, err
		}
		return nil, language.Errorf("ask gatewayd on %s: %v", "tanya gatewayd di %s: %v", c.path, err)
	}
	resp.Body = &watchedBody{resp.Body, pulse}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		if resp.StatusCode == http.StatusNotFound && string(bytes.TrimSpace(text)) == "404 page not found" { // as http.NotFound says it
			return nil, language.Errorf("%v: %s; it may be of an earlier version than this command", "%v: %s; mungkin versinya lebih lama daripada perintah ini", ErrUnknown, resp.Request.URL.Path)
		}
		return nil, language.Errorf("gatewayd says: %s", "gatewayd menjawab: %s", said(string(bytes.TrimSpace(text)), resp.Header))
	}
	return resp, nil
}

func (c *Client) ask(ctx context.Context, method, target string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://gatewayd"+target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return c.http.Do(req)
}

// cutOff reports whether a connection ended before there was any answer. A daemon
// that is reloaded cuts off whom it could not answer in time, and the one that takes
// its place answers on the same socket. Only a question that changes nothing can be
// asked again: nobody knows whether the first daemon acted on it.
func cutOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// An answer may rightly take minutes, so while a command waits for it, it asks the
// daemon for a sign of life: livenessEvery after each, and patience without one is too
// long. Together they stay below the 5 s that a command may wait for a silent daemon.
const (
	patience      = 3 * time.Second
	livenessEvery = time.Second
)

// errNotAllowed is os.ErrPermission, in both languages.
var errNotAllowed = &language.Error{Text: language.Text{EN: os.ErrPermission.Error(), ID: "izin ditolak"}, Cause: os.ErrPermission}

// ErrUnknown means that a daemon does not know what it was asked for: it may be
// of an earlier version than the command.
var ErrUnknown error = language.Errorf("gatewayd does not know this question", "gatewayd tidak mengenal pertanyaan ini")

// Report asks for the health document with its alerts in words. A daemon of an
// earlier version has the words in its status. The caller closes the body.
func (c *Client) Report(ctx context.Context) (io.ReadCloser, error) {
	body, err := c.Get(ctx, "/report")
	if errors.Is(err, ErrUnknown) {
		return c.Get(ctx, "/status")
	}
	return body, err
}

// HealthOf asks the gateway that runs on a state directory for its health. It returns
// its process id as well, also when the gateway does not answer.
func HealthOf(ctx context.Context, stateDir string) (*presence.Health, int, error) {
	d, err := Dial(stateDir)
	if err != nil {
		return nil, 0, err
	}
	body, err := d.Report(ctx)
	if err != nil {
		return nil, d.PID(), err
	}
	defer body.Close()
	var h presence.Health
	if err := json.NewDecoder(body).Decode(&h); err != nil {
		return nil, d.PID(), language.Errorf("read answer: %v", "baca jawaban: %v", err)
	}
	return &h, d.PID(), nil
}

// ErrSilent means that a daemon holds the socket and does not answer: it hangs,
// was stopped by a signal, or is still opening its journal.
var ErrSilent error = language.Errorf("gatewayd does not answer", "gatewayd tidak menjawab")

func silent(path string) error {
	return language.Errorf(
		"%v on %s: it hangs, or is still starting; see journalctl -u gatewayd, or start it again: systemctl restart gatewayd",
		"%v di %s: macet, atau masih memulai; lihat journalctl -u gatewayd, atau mulai ulang: sudo systemctl restart gatewayd", ErrSilent, path)
}

// liveness watches a daemon while it works on an answer. Its context ends with
// ErrSilent when the daemon no longer gives a sign of life.
type liveness struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// watchLiveness asks the daemon for signs of life, until end is called.
func (c *Client) watchLiveness(parent context.Context) *liveness {
	p := &liveness{done: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancelCause(parent)
	go func() {
		defer close(p.done)
		for {
			if !c.lives(p.ctx) && p.ctx.Err() == nil {
				p.cancel(silent(c.path))
				return
			}
			select {
			case <-p.ctx.Done():
				return
			case <-time.After(livenessEvery):
			}
		}
	}()
	return p
}

// lives asks for a sign of life. A daemon that has ended is not silent: its answer
// breaks off, which is an error of its own.
func (c *Client) lives(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gatewayd/alive", http.NoBody)
	if err != nil {
		return true
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return !errors.Is(err, context.DeadlineExceeded)
	}
	_ = resp.Body.Close() // it holds nothing
	return true
}

// end stops watching.
func (p *liveness) end() {
	p.cancel(nil)
	<-p.done
}

// blame returns the reason why an answer broke off: ErrSilent if the daemon fell
// silent.
func (p *liveness) blame(err error) error {
	if cause := context.Cause(p.ctx); errors.Is(cause, ErrSilent) {
		return cause
	}
	return err
}

// watchedBody is the body of an answer of a daemon that is watched.
type watchedBody struct {
	io.ReadCloser
	liveness *liveness
}

// Read implements io.Reader.
func (f *watchedBody) Read(b []byte) (int, error) {
	n, err := f.ReadCloser.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = f.liveness.blame(err)
	}
	return n, err
}

// Close implements io.Closer.
func (f *watchedBody) Close() error {
	f.liveness.end()
	return f.ReadCloser.Close()
}
