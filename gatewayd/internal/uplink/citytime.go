package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/uuid"

	"presence/gatewayd/internal/presence"
)

// How the city is asked for the time.
const (
	// slowestReply is the round trip from which on an answer says too little.
	slowestReply = 2 * time.Second
	// cityError is what the city's clock itself may be off, beside what the
	// line does: it is disciplined by NTP.
	cityError = 10 * time.Millisecond

	firstSamples = 8 // at the beginning of a connection
	laterSamples = 4
	// silentAfter is how many questions in a row stay without an answer before
	// the others are left for later: not every city has somebody to answer.
	silentAfter = 2

	maxReply = 1 << 10 // bytes
)

// asksTime tells whether the city is asked for the time: where it signs its answer,
// or over a line on which nobody but the broker can answer.
func (o Options) asksTime() bool { return (o.TLS || o.City != nil) && o.Anchor != nil }

// believe tells why the city cannot have said this time, nil if it can.
func (o Options) checkTime(r timeReply) error {
	if o.City != nil {
		if err := o.City.Time(r.TimeReply); err != nil {
			return fmt.Errorf("time %w", err)
		}
	}
	if o.CityTime == nil {
		return nil
	}
	switch from, to := o.CityTime(); {
	case r.utc.Before(from):
		return fmt.Errorf("time %.40q is before this gateway's program was built", r.UTC)
	case !to.IsZero() && r.utc.After(to):
		return fmt.Errorf("time %.40q is after the end of the city's CA", r.UTC)
	}
	return nil
}

// cityTime asks the city for the time, one question after the other. It belongs
// to one connection.
type cityTime struct {
	now     func() presence.Reading
	check   func(timeReply) error
	answers chan answer // has room for one: nobody waits for more

	mu    sync.Mutex
	asked []string // transaction ids of the latest questions
	open  string   // the one whose answer is waited for
	since time.Time
}

// answer is a reply and when it came.
type answer struct {
	utc time.Time
	at  presence.Reading
}

// ask is a new question.
func (c *cityTime) ask() (presence.TimeRequest, presence.Reading) {
	tx := uuid.NewString()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open, c.since = tx, time.Now()
	c.asked = append(c.asked, tx)
	if n := len(c.asked); n > 2*firstSamples {
		c.asked = slices.Delete(c.asked, 0, n-2*firstSamples)
	}
	select {
	case <-c.answers: // of the question before, too late
	default:
	}
	at := c.now()
	return presence.TimeRequest{TX: tx, SentBoottimeNS: at.Boottime.Nanoseconds()}, at
}

// justAsked tells whether there was a question a moment ago, and no answer.
func (c *cityTime) justAsked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open != "" && time.Since(c.since) < slowestReply
}

// take takes a reply. The error says why it was refused; one that is late or
// comes again is only dropped.
func (c *cityTime) receive(m mqtt.Message) error {
	at := c.now()
	reply, err := parseTimeReply(m.Payload())
	if err != nil {
		return err
	}
	if m.Retained() {
		return errors.New("a retained time is an old one")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.asked, reply.TX) {
		return errors.New("a time that was not asked for")
	}
	if reply.TX != c.open {
		return nil
	}
	// Whoever cannot show that he is the city does not end the question either.
	if err := c.check(reply); err != nil {
		return err
	}
	c.open = ""
	c.answers <- answer{reply.utc, at} // ask has made room
	return nil
}

// sample is one answer's worth: utc was right at the reading, within so much.
type sample struct {
	at     presence.Reading
	utc    time.Time
	within time.Duration
}

// judge is what an answer is worth to a question: it was given at some instant
// of the round trip, in the middle of it give or take half.
func sampleOf(asked presence.Reading, a answer) (sample, bool) {
	trip, ok := a.at.Since(asked)
	if !ok || a.at.Boot != asked.Boot || trip < 0 || trip > slowestReply {
		return sample{}, false
	}
	middle := asked
	middle.Boottime += trip / 2
	middle.Wall += int64(trip / 2)
	return sample{middle, a.utc, trip/2 + cityError}, true
}

// Some brokers hang up over a message that their access list does not allow. A
// question is not worth the line: after so many times it is left for later.
const (
	mostHangUps = 2
	hangUpPause = time.Hour
)

// hungUp notes that the connection ended as soon as the city was asked.
func (u *Uplink) noteTimeHangUp() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.timeHangUps++; u.timeHangUps >= mostHangUps {
		u.askAfter = time.Now().Add(hangUpPause)
	}
}

// answered notes that the city may be asked.
func (u *Uplink) clearTimeHangUps() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.timeHangUps = 0
}

// mayAsk is how long to wait before the city is asked.
func (u *Uplink) askDelay() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	return max(0, time.Until(u.askAfter))
}

// keepTime asks for the time when the connection begins and every now and then,
// and hands on the best answer of each round. Whether anybody answers does not
// matter.
func (s *session) keepTime(ctx context.Context) error {
	u := s.u
	if !u.opt.asksTime() {
		return nil
	}
	timer := time.NewTimer(u.askDelay())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	for samples := firstSamples; ; samples = laterSamples {
		best, ok, err := s.askTime(ctx, samples)
		if err != nil {
			return err
		}
		wait := u.limits.AskTime
		if ok {
			u.opt.Anchor(best.at, best.utc, best.within)
		} else {
			wait /= 10 // who answers may only be late
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// askTime asks a few times and returns the answer with the shortest round trip.
func (s *session) askTime(ctx context.Context, samples int) (best sample, found bool, err error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	silent := 0
	for n := 0; n < samples && silent < silentAfter; n++ {
		got, ok, err := s.askOnce(ctx, timer)
		if err != nil {
			return best, false, err
		}
		if !ok {
			silent++
			continue
		}
		silent = 0
		if !found || got.within < best.within {
			best, found = got, true
		}
		timer.Reset(s.u.limits.AskPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return best, false, ctx.Err()
		}
	}
	return best, found, nil
}

func (s *session) askOnce(ctx context.Context, timer *time.Timer) (sample, bool, error) {
	request, asked := s.time.ask()
	b, err := json.Marshal(request)
	if err != nil {
		return sample{}, false, fmt.Errorf("ask for the time: %w", err)
	}
	s.exclusive.RLock()
	s.client.Publish(s.u.prefix+"time/request", 0, false, b)
	s.exclusive.RUnlock()
	timer.Reset(s.u.limits.AskReply)
	select {
	case a := <-s.time.answers:
		s.u.clearTimeHangUps()
		got, ok := sampleOf(asked, a)
		return got, ok, nil
	case <-timer.C:
		return sample{}, false, nil
	case <-ctx.Done():
		return sample{}, false, ctx.Err()
	}
}

// timeReply is a parsed `time/reply`.
type timeReply struct {
	presence.TimeReply
	utc time.Time
}

// parseTimeReply reads a message of the topic `time/reply`.
func parseTimeReply(payload []byte) (timeReply, error) {
	var r timeReply
	if len(payload) > maxReply {
		return r, fmt.Errorf("time of %d bytes: at most %d", len(payload), maxReply)
	}
	if err := json.Unmarshal(payload, &r.TimeReply); err != nil {
		return timeReply{}, fmt.Errorf("time is not as it should be: %w", presence.PlainJSON(err))
	}
	var err error
	if r.utc, err = time.Parse(time.RFC3339Nano, r.UTC); err != nil {
		return timeReply{}, fmt.Errorf("utc %.40q: want RFC 3339", r.UTC)
	}
	if r.TX == "" {
		return timeReply{}, errors.New("time without tx")
	}
	return r, nil
}
