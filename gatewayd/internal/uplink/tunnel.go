package uplink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// maxHeader bounds in bytes what a proxy or a web server answers before the line is
// MQTT's.
const maxHeader = 16 << 10

var errHeader = errors.New("the header has no end")

// WayError says why a proxy, or a web server before the broker, lets nothing through to
// the broker. Nothing of what those answer is repeated but the status.
type WayError struct {
	Status int // of the HTTP answer, 0 where there was none

	text  string
	cause error
}

// Error is the reason, with the address of whoever is in the way.
func (e *WayError) Error() string { return e.text }

// Unwrap is the error below, nil where there is none.
func (e *WayError) Unwrap() error { return e.cause }

// inTheWay makes an error about whoever is in the way.
func inTheWay(who string, status int, reason string, cause error) *WayError {
	if status != 0 {
		reason = fmt.Sprintf("%s (%d %s)", reason, status, http.StatusText(status))
	}
	return &WayError{Status: status, text: who + " " + reason, cause: cause}
}

// silence says in what way somebody who should have answered in HTTP did not.
func (u *Uplink) silence(err error) string {
	switch {
	case isTimeout(err):
		return fmt.Sprintf("gives no answer within %s", u.limits.Connect)
	case errors.Is(err, errHeader):
		return fmt.Sprintf("answers with more than %d KB", maxHeader>>10)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), closedByPeer(err):
		return "closes the connection instead of answering"
	}
	return ""
}

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// within talks over a connection until the context ends at the latest, however slowly
// the other side answers. Of an answer that is cut short by that, whoever reads it may say
// that it is malformed.
func within(ctx context.Context, conn net.Conn, talk func() error) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	interrupt := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // fails only when closed
	err := talk()
	if !interrupt() && ctx.Err() != nil {
		return ctx.Err()
	}
	if deadline, ok := ctx.Deadline(); err != nil && ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	if err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// tunnel asks the proxy at the other end of a connection to open a TCP connection to
// the broker, over which the two then speak (CONNECT: RFC 9110, section 9.3.6).
func (u *Uplink) tunnel(ctx context.Context, conn net.Conn) error {
	who := "the proxy " + u.opt.Proxy
	status := 0
	err := within(ctx, conn, func() error {
		var err error
		status, err = askTunnel(conn, u.opt.Address)
		return err
	})
	switch {
	case err != nil:
		reason := u.silence(err)
		if reason == "" {
			reason = "does not answer as an HTTP proxy"
		}
		return inTheWay(who, 0, reason, err)
	case status/100 == 2:
		return nil
	case status == http.StatusProxyAuthRequired:
		return inTheWay(who, status, "wants a user name and a password, which gatewayd does not give", nil)
	case status/100 == 5:
		return inTheWay(who, status, "cannot reach "+u.opt.Address, nil)
	default:
		return inTheWay(who, status, "does not let this gateway through to "+u.opt.Address, nil)
	}
}

// askTunnel sends a CONNECT for an address, and reads the status of the answer.
func askTunnel(conn net.Conn, address string) (status int, err error) {
	if _, err := fmt.Fprintf(conn, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\nUser-Agent: gatewayd\r\n\r\n", address); err != nil {
		return 0, err
	}
	in := &header{Conn: conn, room: maxHeader}
	read := bufio.NewReader(in)
	answer, err := http.ReadResponse(read, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return 0, err
	}
	_ = answer.Body.Close() // nothing of it is read: what follows is the broker's
	// Neither TLS nor MQTT nor HTTP begins with the server, so that nothing of the broker's
	// has come yet.
	if answer.StatusCode/100 == 2 && read.Buffered() > 0 {
		return 0, errors.New("more than an answer came")
	}
	return answer.StatusCode, nil
}

// header is a connection of which only so much is read as a header may have.
type header struct {
	net.Conn
	room int // bytes that may still be read; negative: any number
}

// Read implements net.Conn.
func (h *header) Read(p []byte) (int, error) {
	if h.room < 0 {
		return h.Conn.Read(p)
	}
	if h.room == 0 {
		return 0, errHeader
	}
	n, err := h.Conn.Read(p[:min(len(p), h.room)])
	h.room -= n
	return n, err
}
