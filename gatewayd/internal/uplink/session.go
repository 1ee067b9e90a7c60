package uplink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"golang.org/x/sync/errgroup"

	"presence/gatewayd/internal/presence"
)

// session is one connection to the broker, from CONNECT to its end.
type session struct {
	u       *Uplink
	client  mqtt.Client
	inbound chan mqtt.Message
	lost    chan error

	mu     sync.Mutex
	socket net.Conn
}

// inboundRoom is how many messages from the broker may wait. More are dropped
// and counted: the city asks little, and only a flood asks more.
const inboundRoom = 64

// session connects, works until the connection ends or the context does, and
// says why it ended.
func (u *Uplink) session(ctx context.Context) error {
	s := &session{u: u, inbound: make(chan mqtt.Message, inboundRoom), lost: make(chan error, 1)}
	options, err := s.options(ctx)
	if err != nil {
		return err
	}
	s.client = mqtt.NewClient(options)
	defer s.hangUp()
	if err := s.wait(ctx, s.client.Connect(), u.limits.Connect+time.Second); err != nil {
		return fmt.Errorf("connect to %s: %w", u.opt.Address, plain(err))
	}
	if err := s.greet(ctx); err != nil {
		return fmt.Errorf("greet %s: %w", u.opt.Address, err)
	}
	u.opt.Log.Info("the line to the city is up", "broker", u.opt.Address)
	defer func() {
		u.mu.Lock()
		u.current = nil
		u.oldest = time.Time{}
		u.mu.Unlock()
	}()

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.drain(gctx) })
	g.Go(func() error { return s.answer(gctx) })
	g.Go(func() error {
		select {
		case err := <-s.lost:
			return fmt.Errorf("%w: %w", errLost, err)
		case <-gctx.Done():
			return gctx.Err()
		}
	})
	err = g.Wait()
	if ctx.Err() != nil {
		s.goodbye()
	}
	return err
}

// options are the settings with which paho tells the truth: with a session or a
// reconnect of its own, a token of a lost message completes without an error,
// or never.
func (s *session) options(ctx context.Context) (*mqtt.ClientOptions, error) {
	u := s.u
	dial, err := u.dialer(ctx, func(c net.Conn) {
		s.mu.Lock()
		s.socket = c
		s.mu.Unlock()
	})
	if err != nil {
		return nil, err
	}
	password, err := u.password()
	if err != nil {
		return nil, err
	}
	o := mqtt.NewClientOptions().
		AddBroker("tcp://"+u.opt.Address). // the dialer does TLS
		SetClientID(u.opt.Origin.Gateway).
		SetProtocolVersion(4).
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetOrderMatters(false).
		SetKeepAlive(15*time.Second).
		SetPingTimeout(5*time.Second).
		SetWriteTimeout(10*time.Second).
		SetConnectTimeout(u.limits.Connect).
		SetBinaryWill(u.prefix+"status", u.status("offline", "lost", false), 1, true).
		SetCustomOpenConnectionFn(dial).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) {
			select {
			case s.lost <- err:
			default:
			}
		}).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			select {
			case s.inbound <- m:
			default:
				u.refused("too many at once", m.Topic())
			}
		})
	if u.opt.Username != "" {
		o.SetUsername(u.opt.Username).SetPassword(password)
	}
	return o, nil
}

// plain says in words why a broker refused a connection.
func plain(err error) error {
	for refusal, words := range map[error]string{
		packets.ErrorRefusedBadUsernameOrPassword: "the broker refuses the user name or password",
		packets.ErrorRefusedNotAuthorised:         "the broker does not let this gateway in (not authorised)",
		packets.ErrorRefusedIDRejected:            "the broker refuses this gateway's id",
		packets.ErrorRefusedServerUnavailable:     "the broker says that it is unavailable",
		packets.ErrorRefusedBadProtocolVersion:    "the broker does not speak MQTT 3.1.1",
	} {
		if errors.Is(err, refusal) {
			return errors.New(words)
		}
	}
	return err
}

// wait waits for a token, within a bound.
func (s *session) wait(ctx context.Context, t mqtt.Token, bound time.Duration) error {
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return stalled(bound)
	}
}

// greet subscribes, says that the gateway is there, and publishes what is
// retained.
func (s *session) greet(ctx context.Context) error {
	u := s.u
	subscribe := s.client.SubscribeMultiple(map[string]byte{
		u.prefix + "cmd/+": 1, u.prefix + "receipt": 1, u.prefix + "status": 1, u.prefix + "alert/+": 1,
	}, nil)
	if err := s.wait(ctx, subscribe, u.limits.PubAck); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	online := s.client.Publish(u.prefix+"status", 1, true, u.status("online", "start", true))
	if err := s.wait(ctx, online, u.limits.PubAck); err != nil {
		return fmt.Errorf("publish status: %w", err)
	}
	u.mu.Lock()
	if !u.stats.Connected {
		u.stats.Connected = true // from now on: ever connected
	} else {
		u.stats.Reconnects++
	}
	u.current = s
	documents := maps.Clone(u.retained)
	u.mu.Unlock()
	for _, topic := range slices.Sorted(maps.Keys(documents)) {
		s.retain(topic, documents[topic])
	}
	return nil
}

// retain publishes a document. Its PUBACK is not waited for: if the line breaks
// before, the next connection publishes it again.
func (s *session) retain(topic string, payload []byte) {
	s.client.Publish(s.u.prefix+topic, 1, true, payload)
}

func (s *session) log(line []byte) {
	s.client.Publish(s.u.prefix+"log", 0, false, line)
}

// goodbye tells the city that the gateway stops on purpose.
func (s *session) goodbye() {
	u := s.u
	offline := s.client.Publish(u.prefix+"status", 1, true, u.status("offline", "stop", true))
	if err := s.wait(context.Background(), offline, u.limits.Goodbye); err != nil {
		u.opt.Log.Warn("could not tell the city goodbye", "error", err)
		return
	}
	s.client.Disconnect(100) // milliseconds
}

// hangUp closes the socket, whatever paho is waiting for, and lets paho end.
func (s *session) hangUp() {
	s.mu.Lock()
	socket := s.socket
	s.mu.Unlock()
	if socket != nil {
		_ = socket.Close() // it may be closed already
	}
	s.client.Disconnect(0)
}

// sent is an event on its way.
type sent struct {
	pos   uint64
	at    time.Time
	token mqtt.Token
}

// drain sends the journal's events from the cursor on, in order, a window of
// them at a time, until the line fails or the context ends.
func (s *session) drain(ctx context.Context) error {
	window := max(s.u.opt.Window, 1)
	// The sender takes a place before it publishes, the collector gives it back
	// after the PUBACK; the FIFO between them keeps the order.
	places := make(chan struct{}, window)
	flying := make(chan sent, window)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.send(ctx, places, flying) })
	g.Go(func() error { return s.collect(ctx, places, flying) })
	return g.Wait()
}

// readAhead is how many events are read from the journal at a time.
const readAhead = 256

func (s *session) send(ctx context.Context, places chan<- struct{}, flying chan<- sent) error {
	u := s.u
	pos := u.opt.Journal.Cursor()
	for {
		entries, err := u.opt.Journal.Next(ctx, pos, readAhead)
		if err != nil {
			return err
		}
		for i := range entries {
			e := &entries[i]
			payload, err := u.opt.Origin.Event(&e.Record, u.opt.Times.Timing(e.At))
			if err != nil {
				return err
			}
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			token := s.client.Publish(u.prefix+"event/"+e.Kind.String(), 1, false, payload)
			flying <- sent{pos: e.Pos, at: time.Now(), token: token} // has room for each place
			pos = e.Pos
		}
	}
}

// collect takes the PUBACKs in the order of sending and moves the cursor over
// those that came.
func (s *session) collect(ctx context.Context, places <-chan struct{}, flying <-chan sent) error {
	u := s.u
	var acked uint64 // not yet told to the journal
	var events int64
	settle := func() {
		if events > 0 {
			u.ack(acked, events)
			events = 0
		}
	}
	defer settle()
	late := time.NewTimer(u.limits.PubAck)
	defer late.Stop()
	for {
		var next sent
		select {
		case next = <-flying:
		default:
			// Nothing more at this moment: tell the journal before waiting.
			settle()
			s.oldestInFlight(time.Time{})
			select {
			case next = <-flying:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		select {
		case <-next.token.Done():
		default:
			settle()
			s.oldestInFlight(next.at)
			late.Reset(u.limits.PubAck - time.Since(next.at))
			select {
			case <-next.token.Done():
			case <-late.C:
				return stalled(u.limits.PubAck)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := next.token.Error(); err != nil {
			return fmt.Errorf("publish event: %w", err)
		}
		acked = next.pos
		events++
		<-places
		if events >= readAhead {
			settle()
		}
	}
}

func (s *session) oldestInFlight(at time.Time) {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.u.oldest = at
}

// answer handles what comes from the broker, one message after the other.
func (s *session) answer(ctx context.Context) error {
	for {
		select {
		case m := <-s.inbound:
			s.handle(ctx, m)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *session) handle(ctx context.Context, m mqtt.Message) {
	u := s.u
	topic, ours := strings.CutPrefix(m.Topic(), u.prefix)
	name, isCommand := strings.CutPrefix(topic, "cmd/")
	switch {
	case !ours:
		u.refused("not our topic", m.Topic())
	case isCommand:
		s.command(ctx, name, m)
	case topic == "status":
		s.ownStatus(m)
	case strings.HasPrefix(topic, "alert/"):
		s.ownAlert(topic, m)
	default:
		u.refused("receipts are not switched on", m.Topic())
	}
}

// ownStatus looks at what the broker says of this gateway. The will of an
// earlier connection can come late, and would leave a living gateway marked
// offline for ever.
func (s *session) ownStatus(m mqtt.Message) {
	u := s.u
	status, err := parseStatus(m.Payload())
	if err != nil {
		u.refused(err.Error(), m.Topic())
		return
	}
	switch {
	case status.State == "offline":
		s.retain("status", u.status("online", "start", true))
	case status.Session != u.opt.Session:
		u.mu.Lock()
		u.rival = time.Now()
		u.mu.Unlock()
		u.opt.Log.Error("another gateway uses this gateway's id", "id", u.opt.Origin.Gateway, "session", status.Session.String())
		s.retain("status", u.status("online", "start", true))
	}
}

// ownAlert clears an alert that an earlier process left behind.
func (s *session) ownAlert(topic string, m mqtt.Message) {
	if !m.Retained() || len(m.Payload()) == 0 {
		return
	}
	s.u.mu.Lock()
	standing := len(s.u.retained[topic]) > 0
	s.u.mu.Unlock()
	if !standing {
		s.retain(topic, nil)
	}
}

// command answers a command, or refuses it.
func (s *session) command(ctx context.Context, name string, m mqtt.Message) {
	u := s.u
	if m.Retained() {
		u.refused("a retained command would come again at each connection", m.Topic())
		return
	}
	c, err := parseCommand(m.Payload())
	if err != nil {
		u.refused(err.Error(), m.Topic())
		if c.TX == "" {
			return
		}
		s.reply(name, presence.Reply{TX: c.TX, Error: err.Error()})
		return
	}
	if t := u.opt.Times.Timing(u.opt.Now()); !c.expires.IsZero() && !t.Time.IsZero() && t.Time.After(c.expires) {
		u.refused("expired", m.Topic())
		s.reply(name, presence.Reply{TX: c.TX, Error: "the command has expired"})
		return
	}
	run, known := u.opt.Commands[name]
	if !known {
		u.refused("unknown command", m.Topic())
		s.reply(name, presence.Reply{TX: c.TX, Error: "unknown command"})
		return
	}
	result, err := run(ctx, c.Args)
	if err != nil {
		s.reply(name, presence.Reply{TX: c.TX, Error: err.Error()})
		return
	}
	s.reply(name, presence.Reply{TX: c.TX, OK: true, Result: result})
}
