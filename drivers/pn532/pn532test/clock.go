package pn532test

import "time"

// instant is a time of the chip's clock, counted from when it was made.
type instant = time.Duration

// never is when something takes place that is not due.
const never = instant(1<<63 - 1)

// cycles is how long so many cycles of the 13.56 MHz carrier last.
func cycles(n int64) time.Duration {
	return time.Duration(n * 100_000 / 1356) // 1e9 ns / 13.56e6
}

// etu is the length of a bit at 106 kbit/s in cycles (ISO/IEC 14443-2), and
// frameDelay the pause between the reader's last bit and a card's first (ISO/IEC
// 14443-3, "frame delay time", n = 9).
const (
	etu        = 128
	frameDelay = 1236
)

// readerFrame is how long a frame to the card lasts: start of communication,
// bits with a parity bit per whole byte, end of communication.
func readerFrame(bits int) time.Duration {
	return cycles(int64(1+bits+bits/8+2) * etu)
}

// cardFrame is how long the answer of a card lasts.
func cardFrame(bits int) time.Duration {
	return cycles(int64(1+bits+bits/8+1) * etu)
}

// byteTime is how long a byte takes on the bus.
func byteTime(microhertz int64) time.Duration {
	return time.Duration(8_000_000_000_000_000 / microhertz)
}

// How long the chip takes. The manual promises only that an acknowledgement comes
// within 15 ms (6.2.2); the rest is as boards are seen to be.
const (
	ackTime      = 300 * time.Microsecond
	commandTime  = 500 * time.Microsecond
	fieldRise    = 5100 * time.Microsecond // between the field and the first request (ISO/IEC 14443-3, 5)
	attemptTime  = 16 * time.Millisecond   // from one REQA to the next while no card answers, as heard of a board
	silenceTime  = time.Millisecond        // until an answer to a SELECT is given up
	dozeAfter    = 10 * time.Millisecond   // without a word, in low battery mode
	lateACK      = 20 * time.Millisecond
	releaseTries = time.Second // how long a target that is gone is told to go
	feliCaTries  = 512 * time.Millisecond
)

// timeoutCode is the time that a code of RFConfiguration stands for (manual, table
// of section 7.3.1, item 2): 100 µs for 1, and twice as long for each one more. 0
// is no limit.
func timeoutCode(code byte) time.Duration {
	if code == 0 || code > 0x10 {
		return time.Duration(never)
	}
	return 100 * time.Microsecond << (code - 1)
}

// clockAt is an instant as the field counts time.
func (c *Chip) clockAt(at instant) time.Time { return c.made.Add(at) }

// now is the chip's clock.
func (c *Chip) now() instant { return time.Since(c.made) + c.onBus }

// advance lets everything happen that is due until now.
func (c *Chip) advance(now instant) {
	if c.power == asleep && c.wakeAt <= now {
		c.wake()
	}
	for c.job != nil && c.job.due <= now && c.power == awake {
		c.step()
	}
	if c.power == awake && c.lowBattery && c.phase == idle && !c.sel.low && now-c.lastSelect > dozeAfter {
		c.sleep(false)
	}
}

// step lets the command under way do what is due.
func (c *Chip) step() {
	at := c.job.due
	response, next := c.job.step(at)
	switch {
	case response != nil:
		c.job = nil
		c.respond(response, next)
	case next == never:
		c.job = nil // and the host waits for ever, or aborts
	default:
		c.job.due = next
	}
}
