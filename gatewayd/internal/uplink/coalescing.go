package uplink

import (
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"time"
)

// coalescing is a connection that joins small writes: paho writes each packet on its
// own, which costs a system call, and under TLS a record, for every event. What is
// written while one write is under way goes out in the next one; no write waits for
// others to join it.
//
// Write never waits for the line. If it did, paho's pings, and whoever publishes, would
// wait behind a write that is stuck. The window of events bounds how much gathers.
//
// A write that fails closes the connection, and only by that whoever wrote learns of it.
// Nothing is lost by that, since an event counts as delivered at its PUBACK only.
type coalescing struct {
	net.Conn
	raw    io.Reader     // the connection below, to read what bounded would not pass on
	room   int           // bytes that may wait to be written
	done   chan struct{} // the goroutine that writes has ended
	ended  chan struct{} // Close has ended
	endErr error         // what Close found; read it when ended is closed

	mu     sync.Mutex
	change sync.Cond
	buffer []byte // not yet on its way
	closed bool
	err    error
	wait   time.Duration // for the other side to close first
}

// lastWords is how long Close waits at most until the last packets are written.
const lastWords = time.Second

// backlog is how many bytes may wait to be written: a window of events of 4 KiB each,
// which is far more than an event has, and 1 MiB for documents.
func (u *Uplink) backlog() int { return 1<<20 + max(u.opt.Window, 1)<<12 }

// errBacklog is why a write fails when too much waits to be written.
var errBacklog = errors.New("the line does not take what is sent")

func newCoalescing(c net.Conn, room int) *coalescing {
	w := &coalescing{Conn: c, raw: c, room: room, done: make(chan struct{}), ended: make(chan struct{})}
	w.change.L = &w.mu
	if b, ok := c.(*bounded); ok {
		w.raw = b.Conn
	}
	go w.flush()
	return w
}

// Write implements net.Conn.
func (w *coalescing) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
		return 0, w.err
	case w.closed:
		return 0, net.ErrClosed
	case len(w.buffer)+len(p) > w.room:
		return 0, errBacklog
	}
	w.buffer = append(w.buffer, p...)
	w.change.Broadcast()
	return len(p), nil
}

// Read implements net.Conn. After a write that failed it returns that write's error,
// because of which the connection was closed.
func (w *coalescing) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.err != nil {
			err = w.err
		}
	}
	return n, err
}

// flush writes what waits to be written, until the connection is closed or a write
// fails.
func (w *coalescing) flush() {
	defer close(w.done)
	var out []byte
	for {
		w.mu.Lock()
		for len(w.buffer) == 0 && !w.closed {
			w.change.Wait()
		}
		if len(w.buffer) == 0 {
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		// Whoever is about to write more gets to it first, if there is nothing else to do:
		// fewer writes, and under TLS fewer records.
		runtime.Gosched()
		w.mu.Lock()
		out, w.buffer = w.buffer, out[:0]
		w.mu.Unlock()
		if _, err := w.Conn.Write(out); err != nil {
			w.mu.Lock()
			w.err = err
			w.mu.Unlock()
			_ = w.Conn.Close() // the reader learns of it
			return
		}
	}
}

// SetWriteDeadline implements net.Conn and does nothing: that a line stalls is noticed
// by missing PUBACKs, and Close sets a deadline of its own.
func (w *coalescing) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline implements net.Conn.
func (w *coalescing) SetDeadline(t time.Time) error { return w.Conn.SetReadDeadline(t) }

// Close implements net.Conn. It may be called more than once; every call waits until the
// first has closed the connection. They wait on a channel and not in a sync.Once, since
// only that lets virtual time go on in tests (testing/synctest).
func (w *coalescing) Close() error {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.mu.Unlock()
	if first {
		w.endErr = w.shut()
		close(w.ended)
	}
	<-w.ended
	return w.endErr
}

// linger has Close wait until the other side has closed the connection, at most so long.
// A broker closes it at a DISCONNECT. If this side closed first while something that the
// broker has just sent is unread, the kernel would reset the connection, and what is on
// its way to the broker, the DISCONNECT itself, could be lost.
func (w *coalescing) linger(most time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wait = most
}

// shut closes the connection, which is marked as closed already.
func (w *coalescing) shut() error {
	w.mu.Lock()
	w.change.Broadcast()
	w.mu.Unlock()
	_ = w.Conn.SetWriteDeadline(time.Now().Add(lastWords)) // fails only when closed
	<-w.done
	w.mu.Lock()
	most, err := w.wait, w.err
	w.mu.Unlock()
	if most > 0 && err == nil && w.Conn.SetReadDeadline(time.Now().Add(most)) == nil {
		// Other readers of the connection do not matter: they leave less to read here.
		// This ends when the other side has closed, or at the deadline.
		_, err = io.Copy(io.Discard, w.raw)
	}
	if closed := w.Conn.Close(); err == nil {
		err = closed
	}
	return err
}
