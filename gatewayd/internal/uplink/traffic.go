package uplink

import (
	"net"
	"sync/atomic"
	"time"
)

// traffic counts the bytes of all connections.
type traffic struct {
	sent, received atomic.Int64
	moved          atomic.Int64 // see lastMoved, in ns since 1970
	heard          atomic.Int64 // when anything came last, in ns since 1970
}

// portion is how many bytes must come for a connection to count as moving. A slow line
// carries so many in half a second; a broker that only answers pings sends fewer in
// minutes.
const portion = 512

// lastMoved is when the latest connection was opened, or the latest portion came over it.
// What the broker sends comes one after the other: on a slow line an acknowledgement can
// wait for a minute behind a roster.
func (t *traffic) lastMoved() time.Time { return time.Unix(0, t.moved.Load()) }

func (t *traffic) move() {
	t.moved.Store(time.Now().UnixNano())
	t.heard.Store(time.Now().UnixNano())
}

// counting is a TCP connection whose bytes are counted. It is below everything else, so
// that what TLS, WebSocket and a proxy cost is counted too, whichever way leads to the
// broker.
type counting struct {
	net.Conn
	traffic *traffic
	came    atomic.Int64 // bytes of the next portion
}

// Read implements net.Conn.
func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.traffic.received.Add(int64(n))
	switch came := c.came.Add(int64(n)); {
	case came >= portion:
		c.came.Store(0)
		c.traffic.move()
	case n > 0:
		c.traffic.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

// Write implements net.Conn.
func (c *counting) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.traffic.sent.Add(int64(n))
	return n, err
}
