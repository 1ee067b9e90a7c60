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

// message is one that came from the broker and waits to be read.
type message struct {
	topic    string // behind the gateway's prefix
	payload  []byte
	retained bool
	size     int // of the payload, of which no more is kept than is read of its kind
}

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
	queue, most := s.notes, maxCommand
	if strings.HasPrefix(topic, "cmd/") {
		queue = s.commands
	} else if s.u.opt.Documents[topic] != nil {
		queue, most = s.documents, maxPacket
	}
	waits := message{topic: topic, payload: m.Payload(), retained: m.Retained(), size: len(m.Payload())}
	if waits.size > most {
		if queue != s.commands {
			s.u.refused(m.Topic(), fmt.Errorf("%d bytes: at most %d", waits.size, most))
			return
		}
		waits.payload = onlyTX(m.Payload()) // so that the sender can be told
	}
	select {
	case queue <- waits:
	default:
		s.u.refused(m.Topic(), errCrowded)
	}
}

// listen handles messages, one after the other. An error ends the connection.
func (s *session) listen(ctx context.Context, queue <-chan message, handle func(context.Context, message) error) error {
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
func (s *session) takeNote(_ context.Context, m message) error {
	s.note(m)
	return nil
}

func (s *session) note(m message) {
	if err := s.readNote(m); err != nil {
		s.u.refused(m.topic, err)
	}
}

// readNote reads a note. The error says why it was refused.
func (s *session) readNote(m message) error {
	switch {
	case m.topic == "status":
		return s.ownStatus(m)
	case strings.HasPrefix(m.topic, "alert/"):
		s.ownAlert(m)
		return nil
	}
	return errors.New("not a topic that a gateway reads")
}

// document hands over a document.
func (s *session) document(_ context.Context, m message) error {
	s.u.opt.Documents[m.topic](m.payload)
	return nil
}

// ownStatus looks at what the broker says of this gateway.
//
// The will of an earlier connection can come late, and would leave a living
// gateway marked offline for ever: it is contradicted. What is said under
// another session is a sign of a second gateway with the same id, if it is said
// now, or if it stands there when this one comes back to a broker where it was
// the last to speak. At the first connection it is only the process before.
func (s *session) ownStatus(m message) error {
	u := s.u
	status, err := parseStatus(m.payload)
	if err != nil {
		return err
	}
	foreign := status.Session != u.opt.Session
	if !foreign && !m.retained {
		u.mu.Lock()
		u.heard = true
		u.mu.Unlock()
	}
	switch {
	case m.retained:
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
	again := time.Since(u.rival) < refusalInterval
	u.rival = time.Now()
	u.mu.Unlock()
	if again {
		return // it says nothing new, and a broker may say it without end
	}
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
func (s *session) ownAlert(m message) {
	u, topic := s.u, m.topic
	if len(topic) > longestAlert {
		return
	}
	u.mu.Lock()
	ours := u.retained[topic]
	differs := !bytes.Equal(ours, m.payload)
	left := m.retained && differs && len(ours) == 0 && s.cleared < mostContested
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

// command answers a command, or refuses it: with a reply where that can be, and in
// the log. An error ends the connection.
func (s *session) command(ctx context.Context, m message) error {
	u := s.u
	name := strings.TrimPrefix(m.topic, "cmd/")
	c, err := parseCommand(m.payload)
	refuse := func(why error) error {
		u.refused(m.topic, why)
		if c.TX == "" {
			return nil
		}
		return s.reply(ctx, name, presence.Reply{TX: c.TX, Error: why.Error()})
	}
	switch {
	case m.size > maxCommand:
		return refuse(fmt.Errorf("command of %d bytes: at most %d", m.size, maxCommand))
	case err != nil:
		return refuse(err)
	case m.retained:
		return refuse(errors.New("a retained command would come again at each connection"))
	}
	if before, again := u.answers.find(name, c.TX); again {
		return s.reply(ctx, name, before)
	}
	run, err := u.may(name, c)
	if err != nil {
		return refuse(err)
	}
	answer := presence.Reply{TX: c.TX, OK: true}
	if answer.Result, err = run(ctx, c.Args); err != nil {
		// The sender is told; nothing was wrong with the message.
		answer = presence.Reply{TX: c.TX, Error: err.Error()}
	}
	u.answers.add(name, answer)
	return s.reply(ctx, name, answer)
}

// reads tells whether a command only asks, so that nothing comes of it when it is
// answered twice.
func reads(name string) bool { return name == "ping" || name == "report" }

// may says how to carry out a command, or why it must not be. From then on it
// counts as carried out.
//
// While the time is unknown nobody can say whether a command has expired, unless
// it certainly has. Those that only ask are answered all the same: they harm
// nobody, and this is when somebody wants to know how the gateway is. Those that
// do something are not: anybody may have kept them to send them again.
func (u *Uplink) may(name string, c command) (CommandFunc, error) {
	past, known := u.past()
	run, exists := u.commands[name]
	switch {
	case past.After(c.expires):
		return nil, errors.New("the command has expired")
	case known && c.expires.After(past.Add(latest+leeway)):
		return nil, errors.New("expires: want at most an hour ahead")
	case !exists:
		return nil, errors.New("unknown command")
	case !known && !reads(name):
		return nil, errors.New("the gateway does not know the time, and so not whether the command has expired: it only answers ping and report")
	case u.spent.has(name, c.TX):
		return nil, errors.New("the command was carried out already: a tx runs once")
	}
	if err := u.spent.add(name, c.TX, c.expires, past, !reads(name)); err != nil && !reads(name) {
		return nil, err
	}
	return run, nil
}

// past is an instant that has passed: the present where it is known. While it is
// not, no more is refused than what is certainly too old; a broker keeps no
// command for a gateway that is not there.
func (u *Uplink) past() (t time.Time, present bool) {
	now := u.opt.Times.Timing(u.opt.Now())
	if now.Within(presence.Roughly) {
		return now.Time, true
	}
	if u.opt.NotBefore != nil {
		t = u.opt.NotBefore()
	}
	return t, false
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
