package control

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
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// SocketName is the socket's name in the state directory.
const SocketName = "control.sock"

// maxRequest bounds a request's body: the largest is a list of UIDs.
const maxRequest = 64 << 10

// ErrRunning means that another daemon answers on the socket.
var ErrRunning = errors.New("another gatewayd is running here")

// Listen opens the socket in the state directory. A socket that a killed
// daemon left behind is replaced; one that answers is an error.
func Listen(stateDir string) (net.Listener, error) {
	path := filepath.Join(stateDir, SocketName)
	if conn, err := net.Dial("unix", path); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, ErrRunning)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove old socket: %w", err)
	}
	// The mode must hold from the first moment on, so it comes from the umask
	// and not from a chmod afterwards. The caller listens before it starts
	// anything else that makes files.
	old := syscall.Umask(0o117)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

// Serve answers on the listener until the context ends.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	s := &http.Server{
		Handler:           http.MaxBytesHandler(h, maxRequest),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		IdleTimeout:       30 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withPeer,
	}
	stop := context.AfterFunc(ctx, func() {
		// Answers that go on end with the context; what is left is cut.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 500*time.Millisecond)
		defer cancel()
		if s.Shutdown(grace) != nil {
			_ = s.Close()
		}
	})
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve control socket: %w", err)
	}
	return ctx.Err()
}

// peerKey marks the user id of the other end in a request's context.
type peerKey struct{}

// nobody is the user id of an end that the kernel does not name.
const nobody = -1

// withPeer asks the kernel who is on the other end (unix(7), SO_PEERCRED).
func withPeer(ctx context.Context, c net.Conn) context.Context {
	who := nobody
	if u, ok := c.(*net.UnixConn); ok {
		if raw, err := u.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
					who = int(cred.Uid)
				}
			})
		}
	}
	return context.WithValue(ctx, peerKey{}, who)
}

func peer(ctx context.Context) int {
	if who, ok := ctx.Value(peerKey{}).(int); ok {
		return who
	}
	return nobody
}

// ErrNotRunning means that no daemon answers on the socket.
var ErrNotRunning = errors.New("gatewayd is not running here")

// Client asks a running daemon.
type Client struct {
	http *http.Client
	path string
}

// Dial finds the daemon of a state directory. ErrNotRunning tells that there is
// none.
func Dial(stateDir string) (*Client, error) {
	path := filepath.Join(stateDir, SocketName)
	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		_ = conn.Close()
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("open %s: %w; run as root or join the group that owns it", path, os.ErrPermission)
	default:
		return nil, fmt.Errorf("%w (no answer on %s); start it with: systemctl start gatewayd", ErrNotRunning, path)
	}
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{
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
		return false, fmt.Errorf("read answer: %w", err)
	}
	if text := resp.Trailer.Get(trailerError); text != "" {
		return false, fmt.Errorf("gatewayd says: %s", text)
	}
	return resp.Trailer.Get(trailerDamaged) != "", nil
}

func (c *Client) do(ctx context.Context, method, target string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://gatewayd"+target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask gatewayd: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask gatewayd on %s: %w", c.path, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return nil, fmt.Errorf("gatewayd says: %s", bytes.TrimSpace(text))
	}
	return resp, nil
}
