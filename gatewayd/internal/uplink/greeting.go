package uplink

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// greet subscribes and publishes that the gateway is online. The other retained
// documents follow with the connection's other work.
func (s *session) greet(ctx context.Context) error {
	u := s.u
	denied, err := s.hear(ctx)
	if err != nil {
		return err
	}
	u.mu.Lock()
	s.reconnected = u.greeted > 0
	u.mu.Unlock()
	if !u.opt.EventsOnly {
		if err := s.announce(ctx); err != nil {
			return err
		}
	}
	if err := s.tryBatches(ctx); err != nil {
		return err
	}
	s.handleWaitingOwn() // what the broker has sent meanwhile, such as a late will
	u.mu.Lock()
	u.connected = true
	u.denied = denied
	if s.reconnected {
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
		u.publishSoon(topic)
	}
	return nil
}

// hear subscribes to all that the uplink reads, and returns the topics that the broker
// does not grant.
func (s *session) hear(ctx context.Context) (denied []string, err error) {
	if len(s.u.filters) == 0 {
		return nil, nil
	}
	subscribe := s.subscribe(s.u.filters)
	if err := s.awaitAnswer(ctx, subscribe, s.u.limits.PubAck); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	denied = refusedFilters(subscribe, s.u.prefix)
	denied = slices.DeleteFunc(denied, func(topic string) bool { return topic == BatchTopic }) // see BatchesDenied
	if len(denied) > 0 {
		// That is no reason to end the connection: events can be published all the same.
		s.u.opt.Log.Warn("the broker does not let this gateway subscribe", "topics", strings.Join(denied, " "))
	}
	return denied, nil
}

// announce publishes that the gateway is online.
func (s *session) announce(ctx context.Context) error {
	u := s.u
	u.mu.Lock()
	u.announced, u.heard = time.Now(), false
	u.mu.Unlock()
	online := u.status("online", "start", true)
	if u.suspects.treatTopic("status", len(online), time.Now()) == notNow {
		u.mu.Lock()
		u.announced = time.Time{}
		u.mu.Unlock()
		return nil
	}
	p := s.post("status", true, online)
	if err := s.awaitAnswer(ctx, p.token, u.limits.PubAck); err != nil {
		return fmt.Errorf("publish status (does the broker's ACL allow it?): %w", err)
	}
	u.mu.Lock()
	s.roundTrip = time.Since(u.announced)
	u.mu.Unlock()
	if s.answersSlowly() {
		s.pace.cautious()
	}
	u.suspects.acknowledgedTopic(p.topic, p.size)
	return nil
}

// slowGoodbye is how many times Limits.Goodbye the goodbye may take on a slow line: there
// it waits behind what is on its way already.
const slowGoodbye = 3

// answersSlowly reports whether a goodbye would not be acknowledged within Limits.Goodbye.
func (s *session) answersSlowly() bool {
	return s.roundTrip > s.u.limits.Goodbye/2 || s.pace.isSlow()
}

// goodbye publishes that the gateway stops on purpose, and disconnects, so that the
// broker does not publish the will.
//
// On a slow line it does not wait for the PUBACK before it disconnects, which would take a
// second round trip: that the broker closes the connection shows that it has read both.
func (s *session) goodbye() {
	u := s.u
	if u.opt.EventsOnly {
		s.client.Disconnect(uint(publishWait.Milliseconds()))
		return
	}
	u.mu.Lock()
	why := u.farewell
	u.mu.Unlock()
	offline := s.client.Publish(u.prefix+"status", 1, true, u.status("offline", why, true))
	s.mu.RLock()
	socket := s.socket
	s.mu.RUnlock()
	if socket != nil && s.answersSlowly() {
		u.beat(slowGoodbye*u.limits.Goodbye + publishWait + lastWords)
		socket.linger(slowGoodbye * u.limits.Goodbye)
		s.client.Disconnect(uint(publishWait.Milliseconds()))
		if err := socket.Close(); err != nil {
			u.opt.Log.Warn("the city may not have got the goodbye", "error", err)
		}
		return
	}
	err := s.wait(context.Background(), offline, u.limits.Goodbye)
	if err != nil {
		u.opt.Log.Warn("could not tell the city goodbye", "error", err)
	}
	if socket != nil && err == nil {
		socket.linger(u.limits.Goodbye / 2)
	}
	// It returns as soon as the DISCONNECT is out. Until then the connection must not be
	// closed, or the broker publishes the will, which says that the gateway was lost.
	s.client.Disconnect(uint(publishWait.Milliseconds()))
}
