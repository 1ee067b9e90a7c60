// Package lastday says by how much a count that only rises has risen within the last 24
// hours: bytes written to storage, or sent over a line that is paid for by the byte.
//
// The 24 hours end now, so that nothing special happens at midnight and the time zone
// does not matter. A count lives in memory only: it begins with the process that counts.
package lastday

import "time"

// window is how long the day is.
const window = 24 * time.Hour

// sampleEvery is how far remembered values are apart, and so by how much the 24 hours
// may be too long.
const sampleEvery = 10 * time.Minute

// Count remembers how high a count was at some times of the last day. The zero value is
// ready, for a count that is 0.
type Count struct {
	samples []sample // oldest first
}

type sample struct {
	at    time.Time
	total int64
}

// Rise notes how high the count is now, and returns by how much it rose within the last
// 24 hours, or since it was 0 where that is not so long ago. It has to be called every 10
// minutes or more often.
func (c *Count) Rise(now time.Time, total int64) int64 {
	if n := len(c.samples); n == 0 || now.Sub(c.samples[n-1].at) >= sampleEvery {
		c.samples = append(c.samples, sample{now, total})
	}
	for len(c.samples) > 1 && now.Sub(c.samples[1].at) >= window {
		c.samples = c.samples[1:]
	}
	before := int64(0)
	if now.Sub(c.samples[0].at) >= window {
		before = c.samples[0].total
	}
	return total - before
}
