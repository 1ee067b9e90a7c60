package uplink

import (
	"context"
	"slices"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// post is a document or a reply on its way.
type post struct {
	topic string // behind the gateway's prefix
	size  int    // of the payload in bytes
	token mqtt.Token
}

// acknowledged tells whether the broker has it.
func (p *post) acknowledged() bool {
	select {
	case <-p.token.Done():
		return p.token.Error() == nil
	default:
		return false
	}
}

// post publishes a document or a reply beside what else is on its way.
func (s *session) post(topic string, retained bool, payload []byte) *post {
	s.exclusive.RLock()
	defer s.exclusive.RUnlock()
	return s.postNow(topic, retained, payload)
}

func (s *session) postNow(topic string, retained bool, payload []byte) *post {
	p := &post{topic: topic, size: len(payload)}
	p.token = s.client.Publish(s.u.prefix+topic, 1, retained, payload)
	s.postsMu.Lock()
	defer s.postsMu.Unlock()
	s.posts = append(slices.DeleteFunc(s.posts, (*post).acknowledged), p)
	return p
}

// unacknowledged are the posts that the broker has not.
func (s *session) unacknowledged() []*post {
	s.postsMu.Lock()
	defer s.postsMu.Unlock()
	s.posts = slices.DeleteFunc(s.posts, (*post).acknowledged)
	return slices.Clone(s.posts)
}

// settle waits until the broker has everything that was posted.
func (s *session) awaitPosts(ctx context.Context) error {
	for _, p := range s.unacknowledged() {
		if err := s.awaitPost(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// await waits for the broker to acknowledge a post. A slow line takes long for
// what went before it; it stalls only when it does not go on.
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
		left := s.u.limits.PubAck - time.Since(since)
		if left <= 0 {
			return stalled(s.u.limits.PubAck)
		}
		timer.Reset(left)
	}
}

// alone publishes something while nothing else is on its way, and returns when
// the broker has acknowledged it. If the connection ends meanwhile, that was the
// reason, or chance. An event takes a place with it.
func (s *session) alone(ctx context.Context, takes int, publish func() error) error {
	s.exclusive.Lock() // nobody posts
	defer s.exclusive.Unlock()
	held := 0
	defer func() {
		for ; held > 0; held-- {
			<-s.places
		}
	}()
	for held < cap(s.places) { // nor is there an event
		select {
		case s.places <- struct{}{}:
			held++
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := s.awaitPosts(ctx); err != nil {
		return err
	}
	held -= takes
	return publish()
}

// postAlone is post with nothing else on its way. It waits for the PUBACK.
func (s *session) postAlone(ctx context.Context, topic string, retained bool, payload []byte) error {
	return s.alone(ctx, 0, func() error { return s.awaitPost(ctx, s.postNow(topic, retained, payload)) })
}

// learn draws conclusions from how the connection ended, once nobody publishes
// any more.
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
	if !s.u.suspects.hungUp(s.unacknowledged(), s.unacked, line, now) {
		return
	}
	s.u.mu.Lock()
	s.u.learnt = true
	s.u.mu.Unlock()
}
