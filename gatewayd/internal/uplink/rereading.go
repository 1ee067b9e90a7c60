package uplink

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// rereading has the broker send a retained document of the city once more, where the city
// says that there is a newer one than is in force here.
//
// Documents come at QoS 0, at which a broker may drop what it cannot send at once. QoS 1
// would not only cost a packet more: on NATS each subscription at QoS 1 is a consumer of
// its own, which three servers keep on their disks, for each gateway and filter. So the
// city names in receipts and commands the serial of the document that it published last.
// Where that is not in force after a while, the gateway subscribes to the topic again,
// upon which a broker has to send what is retained there (MQTT 3.1.1, 3.8.4-3).
//
// The names are not signed, since they can do no more than cause a document to be sent
// again, and how often that happens is bounded: the pauses grow, and after a few times in
// vain it ends until the city names the serial again. The broker may not have that
// document yet, or the gateway may have refused it.
//
// It outlives connections.
type rereading struct {
	patient patience      // how long to wait for the document, which may be on its way
	changed chan struct{} // has room for one: something was named

	mu     sync.Mutex
	missed map[string]*missedDocument // by topic behind the gateway's prefix
}

// missedDocument is a document with a serial that the city named and that is not in force.
type missedDocument struct {
	serial uint64    // the highest that the city named
	at     time.Time // when it is to be read again, unless it is in force by then
	tries  int       // how often it was read again
	left   int       // how often it may still be, before the city names it again
}

// enoughRereads is how often a document is read again for one naming.
const enoughRereads = 3

func newRereading(patient patience) *rereading {
	return &rereading{patient: patient, changed: make(chan struct{}, 1), missed: make(map[string]*missedDocument)}
}

// named notes the serials, by topic, that the city has named. Topics of which the gateway
// reads no documents are left out. It never waits.
func (r *rereading) named(serials map[string]uint64, documents map[string]Document, now time.Time) {
	if len(serials) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for topic, serial := range serials {
		if documents[topic] == nil || serial == 0 {
			continue
		}
		m := r.missed[topic]
		if m == nil {
			m = &missedDocument{at: now.Add(r.patient.pause(0))}
			r.missed[topic] = m
		}
		m.serial, m.left = max(m.serial, serial), enoughRereads
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// connected notes that the broker sends all that is retained, as it does at the start of
// each connection.
func (r *rereading) connected(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.missed {
		if soonest := now.Add(r.patient.pause(0)); m.at.Before(soonest) {
			m.at = soonest
		}
	}
}

// due returns the topics that are to be read again now, in order. Where there are none it
// returns when the next will be, or zero if none will.
func (r *rereading) due(documents map[string]Document, now time.Time) (topics []string, next time.Time) {
	r.mu.Lock()
	missed := maps.Clone(r.missed)
	r.mu.Unlock()
	// A document may just be written to the disk, which Serial waits for, and named must not.
	inForce := make(map[string]uint64, len(missed))
	for topic := range missed {
		inForce[topic] = documents[topic].Serial()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for topic, serial := range inForce {
		m := r.missed[topic]
		switch {
		case serial >= m.serial:
			delete(r.missed, topic)
		case m.left == 0:
		case !now.Before(m.at):
			topics = append(topics, topic)
			m.tries++
			m.left--
			m.at = now.Add(r.patient.pause(m.tries))
		case next.IsZero() || m.at.Before(next):
			next = m.at
		}
	}
	slices.Sort(topics)
	return topics, next
}

// readAgain subscribes to the topics of missed documents again, until the context ends.
func (s *session) readAgain(ctx context.Context) error {
	u := s.u
	u.rereading.connected(time.Now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		topics, next := u.rereading.due(u.opt.Documents, time.Now())
		if len(topics) > 0 {
			for _, topic := range topics {
				u.opt.Log.Info("the city has named a newer document than is in force, it is read again", "topic", topic)
				if err := s.subscribeAgain(ctx, topic); err != nil {
					return err
				}
			}
			continue
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		select {
		case <-u.rereading.changed:
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// subscribeAgain subscribes to one topic once more, and waits for the answer. That it does
// not come is noticed elsewhere, as it is of everything else that is sent.
func (s *session) subscribeAgain(ctx context.Context, topic string) error {
	s.alongside.RLock()
	token := s.subscribe(map[string]byte{s.u.prefix + topic: s.u.filters[s.u.prefix+topic]})
	s.alongside.RUnlock()
	select {
	case <-token.Done():
		if err := token.Error(); err != nil {
			return s.whyLost(ctx, err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
