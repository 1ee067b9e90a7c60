package brokertest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Proxy is an HTTP proxy that knows CONNECT only, as offices have them.
type Proxy struct {
	Address string // host:port, the same after a Restart

	t       testing.TB
	serving sync.WaitGroup

	mu      sync.Mutex
	listen  net.Listener
	conns   map[net.Conn]bool
	tunnels []string // what it was asked for
}

// StartProxy runs a proxy on a free port of 127.0.0.1 until the test ends.
func StartProxy(t testing.TB) *Proxy {
	t.Helper()
	p := &Proxy{t: t, Address: "127.0.0.1:0", conns: make(map[net.Conn]bool)}
	p.Restart()
	p.Address = p.listen.Addr().String()
	t.Cleanup(p.Kill)
	return p
}

// Restart runs the proxy again after Kill.
func (p *Proxy) Restart() {
	p.t.Helper()
	l, err := net.Listen("tcp", p.Address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.listen = l
	p.mu.Unlock()
	p.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if p.keep(l, c) {
				p.serving.Go(func() { p.serve(l, c) })
			}
		}
	})
}

// Kill ends the proxy with all connections through it.
func (p *Proxy) Kill() {
	p.mu.Lock()
	if p.listen != nil {
		_ = p.listen.Close() // it may be closed already
	}
	p.listen = nil
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.serving.Wait()
}

// Tunnels are the addresses to which connections were asked for so far.
func (p *Proxy) Tunnels() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.tunnels...)
}

// keep has Kill close a connection; it closes it itself if that has been.
func (p *Proxy) keep(l net.Listener, c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listen != l {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = c.Close() // Kill may have closed it
	delete(p.conns, c)
}

func (p *Proxy) serve(l net.Listener, c net.Conn) {
	defer p.drop(c)
	read := bufio.NewReader(c)
	r, err := http.ReadRequest(read)
	if err != nil {
		return
	}
	if r.Method != http.MethodConnect {
		fmt.Fprint(c, "HTTP/1.1 405 Method Not Allowed\r\n\r\n")
		return
	}
	p.mu.Lock()
	p.tunnels = append(p.tunnels, r.Host)
	p.mu.Unlock()
	far, err := net.DialTimeout("tcp", r.Host, 5*time.Second)
	if err != nil {
		fmt.Fprint(c, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	if !p.keep(l, far) {
		return
	}
	defer p.drop(far)
	fmt.Fprint(c, "HTTP/1.1 200 Connection established\r\nProxy-Agent: test\r\n\r\n")
	p.serving.Go(func() {
		_, _ = io.Copy(far, read) // ends with either connection
		p.drop(far)
	})
	_, _ = io.Copy(c, far)
}
