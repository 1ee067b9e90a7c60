package tags

import (
	"context"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/backoff"
	"presence/gatewayd/internal/presence"
)

// Receiver is one radio receiver of tags.
type Receiver struct {
	Name     string
	Protocol string // as in drivers/beacon
	Payload  string // likewise, of a protocol that prescribes none
	// Open opens its port. Its errors may heal.
	Open func(ctx context.Context) (io.ReadCloser, error)
	// Beat, if set, is called at each step with the time within which the next one
	// comes: 0 before work, the length of a pause before a pause, less than 0 before
	// waiting for a tag, which may take for ever.
	Beat func(next time.Duration)
	// Hear, if set, is called with all that comes over the line, before it is decoded.
	// The bytes are valid during the call.
	Hear func(data []byte)
}

func (r *Receiver) beat(next time.Duration) {
	if r.Beat != nil {
		r.Beat(next)
	}
}

// overheard has Hear called with what is read from a port.
func (r *Receiver) overheard(port io.Reader) io.Reader {
	if r.Hear == nil {
		return port
	}
	return beacon.Overhear(port, r.Hear)
}

// Run listens to one receiver until the context ends. A port that is gone is
// opened again for as long as it takes: soon where it has worked, and ever less often
// while it is not there or says nothing.
func (t *Tags) Run(ctx context.Context, r Receiver) error {
	wait := backoff.Backoff{Min: 250 * time.Millisecond, Max: 10 * time.Second}
	for {
		r.beat(0)
		port, err := r.Open(ctx)
		if err == nil {
			opened, frames := time.Now(), t.health.frames(r.Name)
			err = t.listen(ctx, r, port)
			if time.Since(opened) > wait.Max || t.health.frames(r.Name) > frames {
				wait.Reset()
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t.Fault(r.Name, err)
		pause := wait.Next()
		r.beat(pause)
		if !backoff.Sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// Fault notes that a receiver is gone, until its port is open again. Run notes its
// own faults; this is for the supervisor when Run itself has failed.
func (t *Tags) Fault(receiver string, err error) {
	t.health.change(receiver, func(h *receiverHealth) {
		if !h.gone {
			t.opt.Log.Warn("tag receiver is gone", "receiver", receiver, "error", err)
		}
		h.gone, h.Error = true, err.Error()
	})
}

// listen takes fixes from an open port until it fails or the context ends.
func (t *Tags) listen(ctx context.Context, r Receiver, port io.ReadCloser) (err error) {
	closePort := sync.OnceValue(port.Close)
	defer func() {
		if closing := closePort(); closing != nil {
			err = fmt.Errorf("%w; and then: %w", err, closing)
		}
	}()
	// A read that waits for a tag ends when its port is closed.
	defer context.AfterFunc(ctx, func() { _ = closePort() })()
	decoder, err := beacon.New(r.Protocol, r.overheard(port), beacon.Options{
		Payload: r.Payload,
		Reject:  func(why beacon.Reason) { t.reject(r.Name, why) },
		Note:    t.Note,
	})
	if err != nil {
		return err
	}
	if talker, ok := decoder.(beacon.Talker); ok {
		if radio, ok := port.(io.Writer); ok {
			stop := talk(ctx, talker, radio, func() { _ = closePort() })
			defer func() {
				if talking := stop(); talking != nil {
					err = talking // what ended the reading
				}
			}()
		}
	}
	t.health.change(r.Name, func(h *receiverHealth) {
		if h.gone {
			t.opt.Log.Info("tag receiver is back", "receiver", r.Name)
		}
		h.gone, h.Error = false, ""
	})
	for {
		r.beat(-1)
		fix, err := decoder.Next()
		r.beat(0)
		if err != nil {
			return err
		}
		if fix.OddChecksum {
			t.health.count(r.Name, string(beacon.OddChecksum))
		}
		if err := t.Receive(ctx, r.Name, fix); err != nil {
			return err
		}
	}
}

// talk keeps a conversation with a radio until it is stopped. Where it fails, hangUp
// ends the reading too, and stop returns why.
func talk(ctx context.Context, talker beacon.Talker, radio io.Writer, hangUp func()) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		err := talker.Talk(ctx, radio)
		if ctx.Err() != nil {
			err = nil
		}
		hangUp()
		ended <- err
	}()
	return func() error {
		cancel()
		hangUp() // a write that a radio does not take ends when its port is closed
		return <-ended
	}
}

// quietAfter is for how long a receiver may hear nothing before it counts as
// silent. That is no fault: tags that lie still are silent for hours.
const quietAfter = 5 * time.Minute

// receiverHealths is the state of the receivers.
type receiverHealths struct {
	mu        sync.Mutex
	receivers []*receiverHealth
}

type receiverHealth struct {
	presence.ReceiverHealth
	gone bool
	last time.Duration // CLOCK_BOOTTIME of the last valid frame, 0 if none came

	rejected map[beacon.Reason]lately // of what somebody can mend
}

func (hs *receiverHealths) add(name string) {
	hs.receivers = append(hs.receivers, &receiverHealth{
		ReceiverHealth: presence.ReceiverHealth{Name: name, Bad: make(map[string]int64)},
		rejected:       make(map[beacon.Reason]lately),
	})
}

func (hs *receiverHealths) change(receiver string, fn func(*receiverHealth)) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, h := range hs.receivers {
		if h.Name == receiver {
			fn(h)
		}
	}
}

// frames is how many valid frames a receiver has heard.
func (hs *receiverHealths) frames(receiver string) (n int64) {
	hs.change(receiver, func(h *receiverHealth) { n = h.Frames })
	return n
}

func (hs *receiverHealths) heard(receiver string, at time.Duration) {
	hs.change(receiver, func(h *receiverHealth) {
		h.Frames++
		h.last = at
	})
}

func (hs *receiverHealths) count(receiver, why string) {
	hs.change(receiver, func(h *receiverHealth) { h.Bad[why]++ })
}

// Health is the state of the receivers.
func (t *Tags) Health() []presence.ReceiverHealth {
	now := t.opt.Now().Boottime
	t.health.mu.Lock()
	defer t.health.mu.Unlock()
	var all []presence.ReceiverHealth
	for _, h := range t.health.receivers {
		doc := h.ReceiverHealth
		doc.Bad = maps.Clone(h.Bad)
		doc.State = "ok"
		if h.last != 0 {
			s := int64((now - h.last).Seconds())
			doc.LastS = &s
		}
		if h.last == 0 || now-h.last > quietAfter {
			doc.State = "silent"
		}
		if h.gone {
			doc.State = "gone"
		}
		all = append(all, doc)
	}
	return all
}
