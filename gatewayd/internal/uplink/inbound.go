package uplink

import (
	"context"
	"errors"
	"fmt"
	"strings"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// errCrowded is why a message is dropped for want of room in its queue.
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
		if err := s.receipt(m.Payload(), m.Retained()); err != nil {
			s.u.reject(m.Topic(), err)
		}
		return
	}
	topic := strings.TrimPrefix(m.Topic(), s.u.prefix)
	if topic == BatchTopic {
		s.noteEcho()
		return
	}
	if topic == "time/reply" && s.u.opt.asksTime() {
		if err := s.time.receive(m); err != nil {
			s.u.reject(m.Topic(), err)
		}
		return
	}
	waits := message{topic: topic, payload: m.Payload(), retained: m.Retained(), size: len(m.Payload())}
	command, document := strings.HasPrefix(topic, "cmd/"), s.u.opt.Documents[topic] != nil
	var err error
	switch {
	case command:
		if waits.size > maxCommand {
			waits.payload = onlyTX(m.Payload()) // so that the sender gets a reply
		}
		err = enqueue(s.commands, waits)
	case document && waits.size > maxPacket:
		err = tooLarge(waits.size, maxPacket)
	case document:
		if !s.documents.put(waits) {
			err = errCrowded
		}
	case waits.size > maxCommand:
		err = tooLarge(waits.size, maxCommand)
	default:
		err = enqueue(s.own, waits)
	}
	if err != nil {
		s.u.reject(m.Topic(), err)
	}
}

// tooLarge is why a message of so many bytes is rejected.
func tooLarge(size, most int) error { return fmt.Errorf("%d bytes: at most %d", size, most) }

// enqueue puts a message into a queue, if there is room.
func enqueue(queue chan<- message, m message) error {
	select {
	case queue <- m:
		return nil
	default:
		return errCrowded
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

// handleDocuments passes each document to its place in Options.Documents, one after
// the other, until the context ends.
func (s *session) handleDocuments(ctx context.Context) error {
	for {
		m, err := s.documents.next(ctx)
		if err != nil {
			return err
		}
		s.u.opt.Documents[m.topic].Receive(m.payload)
	}
}
