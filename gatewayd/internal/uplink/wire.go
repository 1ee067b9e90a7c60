package uplink

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// maxPacket bounds a packet from the broker in bytes: paho allocates what a
// packet declares as its length.
const maxPacket = 256 << 10

// suback is the kind of packet that answers a SUBSCRIBE (MQTT 3.1.1, 3.9): two
// bytes of packet id and a code for each filter. paho writes behind the end of a
// slice when there are more codes than filters, and nothing recovers from that.
const suback = 9

var (
	errTooLarge = fmt.Errorf("the broker sent a packet of more than %d bytes", maxPacket)
	errSuback   = fmt.Errorf("the broker does not answer each of %d subscriptions", filters)
)

// bounded follows the packets that come over a connection and ends it before
// one is read that paho would not survive (MQTT 3.1.1, 2.2: a byte of type and flags, the
// remaining length in 7-bit groups, the rest).
//
// It reads ahead: paho asks for a packet's header byte by byte.
type bounded struct {
	net.Conn
	ahead  *bufio.Reader
	kind   byte // of the packet: the upper half of its first byte
	rest   int  // bytes of the packet still to come
	length int  // remaining length, while it is being read
	shift  int  // of the next group; 0 before the first
	inside bool
}

func newBounded(c net.Conn) *bounded {
	return &bounded{Conn: c, ahead: bufio.NewReaderSize(c, 4<<10)}
}

// Read implements net.Conn.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ahead.Read(p)
	for i := 0; i < n; {
		switch {
		case b.rest > 0:
			step := min(b.rest, n-i)
			b.rest -= step
			i += step
		case !b.inside: // type and flags
			b.kind, b.inside, b.length, b.shift = p[i]>>4, true, 0, 0
			i++
		default:
			b.length |= int(p[i]&0x7F) << b.shift
			b.shift += 7
			if b.length > maxPacket || b.shift > 28 {
				return 0, errTooLarge
			}
			if p[i]&0x80 == 0 {
				b.inside, b.rest = false, b.length
				if b.kind == suback && b.length != 2+filters {
					return 0, errSuback
				}
			}
			i++
		}
	}
	return n, err
}

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
	room int // bytes that may wait
	end  func() error
	done chan struct{} // the goroutine that writes has ended

	mu     sync.Mutex
	change sync.Cond
	buffer []byte // not yet on its way
	closed bool
	err    error
}

// lastWords is for how long Close waits until the last packets are written.
const lastWords = time.Second

// backlog is how many bytes may wait to be written: a window of events at 4 KiB,
// far more than one has, and room for documents.
func (u *Uplink) backlog() int { return 1<<20 + max(u.opt.Window, 1)<<12 }

var errBacklog = errors.New("the line does not take what is sent")

func newCoalescing(c net.Conn, room int) *coalescing {
	w := &coalescing{Conn: c, room: room, done: make(chan struct{})}
	w.change.L = &w.mu
	w.end = sync.OnceValue(w.shut)
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

// Close implements net.Conn. It may be called more than once.
func (w *coalescing) Close() error { return w.end() }

func (w *coalescing) shut() error {
	w.mu.Lock()
	w.closed = true
	w.change.Broadcast()
	w.mu.Unlock()
	_ = w.Conn.SetWriteDeadline(time.Now().Add(lastWords)) // fails only when closed
	<-w.done
	return w.Conn.Close()
}
