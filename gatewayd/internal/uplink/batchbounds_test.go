package uplink_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// noisyTag is what was heard of a tag, with so many bytes that cannot be compressed.
func noisyTag(r *rand.Rand, bytes int) func() presence.Draft {
	return func() presence.Draft {
		var noise strings.Builder
		for noise.Len() < bytes {
			fmt.Fprintf(&noise, "%016x", r.Uint64()) // half of that
		}
		return presence.Draft{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: noise.String(), Tag: "kenwood:100-1001"}}
	}
}

// TestBatchesKeepToEachBound: to batch_max, to 48 KiB compressed, to what a reader takes of
// text and of one line. What is too much for any batch comes by itself, in its turn.
func TestBatchesKeepToEachBound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		batchMax int
		record   func(*memory, *rand.Rand)
		fullest  int // events of the fullest batch; 0: any number
		largest  int // and the least bytes of the largest
		alone    int // events that came by themselves
	}{
		"the most events":  {256, func(j *memory, _ *rand.Rand) { j.addTags(600) }, 256, 0, 0},
		"fewer events":     {7, func(j *memory, _ *rand.Rand) { j.addTags(70) }, 7, 0, 0},
		"two at a time":    {2, func(j *memory, _ *rand.Rand) { j.addTags(9) }, 2, 0, 1},
		"compressed bytes": {256, func(j *memory, r *rand.Rand) { j.record(200, noisyTag(r, 3000)) }, 0, 24 << 10, 2},
		"text": {256, func(j *memory, _ *rand.Rand) {
			j.record(100, func() presence.Draft {
				return presence.Draft{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: strings.Repeat("x", 10_000), Tag: "kenwood:100-1001"}}
			})
		}, 25, 0, 0},
		"one that is too large": {256, func(j *memory, r *rand.Rand) {
			j.addTags(20)
			j.record(1, noisyTag(r, 120_000))
			j.addTags(20)
		}, 20, 0, 1},
		"one that is too long": {256, func(j *memory, _ *rand.Rand) {
			j.addTags(20)
			j.record(1, func() presence.Draft {
				return presence.Draft{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: strings.Repeat("x", 40_000), Tag: "kenwood:100-1001"}}
			})
			j.addTags(20)
		}, 20, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fullest, largest, alone, next := 0, 0, 0, uint64(1)
			configure := func(b *scriptedBroker, j *memory, o *uplink.Options) {
				tc.record(j, rand.New(rand.NewPCG(1, 2)))
				o.Batch, o.BatchMax, o.Window = true, tc.batchMax, 256
				b.judge = func(topic string, size int, events []brokertest.Message) verdict {
					if !strings.HasPrefix(topic, "event/") {
						return passOn
					}
					for _, e := range events {
						if seqOf(e) != next {
							t.Errorf("event %d came in place of %d", seqOf(e), next)
						}
						next++
					}
					if topic == uplink.BatchTopic {
						fullest, largest = max(fullest, len(events)), max(largest, size)
					} else {
						alone++
					}
					return passOn
				}
			}
			runScripted(t, 0, configure, func(t *testing.T, _ *scriptedBroker, _ *uplink.Uplink, j *memory) {
				time.Sleep(30 * time.Second)
				if c := j.Cursor(); c != j.End() || next != c+1 {
					t.Errorf("the cursor is at %d of %d, and what is before %d came", c, j.End(), next)
				}
				if tc.fullest > 0 && fullest != tc.fullest || largest < tc.largest || largest > 48<<10 || alone != tc.alone {
					t.Errorf("at most %d events and %d bytes in a batch, %d events alone; want %d events, at least %d bytes, %d alone",
						fullest, largest, alone, tc.fullest, tc.largest, tc.alone)
				}
			})
		})
	}
}

// TestOnlyTagsAndSealsWaitForCompany: events of every other kind go at once, and take along
// what waits, in its order. Nobody waits for a signature, and on a line that is paid by the
// byte it is cheaper in company.
func TestOnlyTagsAndSealsWaitForCompany(t *testing.T) {
	t.Parallel()
	for kind, draft := range map[presence.Kind]presence.Draft{
		presence.KindBadge:    {Kind: presence.KindBadge, Badge: &presence.Badge{Reader: "door", Badge: "h:00112233445566778899aabbccddeeff", Card: "unknown", Assurance: "uid"}},
		presence.KindPresence: {Kind: presence.KindPresence, Person: &presence.Person{Badge: "h:00112233445566778899aabbccddeeff", Tag: "kenwood:100-1001", State: presence.BadgeOnly}},
		presence.KindStart:    {Kind: presence.KindStart, Start: &presence.Start{Version: "1"}},
		presence.KindGap:      {Kind: presence.KindGap, Gap: &presence.Gap{Reason: presence.GapForgotten, Kinds: map[string]int{"badge": 5}}},
	} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			configure := func(_ *scriptedBroker, _ *memory, o *uplink.Options) {
				o.Batch, o.BatchMax, o.BatchWait = true, 256, time.Hour
			}
			runScripted(t, 0, configure, func(t *testing.T, b *scriptedBroker, _ *uplink.Uplink, j *memory) {
				time.Sleep(20 * time.Second)
				j.addTags(3)
				j.record(1, func() presence.Draft {
					return presence.Draft{Kind: presence.KindSeal, Seal: &presence.Seal{Upto: 3, Sig: make([]byte, 64)}}
				})
				time.Sleep(time.Minute)
				if n := len(arrivals(t, b.received())); n != 0 {
					t.Errorf("%d tag events and seals did not wait", n)
				}
				j.record(1, func() presence.Draft { return draft })
				synctest.Wait()
				all := arrivals(t, b.received())
				if len(all) != 5 || all[4].Kind != kind.String() || all[0].Seq != 1 || b.batches != 2 {
					t.Errorf("%v came, in %d batches", all, b.batches)
				}
			})
		})
	}
}

// TestNoTagWaitsLongerThanItMay, whatever comes between.
func TestNoTagWaitsLongerThanItMay(t *testing.T) {
	t.Parallel()
	const wait = 30 * time.Second
	recorded := make(map[uint64]time.Time)
	configure := func(b *scriptedBroker, _ *memory, o *uplink.Options) {
		o.Batch, o.BatchMax, o.BatchWait, o.Window = true, 20, wait, 256
		b.judge = func(_ string, _ int, events []brokertest.Message) verdict {
			for _, e := range events {
				at, known := recorded[seqOf(e)]
				took := time.Since(at)
				if isTag := strings.HasSuffix(e.Topic, "/tag"); known && (took > wait || !isTag && took > 0) {
					t.Errorf("event %d, on %s, came after %v", seqOf(e), e.Topic, took)
				}
			}
			return passOn
		}
	}
	runScripted(t, 0, configure, func(t *testing.T, b *scriptedBroker, _ *uplink.Uplink, j *memory) {
		time.Sleep(20 * time.Second)
		r := rand.New(rand.NewPCG(3, 4))
		for range 400 {
			recorded[j.End()+1] = time.Now()
			if r.IntN(10) == 0 {
				j.add(1)
			} else {
				j.addTags(1)
			}
			time.Sleep(time.Duration(r.IntN(8000)) * time.Millisecond)
		}
		time.Sleep(2 * wait)
		synctest.Wait()
		if c := j.Cursor(); c != 400 {
			t.Errorf("the cursor is at %d", c)
		}
		if b.batches < 20 || b.batches > 150 {
			t.Errorf("%d batches", b.batches)
		}
	})
}

// TestBatchesThatAreOnTheirWayAtAReload: the gateway has batches on their way that nobody
// acknowledges, and is reloaded with batch = "off". All of it comes again, one by one.
func TestBatchesThatAreOnTheirWayAtAReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &scriptedBroker{t: t}
		j := newMemory(0)
		j.addTags(500)
		b.judge = func(topic string, _ int, events []brokertest.Message) verdict {
			if topic == uplink.BatchTopic && len(events) > 0 {
				return withhold
			}
			return passOn
		}
		for _, batches := range []bool{true, false} {
			o := options("broker:1883", j)
			o.Dial, o.Batch, o.BatchMax, o.Window = b.dial, batches, 256, 256
			u := uplink.New(o)
			stop := run(t, u)
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if c := j.Cursor(); batches && c != 0 || !batches && c != 500 {
				t.Errorf("batches %v: the cursor is at %d", batches, c)
			}
			if n := len(arrivals(t, b.received())); batches && n != 256 || !batches && n != 756 {
				t.Errorf("batches %v: %d events came by now", batches, n)
			}
			u.Leave(presence.ReasonReload)
			stop()
		}
		if b.batches != 2 { // one of no events, and the first, which all else waits for
			t.Errorf("%d batches", b.batches)
		}
	})
}
