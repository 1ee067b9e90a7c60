package gateway

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing/synctest"
	"time"

	"presence/config"
	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// life is one process of the gateway.
type life struct {
	dir     string
	daemon  *Gateway
	stop    context.CancelFunc
	done    chan error
	dead    bool // it was left behind: the line does not know it any more; under the line's mutex
	since   time.Time
	answers []presence.Answer // of the lamp
	mu      sync.Mutex        // over answers

	// What the city's end saw of this process; under the line's mutex.
	published, acked, greeted int64

	health presence.Health // the last that the city got
	heard  time.Time       // when

	counts  counts    // what health must say
	frame   time.Time // when the receiver heard the last one
	refuses bool      // the journal refused the last tap
}

// start starts the gateway over what the last process left.
func (w *world) start() {
	w.lives++
	of := &life{since: w.now(), done: make(chan error, 1), counts: newCounts()}
	if w.life != nil {
		w.t.Fatal("a gateway runs already")
	}
	of.dir = w.state
	w.door.mu.Lock()
	w.door.errors = 0
	w.door.mu.Unlock()
	cfg := *w.cfg
	cfg.Gateway.StateDir = of.dir
	w.truth.starting(w)
	d, err := New(&cfg, w.log, Options{
		Observe: func(a presence.Answer) {
			of.mu.Lock()
			defer of.mu.Unlock()
			of.answers = append(of.answers, a)
		},
		around: surroundings{
			clock: w.machine,
			board: filepath.Join(w.dir, "root"),
			listen: func(string) (net.Listener, error) {
				return &deafListener{closed: make(chan struct{})}, nil
			},
			reader: func(context.Context, config.Reader) (card.Reader, error) { return w.door.open() },
			port:   func(context.Context, config.Receiver) (io.ReadCloser, error) { return w.yard.open() },
			dial:   func(context.Context) (net.Conn, error) { return w.line.dial(of) },
		},
	})
	if err != nil {
		w.t.Fatalf("%s: the gateway does not start: %v", w.stamp(), err)
	}
	of.daemon = d
	ctx, cancel := context.WithCancel(context.Background())
	of.stop = cancel
	go func() { of.done <- d.Run(ctx) }()
	w.life = of
	w.truth.started(w)
	synctest.Wait()
}

// halt stops the gateway as systemd does.
func (w *world) halt() {
	synctest.Wait()
	w.truth.ending(w, true)
	w.life.stop()
	if err := <-w.life.done; err != nil {
		w.t.Errorf("%s: the gateway stopped with %v", w.stamp(), err)
	}
	w.truth.ended(w)
	w.life = nil
}

// kill ends the gateway as a power cut or kill -9 does: what is in the files is
// all that there will be. The process that is left behind has lost its line, and
// ends over files that nobody looks at any more.
func (w *world) kill() {
	synctest.Wait()
	w.truth.ending(w, false)
	w.line.mu.Lock()
	w.life.dead = true
	w.line.mu.Unlock()
	w.line.cut()
	left := w.state
	w.state = filepath.Join(w.dir, "state-"+strconv.Itoa(w.lives))
	if err := os.CopyFS(w.state, os.DirFS(left)); err != nil {
		w.t.Fatal(err)
	}
	w.life.stop()
	<-w.life.done // whatever it thinks of its end
	if err := os.RemoveAll(left); err != nil {
		w.t.Fatal(err)
	}
	w.truth.ended(w)
	w.life = nil
}

// deafListener is a control socket at which nobody calls: the test asks the
// daemon itself.
type deafListener struct {
	once   sync.Once
	closed chan struct{}
}

func (l *deafListener) Accept() (net.Conn, error) {
	<-l.closed
	return nil, net.ErrClosed
}

func (l *deafListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *deafListener) Addr() net.Addr { return &net.UnixAddr{Name: "control.sock", Net: "unix"} }
