package uplink

import (
	"context"
	"slices"
	"time"

	"presence/gatewayd/internal/batch"
	"presence/gatewayd/internal/presence"
)

// BatchTopic is the topic on which batches are published, behind the gateway's prefix.
const BatchTopic = "event/batch"

// perPlace is how many events of a batch take one place in the window: compressed they
// have about as many bytes as one that is sent plainly.
const perPlace = 8

// leastBatch is the least bytes that a broker must take for batches to be of use.
const leastBatch = 256

// member is an event of a batch behind the first.
type member struct {
	pos      uint64
	revision presence.Revision
}

// gather takes new events, and sends them unless they may wait for company.
func (s *sender) gather(ctx context.Context, entries []presence.Entry) error {
	if len(s.waiting) == 0 {
		s.waitingUntil = time.Now().Add(s.u.opt.BatchWait)
	}
	s.waiting = append(s.waiting, entries...)
	if s.mayWait(entries) {
		return nil
	}
	return s.sendWaiting(ctx)
}

// isUrgent reports whether somebody waits for an event: nobody does for tags and seals.
func isUrgent(e presence.Entry) bool {
	return e.Kind != presence.KindTag && e.Kind != presence.KindSeal
}

// mayWait reports whether what waits may go on to do so after some events have joined it.
func (s *sender) mayWait(joined []presence.Entry) bool {
	u := s.u
	return s.batches && s.heldPos == 0 && u.hurry.Load() == 0 &&
		len(s.waiting) < u.opt.BatchMax && time.Now().Before(s.waitingUntil) &&
		!slices.ContainsFunc(joined, isUrgent)
}

// sendWaiting sends the events that wait for company.
func (s *sender) sendWaiting(ctx context.Context) error {
	waiting := s.waiting
	s.waiting = nil
	return s.sendNew(ctx, waiting)
}

// hurried has nothing wait for company any more, until the function that it returns is
// called.
func (u *Uplink) hurried() (done func()) {
	u.hurry.Add(1)
	u.ledger.wake()
	return func() { u.hurry.Add(-1) }
}

// pack packs the first of some events together, and returns the frame and how many events
// are in it: 0 where the first is to go by itself.
func (s *sender) pack(entries []presence.Entry, all []presence.Revision, why purpose) (frame []byte, events int, err error) {
	u := s.u
	now := time.Now()
	limit := min(u.suspects.largestBatch(now), s.pace.batch())
	most := min(len(entries), u.opt.BatchMax, s.fit)
	if !s.batches || most < 2 || limit < leastBatch {
		return nil, 0, nil
	}
	u.packer.Reset(limit)
	added := 0
	for ; added < most; added++ {
		e := &entries[added]
		payload, err := u.opt.Origin.AppendEvent(s.draft[:0], &e.Record, all[added].Timing)
		if err != nil {
			return nil, 0, err
		}
		s.draft = payload // the packer keeps a copy
		if !u.suspects.mayTravel(e.Pos, len(payload), why == forDelivery, now) || !u.packer.Add(payload) {
			break
		}
	}
	if added < 2 {
		return nil, 0, nil
	}
	if frame, events = u.packer.Frame(); events < added {
		s.fit = max(events, 2) // so that what does not fit is not made again and again
	} else if added == s.fit {
		s.fit = min(2*s.fit, batch.MaxEvents)
	}
	if events < 2 {
		return nil, 0, nil
	}
	return frame, events, nil
}

// publishTogether publishes the first of some events as a batch, and returns how many
// those are: 0 where the first is to go by itself.
func (s *sender) publishTogether(ctx context.Context, entries []presence.Entry, all []presence.Revision, as sent) (int, error) {
	frame, n, err := s.pack(entries, all, as.why)
	if err != nil || n == 0 {
		return 0, err
	}
	as.pos, as.revision, as.size = entries[0].Pos, all[0], len(frame)
	as.more = make([]member, n-1)
	for i := range as.more {
		as.more[i] = member{entries[i+1].Pos, all[i+1]}
	}
	as.places = min(s.window, int64(n+perPlace-1)/perPlace)
	if err := s.takeRoom(ctx, &as); err != nil {
		return 0, err
	}
	s.sentBatches = true
	_, err = s.publishNow(ctx, BatchTopic, frame, as)
	return n, err
}
