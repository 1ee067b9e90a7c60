package lightgateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// stage is how far a connection's greeting has come.
type stage int

const (
	awaitSuback stage = iota // it has subscribed
	awaitOnline              // it has said that it is online
	awaitTrial               // it has published a batch of no events
	awaitEcho                // and waits for the broker to pass it back
	draining                 // events go out
)

// purpose is why something is on its way.
type purpose uint8

const (
	forDelivery purpose = iota
	forResync
	forCorrection
	document // no event
)

// sent is a publication that waits for its PUBACK.
type sent struct {
	id     uint16 // of the packet
	why    purpose
	acked  bool
	places int16 // in the window
	bytes  int32 // that it takes of the pace; 0: none
	before int32 // bytes that were on their way with it
	at     time.Time
	from   uint64 // positions of its events
	to     uint64
}

// session is one connection to a broker. Its fields belong to the gateway's mutex, but
// for the connection itself.
type session struct {
	g       *Gateway
	conn    net.Conn
	stage   stage
	since   time.Time // when the stage began
	out     []byte    // to be written
	lastID  uint16    // packet id that was given last
	flying  []sent    // publications without a PUBACK, in the order of sending
	pace    pace      // bounds the bytes of events on their way
	used    int       // places of the window that are taken
	answer  time.Time // when a PUBACK came last, or the first in flight was sent
	wrote   time.Time
	pinged  time.Time // when a ping was sent that has no answer; zero: there is none
	health  time.Time // when the next health document is due
	text    []byte    // room for an event
	batches bool      // the broker passes batches on

	lost chan struct{} // closed when the reader has ended
	why  error         // why it has
}

// Bounds of waiting, as the real gateway's.
const (
	connectWait = 10 * time.Second
	pubackWait  = 10 * time.Second
	pingWait    = 9 * time.Second // with the 5 s after which paho looks
	echoWait    = 3 * time.Second
	goodbyeWait = time.Second
)

// connect opens the connection and exchanges CONNECT and CONNACK.
func (g *Gateway) connect(ctx context.Context) (net.Conn, *bufio.Reader, error) {
	ctx, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	var conn net.Conn
	var err error
	for _, broker := range g.opt.Brokers {
		if conn, err = g.dial(ctx, broker); err == nil {
			break
		}
	}
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	hello := connectPacket(g.opt.Gateway, g.prefix+"status", g.status("offline", "lost", time.Time{}), uint16(g.opt.KeepAlive/time.Second))
	in := bufio.NewReaderSize(conn, 2048)
	_, err = conn.Write(hello)
	var p packet
	if err == nil {
		p, _, err = readPacket(in, nil)
	}
	switch {
	case err != nil:
	case p.kind != typeConnack || len(p.body) != 2:
		err = errors.New("no CONNACK")
	case p.body[1] != 0:
		err = fmt.Errorf("refused with code %d", p.body[1])
	}
	if err != nil {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	return conn, in, nil
}

func (g *Gateway) dial(ctx context.Context, broker string) (net.Conn, error) {
	if g.opt.TLS == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", broker)
	}
	return (&tls.Dialer{Config: g.opt.TLS}).DialContext(ctx, "tcp", broker)
}

// runSession connects, works until the connection or the context ends, and returns why.
func (g *Gateway) runSession(ctx context.Context) error {
	conn, in, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	now := time.Now()
	s := &session{g: g, conn: conn, since: now, wrote: now, lost: make(chan struct{}), pace: pace{most: leastInFlight}}
	g.mu.Lock()
	g.session = s
	g.stats.Connects++
	s.out = appendSubscribe(s.out, s.nextID(), g.filters())
	g.mu.Unlock()
	go func() {
		defer close(s.lost)
		s.why = s.read(in)
	}()
	err = s.loop(ctx)
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), ErrKilled) {
		s.goodbye()
	}
	_ = conn.Close()
	<-s.lost // the reader ends with the connection
	g.mu.Lock()
	defer g.mu.Unlock()
	g.session = nil
	for _, p := range s.flying {
		if p.why == forCorrection {
			g.corrections = append(g.corrections, p.from)
		}
	}
	return err
}

// nextID gives the next packet id. 0 is none (MQTT 3.1.1, 2.3.1).
func (s *session) nextID() uint16 {
	if s.lastID++; s.lastID == 0 {
		s.lastID = 1
	}
	return s.lastID
}

// loop does what is to be done, again and again, until the session ends.
func (s *session) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		worked, next, err := s.work()
		if err != nil {
			return err
		}
		if worked {
			continue
		}
		timer.Reset(time.Until(next))
		select {
		case <-s.g.wake:
		case <-timer.C:
		case <-s.lost:
			return fmt.Errorf("the connection was lost: %w", s.why)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// work takes one step and writes what comes of it. Where there was nothing to do it
// returns when there may be.
func (s *session) work() (worked bool, next time.Time, err error) {
	g := s.g
	g.mu.Lock()
	now := time.Now()
	next, err = s.step(now)
	out := s.out
	if len(out) > 0 {
		s.out, s.wrote = nil, now
		g.stats.BytesSent += int64(len(out))
	}
	g.mu.Unlock()
	if err != nil || len(out) == 0 {
		return false, next, err
	}
	// Whoever takes nothing for so long is not there any more.
	if err := s.conn.SetWriteDeadline(now.Add(pubackWait)); err != nil {
		return false, next, err
	}
	if _, err := s.conn.Write(out); err != nil {
		return false, next, err
	}
	g.mu.Lock()
	if s.out == nil && cap(out) <= 8<<10 { // what few gateways need for long is not kept
		s.out = out[:0]
	}
	g.mu.Unlock()
	return true, next, nil
}

// step appends to s.out what is to be sent now, and returns when the next step is due at
// the latest.
func (s *session) step(now time.Time) (next time.Time, err error) {
	g := s.g
	if len(s.flying) > 0 && now.Sub(s.answer) > pubackWait {
		return next, errors.New("no PUBACK")
	}
	switch s.stage {
	case awaitSuback:
		if now.Sub(s.since) > pubackWait {
			return next, errors.New("no SUBACK")
		}
		return s.since.Add(pubackWait + time.Second), nil
	case awaitOnline, awaitTrial:
		if len(s.flying) > 0 {
			return s.answer.Add(pubackWait + time.Second), nil
		}
		s.greeted(now)
	case awaitEcho:
		if now.Sub(s.since) < echoWait {
			return s.since.Add(echoWait), nil
		}
		s.enter(draining, now) // the broker passes on no batches
	}
	if !s.pinged.IsZero() && now.Sub(s.pinged) > pingWait {
		return next, errors.New("no answer to a ping")
	}
	if now.Sub(s.wrote) >= g.opt.KeepAlive && s.pinged.IsZero() {
		s.out = appendEmpty(s.out, typePingreq)
		s.pinged = now
	}
	if !now.Before(s.health) && s.stage == draining {
		s.health = now.Add(g.opt.Health)
		s.publishDocument("health", g.health(now))
	}
	next = s.wrote.Add(g.opt.KeepAlive)
	if s.stage == draining {
		if s.health.Before(next) {
			next = s.health
		}
		if due := s.sendEvents(now); !due.IsZero() && due.Before(next) {
			next = due
		}
	}
	if next.Before(now) { // a ping is on its way
		next = now.Add(time.Second)
	}
	return next, nil
}

// enter begins a stage.
func (s *session) enter(to stage, now time.Time) {
	s.stage, s.since = to, now
	if to == draining {
		s.health = now
		s.g.ledger.begin(now)
		s.publishDocument("info", s.g.info())
	}
}

// greeted goes on from a stage of the greeting whose publication is acknowledged.
func (s *session) greeted(now time.Time) {
	g := s.g
	switch {
	case s.stage == awaitOnline && g.opt.Batches != nil:
		s.enter(awaitTrial, now)
		s.publish(g.prefix+"event/batch", false, g.opt.Batches.pack(nil), sent{why: document}, now)
	case s.stage == awaitTrial && !s.batches:
		s.enter(awaitEcho, now)
	default:
		s.enter(draining, now)
	}
}

// goodbye says that the gateway stops on purpose, and disconnects.
func (s *session) goodbye() {
	g := s.g
	g.mu.Lock()
	s.stage = awaitOnline // nothing else is sent
	s.publishDocument("status", g.status("offline", "stop", time.Now()))
	out := s.out
	s.out = nil
	g.mu.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(goodbyeWait))
	if _, err := s.conn.Write(out); err != nil {
		return
	}
	for deadline := time.After(goodbyeWait); ; {
		g.mu.Lock()
		left := len(s.flying)
		g.mu.Unlock()
		if left == 0 {
			_, _ = s.conn.Write(appendEmpty(nil, typeDisconnect)) // the connection ends with it
			return
		}
		select {
		case <-g.wake:
		case <-s.lost:
			return
		case <-deadline:
			return
		}
	}
}
