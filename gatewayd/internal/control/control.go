package control

import (
	"context"
	"errors"
	"fmt"
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

// lastAnswers is how long a daemon that ends goes on answering those who were already
// connected: on a busy machine their questions come late.
const lastAnswers = time.Second

// ErrRunning means that another daemon answers on the socket.
var ErrRunning = errors.New("another gatewayd is running here")

// Listen opens the socket in the state directory. A socket that a killed
// daemon left behind is replaced; one that answers is an error.
func Listen(stateDir string) (net.Listener, error) {
	path := filepath.Join(stateDir, SocketName)
	conn, err := net.DialTimeout("unix", path, patience)
	if err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, ErrRunning)
	}
	if errors.Is(err, syscall.EAGAIN) {
		return nil, fmt.Errorf("listen on %s: %w", path, ErrRunning) // and is not heard
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

// Keep makes another listener on the same socket, which stays when the first is
// closed: a command that asks in between waits, and is answered by the daemon that
// serves the other one.
func Keep(l net.Listener) (net.Listener, error) {
	first, ok := l.(*net.UnixListener)
	if !ok {
		return nil, fmt.Errorf("keep control socket: it is a %T", l)
	}
	file, err := first.File()
	if err != nil {
		return nil, fmt.Errorf("keep control socket: %w", err)
	}
	defer file.Close() // the second listener has a copy of its own
	second, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("keep control socket: %w", err)
	}
	first.SetUnlinkOnClose(false)
	if kept, ok := second.(*net.UnixListener); ok {
		kept.SetUnlinkOnClose(true)
	}
	return second, nil
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
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
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

// Nobody is the user id of an end that the kernel does not name.
const Nobody = -1

// withPeer notes who is on the other end.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	who := Nobody
	if cred := peer(c); cred != nil {
		who = int(cred.Uid)
	}
	return context.WithValue(ctx, peerKey{}, who)
}

// peer asks the kernel who is on the other end (unix(7), SO_PEERCRED), nil where it
// does not tell.
func peer(c net.Conn) (cred *unix.Ucred) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return nil
	}
	_ = raw.Control(func(fd uintptr) {
		if got, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			cred = got
		}
	})
	return cred
}

// Caller is the user id of the process that sent the request with this context; Nobody
// where it is not known.
func Caller(ctx context.Context) int {
	if who, ok := ctx.Value(peerKey{}).(int); ok {
		return who
	}
	return Nobody
}

// overSocket reports whether a request came over a socket that Serve answers on.
func overSocket(ctx context.Context) bool {
	_, ok := ctx.Value(peerKey{}).(int)
	return ok
}
