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
	"syscall"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// options are the settings of paho's client. It keeps no session and does not reconnect
// by itself: with either, the token of a message that was lost completes without an
// error, or never.
func (s *session) options(ctx context.Context) (*mqtt.ClientOptions, error) {
	u := s.u
	dial, err := u.dialer(ctx, s)
	if err != nil {
		return nil, err
	}
	password, err := u.password()
	if err != nil {
		return nil, err
	}
	o := mqtt.NewClientOptions().
		AddBroker("tcp://" + u.opt.Address). // the dialer does all below MQTT
		SetClientID(u.opt.Origin.Gateway).
		SetProtocolVersion(4).
		SetCleanSession(true).
		SetStore(noStore{}).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetOrderMatters(true).
		SetKeepAlive(u.limits.KeepAlive).
		// Whether the line is dead is for watchSilence to say: paho would give up a slow
		// one on which a roster is before the answer to a ping.
		SetPingTimeout(longestAnswer * u.limits.PubAck).
		SetWriteTimeout(publishWait).
		SetConnectTimeout(u.limits.Connect).
		SetCustomOpenConnectionFn(dial).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) {
			select {
			case s.lost <- err:
			default:
			}
		}).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { s.dispatch(m) })
	if !u.opt.EventsOnly {
		// At QoS 1, so that it waits at the broker for the city's programs that are away.
		o.SetBinaryWill(u.prefix+"status", u.status("offline", "lost", false), 1, true)
	}
	if u.opt.Username != "" {
		o.SetUsername(u.opt.Username).SetPassword(password)
	}
	return o, nil
}

// plain puts into words why there is no connection to a broker.
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
				err = reason // paho puts "network error" before it, which says nothing
			}
		}
	}
	var way *WayError
	if errors.As(err, &way) {
		return way
	}
	err = dialReason(err)
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return errors.New("the broker closed the connection before it answered: it may want TLS, or another certificate")
	}
	return err
}

// dialReason is why a connection could not be opened, without the address, which the
// caller names; any other error as it is.
func dialReason(err error) error {
	var dial *net.OpError
	if !errors.As(err, &dial) || dial.Op != "dial" {
		return err
	}
	var call *os.SyscallError
	if errors.As(dial.Err, &call) {
		return call.Err
	}
	return dial.Err
}

// wait waits until a token completes, at most for the bound.
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
		if completed(t) {
			return t.Error()
		}
		return stalled(bound)
	}
}

// longestAnswer is for how many times its bound an answer is waited for at most, however
// much comes meanwhile.
const longestAnswer = 30

// awaitAnswer waits until a token completes that the broker's answer completes: until
// nothing has come from the broker for so long.
func (s *session) awaitAnswer(ctx context.Context, t mqtt.Token, silence time.Duration) error {
	began := time.Now()
	for left := silence; ; {
		err := s.wait(ctx, t, left)
		if completed(t) || ctx.Err() != nil {
			return err
		}
		left = silence - time.Since(s.u.lastSign(began))
		if left <= 0 {
			return stalled(silence)
		}
	}
}

// lastSign is when a broker that owes an answer since then last showed that it is there.
func (u *Uplink) lastSign(since time.Time) time.Time {
	if moved := u.traffic.lastMoved(); moved.After(since) && time.Since(since) < longestAnswer*u.limits.PubAck {
		return moved
	}
	return since
}

// silenceLimit is how long nothing may come over a connection: paho sends a ping after
// KeepAlive, and looks for that every 5 seconds, or twice in a shorter KeepAlive.
func (l Limits) silenceLimit() time.Duration {
	return l.KeepAlive + min(5*time.Second, l.KeepAlive/2) + l.Ping
}

// watchSilence ends when nothing has come from the broker for so long that an answer to a
// ping should have: the line is dead.
func (s *session) watchSilence(ctx context.Context) error {
	limit := s.u.limits.silenceLimit()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		left := limit - time.Since(time.Unix(0, s.u.traffic.heard.Load()))
		if left <= 0 {
			return fmt.Errorf("the broker does not answer: nothing came for %s", limit)
		}
		timer.Reset(left)
	}
}

// completed reports whether a token has completed. A process that stood still for a
// while finds that its time is up although the answer is there.
func completed(t mqtt.Token) bool {
	select {
	case <-t.Done():
		return true
	default:
		return false
	}
}

// subscribe subscribes to some filters. It is called once the answer to the one before
// has come, or with as many filters.
func (s *session) subscribe(filters map[string]byte) mqtt.Token {
	s.subscribing.Store(int64(len(filters)))
	return s.client.SubscribeMultiple(maps.Clone(filters), nil)
}

// refusedFilter is the code of a SUBACK for a subscription that is not granted
// (MQTT 3.1.1, 3.9.3).
const refusedFilter = 0x80

// refusedFilters returns the topics, behind the prefix, that a SUBACK does not grant.
func refusedFilters(subscribe mqtt.Token, prefix string) (denied []string) {
	if t, ok := subscribe.(*mqtt.SubscribeToken); ok {
		for filter, code := range t.Result() {
			if code == refusedFilter {
				denied = append(denied, strings.TrimPrefix(filter, prefix))
			}
		}
	}
	slices.Sort(denied)
	return denied
}

// opened keeps the socket of a connection for hangUp. One that is opened after that is
// closed at once.
func (s *session) opened(c *coalescing) {
	s.mu.Lock()
	ended := s.ended
	s.socket = c
	s.mu.Unlock()
	if ended {
		_ = c.Close() // paho notices at its first packet
	}
}

// hangUp closes the socket, whatever paho is waiting for, and waits until paho's
// goroutines have ended, which use the journal.
func (s *session) hangUp(connect mqtt.Token) {
	s.mu.Lock()
	s.ended = true
	socket := s.socket
	s.mu.Unlock()
	if socket != nil {
		_ = socket.Close() // it may be closed already
	}
	s.u.beat(2*publishWait + lastWords)
	// A Disconnect while paho still connects would wait in vain for the connection.
	connect.WaitTimeout(publishWait)
	s.client.Disconnect(uint(publishWait.Milliseconds()))
}
