package uplink_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// TestEveryWayToTheBrokerDeliversInOrder: over TLS and WebSocket, through a proxy and
// without one. A proxy that dies and comes back costs time and no event.
func TestEveryWayToTheBrokerDeliversInOrder(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ tls, web, proxy bool }{
		"ws":                   {web: true},
		"wss":                  {tls: true, web: true},
		"tls through a proxy":  {tls: true, proxy: true},
		"ws through a proxy":   {web: true, proxy: true},
		"wss through a proxy":  {tls: true, web: true, proxy: true},
		"mqtt through a proxy": {proxy: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca := brokertest.NewCA(t)
			cert, key := ca.Issue("dinkes-01", time.Now().Add(time.Hour))
			var b *brokertest.Broker
			var address string
			switch {
			case tc.web && tc.tls:
				b, address = brokertest.StartWebSocket(t, ca)
			case tc.web:
				b, address = brokertest.StartWebSocket(t, nil)
			case tc.tls:
				b, address = brokertest.StartTLS(t, ca, time.Now().Add(time.Hour))
			default:
				b = brokertest.Start(t)
				address = b.Address()
			}
			city := b.Subscribe(prefix + "event/#")
			j := newMemory(500)
			o := options(address, j)
			if tc.tls {
				o.TLS, o.CAFile, o.CertFile, o.KeyFile = true, ca.File, cert, key
			}
			if tc.web {
				o.WebSocket = "/mqtt"
			}
			var proxy *brokertest.Proxy
			if tc.proxy {
				proxy = brokertest.StartProxy(t)
				o.Proxy = proxy.Address
			}
			u := uplink.New(o)
			stop := run(t, u)
			await(t, "the events", func() bool { return j.Cursor() == 500 })
			if proxy != nil {
				proxy.Kill()
				await(t, "the loss", func() bool {
					return strings.Contains(u.Stats().LastError, "the proxy "+proxy.Address+" cannot be reached")
				})
				proxy.Restart()
			}
			j.add(300)
			await(t, "the rest", func() bool { return j.Cursor() == 800 })
			stop()
			got := city.Await("800 events", func(m []brokertest.Message) bool { return slices.Contains(seqs(m), 800) })
			if n := distinct(t, seqs(got)); n != 800 {
				t.Errorf("%d different events", n)
			}
			if proxy != nil && (len(proxy.Tunnels()) < 2 || slices.ContainsFunc(proxy.Tunnels(), func(to string) bool { return to != address })) {
				t.Errorf("the proxy was asked for %q", proxy.Tunnels())
			}
		})
	}
}

// TestABrokerBehindWebSocketThatHangsUpIsFoundOut, as it is without: the document that
// is too large for it is put aside, and everything else goes on. mosquitto's own listener
// for WebSocket has no limit, so that here a web server stands before the usual one.
func TestABrokerBehindWebSocketThatHangsUpIsFoundOut(t *testing.T) {
	t.Parallel()
	for name, closing := range map[string]int{"without a closing frame": 0, "going away": websocket.CloseGoingAway, "too big": websocket.CloseMessageTooBig} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newMemory(20)
			o := options(bridge(t, small(t), closing), j)
			o.WebSocket = "/"
			u := uplink.New(o)
			u.Retain("alert/large", []byte(fmt.Sprintf("%q", strings.Repeat("x", 3000))))
			run(t, u)
			await(t, "the events", func() bool { return j.Cursor() == 20 })
			await(t, "the document to be put aside", func() bool {
				documents, _ := u.Refused()
				return slices.Equal(names(documents), []string{"alert/large"})
			})
		})
	}
}

// bridge is a web server that passes MQTT over WebSocket on to a broker, and says
// so when that hangs up; 0: it hangs up too.
func bridge(t *testing.T, b *brokertest.Broker, closing int) (address string) {
	t.Helper()
	upgrader := websocket.Upgrader{Subprotocols: []string{"mqtt"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		mqtt, err := net.Dial("tcp", b.Address())
		if err != nil {
			return
		}
		passed := make(chan struct{})
		go func() {
			defer close(passed)
			defer mqtt.Close()
			for {
				_, message, err := ws.ReadMessage()
				if err != nil {
					return
				}
				if _, err := mqtt.Write(message); err != nil {
					return
				}
			}
		}()
		part := make([]byte, 7) // messages that hold no whole packet, and empty ones
		for n := 0; err == nil; {
			if err = ws.WriteMessage(websocket.BinaryMessage, part[:n]); err == nil {
				n, err = mqtt.Read(part)
			}
		}
		if closing != 0 {
			_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(closing, "the broker is gone"), time.Now().Add(time.Second))
		}
		_ = ws.Close()
		<-passed
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// answering is a server on 127.0.0.1 that runs a function for each connection, once
// the first bytes have come over it.
func answering(t *testing.T, serve func(net.Conn, <-chan struct{})) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := c.Read(make([]byte, 4096)); err == nil {
				serve(c, ended)
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { close(ended); _ = l.Close(); <-done })
	return l.Addr().String()
}

// saying answers with a text at once.
func saying(text string) func(net.Conn, <-chan struct{}) {
	return func(c net.Conn, _ <-chan struct{}) { _, _ = c.Write([]byte(text)) }
}

// hung never answers.
func hung(_ net.Conn, ended <-chan struct{}) { <-ended }

// dripping answers a byte at a time, without an end.
func dripping(c net.Conn, ended <-chan struct{}) {
	text := "HTTP/1.1 200 OK\r\nX: "
	for i := 0; ; i++ {
		b := byte('x')
		if i < len(text) {
			b = text[i]
		}
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		select {
		case <-ended:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// drowsy is dripping, but so slowly that not even the first line is complete in time.
func drowsy(c net.Conn, ended <-chan struct{}) {
	for _, b := range []byte("HTTP/1.1 200 OK\r\n\r\n") {
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		select {
		case <-ended:
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// endless answers with headers as fast as it can.
func endless(c net.Conn, _ <-chan struct{}) {
	_, err := c.Write([]byte("HTTP/1.1 200 OK\r\n"))
	line := []byte("X: " + strings.Repeat("x", 1000) + "\r\n")
	for err == nil {
		_, err = c.Write(line)
	}
}

// TestTryTellsAProxyAndAWebServerFromTheBroker: each is named, none is waited for longer
// than the bound of a connection, and nothing of what they say is repeated.
func TestTryTellsAProxyAndAWebServerFromTheBroker(t *testing.T) {
	t.Parallel()
	broker := brokertest.Start(t)
	gone := brokertest.Start(t)
	gone.Stop()
	pages := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(pages.Close)
	const secret = "do-not-repeat"
	proxied := func(serve func(net.Conn, <-chan struct{})) func(*uplink.Options) {
		return func(o *uplink.Options) { o.Proxy = answering(t, serve) }
	}
	web := func(serve func(net.Conn, <-chan struct{})) func(*uplink.Options) {
		return func(o *uplink.Options) { o.Address, o.WebSocket = answering(t, serve), "/mqtt" }
	}
	for name, tc := range map[string]struct {
		change func(*uplink.Options)
		fails  uplink.Step
		status int
		says   string
	}{
		"no proxy there":          {func(o *uplink.Options) { o.Proxy = gone.Address() }, uplink.StepProxy, 0, "cannot be reached: connection refused"},
		"no such proxy":           {func(o *uplink.Options) { o.Proxy = "proxy.invalid:3128" }, uplink.StepProxy, 0, ""},
		"proxy wants a password":  {proxied(saying("HTTP/1.1 407 " + secret + "\r\nProxy-Authenticate: Basic realm=x\r\n\r\n")), uplink.StepTunnel, 407, "wants a user name and a password"},
		"proxy forbids":           {proxied(saying("HTTP/1.1 403 " + secret + "\r\n\r\n")), uplink.StepTunnel, 403, "does not let this gateway through"},
		"proxy redirects":         {proxied(saying("HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n")), uplink.StepTunnel, 302, "does not let this gateway through"},
		"proxy reaches nobody":    {proxied(saying("HTTP/1.1 503 " + secret + "\r\n\r\n")), uplink.StepTunnel, 503, "cannot reach " + broker.Address()},
		"proxy closes":            {proxied(saying("")), uplink.StepTunnel, 0, "closes the connection"},
		"no HTTP":                 {proxied(saying("SSH-2.0-" + secret + "\r\n")), uplink.StepTunnel, 0, "does not answer as an HTTP proxy"},
		"proxy says too much":     {proxied(saying("HTTP/1.1 200 OK\r\n\r\n" + secret)), uplink.StepTunnel, 0, "does not answer as an HTTP proxy"},
		"proxy hangs":             {proxied(hung), uplink.StepTunnel, 0, "gives no answer within"},
		"proxy drips":             {proxied(dripping), uplink.StepTunnel, 0, "gives no answer within"},
		"proxy drips slowly":      {proxied(drowsy), uplink.StepTunnel, 0, "gives no answer within"},
		"web server drips slowly": {web(drowsy), uplink.StepUpgrade, 0, "gives no answer within"},
		"proxy never ends":        {proxied(endless), uplink.StepTunnel, 0, "answers with more than 16 KB"},
		"broker behind is away":   {func(o *uplink.Options) { o.Proxy, o.Address = brokertest.StartProxy(t).Address, gone.Address() }, uplink.StepTunnel, 502, "cannot reach " + gone.Address()},
		"no page":                 {func(o *uplink.Options) { o.Address, o.WebSocket = pages.Listener.Addr().String(), "/mqtt" }, uplink.StepUpgrade, 404, "has no broker at this path"},
		"a page":                  {web(saying("HTTP/1.1 200 " + secret + "\r\nContent-Length: 2\r\n\r\nhi")), uplink.StepUpgrade, 200, "does not take MQTT over WebSocket"},
		"web server without one":  {web(saying("HTTP/1.1 502 " + secret + "\r\nContent-Length: 0\r\n\r\n")), uplink.StepUpgrade, 502, "cannot reach its broker"},
		"web server forbids":      {web(saying("HTTP/1.1 403 " + secret + "\r\nContent-Length: 0\r\n\r\n")), uplink.StepUpgrade, 403, "does not let this gateway in"},
		"web server hangs":        {web(hung), uplink.StepUpgrade, 0, "gives no answer within"},
		"web server drips":        {web(dripping), uplink.StepUpgrade, 0, "gives no answer within"},
		"web server never ends":   {web(endless), uplink.StepUpgrade, 0, "answers with more than 16 KB"},
		"broker and no web":       {func(o *uplink.Options) { o.Address, o.WebSocket = broker.Address(), "/mqtt" }, uplink.StepUpgrade, 0, "closes the connection"},
		"web server for a broker": {func(o *uplink.Options) { o.Address = answering(t, saying("HTTP/1.1 400 Bad Request\r\n\r\n")) }, uplink.StepConnect, 0, "a web server answers there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(broker.Address(), newMemory(0))
			o.Limits.Connect = time.Second
			tc.change(&o)
			began := time.Now()
			p := uplink.Try(t.Context(), o, false)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if p.Failed != tc.fails || p.Err == nil {
				t.Fatalf("failed at %q with %v, want %q", p.Failed, p.Err, tc.fails)
			}
			var way *uplink.WayError
			if errors.As(p.Err, &way) && way.Status != tc.status || way == nil && tc.status != 0 {
				t.Errorf("status %+v, want %d", way, tc.status)
			}
			if text := p.Err.Error(); !strings.Contains(text, tc.says) || strings.Contains(text, secret) || len(text) > 200 {
				t.Errorf("it says %q, want %q", text, tc.says)
			}
		})
	}
}

// TestARefusedCertificateIsNoTroubleOfTheWebServer: with TLS 1.3 the refusal comes only
// in place of the answer to the upgrade.
func TestARefusedCertificateIsNoTroubleOfTheWebServer(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	_, address := brokertest.StartWebSocket(t, ca)
	o := options(address, newMemory(0))
	o.TLS, o.CAFile, o.WebSocket = true, ca.File, "/mqtt"
	if p := uplink.Try(t.Context(), o, true); p.Failed != uplink.StepTLS {
		t.Errorf("without a certificate it failed at %q with %v", p.Failed, p.Err)
	}
	o.CertFile, o.KeyFile = ca.Issue("dinkes-01", time.Now().Add(time.Hour))
	if p := uplink.Try(t.Context(), o, false); p.Failed != "" {
		t.Errorf("with one it failed at %q with %v", p.Failed, p.Err)
	}
}

// TestAHungProxyDoesNotHoldUpTheStop: run's stop waits 5 s, less than the bound of a
// connection.
func TestAHungProxyDoesNotHoldUpTheStop(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	o := options("127.0.0.1:1", newMemory(1))
	o.Proxy = answering(t, func(_ net.Conn, ended <-chan struct{}) {
		asked <- struct{}{}
		<-ended
	})
	stop := run(t, uplink.New(o))
	<-asked
	stop()
}
