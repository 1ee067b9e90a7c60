package mfrc522test

import "time"

// instant is a time of the chip's clock, counted from when it was made.
type instant = time.Duration

// never is when an event takes place that is not due.
const never = instant(1<<63 - 1)

// The events that the chip has under way, each at most once.
const (
	evBoot    = iota // a reset or the wake-up from power-down ends
	evTxEnd          // the last bit has left the antenna
	evRxBegin        // an answer begins
	evRxFifth        // its fifth bit is there, which stops the timer
	evRxEnd          // its last bit is there
	evTimer          // the timer has counted down
	evCRC            // the coprocessor has worked through the FIFO
	eventCount
)

// cycles is how long so many cycles of the 13.56 MHz carrier last.
func cycles(n int64) time.Duration {
	return time.Duration(n * 100_000 / 1356) // 1e9 ns / 13.56e6
}

// etu is the length of a bit at 106 kbit/s in cycles (ISO/IEC 14443-2).
const etu = 128

// Delays between the reader's last bit and the card's first, in cycles, after a
// last bit of 1 and of 0 (ISO/IEC 14443-3, "frame delay time", n = 9).
const (
	frameDelayAfter1 = 1236
	frameDelayAfter0 = 1172
)

// readerFrame is how long a frame to the card lasts: start of communication,
// bits with a parity bit per whole byte, end of communication.
func readerFrame(bits int) time.Duration {
	return cycles(int64(1+bits+bits/8+2) * etu)
}

// cardFrame is how long a frame from the card lasts.
func cardFrame(bits int) time.Duration {
	return cycles(int64(1+bits+bits/8+1) * etu)
}

// wakeUp is the time out of power-down: 1024 cycles of the 27.12 MHz crystal
// (data sheet, section 8.6.2).
const wakeUp = 1024 * time.Second / 27_120_000

// byteTime is how long a byte takes on the bus.
func byteTime(microhertz int64) time.Duration {
	return time.Duration(8_000_000_000_000_000 / microhertz)
}

// advance lets everything happen that is due until now.
func (c *Chip) advance(now instant) {
	for {
		next, at := 0, never
		for e, due := range c.due {
			if due < at {
				next, at = e, due
			}
		}
		if at > now {
			c.flow(now)
			return
		}
		c.flow(at)
		c.due[next] = never
		c.happen(next, at)
	}
}

// clockAt is an instant as the field counts time.
func (c *Chip) clockAt(at instant) time.Time { return c.made.Add(at) }

// now is the chip's clock.
func (c *Chip) now() instant { return time.Since(c.made) + c.onBus }
