package uplink

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"presence/gatewayd/internal/presence"
)

// rememberedReplies is how many replies are kept for commands that come again.
const rememberedReplies = 32

// replies remembers the replies to the latest commands: one that the broker delivers
// again, as QoS 1 allows, gets the same reply and is not carried out twice. Only the
// goroutine that handles commands uses it.
type replies struct {
	latest []repliedCommand // oldest first
}

type repliedCommand struct {
	command string
	reply   presence.Reply
}

func (a *replies) find(command, tx string) (presence.Reply, bool) {
	for _, g := range a.latest {
		if g.command == command && g.reply.TX == tx {
			return g.reply, true
		}
	}
	return presence.Reply{}, false
}

func (a *replies) add(command string, r presence.Reply) {
	if len(a.latest) == rememberedReplies {
		a.latest = append(a.latest[:0], a.latest[1:]...)
	}
	a.latest = append(a.latest, repliedCommand{command, r})
}

// reply publishes the reply to a command and waits for its PUBACK, so that replies
// do not pile up in memory however many commands somebody sends.
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
	switch s.u.suspects.treatTopic(topic, len(b), time.Now()) {
	case byItself:
		return s.postAlone(ctx, topic, false, b)
	case notNow:
		short := presence.Reply{TX: r.TX, Result: json.RawMessage("{}"), Error: fmt.Sprintf("the broker hangs up over an answer of %d bytes here", len(b))}
		if b, err = json.Marshal(short); err != nil {
			return fmt.Errorf("encode reply: %w", err)
		}
		topic += " (short)" // its PUBACK does not mean that the broker takes the long one
		p := &post{topic: topic, size: len(b), token: s.client.Publish(s.u.prefix+"reply/"+name, 1, false, b)}
		return s.awaitPost(ctx, p)
	}
	return s.awaitPost(ctx, s.post(topic, false, b))
}
