package uplink

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sys/unix"
)

// unackedTimeout is for how long sent bytes may stay without a TCP
// acknowledgement before the kernel gives the connection up (tcp(7),
// TCP_USER_TIMEOUT).
const unackedTimeout = 20 * time.Second

// dialer returns the function that opens the connection of a session.
// Certificates are read at each connection, so that a renewed one is taken up
// without a restart.
func (u *Uplink) dialer(ctx context.Context, s *session) (mqtt.OpenConnectionFunc, error) {
	var config *tls.Config
	if u.opt.TLS {
		var err error
		if config, err = u.tlsConfig(); err != nil {
			return nil, err
		}
	}
	return func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		conn, failed, err := u.open(ctx, config)
		switch {
		case failed == StepTLS && isTimeout(err):
			return nil, fmt.Errorf("TLS: no answer within %s", u.limits.Connect)
		case failed == StepTLS:
			return nil, fmt.Errorf("TLS: %w", err)
		case err != nil:
			return nil, err
		}
		line := newCoalescing(newBounded(conn, &s.subscribing, u.reject), u.backlog())
		s.opened(line)
		return line, nil
	}, nil
}

// open takes the way to the broker as far as MQTT: TCP, the proxy, TLS, WebSocket, as
// far as they are configured. Each of these steps has Limits.Connect. Where it fails it
// says at which step.
func (u *Uplink) open(ctx context.Context, config *tls.Config) (net.Conn, Step, error) {
	conn, failed, err := u.openSecure(ctx, config)
	if err != nil || u.opt.WebSocket == "" {
		return conn, failed, err
	}
	ctx, cancel := context.WithTimeout(ctx, u.limits.Connect)
	defer cancel()
	ws, failed, err := u.upgrade(ctx, conn)
	if err != nil {
		_ = conn.Close() // a handshake may have closed it
		return nil, failed, err
	}
	return ws, "", nil
}

// openSecure is open as far as TLS.
func (u *Uplink) openSecure(ctx context.Context, config *tls.Config) (conn net.Conn, failed Step, err error) {
	defer func() {
		if err != nil && conn != nil {
			_ = conn.Close() // a handshake may have closed it
			conn = nil
		}
	}()
	reaching, cancel := context.WithTimeout(ctx, u.limits.Connect)
	defer cancel()
	conn, err = u.dial(reaching)
	switch {
	case err != nil && u.opt.Proxy != "":
		return nil, StepProxy, inTheWay("the proxy "+u.opt.Proxy, 0, "cannot be reached: "+dialReason(err).Error(), err)
	case err != nil:
		return nil, StepTCP, err
	}
	u.traffic.move()
	conn = &counting{Conn: conn, traffic: &u.traffic}
	if u.opt.Proxy != "" {
		asking, cancel := context.WithTimeout(ctx, u.limits.Connect)
		defer cancel()
		if err := u.tunnel(asking, conn); err != nil {
			return conn, StepTunnel, err
		}
	}
	if config != nil {
		secure, err := u.handshake(ctx, conn, config)
		if err != nil {
			return conn, StepTLS, err
		}
		conn = secure
	}
	return conn, "", nil
}

// longestHandshake is for how many times Limits.Connect a handshake may go on, however
// much of it comes.
const longestHandshake = 6

// handshake speaks TLS over a connection. Certificates are some kilobytes, which take many
// seconds over a line of 9,600 bit/s. So it is given up where nothing comes for
// Limits.Connect, and not where it only takes long.
func (u *Uplink) handshake(ctx context.Context, conn net.Conn, config *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, longestHandshake*u.limits.Connect)
	defer cancel()
	below := &prompted{Conn: conn, silence: u.limits.Connect}
	secure := tls.Client(below, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	below.silence = 0
	return secure, conn.SetReadDeadline(time.Time{})
}

// prompted is a connection over which something has to come before each read has waited
// for so long; 0: for ever.
type prompted struct {
	net.Conn
	silence time.Duration
}

// Read implements net.Conn.
func (p *prompted) Read(b []byte) (int, error) {
	if p.silence > 0 {
		if err := p.Conn.SetReadDeadline(time.Now().Add(p.silence)); err != nil {
			return 0, err
		}
	}
	return p.Conn.Read(b)
}

// firstHop is host:port of whoever the gateway itself connects to.
func (u *Uplink) firstHop() string { return cmp.Or(u.opt.Proxy, u.opt.Address) }

// dialTCP opens the TCP connection below everything else.
func (u *Uplink) dialTCP(ctx context.Context) (net.Conn, error) {
	dialer := &net.Dialer{
		Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			if e := c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedTimeout.Milliseconds()))
			}); e != nil {
				return e
			}
			return err
		},
	}
	return dialer.DialContext(ctx, "tcp", u.firstHop())
}

func (u *Uplink) tlsConfig() (*tls.Config, error) {
	host, _, err := net.SplitHostPort(u.opt.Address)
	if err != nil {
		return nil, fmt.Errorf("read broker address: %w", err)
	}
	if host == "" {
		return nil, fmt.Errorf("broker %q: a certificate can only be checked against a host name", u.opt.Address)
	}
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, Time: u.opt.CertTime, VerifyConnection: u.brokerCertificate}
	if u.opt.CAFile != "" {
		pem, err := os.ReadFile(u.opt.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read CA certificate: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read CA certificate %s: no certificate in it", u.opt.CAFile)
		}
	}
	if u.opt.CertFile != "" {
		cert, err := LoadPair(u.opt.CertFile, u.opt.KeyFile)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// brokerCertificate tells which certificate the line will fail by first. It refuses
// nothing: the chain has been verified.
func (u *Uplink) brokerCertificate(state tls.ConnectionState) error {
	if u.opt.BrokerCertificate == nil || len(state.VerifiedChains) == 0 {
		return nil
	}
	var first *x509.Certificate
	for i, cert := range state.VerifiedChains[0] {
		root := i > 0 && i == len(state.VerifiedChains[0])-1
		if !root && (first == nil || cert.NotAfter.Before(first.NotAfter)) {
			first = cert
		}
	}
	u.opt.BrokerCertificate(first)
	return nil
}

func (u *Uplink) password() (string, error) {
	if u.opt.PasswordFile == "" {
		return "", nil
	}
	b, err := os.ReadFile(u.opt.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
