package uplink_test

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
	"presence/scripts/skiptest"
)

// slowLine is a line in a synctest bubble that carries so many bytes a second each way,
// and takes its time for each. What is written to it goes into a buffer first, as into
// that of a socket and of a modem, from which nothing can be taken back.
type slowLine struct {
	rate    int           // bytes a second
	oneWay  time.Duration // from one end to the other
	dead    atomic.Bool   // nothing comes out of it any more
	carried atomic.Int64  // bytes that went in at the gateway's end
	dialled atomic.Int64  // connections so far
	open    sync.WaitGroup
}

// socketBuffer is how much a socket takes that the line has not carried yet.
const socketBuffer = 64 << 10

// gsm9600 is a line of 9,600 bit/s with a round trip of 1,200 ms.
func gsm9600() *slowLine { return &slowLine{rate: 9600 / 8, oneWay: 600 * time.Millisecond} }

// before makes the line the way to a broker.
func (l *slowLine) before(dial func(context.Context) (net.Conn, error)) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		far, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		l.dialled.Add(1)
		near, inside := net.Pipe()
		l.open.Go(func() { l.carry(far, inside, &l.carried) })
		l.open.Go(func() { l.carry(inside, far, new(atomic.Int64)) })
		return near, nil
	}
}

// flying is what the line has taken, and when it comes out.
type flying struct {
	bytes []byte
	at    time.Time
}

// carry carries bytes from one connection to another until either ends.
func (l *slowLine) carry(to, from net.Conn, count *atomic.Int64) {
	const part = 60
	buffer, air := make(chan []byte, socketBuffer/part), make(chan flying, 1<<16)
	var ends sync.WaitGroup
	ends.Go(func() {
		for b := range buffer {
			<-time.After(time.Duration(len(b)) * time.Second / time.Duration(l.rate))
			air <- flying{b, time.Now().Add(l.oneWay)}
		}
		close(air)
	})
	ends.Go(func() {
		for f := range air {
			<-time.After(time.Until(f.at))
			if l.dead.Load() {
				continue
			}
			_, _ = to.Write(f.bytes) // the other end may be closed
		}
		_ = to.Close() // it may be closed already
	})
	for {
		b := make([]byte, part)
		n, err := from.Read(b)
		if n > 0 {
			count.Add(int64(n))
			buffer <- b[:n]
		}
		if err != nil {
			break
		}
	}
	close(buffer)
	ends.Wait()
}

// addPresence adds an event that says where a person is.
func (m *memory) addPresence() {
	m.addTags(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	last := &m.entries[len(m.entries)-1]
	last.Kind, last.Tag = presence.KindPresence, nil
	last.Person = &presence.Person{Badge: "h:00112233445566778899aabbccddeeff", Tag: "kenwood:100-1001", State: presence.BadgeOnly}
}

// runSlow runs an uplink over a slow line in a synctest bubble, with a journal of so many
// tag events, until the test function ends.
func runSlow(t *testing.T, tags int, configure func(*uplink.Options), test func(*testing.T, *slowLine, *scriptedBroker, *uplink.Uplink, *memory)) {
	t.Helper()
	line := gsm9600()
	runScripted(t, 0, func(b *scriptedBroker, j *memory, o *uplink.Options) {
		j.addTags(tags)
		o.Window = 256
		o.Dial = line.before(b.dial)
		configure(o)
	}, func(t *testing.T, b *scriptedBroker, u *uplink.Uplink, j *memory) {
		t.Cleanup(line.open.Wait) // what is on its way arrives before time stands still
		test(t, line, b, u, j)
	})
}

// arrival is what the city gets of an event, and when.
type arrival struct {
	ID   string `json:"id"`
	Seq  uint64 `json:"seq"`
	Rev  int    `json:"rev"`
	Kind string `json:"kind"`
}

// arrivals are the events among messages, in the order in which they came.
func arrivals(t *testing.T, messages []brokertest.Message) (all []arrival) {
	t.Helper()
	for _, m := range messages {
		if !strings.Contains(m.Topic, "/event/") {
			continue
		}
		var a arrival
		if err := json.Unmarshal(m.Payload, &a); err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// awaitEvent waits for an event of a kind in virtual time, and returns how long that took.
func awaitEvent(t *testing.T, b *scriptedBroker, kind presence.Kind, seq uint64) time.Duration {
	t.Helper()
	began, looked := time.Now(), 0
	for time.Since(began) < 2*time.Minute {
		seen := b.received()
		for i := len(seen) - 1; i >= looked; i-- {
			if strings.HasSuffix(seen[i].Topic, "/event/"+kind.String()) && arrivals(t, seen[i:i+1])[0].Seq == seq {
				return time.Since(began)
			}
		}
		looked = len(seen)
		<-time.After(50 * time.Millisecond)
	}
	t.Fatalf("%s %d did not come within two minutes", kind, seq)
	return 0
}

// confirm sends a receipt every few seconds for what a city has without a gap, until the
// context ends.
func confirm(ctx context.Context, t *testing.T, b *scriptedBroker) {
	has := make(map[uint64]bool)
	upto, looked := uint64(0), 0
	for pause := time.NewTicker(5 * time.Second); ; {
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
		seen := b.received()
		for _, a := range arrivals(t, seen[looked:]) {
			has[a.Seq] = true
		}
		looked = len(seen)
		before := upto
		for has[upto+1] {
			delete(has, upto+1)
			upto++
		}
		if upto > before {
			b.mu.Lock()
			conn := b.conn
			b.mu.Unlock()
			_, _ = conn.Write(publication(0, false, prefix+"receipt", 0, receiptFor(stream, upto))) // the line may be gone
		}
	}
}

// TestATapUnderABacklogOnASlowLineIsSeenAtOnce: with 100,000 events before it on a line of
// 9,600 bit/s, which is half a day, somebody's tap is with the city within 10 seconds,
// whenever it comes; also what follows from it. It is sent ahead once a connection.
func TestATapUnderABacklogOnASlowLineIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		receipts, batch bool
		taps            int // within which the backlog is not over
	}{
		"with receipts":             {true, false, 100},
		"without receipts":          {false, false, 100},
		"with receipts, batches":    {true, true, 25},
		"without receipts, batches": {false, true, 25},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runSlow(t, 100_000, func(o *uplink.Options) {
				o.Receipts, o.Batch, o.BatchMax = tc.receipts, tc.batch, 256
			}, func(t *testing.T, line *slowLine, b *scriptedBroker, u *uplink.Uplink, j *memory) {
				ctx, cancel := context.WithCancel(context.Background())
				var city sync.WaitGroup
				defer city.Wait()
				defer cancel()
				if tc.receipts {
					city.Go(func() { confirm(ctx, t, b) })
				}
				worst := time.Duration(0)
				document := []byte(`"` + strings.Repeat("x", 3000) + `"`)
				for i := range tc.taps {
					j.add(1)
					if i%3 == 0 {
						u.Retain("health", document)
					}
					took := awaitEvent(t, b, presence.KindBadge, j.End())
					if worst = max(worst, took); took > 10*time.Second {
						t.Errorf("tap %d came after %v", i, took)
					}
					j.addTags(20)
					<-time.After(time.Duration(i*137%30_000) * time.Millisecond)
				}
				j.addPresence()
				if took := awaitEvent(t, b, presence.KindPresence, j.End()); took > 10*time.Second {
					t.Errorf("what follows from a tap came after %v", took)
				}
				times := make(map[string]int)
				for _, a := range arrivals(t, b.received()) {
					times[a.ID]++
					if times[a.ID] > 1 {
						t.Errorf("%s came more than once", a.ID)
					}
				}
				if n := line.dialled.Load(); n != 1 {
					t.Errorf("%d connections", n)
				}
				if c := j.Cursor(); c == 0 || c > 100_000 {
					t.Errorf("the cursor is at %d", c)
				}
				t.Logf("the slowest of %d taps took %v; %d events of the backlog came in %v", tc.taps, worst, j.Cursor(), time.Duration(line.carried.Load())*time.Second/time.Duration(line.rate))
			})
		})
	}
}

// TestWhatWentAheadComesAgainInItsPlace, with the same id and rev, so that a city that
// keeps one of each has every event once, and the cursor leaves nothing out.
func TestWhatWentAheadComesAgainInItsPlace(t *testing.T) {
	t.Parallel()
	runSlow(t, 500, func(*uplink.Options) {}, func(t *testing.T, line *slowLine, b *scriptedBroker, u *uplink.Uplink, j *memory) {
		<-time.After(10 * time.Second)
		j.add(3)
		awaitEvent(t, b, presence.KindBadge, 503)
		if c := j.Cursor(); c > 100 {
			t.Fatalf("the cursor is at %d already", c)
		}
		for j.Cursor() < 503 {
			<-time.After(time.Second)
		}
		all := arrivals(t, b.received())
		times, turn := make(map[arrival]int), uint64(0)
		for _, a := range all {
			times[a]++
			if a.Seq == turn+1 {
				turn++
			} else if a.Kind != "badge" || times[a] > 1 {
				t.Errorf("%v came out of turn, after %d", a, turn)
			}
		}
		if turn != 503 || len(times) != 503 || len(all) != 506 {
			t.Errorf("%d events in turn, %d different ones of %d", turn, len(times), len(all))
		}
		if n := line.dialled.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestAnOfficesDayGoesOverASlowLineWithinAWorkingDay: 40 tags make 28 MB a day. The line
// is never taken for a dead one in all those hours, although it is full all the time.
func TestAnOfficesDayGoesOverASlowLineWithinAWorkingDay(t *testing.T) {
	t.Parallel()
	skiptest.Computation(t)
	const day = 40_000
	runSlow(t, day, func(*uplink.Options) {}, func(t *testing.T, line *slowLine, b *scriptedBroker, u *uplink.Uplink, j *memory) {
		began := time.Now()
		document := []byte(`"` + strings.Repeat("x", 2500) + `"`)
		for j.Cursor() < day {
			u.Retain("health", document)
			<-time.After(time.Minute)
			if time.Since(began) > 12*time.Hour {
				t.Fatalf("only %d events have been delivered", j.Cursor())
			}
		}
		took := time.Since(began)
		if took > 8*time.Hour {
			t.Errorf("it took %v", took)
		}
		if n := line.dialled.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
		used := float64(line.carried.Load()) / float64(line.rate) / took.Seconds()
		if used < 0.9 {
			t.Errorf("the line was used by %.0f %% only", 100*used)
		}
		t.Logf("%d events, %.1f MB, in %v: the line was used by %.0f %%", day, float64(line.carried.Load())/1e6, took.Round(time.Minute), 100*used)
		// With nothing to say it stands as well, and when it is dead that is noticed.
		<-time.After(3 * time.Hour)
		if n := line.dialled.Load(); n != 1 {
			t.Errorf("%d connections after hours of silence", n)
		}
		line.dead.Store(true)
		died := time.Now()
		for u.Stats().Connected {
			<-time.After(100 * time.Millisecond)
		}
		if found := time.Since(died); found > 26*time.Second {
			t.Errorf("the end of an idle line was noticed after %v", found)
		}
	})
}

// TestASlowLineThatDiesIsFoundOut while it is full, as soon as one that is fast.
func TestASlowLineThatDiesIsFoundOut(t *testing.T) {
	t.Parallel()
	runSlow(t, 1000, func(*uplink.Options) {}, func(t *testing.T, line *slowLine, b *scriptedBroker, u *uplink.Uplink, j *memory) {
		<-time.After(time.Minute)
		line.dead.Store(true)
		died := time.Now()
		for u.Stats().Connected {
			<-time.After(100 * time.Millisecond)
		}
		if found := time.Since(died); found > 15*time.Second {
			t.Errorf("it was noticed after %v", found)
		}
		line.dead.Store(false)
		for j.Cursor() < 1000 {
			<-time.After(time.Second)
		}
		synctest.Wait()
	})
}

// TestAStopDoesNotWaitForABacklogThatCannotBeDelivered: the goodbye would only come later,
// behind what is sent meanwhile. The city has it before the process has to be gone, which
// is 5 seconds after the stop began, and no will follows it.
func TestAStopDoesNotWaitForABacklogThatCannotBeDelivered(t *testing.T) {
	t.Parallel()
	for name, batch := range map[string]bool{"plain": false, "zstd": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broker *scriptedBroker
			stopped := time.Time{}
			runSlow(t, 60_000, func(o *uplink.Options) {
				o.Batch, o.BatchMax = batch, 256
			}, func(t *testing.T, line *slowLine, b *scriptedBroker, u *uplink.Uplink, j *memory) {
				<-time.After(2 * time.Minute)
				broker, stopped = b, time.Now()
				within, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
				defer cancel()
				u.Drained(within)
				if waited := time.Since(stopped); waited > 10*time.Millisecond {
					t.Errorf("it waited %v for a backlog of hours", waited)
				}
				t.Cleanup(func() { // runs when the uplink has stopped
					took := time.Since(stopped)
					last := broker.received()[len(broker.received())-1]
					if !strings.HasSuffix(last.Topic, "/status") || !strings.Contains(string(last.Payload), `"reason":"stop"`) {
						t.Errorf("the last that the city got is %s %.100s", last.Topic, last.Payload)
					}
					if kinds := broker.kinds(); kinds[len(kinds)-1] != "DISCONNECT" {
						t.Errorf("the last packet is %s", kinds[len(kinds)-1])
					}
					if took > 3700*time.Millisecond {
						t.Errorf("the stop took %v", took)
					}
				})
			})
		})
	}
}

// TestWhatComesBeforeAnAnswerIsNoStall: a roster of the city takes minutes over a slow
// line, and acknowledgements wait behind it.
func TestWhatComesBeforeAnAnswerIsNoStall(t *testing.T) {
	t.Parallel()
	runSlow(t, 20, func(o *uplink.Options) {
		o.Documents = map[string]uplink.Document{"roster": &inbox{}}
	}, func(t *testing.T, line *slowLine, b *scriptedBroker, u *uplink.Uplink, j *memory) {
		<-time.After(time.Minute)
		for range 3 {
			b.mu.Lock()
			conn := b.conn
			b.mu.Unlock()
			if _, err := conn.Write(publication(0, true, prefix+"roster", 0, make([]byte, 14_000))); err != nil {
				t.Fatal(err)
			}
			j.add(1)
		}
		<-time.After(2 * time.Minute)
		if n := line.dialled.Load(); n != 1 || j.Cursor() != 23 {
			t.Errorf("%d connections, and the cursor is at %d", n, j.Cursor())
		}
	})
}
