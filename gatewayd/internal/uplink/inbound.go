package uplink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/gatewayd/internal/presence"
)

var errCrowded = errors.New("too many at once")

// sort puts a message from the broker where it will be read. paho calls it for
// one message after the other, and reads on only afterwards, so it never waits.
//
// A receipt is taken at once: it is cheap, a city may send one for each event,
// and one that is dropped would have the event sent again.
func (s *session) sort(m mqtt.Message) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.ended {
		return // the journal may be closed
	}
	if m.Topic() == s.u.prefix+"receipt" {
		if err := s.u.receipt(m.Payload(), !m.Retained()); err != nil {
			s.u.refused(m.Topic(), err)
		}
		return
	}
	topic := strings.TrimPrefix(m.Topic(), s.u.prefix)
	if topic == "time/reply" && s.u.opt.asksTime() {
		if err := s.time.take(m); err != nil {
			s.u.refused(m.Topic(), err)
		}
		return
	}
	queue := s.notes
	if strings.HasPrefix(topic, "cmd/") {
		queue = s.commands
	} else if s.u.opt.Documents[topic] != nil {
		queue = s.documents
	}
	select {
	case queue <- m:
	default:
		s.u.refused(m.Topic(), errCrowded)
	}
}

// listen handles messages, one after the other. An error ends the connection.
func (s *session) listen(ctx context.Context, queue <-chan mqtt.Message, handle func(context.Context, mqtt.Message) error) error {
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
func (s *session) readNotes() {
	for {
		select {
		case m := <-s.notes:
			s.note(m)
		default:
			return
		}
	}
}

// takeNote handles what is no command.
func (s *session) takeNote(_ context.Context, m mqtt.Message) error {
	s.note(m)
	return nil
}

func (s *session) note(m mqtt.Message) {
	if err := s.readNote(m); err != nil {
		s.u.refused(m.Topic(), err)
	}
}

// readNote reads a note. The error says why it was refused.
func (s *session) readNote(m mqtt.Message) error {
	topic, ours := strings.CutPrefix(m.Topic(), s.u.prefix)
	switch {
	case !ours:
		return errors.New("not our topic")
	case topic == "status":
		return s.ownStatus(m)
	case strings.HasPrefix(topic, "alert/"):
		s.ownAlert(topic, m)
		return nil
	}
	return errors.New("not a topic that a gateway reads")
}

// document hands over a document.
func (s *session) document(_ context.Context, m mqtt.Message) error {
	s.u.opt.Documents[strings.TrimPrefix(m.Topic(), s.u.prefix)](m.Payload())
	return nil
}

// ownStatus looks at what the broker says of this gateway.
//
// The will of an earlier connection can come late, and would leave a living
// gateway marked offline for ever: it is contradicted. What is said under
// another session is a sign of a second gateway with the same id, if it is said
// now, or if it stands there when this one comes back to a broker where it was
// the last to speak. At the first connection it is only the process before.
func (s *session) ownStatus(m mqtt.Message) error {
	u := s.u
	status, err := parseStatus(m.Payload())
	if err != nil {
		return err
	}
	foreign := status.Session != u.opt.Session
	if !foreign && !m.Retained() {
		u.mu.Lock()
		u.heard = true
		u.mu.Unlock()
	}
	switch {
	case m.Retained():
		if foreign && s.again {
			u.rivalSeen(status.Session)
		}
	case status.State == "offline":
		u.say("status")
	case foreign:
		// It is not contradicted: two gateways that do would never end.
		u.rivalSeen(status.Session)
	}
	return nil
}

func (u *Uplink) rivalSeen(session presence.ID) {
	u.mu.Lock()
	u.rival = time.Now()
	u.mu.Unlock()
	u.opt.Log.Error("another gateway uses this gateway's id", "id", u.opt.Origin.Gateway, "session", session.String())
}

// mostContested bounds the alerts of others that are noticed between two times
// that the gateway's own are said, and longestAlert their topics in bytes: a
// broker may say anything.
const (
	mostContested = 128
	longestAlert  = 128
)

// ownAlert notices an alert that is not this gateway's: one that an earlier
// process left behind, which is cleared, or one that somebody put there or
// cleared, which is set right the next time.
func (s *session) ownAlert(topic string, m mqtt.Message) {
	u := s.u
	if len(topic) > longestAlert {
		return
	}
	u.mu.Lock()
	ours := u.retained[topic]
	differs := !bytes.Equal(ours, m.Payload())
	left := m.Retained() && differs && len(ours) == 0 && s.cleared < mostContested
	if left {
		s.cleared++
	} else if differs && len(u.contested) < mostContested {
		u.contested[topic] = struct{}{}
	}
	u.mu.Unlock()
	if left {
		u.say(topic)
	}
}

// command answers a command, or refuses it.
func (s *session) command(ctx context.Context, m mqtt.Message) error {
	u := s.u
	name := strings.TrimPrefix(m.Topic(), u.prefix+"cmd/")
	if m.Retained() {
		u.refused(m.Topic(), errors.New("a retained command would come again at each connection"))
		return nil
	}
	c, err := parseCommand(m.Payload())
	if err != nil {
		u.refused(m.Topic(), err)
		if c.TX == "" {
			return nil
		}
		return s.reply(ctx, name, presence.Reply{TX: c.TX, Error: err.Error()})
	}
	refuse := func(why string) error {
		u.refused(m.Topic(), errors.New(why))
		return s.reply(ctx, name, presence.Reply{TX: c.TX, Error: why})
	}
	if before, again := u.answers.find(name, c.TX); again {
		return s.reply(ctx, name, before)
	}
	if u.past().After(c.expires) {
		return refuse("the command has expired")
	}
	run, known := u.commands[name]
	if !known {
		return refuse("unknown command")
	}
	answer := presence.Reply{TX: c.TX, OK: true}
	if answer.Result, err = run(ctx, c.Args); err != nil {
		// The sender is told; nothing was wrong with the message.
		answer = presence.Reply{TX: c.TX, Error: err.Error()}
	}
	u.answers.add(name, answer)
	return s.reply(ctx, name, answer)
}

// past is an instant that has passed: the present where it is known. While it is
// not, no more is refused than what is certainly too old; a broker keeps no
// command for a gateway that is not there.
func (u *Uplink) past() time.Time {
	t := u.opt.Times.Timing(u.opt.Now())
	if known := !t.Time.IsZero() && t.Quality != presence.QualityBounded; !known && u.opt.NotBefore != nil {
		return u.opt.NotBefore()
	}
	return t.Time
}

// receipt notes what the city's database has. It counts only up to what was sent:
// what nobody can have is not believed. What this process sent is known to the
// last event, so that a receipt for more is wrong altogether. Of what the process
// before sent, less may be known after a crash than was; then the rest goes
// again, and is received again.
func (u *Uplink) receipt(payload []byte, now bool) error {
	if !u.opt.Receipts {
		return errors.New("receipts are not switched on")
	}
	r, err := parseReceipt(payload)
	if err != nil {
		return err
	}
	if u.opt.City != nil {
		if err := u.opt.City.Receipt(r); err != nil {
			return fmt.Errorf("receipt %w", err)
		}
	}
	pos, found := u.opt.Journal.Place(r.Stream, r.Upto)
	if !found {
		return fmt.Errorf("receipt for %s-%d, which is not in the journal", r.Stream, r.Upto)
	}
	sent := u.ledger.sentUpto()
	if pos > sent && r.Stream == u.opt.Journal.Stream() {
		return fmt.Errorf("receipt for %s-%d, which was not sent yet", r.Stream, r.Upto)
	}
	u.received(u.ledger.receive(r.Stream, min(pos, sent), now))
	u.opt.Journal.NoteUnanswered(u.ledger.unanswered())
	if pos > sent {
		return fmt.Errorf("receipt for %s-%d, which is not known to have been sent: it counts only up to what was", r.Stream, r.Upto)
	}
	return nil
}

// received moves the cursor, if it does move: from is where it was.
func (u *Uplink) received(from, to uint64) {
	if to <= from {
		return
	}
	u.mu.Lock()
	u.stats.ReceivedReceipt += int64(to - from)
	u.mu.Unlock()
	u.delivered(to)
}
