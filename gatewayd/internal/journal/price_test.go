package journal_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// What the chain may cost, for each event.
const (
	mostChainBytes = 64
	mostChainCPU   = 25 * time.Microsecond
	// A lone tap lies in the tail (doc.go), which holds fewer records now that each is
	// longer, and so is emptied more often.
	mostTapGrowth = 1.15
)

// price is what recording cost.
type price struct {
	tap     float64 // bytes written for a tap that comes alone
	tag     float64 // bytes written for a tag event in a commit of fifty
	tagFile float64 // bytes by which the file grew for it
	tapFile float64 // and for a tap
}

// priceOf records taps one at a time, and tag events fifty at a time.
func priceOf(t testing.TB, chained bool) (p price) {
	t.Helper()
	c := newClock()
	o := options(newPath(t), c)
	o.CommitInterval = time.Hour
	o.Keep = 0
	if !chained {
		o = journal.Unchained(o)
	}
	j := open(t, o)
	defer closed(t, j)

	const taps = 300
	before := j.Stats()
	for i := range taps {
		j.Ack(appended(t, j, badge(c, i)).Pos)
	}
	p.tap = float64(j.Stats().Written-before.Written) / taps

	p.tag, p.tagFile = together(t, j, func(i int) presence.Draft { return tag(c, i) })
	_, p.tapFile = together(t, j, func(i int) presence.Draft { return badge(c, i) })
	return p
}

// together records events fifty at a time, and returns how many bytes are written for one,
// and by how many the file grows.
func together(t testing.TB, j *journal.Journal, event func(i int) presence.Draft) (written, grown float64) {
	t.Helper()
	const batches, size = 100, 50
	before := j.Stats()
	for i := range batches * size {
		enqueue(t, j, event(i))
		if i%size == size-1 {
			flushed(t, j)
		}
	}
	after := j.Stats()
	return float64(after.Written-before.Written) / (batches * size), float64(after.Bytes-before.Bytes) / (batches * size)
}

// TestPriceOfTheChain: what the chain costs an SD card.
func TestPriceOfTheChain(t *testing.T) {
	t.Parallel()
	with, without := priceOf(t, true), priceOf(t, false)
	t.Logf("written for a lone tap %.0f bytes, without chain %.0f (%+.1f %%); for a tag event of fifty %.0f, without %.0f; the file grew by %.0f for it, without by %.0f, and for a tap by %.0f, without by %.0f",
		with.tap, without.tap, 100*(with.tap/without.tap-1), with.tag, without.tag, with.tagFile, without.tagFile, with.tapFile, without.tapFile)
	if with.tap > mostTapGrowth*without.tap {
		t.Errorf("a lone tap writes %.0f bytes, and %.0f without a chain", with.tap, without.tap)
	}
	if more := with.tag - without.tag; more > mostChainBytes {
		t.Errorf("a tag event writes %.1f bytes more than without a chain", more)
	}
	if more := max(with.tagFile-without.tagFile, with.tapFile-without.tapFile); more > mostChainBytes {
		t.Errorf("an event takes %.1f bytes more of the file than without a chain", more)
	}
}

// processorTime is what this process has used of the processors so far.
func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// TestProcessorPriceOfTheChain compares the whole way from Enqueue to the disk with and
// without the chain, by what this process needs of a processor. It runs as a part of
// `make bench`, which sets CHAIN_ROUNDS: beside other tests it would measure those.
func TestProcessorPriceOfTheChain(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("CHAIN_ROUNDS"))
	if err != nil {
		t.Skip("no CHAIN_ROUNDS")
	}
	const events = 20_000
	measure := func(chained bool) time.Duration {
		c := newClock()
		o := options(newPath(t), c)
		if !chained {
			o = journal.Unchained(o)
		}
		j := open(t, o)
		defer closed(t, j)
		before := processorTime(t)
		for i := range events {
			enqueue(t, j, tag(c, i))
		}
		flushed(t, j)
		return (processorTime(t) - before) / events
	}
	measure(true)
	var more, all []time.Duration
	for range rounds { // in pairs, so that a machine that becomes slower meanwhile does so for both
		with, without := measure(true), measure(false)
		more, all = append(more, with-without), append(all, with)
	}
	slices.Sort(more)
	slices.Sort(all)
	with, without := priceOf(t, true), priceOf(t, false)
	fmt.Printf("bench-chain: CPU %.1f us an event of %.1f (at most %.0f; median of %d pairs, %d tag events each), on disk %.0f bytes a tag event and %.0f a tap (at most %d), a lone tap writes %.1f KiB and %.1f without\n",
		us(more[rounds/2]), us(all[rounds/2]), us(mostChainCPU), rounds, events,
		with.tagFile-without.tagFile, with.tapFile-without.tapFile, mostChainBytes, with.tap/1024, without.tap/1024)
	if more[rounds/2] > mostChainCPU {
		t.Errorf("the chain needs %v of a processor for an event", more[rounds/2])
	}
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
