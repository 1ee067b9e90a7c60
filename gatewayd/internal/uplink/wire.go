package uplink

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// maxPacket bounds a packet from the broker in bytes: paho allocates what a
// packet declares as its length. The largest that a gateway reads is a roster:
// a few thousand people at a hundred bytes.
const maxPacket = 512 << 10

// The kinds of packets that a gateway gets (MQTT 3.1.1, 2.2.1). It publishes and
// subscribes at QoS 0 and 1 only; paho would keep what belongs to QoS 2 until the
// broker goes on with it, which it need not.
const (
	connack  = 2
	publish  = 3
	puback   = 4
	suback   = 9
	unsuback = 11
	pingresp = 13
)

// lengthOf is how long a packet of a kind must be behind its header, false for a
// kind that no gateway gets. A SUBACK answers a SUBSCRIBE: two bytes of packet id
// and a code for each filter. paho writes behind the end of a slice when there are
// more codes than filters, and nothing recovers from that.
func (b *bounded) lengthOf(kind byte) (length int, known bool) {
	switch kind {
	case connack, puback, unsuback:
		return 2, true
	case suback:
		return 2 + b.filters, true
	case pingresp:
		return 0, true
	}
	return 0, false
}

var (
	errTooLarge = fmt.Errorf("the broker sent a packet of more than %d bytes", maxPacket)
	errLength   = errors.New("the broker sent a packet without an end")
	errPacket   = errors.New("the broker sent a packet that it must not send here")
	errQoS      = errors.New("a message at QoS 2, at which nobody subscribed")
)

// bounded follows the packets that come over a connection (MQTT 3.1.1, 2.2: a
// byte of type and flags, the remaining length in 7-bit groups, the rest) and
// ends it before one is read that paho would not survive, or would keep. A message
// that is too large, or comes at QoS 2, is passed over: it may be retained, and
// would end every connection.
//
// It reads ahead: paho asks for a packet's header byte by byte.
type bounded struct {
	net.Conn
	ahead   *bufio.Reader
	filters int                           // subscriptions, all in one SUBSCRIBE
	passed  func(topic string, why error) // is told of each message that was passed over
	rest    int                           // bytes of the packet still to come
}

func newBounded(c net.Conn, filters int, passed func(topic string, why error)) *bounded {
	return &bounded{Conn: c, ahead: bufio.NewReaderSize(c, 4<<10), filters: filters, passed: passed}
}

// Read implements net.Conn.
func (b *bounded) Read(p []byte) (int, error) {
	for b.rest == 0 {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n, err := b.ahead.Read(p[:min(len(p), b.rest)])
	b.rest -= n
	return n, err
}

// next looks at the header of the next packet.
func (b *bounded) next() error {
	length, n := 0, 1
	for {
		if n == 5 {
			return errLength
		}
		n++
		head, err := b.ahead.Peek(n)
		if err != nil {
			return err
		}
		length |= int(head[n-1]&0x7F) << (7 * (n - 2))
		if head[n-1]&0x80 == 0 {
			break
		}
	}
	head, err := b.ahead.Peek(1)
	if err != nil {
		return err
	}
	kind, flags := head[0]>>4, head[0]&0xF
	if kind != publish {
		// Flags that are set would have paho keep what the packet acknowledges.
		if want, known := b.lengthOf(kind); !known || flags != 0 || length != want {
			return errPacket
		}
		b.rest = n + length
		return nil
	}
	var why error
	switch qos := flags >> 1 & 3; {
	case length > maxPacket:
		why = errTooLarge
	case qos > 1:
		why = errQoS
	default:
		b.rest = n + length
		return nil
	}
	topic := b.topic(n, length)
	_, err = b.ahead.Discard(n + length)
	b.passed(topic, why)
	return err
}

// longestName is how much of the topic of a message is read that is passed over, in
// bytes.
const longestName = 1 << 10

// topic is that of a message whose header has n bytes, length behind it (MQTT 3.1.1,
// 3.3.2.1: two bytes with its own length, then the topic), as far as it is there.
func (b *bounded) topic(n, length int) string {
	if length < 2 {
		return ""
	}
	head, err := b.ahead.Peek(n + 2)
	if err != nil {
		return ""
	}
	size := int(head[n])<<8 | int(head[n+1])
	head, _ = b.ahead.Peek(n + 2 + min(size, length-2, longestName)) // less where the line broke
	return string(head[min(n+2, len(head)):])
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
