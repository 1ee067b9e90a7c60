package uplink

import (
	"net"
	"sync/atomic"
)

// traffic counts the bytes of all connections.
type traffic struct{ sent, received atomic.Int64 }

// counting is a TCP connection whose bytes are counted. It is below everything else, so
// that what TLS, WebSocket and a proxy cost is counted too, whichever way leads to the
// broker.
type counting struct {
	net.Conn
	traffic *traffic
}

// Read implements net.Conn.
func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.traffic.received.Add(int64(n))
	return n, err
}

// Write implements net.Conn.
func (c *counting) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.traffic.sent.Add(int64(n))
	return n, err
}
