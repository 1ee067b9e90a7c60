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
	// slowestReply is the longest round trip with which an answer is still used.
	slowestReply = 2 * time.Second
	// cityError bounds the error of the city's own clock, which NTP disciplines. The
	// uncertainty of the round trip is added to it.
	cityError = 10 * time.Millisecond

	firstSamples = 8 // at the beginning of a connection
	laterSamples = 4
	// silentAfter is how many questions in a row may stay without an answer before the
	// round ends: not every city answers such questions.
	silentAfter = 2

	maxReply = 1 << 10 // bytes
)

// asksTime reports whether the city is asked for the time: only where it signs its
// answer, or over TLS, where nobody but the broker can forge one.
func (o Options) asksTime() bool { return (o.TLS || o.City != nil) && o.Anchor != nil }

// checkTime returns why an answer cannot be the city's time, nil if it can.
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

// ask makes a new question, and returns it with the reading at which it was made.
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
	case <-c.answers: // that of the question before came too late
	default:
	}
	at := c.now()
	return presence.TimeRequest{TX: tx, SentBoottimeNS: at.Boottime.Nanoseconds()}, at
}

// justAsked reports whether a question was asked a moment ago and is not answered.
func (c *cityTime) justAsked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open != "" && time.Since(c.since) < slowestReply
}

// receive hands a reply to whoever waits for it. An error says why it is refused. One
// that is late or comes again is dropped without an error.
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
	// A forged answer leaves the question open, for the city to answer it.
	if err := c.check(reply); err != nil {
		return err
	}
	c.open = ""
	c.answers <- answer{reply.utc, at} // ask has emptied the channel
	return nil
}

// sample is what one answer says: at the reading it was utc, give or take within.
type sample struct {
	at     presence.Reading
	utc    time.Time
	within time.Duration
}

// sampleOf computes a sample from the reading at a question and the answer to it. The
// city answered at some instant of the round trip, which is its middle, give or take
// half of it. It is false where the round trip was too long or is not known.
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

// Some brokers close the connection over a message that their access list does not
// allow. A question is not worth that: after so many such connections in a row, no
// question is asked for a while.
const (
	mostHangUps = 2
	hangUpPause = time.Hour
)

// noteTimeHangUp notes that a connection ended right after a question.
func (u *Uplink) noteTimeHangUp() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.timeHangUps++; u.timeHangUps >= mostHangUps {
		u.askAfter = time.Now().Add(hangUpPause)
	}
}

// clearTimeHangUps notes that the broker lets questions pass.
func (u *Uplink) clearTimeHangUps() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.timeHangUps = 0
}

// askDelay is how long to wait before the next question.
func (u *Uplink) askDelay() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	return max(0, time.Until(u.askAfter))
}

// askedRarely is how many times Limits.AskTime a gateway waits between two rounds while
// the system keeps its clock right: then the city's time is only there to compare, and
// each round of questions costs up to 1.5 KB.
const askedRarely = 6

// untilNextRound is how long to wait for the next round of questions after so many rounds
// in a row that nobody answered. The program that answers may have started late, so the
// next round comes soon at first, and later and later where there is no such program.
func (l Limits) untilNextRound(unanswered int, disciplined bool) time.Duration {
	most := l.AskTime
	if disciplined {
		most *= askedRarely
	}
	if unanswered == 0 {
		return most
	}
	return min(most, l.AskTime/10<<min(unanswered-1, 10))
}

// keepTime asks for the time in rounds, one at the start of the connection and then as
// untilNextRound says, and passes the best answer of each to Options.Anchor. That nobody
// answers is no error.
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
	unanswered := 0
	for samples := firstSamples; ; samples = laterSamples {
		best, ok, err := s.askTime(ctx, samples)
		if err != nil {
			return err
		}
		unanswered++
		if ok {
			unanswered = 0
			u.opt.Anchor(best.at, best.utc, best.within)
		}
		timer.Reset(u.limits.untilNextRound(unanswered, u.opt.Now().State == presence.ClockSynced))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// askTime asks a few questions, one after the other, and returns the answer with the
// smallest error, found false where there was none.
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

// askOnce asks one question and waits for the answer, false where none came in time.
func (s *session) askOnce(ctx context.Context, timer *time.Timer) (sample, bool, error) {
	request, asked := s.time.ask()
	b, err := json.Marshal(request)
	if err != nil {
		return sample{}, false, fmt.Errorf("ask for the time: %w", err)
	}
	s.alongside.RLock()
	s.client.Publish(s.u.prefix+"time/request", 0, false, b)
	s.alongside.RUnlock()
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
