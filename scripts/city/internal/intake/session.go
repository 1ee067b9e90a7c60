package intake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/scripts/city/internal/event"
)

// The filters that a session subscribes to.
const (
	// EventFilter is all events of all gateways, batches among them.
	EventFilter = "presence/v1/+/+/event/+"
	// HealthFilter is how gateways are, and with it how much waits at them.
	HealthFilter = "presence/v1/+/+/health"
	// ReplyFilter is what gateways answer when they are asked for events again.
	ReplyFilter = "presence/v1/+/+/reply/resync"
)

// Options are of one broker.
type Options struct {
	Number   int    // of the broker in the configuration, from 0
	URL      string // tls://host:port, tcp://host:port, wss://host/path, ...
	ClientID string // the session's name; the broker keeps what waits under it
	TLS      func() (*tls.Config, error)
	Username string
	Password func() (string, error)

	TagDetails bool // see event.Decoder
	Queue      *Queue
	// Confirm returns nil while this recorder leads. A session asks before it connects.
	Confirm func(context.Context) error
	// Beside is called with each message that is no event, one after the other.
	Beside func(topic string, payload []byte)
	// Up is called with each connection once it is subscribed, and returns when the
	// context ends, which is with the connection.
	Up  func(ctx context.Context, publish Publish)
	Log *slog.Logger
}

// The bounds of a connection.
const (
	connectWait   = 10 * time.Second
	writeWait     = 4 * time.Second // also how long who publishes waits for a broker that does not read
	subscribeWait = 30 * time.Second
	keepAlive     = 15 * time.Second
	// roomWait is how long a message waits for room in the queue. While it waits nothing
	// of the connection is read, so it must be less than pingWait. After it the connection
	// is closed: the broker keeps what is not acknowledged.
	roomWait = 5 * time.Second
	pingWait = 20 * time.Second
)

// Publish publishes a message at QoS 1. It waits while the broker does not read, and
// returns what is closed once the broker has acknowledged. After the end of its
// connection it does nothing, and what it returns is perhaps never closed.
type Publish func(topic string, payload []byte) (done <-chan struct{})

// Session is the recorder's session at one broker.
type Session struct {
	opt     Options
	decoder *event.Decoder
	up      atomic.Bool
}

// NewSession makes a session, which does nothing until Run.
func NewSession(opt Options) (*Session, error) {
	decoder, err := event.NewDecoder()
	if err != nil {
		return nil, fmt.Errorf("make decoder: %w", err)
	}
	decoder.TagDetails = opt.TagDetails
	return &Session{opt: opt, decoder: decoder}, nil
}

// Connected reports whether the session is subscribed at its broker.
func (s *Session) Connected() bool { return s.up.Load() }

// errOverflow ends a connection for which there is no room.
var errOverflow = errors.New("the queue is full, so the broker keeps what comes until there is room")

// Run connects again and again until the context ends. It returns an error only when this
// recorder does not lead any more.
func (s *Session) Run(ctx context.Context) error {
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = 250*time.Millisecond, 30*time.Second
	waits.RandomizationFactor = 0.5
	for {
		if !s.opt.Queue.awaitRoom(ctx) {
			return ctx.Err()
		}
		if err := s.opt.Confirm(ctx); err != nil {
			return err
		}
		begun := time.Now()
		err := s.connection(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(begun) > waits.MaxInterval {
			waits.Reset()
		}
		wait := waits.NextBackOff()
		s.opt.Log.Warn("the session has ended", "broker", s.opt.URL, "why", err, "again_in", wait.Round(time.Millisecond))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// connection is one connection of a session.
type connection struct {
	ctx  context.Context // ends with it
	end  context.CancelCauseFunc
	acks *acks
}

// connection connects, and returns when the connection has ended, and why.
func (s *Session) connection(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	c := &connection{ctx: ctx, end: end, acks: newAcks()}
	o, err := s.clientOptions(c)
	if err != nil {
		end(nil)
		return err
	}
	client := mqtt.NewClient(o)
	var beside sync.WaitGroup
	defer func() {
		end(nil)
		client.Disconnect(250) // milliseconds
		beside.Wait()
	}()
	if err := await(ctx, client.Connect(), connectWait); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	beside.Go(func() { c.acks.run(ctx) })
	if err := s.subscribe(ctx, client); err != nil {
		return err
	}
	beside.Go(func() {
		s.opt.Up(ctx, func(topic string, payload []byte) <-chan struct{} {
			return client.Publish(topic, 1, false, payload).Done()
		})
	})
	s.up.Store(true)
	defer s.up.Store(false)
	s.opt.Log.Info("the session is up", "broker", s.opt.URL)
	<-ctx.Done()
	return context.Cause(ctx)
}

func (s *Session) clientOptions(c *connection) (*mqtt.ClientOptions, error) {
	o := mqtt.NewClientOptions().AddBroker(s.opt.URL).SetClientID(s.opt.ClientID).
		SetCleanSession(false).SetAutoReconnect(false).SetConnectRetry(false).SetProtocolVersion(4).
		SetOrderMatters(true).SetAutoAckDisabled(true).
		SetKeepAlive(keepAlive).SetPingTimeout(pingWait).SetWriteTimeout(writeWait).SetConnectTimeout(connectWait)
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { c.end(fmt.Errorf("connection lost: %w", err)) })
	// What waits in the session comes before the broker has answered the subscription.
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { s.handle(c, m) })
	if s.opt.TLS != nil {
		config, err := s.opt.TLS()
		if err != nil {
			return nil, err
		}
		o.SetTLSConfig(config)
	}
	if s.opt.Username != "" {
		o.SetUsername(s.opt.Username)
	}
	if s.opt.Password != nil {
		password, err := s.opt.Password()
		if err != nil {
			return nil, err
		}
		o.SetPassword(password)
	}
	return o, nil
}

// refused is the code in a SUBACK for what is not granted (MQTT 3.1.1, 3.9.3).
const refused = 0x80

// subscribe asks for everything at each connection, as nothing tells what the broker's
// session has of it. What waits in the session may come before the answer.
func (s *Session) subscribe(ctx context.Context, client mqtt.Client) error {
	filters := map[string]byte{EventFilter: 1, HealthFilter: 0, ReplyFilter: 0}
	t := client.SubscribeMultiple(filters, nil)
	if err := await(ctx, t, subscribeWait); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	for filter, qos := range t.(*mqtt.SubscribeToken).Result() {
		switch {
		case qos != refused:
		case filter == EventFilter:
			return fmt.Errorf("subscribe to %s: the broker does not allow it to %s", filter, s.opt.ClientID)
		default:
			s.opt.Log.Warn("the broker does not allow a subscription", "broker", s.opt.URL, "filter", filter)
		}
	}
	return nil
}

// handle takes a message. It is called with one after the other; the messages behind it
// wait in the connection.
func (s *Session) handle(c *connection, m mqtt.Message) {
	if c.ctx.Err() != nil {
		return // not acknowledged, so it comes again
	}
	if !strings.Contains(m.Topic(), "/event/") {
		s.opt.Beside(m.Topic(), m.Payload())
		return
	}
	d := Delivery{Came: time.Now(), session: s, ack: func() { c.acks.add(m) }}
	d.Events, d.Refused = s.decoder.Decode(event.Message{Topic: m.Topic(), Payload: m.Payload(), Retained: m.Retained()})
	d.bytes = d.size(len(m.Payload()))
	if !s.opt.Queue.put(c.ctx, d, roomWait) && c.ctx.Err() == nil {
		c.end(errOverflow)
	}
}

// await waits for a token.
func await(ctx context.Context, t mqtt.Token, within time.Duration) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-t.Done():
		return t.Error()
	case <-timer.C:
		return fmt.Errorf("no answer within %s", within)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
