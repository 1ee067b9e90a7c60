package uplink

import (
	"context"
	"slices"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// post is a document or a reply on its way to the broker.
type post struct {
	topic string // behind the gateway's prefix
	size  int    // of the payload in bytes
	token mqtt.Token
}

// acknowledged reports whether the broker has it.
func (p *post) acknowledged() bool {
	return completed(p.token) && p.token.Error() == nil
}

// post publishes a document or a reply while other messages are on their way.
func (s *session) post(topic string, retained bool, payload []byte) *post {
	s.alongside.RLock()
	defer s.alongside.RUnlock()
	return s.postNow(topic, retained, payload)
}

// postNow is post for a caller that holds the lock alongside.
func (s *session) postNow(topic string, retained bool, payload []byte) *post {
	p := &post{topic: topic, size: len(payload)}
	p.token = s.client.Publish(s.u.prefix+topic, 1, retained, payload)
	s.postsMu.Lock()
	defer s.postsMu.Unlock()
	s.posts = append(slices.DeleteFunc(s.posts, (*post).acknowledged), p)
	return p
}

// unacknowledged returns the posts without a PUBACK.
func (s *session) unacknowledged() []*post {
	s.postsMu.Lock()
	defer s.postsMu.Unlock()
	s.posts = slices.DeleteFunc(s.posts, (*post).acknowledged)
	return slices.Clone(s.posts)
}

// awaitPosts waits for the PUBACKs of all posts.
func (s *session) awaitPosts(ctx context.Context) error {
	for _, p := range s.unacknowledged() {
		if err := s.awaitPost(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// awaitPost waits for the PUBACK of a post. On a slow line it may take long to send what
// went before; the line counts as stalled only if no PUBACK comes at all for so long.
func (s *session) awaitPost(ctx context.Context, p *post) error {
	began := time.Now()
	timer := time.NewTimer(s.u.limits.PubAck)
	defer timer.Stop()
	for {
		select {
		case <-p.token.Done():
			if err := p.token.Error(); err != nil {
				return s.whyLost(ctx, err)
			}
			s.lastPUBACK.Store(time.Now().UnixNano())
			s.u.suspects.acknowledgedTopic(p.topic, p.size)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		since := time.Unix(0, s.lastPUBACK.Load())
		if began.After(since) {
			since = began
		}
		left := s.u.limits.PubAck - time.Since(s.u.lastSign(since))
		if left <= 0 && !completed(p.token) {
			return stalled(s.u.limits.PubAck)
		}
		timer.Reset(left)
	}
}

// alone calls publish, which publishes one thing and waits for its PUBACK, while
// nothing else is on its way. If the connection ends meanwhile, that thing was the
// reason, or it was chance. Of the places in the window, publish keeps some: 1 for an
// event, which the collector gives back.
func (s *session) alone(ctx context.Context, keeps int64, publish func() error) error {
	s.alongside.Lock() // no document and no reply
	defer s.alongside.Unlock()
	if err := s.places.Acquire(ctx, s.window); err != nil { // and no event
		return err
	}
	held := s.window
	defer func() { s.places.Release(held) }()
	if err := s.awaitPosts(ctx); err != nil {
		return err
	}
	held -= keeps
	return publish()
}

// postAlone is post while nothing else is on its way. It waits for the PUBACK.
func (s *session) postAlone(ctx context.Context, topic string, retained bool, payload []byte) error {
	return s.alone(ctx, 0, func() error { return s.awaitPost(ctx, s.postNow(topic, retained, payload)) })
}

// learn finds out, from how the connection ended, over which publication the broker may
// have closed it. It is called once nothing is published any more.
func (s *session) learn(err error) {
	if !closedByBroker(err) {
		return
	}
	s.postsMu.Lock()
	line := s.lineSize
	if time.Since(s.lineSent) > closedSoon {
		line = 0
	}
	s.postsMu.Unlock()
	now := time.Now()
	learnt := s.u.suspects.hungUp(s.unacknowledged(), s.unacked, line, now)
	if p := s.failedTrial(); p != nil {
		learnt = s.u.suspects.hungUp([]*post{p}, nil, 0, now) || learnt
	}
	if !learnt {
		return
	}
	s.u.mu.Lock()
	s.u.learnt = true
	s.u.mu.Unlock()
}
