package uplink

import (
	"context"
	"errors"
	"fmt"
	"strings"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

var errCrowded = errors.New("too many at once")

// message is one that came from the broker and waits to be read.
type message struct {
	topic    string // behind the gateway's prefix
	payload  []byte
	retained bool
	size     int // of the payload, of which no more is kept than is read of its kind
}

// sort puts a message from the broker where it will be read. paho calls it for
// one message after the other, and reads on only afterwards, so it never waits.
//
// A receipt is taken at once: it is cheap, a city may send one for each event,
// and one that is dropped would have the event sent again.
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
		waits.payload = onlyTX(m.Payload()) // so that the sender can be told
	}
	select {
	case queue <- waits:
	default:
		s.u.reject(m.Topic(), errCrowded)
	}
}

// listen handles messages, one after the other. An error ends the connection.
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

// readNotes handles the notes that came already.
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

// takeNote handles what is no command.
func (s *session) handleOwn(_ context.Context, m message) error {
	s.applyOwn(m)
	return nil
}

func (s *session) applyOwn(m message) {
	if err := s.readOwn(m); err != nil {
		s.u.reject(m.topic, err)
	}
}

// readNote reads a note. The error says why it was refused.
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

// document hands over a document.
func (s *session) handleDocument(_ context.Context, m message) error {
	s.u.opt.Documents[m.topic](m.payload)
	return nil
}
