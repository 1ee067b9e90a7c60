package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"presence/gatewayd/internal/presence"
)

// replay is what a resync asked for.
type replay struct {
	span             // still to be sent
	number    int    // of the resync
	confirmed uint64 // PUBACKed before this position
}

// ask has what was sent so far sent again from a position on. It says how many
// positions that are. Two that ask share the longer way.
func (l *ledger) replayFrom(from uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	to := max(l.position, l.cursor)
	if from > to {
		return 0 // it comes anyway
	}
	first := from
	if r := l.replay; r.confirmed != 0 && r.confirmed <= r.to {
		first = min(from, r.confirmed)
	}
	l.replay = replay{span{first, to}, l.replay.number + 1, first}
	l.wake()
	return to - from + 1
}

// nextReplay takes the next part of what a resync asked for, and says of which
// resync it is.
func (l *ledger) nextReplay(most uint64) (part span, number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &l.replay
	if r.empty() {
		return span{}, 0
	}
	part = span{r.from, min(r.to, r.from+most-1)}
	r.from = part.to + 1
	return part, r.number
}

// confirm notes that the broker has an event of a resync.
func (l *ledger) confirmReplay(number int, pos uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number == l.replay.number {
		l.replay.confirmed = pos + 1
	}
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
	return json.Marshal(resyncResult{Events: u.ledger.replayFrom(max(pos, u.opt.Journal.Oldest()))})
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
