package brokertest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// OneName is an address at which whoever connects gets through to the first of some
// brokers that takes the connection, each time beginning with another one: in place of a
// name with several addresses, which a test cannot give to programs.
func OneName(t testing.TB, brokers ...string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &oneName{brokers: brokers, open: make(map[net.Conn]bool)}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for first := 0; ; first++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n.passing.Go(func() { n.pass(conn, first) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // nothing is accepted any more
		accepting.Wait()
		n.close()
		n.passing.Wait()
	})
	return l.Addr().String()
}

type oneName struct {
	brokers []string
	passing sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]bool
}

// pass passes on what comes over a connection, in both directions.
func (n *oneName) pass(conn net.Conn, first int) {
	defer n.forget(conn)
	if !n.keep(conn) {
		return
	}
	broker := n.dial(first)
	if broker == nil {
		return
	}
	defer n.forget(broker)
	if !n.keep(broker) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(conn, broker) // it ends with either connection
		n.forget(conn)
	})
	_, _ = io.Copy(broker, conn)
	n.forget(broker)
	back.Wait()
}

// dial connects to the first broker that takes the connection, nil if none does.
func (n *oneName) dial(first int) net.Conn {
	for i := range n.brokers {
		broker, err := net.Dial("tcp", n.brokers[(first+i)%len(n.brokers)])
		if err == nil {
			return broker
		}
	}
	return nil
}

func (n *oneName) keep(conn net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.open[conn] = true
	return true
}

func (n *oneName) forget(conn net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.open, conn)
	_ = conn.Close() // it may be closed already
}

func (n *oneName) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for conn := range n.open {
		_ = conn.Close()
	}
}
