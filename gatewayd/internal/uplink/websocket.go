package uplink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// subprotocol is what MQTT is called over WebSocket (MQTT 3.1.1, section 6).
const subprotocol = "mqtt"

// upgrade asks the web server at the other end of a connection, which is that of TLS
// where the broker's address says so, to take MQTT over it (RFC 6455). A failed step is
// StepTLS where the server refuses the gateway's certificate only now, as it does with
// TLS 1.3.
func (u *Uplink) upgrade(ctx context.Context, conn net.Conn) (*webSocket, Step, error) {
	at := url.URL{Scheme: "ws", Host: strings.TrimSuffix(u.opt.Address, ":80"), Path: u.opt.WebSocket}
	if u.opt.TLS {
		at.Scheme, at.Host = "wss", strings.TrimSuffix(u.opt.Address, ":443")
	}
	who := "the web server at " + at.String()
	below := &upgrading{header{Conn: conn, room: maxHeader}}
	open := func(context.Context, string, string) (net.Conn, error) { return below, nil }
	// Without a function that names a proxy, there is none whatever the environment says.
	dialer := websocket.Dialer{
		NetDialContext: open, NetDialTLSContext: open,
		Subprotocols:    []string{subprotocol},
		WriteBufferSize: 16 << 10,
	}
	var ws *websocket.Conn
	status := 0
	err := within(ctx, conn, func() error {
		var answer *http.Response
		var err error
		ws, answer, err = dialer.DialContext(ctx, at.String(), nil)
		if answer != nil {
			_ = answer.Body.Close() // the dialer has read it
			status = answer.StatusCode
		}
		return err
	})
	var alert *net.OpError
	switch {
	case errors.As(err, &alert) && alert.Op == "remote error":
		return nil, StepTLS, err
	case errors.Is(err, websocket.ErrBadHandshake):
		return nil, StepUpgrade, inTheWay(who, status, notUpgraded(status), err)
	case err != nil:
		reason := u.silence(err)
		if reason == "" {
			reason = "does not answer as a web server"
		}
		return nil, StepUpgrade, inTheWay(who, 0, reason, err)
	case ws.Subprotocol() != subprotocol:
		return nil, StepUpgrade, inTheWay(who, 0, "takes WebSocket, but not for MQTT: it is no broker", nil)
	}
	below.room = -1
	return &webSocket{Conn: ws, below: conn}, "", nil
}

// notUpgraded says what a web server means that does not take WebSocket.
func notUpgraded(status int) string {
	switch {
	case status == http.StatusNotFound:
		return "has no broker at this path"
	case status/100 == 5:
		return "cannot reach its broker"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "does not let this gateway in"
	}
	return "does not take MQTT over WebSocket"
}

// upgrading is what package websocket writes to. It sets a deadline of its own before
// each write, none by default, which would undo that of coalescing.
type upgrading struct{ header }

// SetWriteDeadline implements net.Conn and does nothing; see webSocket.
func (*upgrading) SetWriteDeadline(time.Time) error { return nil }

// webSocket is a connection over which MQTT's bytes go in binary messages. Where those
// begin and end means nothing (MQTT 3.1.1, section 6). It is closed without a closing
// handshake: MQTT has its own.
type webSocket struct {
	*websocket.Conn
	below net.Conn

	mu      sync.Mutex // coalescing reads too, at the end
	message io.Reader  // the rest of the message that has begun; nil: none
	err     error      // why nothing can be read any more
}

// SetWriteDeadline implements net.Conn.
func (w *webSocket) SetWriteDeadline(t time.Time) error { return w.below.SetWriteDeadline(t) }

// SetDeadline implements net.Conn.
func (w *webSocket) SetDeadline(t time.Time) error { return w.below.SetDeadline(t) }

// Write implements net.Conn. One goroutine may write at a time.
func (w *webSocket) Write(p []byte) (int, error) {
	if err := w.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Read implements net.Conn.
func (w *webSocket) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.err == nil {
		if w.message == nil {
			w.next()
			continue
		}
		n, err := w.message.Read(p)
		if errors.Is(err, io.EOF) {
			w.message, err = nil, nil
		}
		if err != nil {
			w.err = ended(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, w.err
}

// next waits for the next message.
func (w *webSocket) next() {
	kind, message, err := w.NextReader()
	switch {
	case err != nil:
		w.err = ended(err)
	case kind != websocket.BinaryMessage:
		w.err = errors.New("the web server sent text where MQTT is binary")
	default:
		w.message = message
	}
}

// ended is an error of package websocket as a connection without WebSocket would have
// it: what a broker hangs up over is found out by that it closed the connection.
func ended(err error) error {
	var closed *websocket.CloseError
	switch {
	case !errors.As(err, &closed):
		return err
	case closed.Code == websocket.CloseMessageTooBig, closed.Code == websocket.ClosePolicyViolation:
		return fmt.Errorf("the WebSocket was closed with code %d: %w", closed.Code, io.EOF)
	}
	return io.EOF
}
