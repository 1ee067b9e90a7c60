package uplink

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"presence/gatewayd/internal/presence"
)

// Retain keeps a document for a topic behind the gateway's prefix, and publishes it as a
// retained message: now if there is a connection, and at the start of each. An empty
// document clears the topic.
func (u *Uplink) Retain(topic string, payload []byte) {
	u.mu.Lock()
	u.retained[topic] = payload
	u.mu.Unlock()
	u.publishSoon(topic)
}

// publishSoon has the connection publish a topic's document, or the next connection if
// there is none.
func (u *Uplink) publishSoon(topic string) {
	u.mu.Lock()
	u.unpublished[topic] = struct{}{}
	u.mu.Unlock()
	select {
	case u.documentsChanged <- struct{}{}:
	default: // it is signalled already
	}
}

// publishDocumentsAndLog publishes retained documents that changed, and lines of the
// log, until the context ends.
func (s *session) publishDocumentsAndLog(ctx context.Context) error {
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
		case <-u.documentsChanged:
			if err := s.publishDocuments(ctx); err != nil {
				return err
			}
		case line := <-u.lines:
			s.publishLogLine(line)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// publishDocuments publishes the documents that changed and waits for their PUBACKs, so
// that at most one document of each topic is on its way. If the connection is lost
// before, the next one publishes all documents again.
func (s *session) publishDocuments(ctx context.Context) error {
	u := s.u
	var alone []string
	documents := u.popUnpublished()
	for topic, payload := range documents {
		if topic == "status" {
			payload = u.status("online", "start", true)
			documents[topic] = payload
		}
		switch u.suspects.treatTopic(topic, len(payload), time.Now()) {
		case together:
			s.post(topic, true, payload)
			if !s.pace.slow() {
				continue
			}
			// One at a time, so that a tap has not all of them before it.
			if err := s.awaitPosts(ctx); err != nil {
				return err
			}
		case byItself:
			alone = append(alone, topic)
		}
	}
	if err := s.awaitPosts(ctx); err != nil {
		return err
	}
	for _, topic := range alone {
		if err := s.postAlone(ctx, topic, true, documents[topic]); err != nil {
			return err
		}
	}
	return nil
}

// publishLogLine publishes a line of the log, at QoS 0.
func (s *session) publishLogLine(line []byte) {
	if !s.u.suspects.mayLog(len(line)) {
		return
	}
	s.alongside.RLock()
	defer s.alongside.RUnlock()
	s.postsMu.Lock()
	s.lineSize, s.lineSent = len(line), time.Now()
	s.postsMu.Unlock()
	s.client.Publish(s.u.prefix+"log", 0, false, line)
}

// restate has all retained documents published once more: somebody may have cleared or
// overwritten them at the broker, or the broker may have lost them, and nothing tells
// the gateway of that. The health document is left out, as a new one comes as often.
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
	if !rival { // two gateways under one id would contradict each other without end
		topics = append(topics, "status")
	}
	for _, topic := range topics {
		u.publishSoon(topic)
	}
}

// popUnpublished returns the documents that are to be published, and marks them as
// published.
func (u *Uplink) popUnpublished() map[string][]byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	documents := make(map[string][]byte, len(u.unpublished))
	for topic := range u.unpublished {
		documents[topic] = u.retained[topic]
	}
	clear(u.unpublished)
	return documents
}

// status is the retained document of the topic `status`.
func (u *Uplink) status(state, reason string, withTime bool) []byte {
	s := presence.Status{State: state, Session: u.opt.Session, Reason: reason}
	if withTime {
		s.Time = u.now()
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic("encode status: " + err.Error()) // it holds nothing that JSON cannot say
	}
	return b
}
