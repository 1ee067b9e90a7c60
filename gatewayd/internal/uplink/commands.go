package uplink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"presence/gatewayd/internal/presence"
)

const (
	maxCommand = 16 << 10 // bytes of a command's payload
	maxTX      = 128      // bytes of its transaction id
	maxName    = 64       // bytes of its name, for it to get a reply
)

// command is a parsed `cmd/<name>`.
type command struct {
	presence.Command
	expires time.Time
}

// onlyTX is a command reduced to its transaction id, so that the sender of one that is
// too large can get a reply; nil where there is no id.
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
// id, if that could be read, so that the sender can get a reply.
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

// strict reads one JSON object that has no unknown fields and nothing behind it.
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

// handleCommand carries out a command and replies, or refuses it: in the log, and with
// a reply where the command has a tx. An error ends the connection.
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
	u.rereading.named(c.Documents, u.opt.Documents, time.Now())
	reply := presence.Reply{TX: c.TX, OK: true}
	if reply.Result, err = run(ctx, c.Args); err != nil {
		// Only the sender learns of it, and not the log: the message itself was right.
		reply = presence.Reply{TX: c.TX, Error: err.Error()}
	}
	u.replies.add(name, reply)
	return s.reply(ctx, name, reply)
}

// onlyReading are the commands that only read, so that they may be carried out twice.
func onlyReading() []string { return []string{"ping", "report"} }

// reads reports whether a command only reads.
func reads(name string) bool { return slices.Contains(onlyReading(), name) }

// may returns the function that carries out a command, or why the command must not be
// carried out. With the function it counts as carried out.
//
// While the time is unknown it cannot be told whether a command has expired, unless it
// certainly has. A command that only reads is carried out all the same: it does no
// harm, and this is when somebody wants to know how the gateway is. One that does
// something is not: anybody may have kept an old one to send it again.
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
		return nil, fmt.Errorf("the gateway does not know the time, and so not whether the command has expired: it only answers %s",
			strings.Join(onlyReading(), " and "))
	case u.executed.has(name, c.TX):
		return nil, errors.New("the command was carried out already: a tx runs once")
	}
	if err := u.executed.add(name, c.TX, c.expires, past, !reads(name)); err != nil && !reads(name) {
		return nil, err
	}
	return run, nil
}

// past is an instant that has certainly passed: the present, if that is known. If it
// is not, only commands that have certainly expired by then are refused as too old. A
// broker keeps no commands for a gateway that is not connected, as each connection is
// a clean session.
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
