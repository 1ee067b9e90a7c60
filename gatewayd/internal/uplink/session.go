package uplink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"golang.org/x/sync/errgroup"
)

// session is one connection to the broker, from CONNECT to its end.
type session struct {
	u         *Uplink
	client    mqtt.Client
	commands  chan message // on cmd/<name>
	notes     chan message // on the gateway's own topics
	documents chan message // on topics of Options.Documents
	time      *cityTime
	lost      chan error
	again     bool // this process was connected before
	// The sender of events takes a place before it publishes, the collector gives
	// it back after the PUBACK.
	places chan struct{}
	moved  atomic.Int64 // when the broker last acknowledged anything, in ns since 1970
	left   []sent       // events without a PUBACK, at the end

	cleared int // alerts of earlier processes, under the uplink's mutex

	road  sync.RWMutex // held for writing while one publication goes alone
	trail sync.Mutex
	posts []*post   // documents and replies without a PUBACK
	line  int       // size of the latest line of the log
	said  time.Time // when that was

	mu     sync.RWMutex // held for reading while a message is put in its place
	socket *coalescing
	ended  bool
}

// inboundRoom is how many messages of a kind from the broker may wait. More are
// dropped and counted: the city asks little, and only a flood asks more.
const inboundRoom = 64

// documentRoom is inboundRoom for documents, which are large.
const documentRoom = 8

// publishWait bounds how long paho waits to take over a message. Its connection
// takes every write at once (see coalescing), so it is only waited for when the
// connection was lost a moment ago: paho then waits the whole time for nobody.
const publishWait = time.Second

var errLost = errors.New("the connection was lost")

// closedSoon is how soon a broker closes a connection over a message that it
// does not allow.
const closedSoon = time.Second

// session connects, works until the connection ends or the context does, and
// says why it ended.
func (u *Uplink) session(ctx context.Context) error {
	s := &session{
		u:         u,
		commands:  make(chan message, inboundRoom),
		notes:     make(chan message, inboundRoom),
		documents: make(chan message, documentRoom),
		time:      &cityTime{now: u.opt.Now, believe: u.opt.believe, answers: make(chan answer, 1)},
		lost:      make(chan error, 1),
		places:    make(chan struct{}, max(u.opt.Window, 1)),
	}
	options, err := s.options(ctx)
	if err != nil {
		return err
	}
	s.client = mqtt.NewClient(options)
	connect := s.client.Connect()
	defer s.hangUp(connect)
	err = s.wait(ctx, connect, u.limits.Connect+time.Second)
	if ctx.Err() != nil && connect.WaitTimeout(u.limits.Goodbye/2) && connect.Error() == nil {
		err = nil // the broker knows of it already, and of its will
	}
	if err != nil {
		return fmt.Errorf("connect to %s: %w", u.opt.Address, plain(err))
	}
	err = s.work(ctx)
	if ctx.Err() != nil {
		s.goodbye()
	}
	return err
}

// work does what a connection is there for until it ends or the context does,
// and says why it ended.
func (s *session) work(ctx context.Context) error {
	u := s.u
	if err := s.greet(ctx); err != nil {
		if ctx.Err() == nil {
			err = s.whyLost(ctx, err)
			s.learn(err)
		}
		return fmt.Errorf("greet %s: %w", u.opt.Address, err)
	}
	u.opt.Log.Info("the line to the city is up", "broker", u.opt.Address)
	up := time.Now()
	defer func() {
		u.mu.Lock()
		u.connected = false
		u.since = time.Now()
		u.oldest = time.Time{}
		u.mu.Unlock()
	}()

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.drain(gctx) })
	g.Go(func() error { return s.tell(gctx) })
	g.Go(func() error { return s.keepTime(gctx) })
	g.Go(func() error { return s.listen(gctx, s.commands, s.command) })
	g.Go(func() error { return s.listen(gctx, s.notes, s.takeNote) })
	g.Go(func() error { return s.listen(gctx, s.documents, s.document) })
	g.Go(func() error {
		select {
		case err := <-s.lost:
			return fmt.Errorf("%w: %w", errLost, err)
		case <-gctx.Done():
			return gctx.Err()
		}
	})
	err := g.Wait()
	if errors.Is(err, errLost) && s.time.justAsked() {
		u.hungUp()
	} else {
		s.learn(err)
	}
	if errors.Is(err, errLost) && time.Since(up) < closedSoon {
		err = fmt.Errorf("%w (at once: does it allow this gateway's topics (ACL) and messages of this size?)", err)
	}
	return err
}

// options are the settings with which paho tells the truth: with a session or a
// reconnect of its own, a token of a lost message completes without an error,
// or never.
func (s *session) options(ctx context.Context) (*mqtt.ClientOptions, error) {
	u := s.u
	dial, err := u.dialer(ctx, s.opened)
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
		SetOrderMatters(true).
		SetKeepAlive(u.limits.KeepAlive).
		// paho looks every 5 s: just below, an idle line that is dead is
		// noticed within 25 s.
		SetPingTimeout(u.limits.Ping).
		SetWriteTimeout(publishWait).
		SetConnectTimeout(u.limits.Connect).
		SetBinaryWill(u.prefix+"status", u.status("offline", "lost", false), 1, true).
		SetCustomOpenConnectionFn(dial).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) {
			select {
			case s.lost <- err:
			default:
			}
		}).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { s.sort(m) })
	if u.opt.Username != "" {
		o.SetUsername(u.opt.Username).SetPassword(password)
	}
	return o, nil
}

// plain says in words why there is no connection to a broker.
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
	if many, ok := err.(interface{ Unwrap() []error }); ok && errors.Is(err, packets.ErrorNetworkError) {
		for _, reason := range many.Unwrap() {
			if !errors.Is(reason, packets.ErrorNetworkError) {
				err = reason // what paho puts before it says nothing
			}
		}
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		err = dial.Err // the address is said already
		var call *os.SyscallError
		if errors.As(err, &call) {
			err = call.Err
		}
	}
	if err == io.EOF || errors.Is(err, syscall.ECONNRESET) {
		return errors.New("the broker closed the connection before it answered: it may want TLS, or another certificate")
	}
	return err
}

// wait waits for a token, within a bound.
func (s *session) wait(ctx context.Context, t mqtt.Token, bound time.Duration) error {
	s.u.beat(bound)
	defer s.u.beat(0)
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

// refusedFilter is the code of a SUBACK for a subscription that is not granted
// (MQTT 3.1.1, 3.9.3).
const refusedFilter = 0x80

// greet subscribes and says that the gateway is there. What is retained follows
// with the connection's other work.
func (s *session) greet(ctx context.Context) error {
	u := s.u
	subscribe := s.subscribe()
	if err := s.wait(ctx, subscribe, u.limits.PubAck); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	denied := refusedFilters(subscribe, u.prefix)
	if len(denied) > 0 {
		// Events can go out all the same.
		u.opt.Log.Warn("the broker does not let this gateway subscribe", "topics", strings.Join(denied, " "))
	}
	u.mu.Lock()
	s.again = u.greeted > 0
	u.spoke, u.heard = time.Now(), false
	u.mu.Unlock()
	online := u.status("online", "start", true)
	if u.refusals.topic("status", len(online), time.Now()) != notNow {
		p := s.post("status", true, online)
		if err := s.wait(ctx, p.token, u.limits.PubAck); err != nil {
			return fmt.Errorf("publish status (does the broker's ACL allow it?): %w", err)
		}
		u.refusals.tookTopic(p.topic, p.size)
	} else {
		u.mu.Lock()
		u.spoke = time.Time{}
		u.mu.Unlock()
	}
	s.readNotes() // a retained receipt saves sending what the city has
	u.mu.Lock()
	u.connected = true
	u.denied = denied
	if s.again {
		u.stats.Reconnects++
	}
	u.greeted++
	u.mu.Unlock()
	if u.opt.Greeted != nil {
		u.opt.Greeted()
	}
	u.mu.Lock()
	topics := slices.Collect(maps.Keys(u.retained))
	u.mu.Unlock()
	for _, topic := range topics {
		u.say(topic)
	}
	return nil
}

// tell publishes documents and lines of the log.
func (s *session) tell(ctx context.Context) error {
	u := s.u
	var restate <-chan time.Time // never
	if u.opt.Restate > 0 {
		tick := time.NewTicker(u.opt.Restate)
		defer tick.Stop()
		restate = tick.C
	}
	for {
		select {
		case <-restate:
			u.restate()
		case <-u.changed:
			if err := s.tellDocuments(ctx); err != nil {
				return err
			}
		case line := <-u.lines:
			s.tellLine(line)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tellDocuments publishes what is to be said, and waits until the broker has it:
// no more than a document of each topic is ever on its way. If the line breaks
// before, the next connection publishes all of them again.
func (s *session) tellDocuments(ctx context.Context) error {
	u := s.u
	var alone []string
	documents := u.takeUnsaid()
	for topic, payload := range documents {
		if topic == "status" {
			payload = u.status("online", "start", true)
			documents[topic] = payload
		}
		switch u.refusals.topic(topic, len(payload), time.Now()) {
		case together:
			s.post(topic, true, payload)
		case byItself:
			alone = append(alone, topic)
		}
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	for _, topic := range alone {
		if err := s.postAlone(ctx, topic, true, documents[topic]); err != nil {
			return err
		}
	}
	return nil
}

// tellLine publishes a line of the log, which nothing acknowledges.
func (s *session) tellLine(line []byte) {
	if !s.u.refusals.line(len(line)) {
		return
	}
	s.road.RLock()
	defer s.road.RUnlock()
	s.trail.Lock()
	s.line, s.said = len(line), time.Now()
	s.trail.Unlock()
	s.client.Publish(s.u.prefix+"log", 0, false, line)
}

// restate has everything retained said once more: somebody may have cleared or
// overwritten it at the broker, and a broker that has lost it would not say.
// Health is left out, for it is made anew as often.
func (u *Uplink) restate() {
	rival := u.Rival()
	u.mu.Lock()
	topics := slices.Collect(maps.Keys(u.contested))
	clear(u.contested)
	for topic, payload := range u.retained {
		if topic != "health" && len(payload) > 0 {
			topics = append(topics, topic)
		}
	}
	u.mu.Unlock()
	if !rival { // two gateways that contradict each other would never end
		topics = append(topics, "status")
	}
	for _, topic := range topics {
		u.say(topic)
	}
}

// takeUnsaid takes the documents that are to be published now.
func (u *Uplink) takeUnsaid() map[string][]byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	documents := make(map[string][]byte, len(u.unsaid))
	for topic := range u.unsaid {
		documents[topic] = u.retained[topic]
	}
	clear(u.unsaid)
	return documents
}

// goodbye tells the city that the gateway stops on purpose, so that the broker
// publishes no will.
func (s *session) goodbye() {
	u := s.u
	u.mu.Lock()
	why := u.farewell
	u.mu.Unlock()
	offline := s.client.Publish(u.prefix+"status", 1, true, u.status("offline", why, true))
	err := s.wait(context.Background(), offline, u.limits.Goodbye)
	if err != nil {
		u.opt.Log.Warn("could not tell the city goodbye", "error", err)
	}
	s.mu.RLock()
	socket := s.socket
	s.mu.RUnlock()
	if socket != nil && err == nil {
		socket.linger(u.limits.Goodbye / 2)
	}
	s.client.Disconnect(100) // milliseconds
}

// opened keeps a socket for hangUp. One that comes too late for that is closed
// here.
func (s *session) opened(c *coalescing) {
	s.mu.Lock()
	ended := s.ended
	s.socket = c
	s.mu.Unlock()
	if ended {
		_ = c.Close() // paho notices at its first packet
	}
}

// hangUp closes the socket, whatever paho is waiting for, and waits until paho
// has ended, and with it whatever uses the journal.
func (s *session) hangUp(connect mqtt.Token) {
	s.mu.Lock()
	s.ended = true
	socket := s.socket
	s.mu.Unlock()
	if socket != nil {
		_ = socket.Close() // it may be closed already
	}
	s.u.beat(2*publishWait + lastWords)
	// While it still connects, paho would wait with its DISCONNECT for nobody.
	connect.WaitTimeout(publishWait)
	s.client.Disconnect(uint(publishWait.Milliseconds()))
}
