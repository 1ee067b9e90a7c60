package pn532

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// ackTimeout is how long the chip may take to acknowledge a command: 15 ms
	// (6.2.2), and some for a machine that is busy.
	ackTimeout = 20 * time.Millisecond

	// sends is how often a command is sent that is not acknowledged, or whose reply
	// does not come whole.
	sends = 3

	// repeats is how often a reply is asked for again that came damaged.
	repeats = 2

	// repeatTimeout is how long the chip may take to send a reply again, which it has
	// ready.
	repeatTimeout = 20 * time.Millisecond

	// strays is how many frames that nobody waits for are passed over while a reply
	// is awaited.
	strays = 4

	// abortPause is what the chip needs after it was told to give up a command.
	abortPause = time.Millisecond

	firstPoll = 500 * time.Microsecond // from a transfer to the first question for the status
	nextPoll  = time.Millisecond       // from one question to the next
	latePoll  = 3 * time.Millisecond   // the same for what has taken lateAfter already
	lateAfter = 5 * time.Millisecond

	// ackSize is how many bytes are read for an acknowledgement. It has six; an error
	// frame in its place has eight.
	ackSize = 8
)

// request is a command and what is known of its reply beforehand.
type request struct {
	code   byte
	params []byte
	want   int           // bytes of the longest reply, beside its code
	wait   time.Duration // how long the chip may take to carry it out

	// once says that the command must not be carried out twice, so that it is sent once,
	// whatever becomes of it.
	once bool
}

// exchange has the chip carry out a command and returns what its reply says, valid
// until the next one. A command may be carried out twice, unless it says once.
func (l *link) exchange(ctx context.Context, q request) ([]byte, error) {
	var failed error
	l.doubt = false
	for n := range sends {
		if err := l.prepare(ctx, errors.Is(failed, errSilent)); err != nil {
			return nil, err
		}
		data, err := l.attempt(ctx, q)
		if err == nil || errors.Is(err, errRefused) {
			if n > 0 {
				l.noise++
			}
			return data, err
		}
		failed, l.dirty = err, true
		if q.once || !errors.Is(err, errSilent) && !errors.Is(err, errFrame) {
			break
		}
	}
	return nil, failed
}

// prepare makes the chip ready for a command: silent says that it has just not
// answered one, and may be asleep.
func (l *link) prepare(ctx context.Context, silent bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if silent {
		if err := l.rouse(); err != nil {
			return err
		}
	}
	if l.dirty {
		return l.resync(ctx)
	}
	return nil
}

// attempt sends a command once and waits for its reply.
func (l *link) attempt(ctx context.Context, q request) ([]byte, error) {
	if err := l.write(appendCommand(l.frame[:0], q.code, q.params...)); err != nil {
		return nil, err
	}
	ready, err := l.await(ctx, ackTimeout)
	if err != nil {
		return nil, err
	}
	switch {
	case !ready && q.once:
		// It may be at work all the same, and only its acknowledgement was lost.
		l.doubt = true
		return l.reply(ctx, q, false)
	case !ready:
		return nil, errSilent
	}
	b, err := l.read(ackSize)
	if err != nil {
		return nil, err
	}
	f, err := parseFrame(b)
	if err == nil {
		l.line.heard = true
	}
	// Where the acknowledgement was lost, the reply stands in its place, and only its
	// beginning was read. It is asked for again, as any reply that is damaged. An
	// acknowledgement that is damaged is as good as a sound one: the reply will tell.
	l.doubt = f.kind != frameACK
	lost := l.doubt && err == nil || err != nil && replyBegins(b)
	data, err := l.reply(ctx, q, lost)
	if lost && err == nil {
		l.noise++
	}
	return data, err
}

// replyBegins reports whether bytes are the beginning of an information frame.
func replyBegins(b []byte) bool {
	for len(b) > 0 && b[0] == 0x00 {
		b = b[1:]
	}
	return len(b) >= 3 && b[0] == 0xFF && b[1] > 1 && (b[1]+b[2] == 0 || b[1] == 0xFF && b[2] == 0xFF)
}

// reply waits for a command's reply; again has the chip send it once more at first.
func (l *link) reply(ctx context.Context, q request, again bool) ([]byte, error) {
	asked, passed := 0, 0
	damaged := error(nil)
	for {
		if again {
			again, l.doubt = false, true
			if asked++; asked > repeats {
				return nil, damaged
			}
			if err := l.write(nackFrame()); err != nil {
				return nil, err
			}
		}
		b, err := l.nextFrame(ctx, q, asked > 0)
		if err != nil {
			return nil, err
		}
		f, err := parseFrame(b)
		if err != nil {
			damaged, again = err, true
			continue
		}
		l.line.heard = true
		switch {
		case f.kind == frameError:
			return nil, fmt.Errorf("%w %02X", errRefused, q.code)
		case f.kind == frameInfo && f.code == q.code+1:
			if damaged != nil {
				l.noise++
			}
			return f.data, nil
		}
		// A second acknowledgement, or the reply to a command before this one.
		if passed++; passed > strays {
			return nil, fmt.Errorf("%w: only other replies than to %02X", errFrame, q.code)
		}
	}
}

// nextFrame waits until the chip is ready and reads as much as a command's reply may
// have; repeated says that the chip was asked for it again.
func (l *link) nextFrame(ctx context.Context, q request, repeated bool) ([]byte, error) {
	wait := q.wait
	if repeated {
		wait = min(wait, repeatTimeout)
	}
	ready, err := l.await(ctx, wait)
	switch {
	case err != nil:
		return nil, err
	case !ready && repeated:
		return nil, fmt.Errorf("%w, and was not sent again", errFrame)
	case !ready:
		return nil, fmt.Errorf("%w %02X within %v", errStuck, q.code, q.wait)
	}
	return l.read(min(overhead+1+q.want, len(l.r)-1))
}

// again has the chip send its last reply once more.
func (l *link) again(ctx context.Context, q request) ([]byte, error) {
	data, err := l.reply(ctx, q, true)
	if err != nil {
		l.dirty = true
	}
	return data, err
}

// await waits until the chip is ready, for as long as given, and reports whether it
// is.
func (l *link) await(ctx context.Context, wait time.Duration) (bool, error) {
	start := time.Now()
	edge := l.irq.await(firstPoll)
	for {
		// The clock is read before the chip, so that a process that the machine kept
		// waiting still asks once.
		waited := time.Since(start)
		ready, err := l.ready()
		if err != nil {
			return false, err
		}
		if edge {
			l.irq.note(ready)
		} else if ready {
			l.irq.missed()
		}
		switch {
		case ready:
			return true, nil
		case ctx.Err() != nil:
			l.dirty = true
			return false, ctx.Err()
		case waited >= wait:
			return false, nil
		case waited >= lateAfter:
			edge = l.irq.await(latePoll)
		default:
			edge = l.irq.await(nextPoll)
		}
	}
}

// resync ends whatever command is under way and throws away what the chip still has
// to say. The acknowledgement of the host is what aborts a command (6.2.1.3).
func (l *link) resync(ctx context.Context) error {
	if err := l.write(ackFrame()); err != nil {
		return err
	}
	for range strays {
		if err := sleep(ctx, abortPause); err != nil {
			return err
		}
		ready, err := l.ready()
		if err != nil {
			return err
		}
		if !ready {
			break
		}
		if _, err := l.read(overhead + maxData); err != nil {
			return err
		}
	}
	l.dirty = false
	return nil
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
