package uplink

import (
	"context"
	"fmt"
	"time"
)

// batchEchoWait bounds the wait for the batch of no events that a gateway publishes to itself.
// The broker sends it at about the same time as the PUBACK, for which the gateway has
// waited by then.
const batchEchoWait = 3 * time.Second

const (
	// batchesAgain is for how long it counts what was found out of the topic of batches:
	// somebody may change the broker's ACL, and the connection stands all the same.
	batchesAgain = 10 * time.Minute
	// batchesDoubted is the same where events go again because no receipt came for them:
	// the broker may have thrown away the batches that they were in.
	batchesDoubted = time.Minute
)

// tryBatches publishes a batch of no events, to which the gateway itself has subscribed.
// In MQTT 3.1.1 nothing else shows whether the broker allows the topic: it acknowledges
// what it drops, and events would be lost. Some brokers close the connection instead. It
// is published while nothing else is on its way, so that this can be told.
func (s *session) tryBatches(ctx context.Context) error {
	u := s.u
	if u.packer == nil {
		return nil
	}
	empty := u.packer.Empty()
	if u.suspects.treatTopic(BatchTopic, len(empty), time.Now()) == notNow {
		u.setBatchesDenied(true)
		return nil
	}
	s.trial = s.post(BatchTopic, false, empty)
	if err := s.awaitAnswer(ctx, s.trial.token, u.limits.PubAck); err != nil {
		return fmt.Errorf("publish on %s (does the broker's ACL allow it?): %w", BatchTopic, err)
	}
	return nil
}

// failedTrial returns the batch of no events as something over which the broker may have
// closed the connection, nil if it was not: mosquitto 2.0.11 acknowledges what its ACL
// forbids, and closes the connection then.
func (s *session) failedTrial() *post {
	if s.trial == nil || !s.trial.acknowledged() || s.echoed.Load() {
		return nil
	}
	return s.trial
}

// noteEcho notes that a batch came back.
func (s *session) noteEcho() {
	s.echoed.Store(true)
	select {
	case s.echo <- struct{}{}:
		s.u.ledger.wake() // the sender may have gone to sleep without it
	default:
	}
}

// awaitEcho waits for the batch of no events to come back. Where the broker did not allow
// the topic at the last connection nothing waits for it.
func (s *sender) awaitEcho(ctx context.Context) error {
	s.tried = time.Now()
	if s.u.packer == nil || s.u.BatchesDenied() {
		return nil
	}
	s.u.beat(2 * batchEchoWait)
	timer := time.NewTimer(batchEchoWait)
	defer timer.Stop()
	select {
	case <-s.echo:
		s.useBatches()
	case <-timer.C:
		s.noteDenied()
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// checkEcho notices a batch that comes back late.
func (s *sender) checkEcho() {
	if s.batches {
		return
	}
	select {
	case <-s.echo:
		s.useBatches()
	default:
	}
}

// noteDenied notes that a batch of no events did not come back.
func (s *sender) noteDenied() {
	if !s.u.BatchesDenied() {
		s.u.opt.Log.Warn("the broker does not pass on batches, so events go one by one: does its ACL let this gateway write and read the topic?", "topic", BatchTopic)
	}
	s.u.setBatchesDenied(true)
}

// retryBatches tries batches anew if what is known of them is older than a bound, and
// notices if the trial has failed. Until it has succeeded events go one by one. It returns
// when it is to be called again, zero if that is not before something is sent.
func (s *sender) retryBatches(ctx context.Context, bound time.Duration) (next time.Time, err error) {
	u := s.u
	if u.packer == nil {
		return time.Time{}, nil
	}
	now := time.Now()
	if !s.echoDue.IsZero() {
		if now.Before(s.echoDue) {
			return s.echoDue, nil
		}
		s.echoDue = time.Time{}
		s.noteDenied()
	}
	if s.batches && !s.sentBatches {
		return time.Time{}, nil // nothing can have been thrown away
	}
	if now.Sub(s.tried) >= bound {
		if err := s.tryAgain(ctx); err != nil {
			return time.Time{}, err
		}
		if !s.echoDue.IsZero() {
			return s.echoDue, nil
		}
	}
	if s.batches {
		return time.Time{}, nil
	}
	return s.tried.Add(batchesAgain), nil
}

// tryAgain publishes a batch of no events once more, unless the broker has hung up over it
// lately.
func (s *sender) tryAgain(ctx context.Context) error {
	u := s.u
	s.tried = time.Now()
	empty := u.packer.Empty()
	if u.suspects.treatTopic(BatchTopic, len(empty), s.tried) == notNow {
		return nil
	}
	u.beat(4 * u.limits.PubAck) // for the window before it, for documents, and for its own PUBACK
	defer u.beat(0)
	return s.alone(ctx, 0, func() error {
		s.batches, s.sentBatches = false, false
		select {
		case <-s.echo: // of another one
		default:
		}
		s.echoed.Store(false)
		s.subscribe(map[string]byte{u.prefix + BatchTopic: 0}) // it may be refused: then nothing comes back
		s.trial = s.postNow(BatchTopic, false, empty)
		if err := s.awaitAnswer(ctx, s.trial.token, u.limits.PubAck); err != nil {
			return s.whyLost(ctx, err)
		}
		s.echoDue = time.Now().Add(batchEchoWait)
		return nil
	})
}

// useBatches begins to send batches, and ends the subscription to them: the broker gets
// that packet before the first batch, and does not send batches back.
func (s *sender) useBatches() {
	s.batches, s.echoDue = true, time.Time{}
	s.client.Unsubscribe(s.u.prefix + BatchTopic)
	if s.trial != nil { // else somebody else has published a batch
		s.u.suspects.acknowledgedTopic(BatchTopic, s.trial.size)
	}
	s.u.setBatchesDenied(false)
}

// BatchesDenied reports whether the broker does not let the gateway publish batches, as
// far as can be seen. Then events go one by one.
func (u *Uplink) BatchesDenied() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.batchesDenied
}

func (u *Uplink) setBatchesDenied(denied bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.batchesDenied = denied
}
