package uplink

import (
	"context"
	"errors"
	"fmt"
	"strings"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// errCrowded is why a message is dropped whose queue is full.
var errCrowded = errors.New("too many at once")

// message is a message from the broker that waits to be handled.
type message struct {
	topic    string // behind the gateway's prefix
	payload  []byte // only the transaction id of a command that is too large
	retained bool
	size     int // of the whole payload in bytes
}

// dispatch puts a message from the broker into the queue of its kind. paho calls it for
// one message after the other and reads nothing meanwhile, so it never waits.
//
// A receipt is handled at once: that is quick, a city may send one for each event, and
// after one that is dropped the event would be sent again.
func (s *session) dispatch(m mqtt.Message) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.ended {
		return // the journal may be closed
	}
	if m.Topic() == s.u.prefix+"receipt" {
		if err := s.u.receipt(m.Payload(), !m.Retained()); err != nil {
			s.u.reject(m.Topic(), err)
		}
		return
	}
	topic := strings.TrimPrefix(m.Topic(), s.u.prefix)
	if topic == "time/reply" && s.u.opt.asksTime() {
		if err := s.time.receive(m); err != nil {
			s.u.reject(m.Topic(), err)
		}
		return
	}
	queue, most := s.own, maxCommand
	if strings.HasPrefix(topic, "cmd/") {
		queue = s.commands
	} else if s.u.opt.Documents[topic] != nil {
		queue, most = s.documents, maxPacket
	}
	waits := message{topic: topic, payload: m.Payload(), retained: m.Retained(), size: len(m.Payload())}
	if waits.size > most {
		if queue != s.commands {
			s.u.reject(m.Topic(), fmt.Errorf("%d bytes: at most %d", waits.size, most))
			return
		}
		waits.payload = onlyTX(m.Payload()) // so that the sender gets a reply
	}
	select {
	case queue <- waits:
	default:
		s.u.reject(m.Topic(), errCrowded)
	}
}

// listen handles the messages of a queue one after the other, until the context ends or
// one ends the connection with an error.
func (s *session) listen(ctx context.Context, queue <-chan message, handle func(context.Context, message) error) error {
	for {
		select {
		case m := <-queue:
			if err := handle(ctx, m); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// handleWaitingOwn handles the messages on own topics that are in the queue already.
func (s *session) handleWaitingOwn() {
	for {
		select {
		case m := <-s.own:
			s.applyOwn(m)
		default:
			return
		}
	}
}

// handleOwn handles a message on one of the gateway's own topics.
func (s *session) handleOwn(_ context.Context, m message) error {
	s.applyOwn(m)
	return nil
}

// applyOwn handles a message on an own topic, or rejects it.
func (s *session) applyOwn(m message) {
	if err := s.readOwn(m); err != nil {
		s.u.reject(m.topic, err)
	}
}

// readOwn handles a message on an own topic. The error says why it is rejected.
func (s *session) readOwn(m message) error {
	switch {
	case m.topic == "status":
		return s.ownStatus(m)
	case strings.HasPrefix(m.topic, "alert/"):
		s.ownAlert(m)
		return nil
	}
	return errors.New("not a topic that a gateway reads")
}

// handleDocument passes a document to its function in Options.Documents.
func (s *session) handleDocument(_ context.Context, m message) error {
	s.u.opt.Documents[m.topic](m.payload)
	return nil
}
