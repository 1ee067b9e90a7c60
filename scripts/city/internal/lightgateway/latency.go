package lightgateway

import (
	"math"
	"time"
)

// Latencies counts durations, each to within 2 %, in little memory. Its zero value is
// ready for use.
type Latencies struct {
	counts [buckets]int64
	sum    int64 // how many
	max    time.Duration
}

// Durations from a microsecond on fall into buckets of which each begins 4 % behind the
// one before.
const (
	buckets  = 600
	shortest = time.Microsecond
	growth   = 1.04
)

// Add counts a duration.
func (l *Latencies) Add(d time.Duration) {
	n := 0
	if d > shortest {
		n = min(int(math.Log(float64(d)/float64(shortest))/math.Log(growth)), buckets-1)
	}
	l.counts[n]++
	l.sum++
	l.max = max(l.max, d)
}

// Merge adds what another one has counted.
func (l *Latencies) Merge(other *Latencies) {
	for i, n := range other.counts {
		l.counts[i] += n
	}
	l.sum += other.sum
	l.max = max(l.max, other.max)
}

// Count is how many durations were counted.
func (l *Latencies) Count() int64 { return l.sum }

// Max is the longest duration, 0 if there is none.
func (l *Latencies) Max() time.Duration { return l.max }

// Quantile is the duration that a share q of all do not exceed, 0 if there is none.
func (l *Latencies) Quantile(q float64) time.Duration {
	rest := int64(math.Ceil(q * float64(l.sum)))
	for i, n := range l.counts {
		if rest -= n; rest <= 0 && l.sum > 0 {
			middle := float64(shortest) * math.Pow(growth, float64(i)+0.5)
			return min(time.Duration(middle), l.max)
		}
	}
	return l.max
}
