package uplink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"presence/gatewayd/internal/presence"
)

// maxCommand bounds a command's payload in bytes, maxTX its transaction id.
const (
	maxCommand = 16 << 10
	maxTX      = 128
	maxName    = 64 // that is answered
)

// command is a parsed `cmd/<name>`.
type command struct {
	presence.Command
	expires time.Time
}

// onlyTX is a command of which nothing is left but the transaction id, if there
// is one.
func onlyTX(payload []byte) []byte {
	var c struct {
		TX string `json:"tx"`
	}
	if json.Unmarshal(payload, &c) != nil || len(c.TX) > maxTX {
		return nil
	}
	rest, err := json.Marshal(c)
	if err != nil {
		return nil
	}
	return rest
}

// parseCommand reads a command. With an error it still returns the transaction
// id, if that could be read, so that the sender can be told.
func parseCommand(payload []byte) (command, error) {
	var c command
	if !utf8.Valid(payload) {
		return c, errors.New("command is not UTF-8")
	}
	if err := json.Unmarshal(payload, &c.Command); err != nil {
		c = command{}
		_ = json.Unmarshal(onlyTX(payload), &c.Command) // as far as that goes
		return c, fmt.Errorf("command is not as it should be: %w", presence.PlainJSON(err))
	}
	if c.TX == "" || len(c.TX) > maxTX {
		return command{}, fmt.Errorf("tx: want 1 to %d bytes", maxTX)
	}
	var err error
	if c.expires, err = time.Parse(time.RFC3339Nano, c.Expires); err != nil {
		return c, fmt.Errorf("expires %.40q: want RFC 3339", c.Expires)
	}
	if trimmed := bytes.TrimSpace(c.Args); len(trimmed) > 0 && trimmed[0] != '{' && string(trimmed) != "null" {
		return c, errors.New("args: want an object")
	}
	return c, nil
}

// rememberedAnswers is how many answers are kept for commands that come again.
const rememberedAnswers = 32

// answers remembers what the latest commands were answered: one that comes
// again, as QoS 1 allows, is answered the same and not carried out twice. Only
// the goroutine that handles commands uses it.
type answers struct {
	latest []given // oldest first
}

type given struct {
	command string
	reply   presence.Reply
}

func (a *answers) find(command, tx string) (presence.Reply, bool) {
	for _, g := range a.latest {
		if g.command == command && g.reply.TX == tx {
			return g.reply, true
		}
	}
	return presence.Reply{}, false
}

func (a *answers) add(command string, r presence.Reply) {
	if len(a.latest) == rememberedAnswers {
		a.latest = append(a.latest[:0], a.latest[1:]...)
	}
	a.latest = append(a.latest, given{command, r})
}

// parseStatus reads a message of the topic `status`.
func parseStatus(payload []byte) (presence.Status, error) {
	var s presence.Status
	if err := json.Unmarshal(payload, &s); err != nil {
		return presence.Status{}, fmt.Errorf("status is not as it should be: %w", presence.PlainJSON(err))
	}
	if s.State != "online" && s.State != "offline" {
		return presence.Status{}, fmt.Errorf("status of state %.20q", s.State)
	}
	return s, nil
}

// parseReceipt reads a message of the topic `receipt`. Nothing is guessed: a
// receipt lets the gateway forget.
func parseReceipt(payload []byte) (presence.Receipt, error) {
	var r presence.Receipt
	if len(payload) > maxCommand {
		return r, fmt.Errorf("receipt of %d bytes: at most %d", len(payload), maxCommand)
	}
	if err := strict(payload, &r); err != nil {
		return presence.Receipt{}, fmt.Errorf("receipt is not as it should be: %w", presence.PlainJSON(err))
	}
	if r.Stream.IsZero() || r.Upto == 0 {
		return presence.Receipt{}, errors.New("receipt without stream or upto")
	}
	return r, nil
}

// strict reads one JSON object without unknown fields and nothing behind it.
func strict[T presence.Receipt | resyncArgs](b []byte, to *T) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is more behind it")
	}
	return nil
}

// resync answers the command of that name: the event that the city names, and
// all that were sent after it, come again as far as the journal still has them.
// No cursor moves by that.
func (u *Uplink) resync(_ context.Context, args json.RawMessage) (json.RawMessage, error) {
	var from resyncArgs
	if err := strict(args, &from); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf(`args: want {"stream","seq"}: %w`, presence.PlainJSON(err))
	}
	var missing []string
	if from.Stream.IsZero() {
		missing = append(missing, "stream")
	}
	if from.Seq == 0 {
		missing = append(missing, "seq")
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf(`args: missing %s: want {"stream","seq"}, the first event that is to come again`, strings.Join(missing, " and "))
	}
	pos, found := u.opt.Journal.Place(from.Stream, from.Seq)
	if !found {
		return nil, fmt.Errorf("%s-%d is not in the journal", from.Stream, from.Seq)
	}
	return json.Marshal(resyncResult{Events: u.ledger.ask(max(pos, u.opt.Journal.Oldest()))})
}

// resyncArgs are the arguments of `cmd/resync`: from which event on.
type resyncArgs struct {
	Stream presence.ID `json:"stream"`
	Seq    uint64      `json:"seq"`
}

// resyncResult is the answer: how many events come again, at most.
type resyncResult struct {
	Events uint64 `json:"events"`
}

// reply answers a command, and waits until the broker has the answer: whoever
// sends commands without end must not have answers gather without end.
func (s *session) reply(ctx context.Context, name string, r presence.Reply) error {
	if strings.ContainsAny(name, "+#") || name == "" || len(name) > maxName {
		return nil // nothing can be published there
	}
	if len(r.Result) == 0 {
		r.Result = json.RawMessage("{}")
	}
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode reply: %w", err)
	}
	topic := "reply/" + name
	switch s.u.refusals.topic(topic, len(b), time.Now()) {
	case byItself:
		return s.postAlone(ctx, topic, false, b)
	case notNow:
		short := presence.Reply{TX: r.TX, Result: json.RawMessage("{}"), Error: fmt.Sprintf("the broker hangs up over an answer of %d bytes here", len(b))}
		if b, err = json.Marshal(short); err != nil {
			return fmt.Errorf("encode reply: %w", err)
		}
		topic += " (short)" // it says nothing of the long one
		p := &post{topic: topic, size: len(b), token: s.client.Publish(s.u.prefix+"reply/"+name, 1, false, b)}
		return s.await(ctx, p)
	}
	return s.await(ctx, s.post(topic, false, b))
}
