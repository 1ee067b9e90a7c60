package uplink

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// coalescing is a connection whose writes go out together: paho writes each
// packet on its own, which costs a system call, and under TLS a record, for
// every event. What is written while one write is under way makes the next one;
// nothing waits for more to come.
//
// Write never waits for the line either. paho's pings queue up behind stuck
// writes, and whoever publishes waits with them; here they all go on, and the
// window of events bounds what gathers.
//
// A write that fails closes the connection. Whoever wrote learns of it by that:
// an event counts as delivered at its PUBACK and not before.
type coalescing struct {
	net.Conn
	raw    io.Reader     // what comes in, past whoever else reads
	room   int           // bytes that may wait
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

// lastWords is for how long Close waits until the last packets are written.
const lastWords = time.Second

// backlog is how many bytes may wait to be written: a window of events at 4 KiB,
// far more than one has, and room for documents.
func (u *Uplink) backlog() int { return 1<<20 + max(u.opt.Window, 1)<<12 }

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

// Read implements net.Conn. After a write that failed it says why that was: the
// connection is only closed because of it.
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

// flush writes what waits until the connection is closed or a write fails.
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

// SetWriteDeadline implements net.Conn and does nothing: a line that stalls
// shows by its PUBACKs, and Close brings a deadline of its own.
func (w *coalescing) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline implements net.Conn.
func (w *coalescing) SetDeadline(t time.Time) error { return w.Conn.SetReadDeadline(t) }

// Close implements net.Conn. It may be called more than once: whoever comes later
// waits for the first, on a channel and not in a sync.Once, so that it can be waited
// for in virtual time too.
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

// linger has Close wait until the other side has closed, at most so long. A
// broker does that at a DISCONNECT. A socket that is closed while something is
// unread, such as what the broker has just said, is reset, and what is on its way
// in the other direction may be lost with it: the DISCONNECT itself.
func (w *coalescing) linger(most time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wait = most
}

// shut ends the connection, which is marked as closed.
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
		// Whoever reads beside this only leaves less to be read here. It ends with
		// the connection, or when the time is over.
		_, _ = io.Copy(io.Discard, w.raw)
	}
	return w.Conn.Close()
}
