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

// replay is the events that go again because a resync asked for them.
type replay struct {
	span             // what is still to be sent
	number    int    // counts the resyncs
	confirmed uint64 // the broker has acknowledged what lies before this position; 0: there was no resync
}

// rewind has everything sent again that the broker has not acknowledged: the
// connection over which it was sent is gone.
func (r *replay) rewind() {
	if r.confirmed != 0 && r.confirmed <= r.To {
		r.From = r.confirmed
	}
}

// replayFrom has everything that was sent so far sent again from a position on, and
// returns how many positions that is. If an earlier replay is not at its end, one
// replay from the lower of the two positions serves both.
func (l *ledger) replayFrom(from uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	to := max(l.position, l.cursor)
	if from > to {
		return 0 // it comes anyway
	}
	first := from
	if r := l.replay; r.confirmed != 0 && r.confirmed <= r.To {
		first = min(from, r.confirmed)
	}
	l.replay = replay{span: spanOf(first, to), number: l.replay.number + 1, confirmed: first}
	l.wake()
	return to - from + 1
}

// nextReplay returns the next part of a replay, at most so many positions, and the
// replay's number.
func (l *ledger) nextReplay(most uint64) (part span, number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &l.replay
	if r.Empty() {
		return noSpan(), 0
	}
	part = spanOf(r.From, min(r.To, r.From+most-1))
	r.From = part.To + 1
	return part, r.number
}

// confirmReplay notes that the broker has acknowledged an event of a replay.
func (l *ledger) confirmReplay(number int, pos uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number == l.replay.number {
		l.replay.confirmed = pos + 1
	}
}

// resync answers the command of that name: the event that the city names, and all
// that were sent after it, are sent again as far as the journal still has them. That
// does not move the cursor.
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
	pos, found := u.opt.Journal.PositionOf(from.Stream, from.Seq)
	if !found {
		return nil, fmt.Errorf("%s-%d is not in the journal", from.Stream, from.Seq)
	}
	return json.Marshal(resyncResult{Events: u.ledger.replayFrom(max(pos, u.opt.Journal.Oldest()))})
}

// resyncArgs is the arguments of `cmd/resync`: the first event to send again.
type resyncArgs struct {
	Stream presence.ID `json:"stream"`
	Seq    uint64      `json:"seq"`
}

// resyncResult is the answer: how many events will be sent again, at most.
type resyncResult struct {
	Events uint64 `json:"events"`
}
