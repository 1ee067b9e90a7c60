package uplink_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// meter passes connections on to an address and counts what goes each way.
type meter struct {
	address  string
	up, down atomic.Int64 // towards the broker, and back
}

func newMeter(t *testing.T, to string) *meter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &meter{address: l.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			serving.Go(func() { pass(far, near, &m.up) })
			serving.Go(func() { pass(near, far, &m.down) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); serving.Wait() })
	return m
}

// pass copies until the connection ends, and then ends the other one in that direction.
func pass(to, from net.Conn, count *atomic.Int64) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		count.Add(int64(n))
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			break
		}
	}
	_ = to.(*net.TCPConn).CloseWrite() // it may be gone already
	_, _ = io.Copy(io.Discard, from)
}

// equals reports whether the meter has counted what the gateway says that it sent and
// received.
func (m *meter) equals(h presence.MQTTHealth) bool {
	return h.BytesSent == m.up.Load() && h.BytesReceived == m.down.Load() && h.BytesDay == h.BytesSent+h.BytesReceived
}

// TestBytesAreCountedAsTheLineCarriesThem, whichever way leads to the broker: what the
// office pays for is compared to the byte with what a meter before the first hop counts.
func TestBytesAreCountedAsTheLineCarriesThem(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ tls, web, proxy bool }{
		"mqtt":                 {},
		"tls":                  {tls: true},
		"ws":                   {web: true},
		"wss":                  {tls: true, web: true},
		"tls through a proxy":  {tls: true, proxy: true},
		"wss through a proxy":  {tls: true, web: true, proxy: true},
		"mqtt through a proxy": {proxy: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca := brokertest.NewCA(t)
			cert, key := ca.Issue("dinkes-01", time.Now().Add(time.Hour))
			j := newMemory(200)
			o := options("", j)
			if tc.tls {
				o.TLS, o.CAFile, o.CertFile, o.KeyFile = true, ca.File, cert, key
			}
			switch {
			case tc.web && tc.tls:
				_, o.Address = brokertest.StartWebSocket(t, ca)
			case tc.web:
				_, o.Address = brokertest.StartWebSocket(t, nil)
			case tc.tls:
				_, o.Address = brokertest.StartTLS(t, ca, time.Now().Add(time.Hour))
			default:
				o.Address = brokertest.Start(t).Address()
			}
			if tc.web {
				o.WebSocket = "/mqtt"
			}
			var m *meter
			if tc.proxy {
				m = newMeter(t, brokertest.StartProxy(t).Address)
				o.Proxy = m.address
			} else {
				m = newMeter(t, o.Address)
				o.Address = m.address
			}
			u := uplink.New(o)
			stop := run(t, u)
			await(t, "the events", func() bool { return j.Cursor() == 200 })
			await(t, "both counts to be the same", func() bool { return m.equals(u.Stats()) })
			stop()
			await(t, "both counts to be the same after the goodbye", func() bool { return m.equals(u.Stats()) })
			if h := u.Stats(); h.BytesSent < 200*300 || h.BytesReceived < 200*4 {
				t.Errorf("%d bytes sent and %d received are too few for 200 events", h.BytesSent, h.BytesReceived)
			}
		})
	}
}
