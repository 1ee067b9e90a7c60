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

// command answers a command, or refuses it: with a reply where that can be, and in
// the log. An error ends the connection.
func (s *session) handleCommand(ctx context.Context, m message) error {
	u := s.u
	name := strings.TrimPrefix(m.topic, "cmd/")
	c, err := parseCommand(m.payload)
	refuse := func(why error) error {
		u.reject(m.topic, why)
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
	if before, again := u.replies.find(name, c.TX); again {
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
	u.replies.add(name, answer)
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
	case u.executed.has(name, c.TX):
		return nil, errors.New("the command was carried out already: a tx runs once")
	}
	if err := u.executed.add(name, c.TX, c.expires, past, !reads(name)); err != nil && !reads(name) {
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
