package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Step is a step on the way to a broker, in the order in which they are taken.
type Step string

// The steps.
const (
	StepFiles     Step = "files" // certificates and password
	StepResolve   Step = "resolve"
	StepProxy     Step = "proxy"  // the proxy is found and answers, where one is configured
	StepTunnel    Step = "tunnel" // it lets the gateway through to the broker
	StepTCP       Step = "tcp"
	StepTLS       Step = "tls"
	StepUpgrade   Step = "upgrade" // the web server takes MQTT over WebSocket
	StepConnect   Step = "connect"
	StepSubscribe Step = "subscribe"
	StepPublish   Step = "publish"
	StepEcho      Step = "echo" // what was published comes back
	StepSize      Step = "size" // a packet as large as a gateway's documents is taken
)

// probeTopic is where a probe publishes, behind the gateway's prefix: an empty retained
// message, which clears an alert that never exists.
const probeTopic = "alert/doctor"

// probeSize is the size in bytes of a packet that every broker must accept: that of the
// health document of a gateway with several readers.
const probeSize = 4 << 10

// Probe is what was found on the way to the broker.
type Probe struct {
	Failed Step // the step that failed, "" if none did
	Err    error
	Denied []string // topics that the broker does not let the gateway read
	// Batches is why the broker does not pass on batches, nil if it does, or if the
	// gateway sends none. Events go one by one then, so that no step has failed.
	Batches error
	Took    time.Duration
	// Certificate is the one of the broker's chain that ends first, nil without
	// TLS or where the handshake failed.
	Certificate *x509.Certificate
}

// Try takes the steps to the broker that an uplink would take, and returns how far it
// got. It publishes no event and no status, and sets no will.
//
// With reach it stops before CONNECT, because of which the broker would disconnect a
// gateway that runs under the same id.
func Try(ctx context.Context, opt Options, reach bool) Probe {
	p := Probe{}
	opt.BrokerCertificate = func(cert *x509.Certificate) { p.Certificate = cert }
	u := New(opt)
	began := time.Now()
	p.Failed, p.Err = u.reach(ctx)
	if p.Err == nil && !reach {
		p.Failed, p.Err = u.roundTrip(ctx, &p)
	}
	p.Took = time.Since(began)
	return p
}

// reach takes the way to the broker as far as MQTT.
func (u *Uplink) reach(ctx context.Context) (Step, error) {
	var config *tls.Config
	if u.opt.TLS {
		var err error
		if config, err = u.tlsConfig(); err != nil {
			return StepFiles, err
		}
	}
	if _, err := u.password(); err != nil {
		return StepFiles, err
	}
	lookUp := StepResolve
	if u.opt.Proxy != "" {
		lookUp = StepProxy // it looks up the broker's name itself
	}
	host, _, err := net.SplitHostPort(u.firstHop())
	if err != nil {
		return lookUp, fmt.Errorf("read broker address: %w", err)
	}
	looking, cancel := context.WithTimeout(ctx, u.limits.Connect)
	defer cancel()
	if _, err := net.DefaultResolver.LookupHost(looking, host); err != nil {
		return lookUp, err
	}
	conn, failed, err := u.openSecure(ctx, config)
	if err != nil {
		return failed, err
	}
	defer conn.Close()
	if config != nil {
		if err := awaitRefusal(conn); err != nil {
			return StepTLS, err
		}
	}
	if u.opt.WebSocket != "" {
		upgrading, cancel := context.WithTimeout(ctx, u.limits.Connect)
		defer cancel()
		_, failed, err := u.upgrade(upgrading, conn)
		return failed, err
	}
	return "", nil
}

// awaitRefusal returns the error of a broker that refuses the gateway's certificate, which
// with TLS 1.3 it does after the handshake. It sends nothing else of its own accord. If the
// gateway sent something meanwhile, the end of the connection could overtake the reason.
func awaitRefusal(conn net.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(refusalWait)); err != nil {
		return err
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return conn.SetReadDeadline(time.Time{})
}

// refusalWait is how long a broker has to refuse a certificate.
const refusalWait = time.Second

// echoes are what comes back of what a probe publishes, and why the connection is lost.
// Each has room for one.
type echoes struct {
	probe, batch chan struct{}
	lost         chan error
}

func newEchoes() *echoes {
	return &echoes{make(chan struct{}, 1), make(chan struct{}, 1), make(chan error, 1)}
}

// note notes a message of a topic, which is named without the gateway's prefix.
func (e *echoes) note(topic string, retained bool) {
	var to chan<- struct{}
	switch {
	case topic == probeTopic && !retained:
		to = e.probe
	case topic == BatchTopic:
		to = e.batch
	default:
		return
	}
	select {
	case to <- struct{}{}:
	default:
	}
}

// roundTrip connects, subscribes, publishes and waits for what it published. It notes in
// the probe which topics are denied.
func (u *Uplink) roundTrip(ctx context.Context, p *Probe) (Step, error) {
	s := &session{u: u}
	back := newEchoes()
	dial, err := u.dialer(ctx, s)
	if err != nil {
		return StepFiles, err
	}
	password, err := u.password()
	if err != nil {
		return StepFiles, err
	}
	o := mqtt.NewClientOptions().
		AddBroker("tcp://" + u.opt.Address).
		SetClientID(u.opt.Origin.Gateway).
		SetProtocolVersion(4).
		SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false).
		SetWriteTimeout(publishWait).SetConnectTimeout(u.limits.Connect).
		SetCustomOpenConnectionFn(dial).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) {
			select {
			case back.lost <- err:
			default:
			}
		}).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			back.note(strings.TrimPrefix(m.Topic(), u.prefix), m.Retained())
		})
	if u.opt.Username != "" {
		o.SetUsername(u.opt.Username).SetPassword(password)
	}
	s.client = mqtt.NewClient(o)
	connect := s.client.Connect()
	defer s.hangUp(connect)
	if err := s.awaitAnswer(ctx, connect, u.limits.Connect+time.Second); err != nil {
		return StepConnect, plain(err)
	}
	subscribe := s.subscribe(u.filters)
	if err := s.awaitAnswer(ctx, subscribe, u.limits.PubAck); err != nil {
		return StepSubscribe, lossReason(err, back.lost)
	}
	p.Denied = refusedFilters(subscribe, u.prefix)
	published := s.client.Publish(u.prefix+probeTopic, 1, true, []byte{})
	if err := s.awaitAnswer(ctx, published, u.limits.PubAck); err != nil {
		return StepPublish, lossReason(err, back.lost)
	}
	if slices.Contains(p.Denied, "alert/+") {
		return "", nil // the message cannot come back
	}
	if step, err := u.echo(ctx, back.probe, back.lost); err != nil {
		return step, err
	}
	// A large packet without any effect: an UNSUBSCRIBE from a topic to which nobody
	// subscribed.
	never := u.prefix + probeTopic + "/" + strings.Repeat("x", probeSize)
	if err := s.wait(ctx, s.client.Unsubscribe(never), u.limits.PubAck); err != nil {
		return StepSize, fmt.Errorf("over a packet of %d bytes: %w", probeSize, lossReason(err, back.lost))
	}
	// Last, as some brokers close the connection over it.
	p.Batches = u.probeBatches(ctx, s, p, back)
	return "", nil
}

// probeBatches publishes a batch of no events, as an uplink does at the start of each
// connection, and returns why it does not come back; nil where the gateway sends none.
func (u *Uplink) probeBatches(ctx context.Context, s *session, p *Probe, back *echoes) error {
	if u.packer == nil {
		return nil
	}
	if i := slices.Index(p.Denied, BatchTopic); i >= 0 {
		p.Denied = slices.Delete(p.Denied, i, i+1)
		return errors.New("the broker does not let the gateway subscribe to it")
	}
	published := s.client.Publish(u.prefix+BatchTopic, 1, false, u.packer.Empty())
	if err := s.awaitAnswer(ctx, published, u.limits.PubAck); err != nil {
		return lossReason(err, back.lost)
	}
	_, err := u.echo(ctx, back.batch, back.lost)
	return err
}

// echo waits until the broker sends back what was published.
func (u *Uplink) echo(ctx context.Context, heard <-chan struct{}, lost <-chan error) (Step, error) {
	// In MQTT 3.1.1 a broker that denies a topic acknowledges the message and drops it.
	timer := time.NewTimer(echoWait)
	defer timer.Stop()
	select {
	case <-heard:
		return "", nil
	case err := <-lost:
		return StepPublish, err
	case <-timer.C:
		return StepEcho, errors.New("what was published did not come back")
	case <-ctx.Done():
		return StepEcho, ctx.Err()
	}
}

// echoWait is how long a message may take to the broker and back.
const echoWait = 5 * time.Second

// lossReason returns why the connection was lost, or the error of a token if that does
// not become known: paho completes its tokens first, with errors of its own.
func lossReason(err error, lost <-chan error) error {
	timer := time.NewTimer(publishWait)
	defer timer.Stop()
	select {
	case reason := <-lost:
		return fmt.Errorf("the broker closed the connection: %w", reason)
	case <-timer.C:
		return err
	}
}
