package lightgateway_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// gate is a line to a broker that is closed until it is opened: who connects before is
// hung up on.
type gate struct {
	listener net.Listener
	isOpen   atomic.Bool
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{listener: l}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil || !g.isOpen.Load() {
				_ = near.Close()
				if err == nil {
					_ = far.Close()
				}
				continue
			}
			tasks.Go(func() { pass(near, far) })
			tasks.Go(func() { pass(far, near) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		tasks.Wait()
	})
	return g
}

// pass passes on what comes until one side ends, and then ends both.
func pass(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}

func (g *gate) address() string { return g.listener.Addr().String() }

func (g *gate) open() { g.isOpen.Store(true) }
