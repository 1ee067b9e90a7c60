package journal_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	realclock "presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// pi is a machine without a clock chip, whose time the test moves.
type pi struct {
	mu     sync.Mutex
	start  time.Time // of the boot
	now    time.Time
	boot   presence.ID
	synced bool
	starts map[presence.ID]time.Time
}

func (p *pi) pass(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

func (p *pi) reboot() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.boot[0]++
	p.start, p.synced = p.now, false
	p.starts[p.boot] = p.start
}

func (p *pi) learn(synced bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.synced = synced
}

// Now implements clock.Source.
func (p *pi) Now() presence.Reading {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := presence.Reading{Boot: p.boot, Boottime: p.now.Sub(p.start), Wall: int64(p.now.Sub(p.start))} // 1970
	if p.synced {
		r.Wall, r.State, r.MaxError = p.now.UnixNano(), presence.ClockSynced, 20*time.Millisecond
	}
	return r
}

// Steps implements clock.Source.
func (p *pi) Steps(ctx context.Context, _ func()) error { <-ctx.Done(); return nil }

// happened is when a reading was really taken.
func (p *pi) happened(r presence.Reading) time.Time { return p.starts[r.Boot].Add(r.Boottime) }

// TestDeliveredEventsGoWithoutAClockChip: the start event of each boot, and all
// of a boot that never learns the time, cannot be dated once the boot is long
// over. They go all the same with what is known to be older and comes after
// them, and nothing goes too early. With EVERY_FAULT=1 for 120 days.
func TestDeliveredEventsGoWithoutAClockChip(t *testing.T) {
	t.Parallel()
	keep, boots := 12*day, 45
	if everyFault() {
		keep, boots = 35*day, 120
	}
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		p := &pi{now: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), starts: make(map[presence.ID]time.Time)}
		recorded := make(map[presence.ID]int)
		for boot := range boots {
			p.reboot()
			p.pass(8 * time.Second)
			times := realclock.New(p)
			o := options(path, newClock())
			o.Now, o.Age, o.Keep = p.Now, times.Age, keep
			j, err := journal.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := times.Attach(j); err != nil {
				t.Fatal(err)
			}
			if err := times.Recall(j.Tail); err != nil {
				t.Fatal(err)
			}
			d := &moment{p}
			appended(t, j, d.badge(1)) // before NTP
			p.pass(time.Minute)
			p.learn(boot%10 != 9) // some boots never learn the time
			running, stop := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); _ = times.Run(running) }()
			synctest.Wait()
			stop()
			<-done
			for n := range 10 {
				p.pass(time.Hour)
				appended(t, j, d.badge(n))
			}
			j.Ack(j.End())
			p.pass(time.Hour)
			recorded[p.boot] = 12
			if boot%2 == 0 {
				appended(t, j, d.badge(11))
				recorded[p.boot]++
			} else {
				// Nobody comes, and the gateway tidies up on its own.
				time.Sleep(2 * time.Hour)
				synctest.Wait()
			}
			left := make(map[presence.ID]int)
			for _, e := range all(t, j, 0) {
				left[e.At.Boot]++
				if age := p.now.Sub(p.happened(e.At)); p.synced && age > keep+day {
					t.Fatalf("in boot %d a %s is %v old", boot+1, e.Kind, age)
				}
			}
			for id, n := range recorded {
				if p.now.Sub(p.starts[id]) < keep && left[id] != n {
					t.Fatalf("in boot %d there are %d events of %d of a boot %v ago", boot+1, left[id], n, p.now.Sub(p.starts[id]))
				}
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			p.pass(p.starts[p.boot].Add(day).Sub(p.now))
		}
	})
	whole(t, path)
}

// moment makes drafts at a machine's time.
type moment struct{ p *pi }

func (c *moment) badge(n int) presence.Draft { return badge(&clock{at: c.p.Now()}, n) }

// TestOldEventsGoOnShortDays: a machine that runs for a quarter of an hour each day,
// and learns the time a minute after it has started, lets old events go as soon as it
// knows how old they are, although nobody comes after that.
func TestOldEventsGoOnShortDays(t *testing.T) {
	t.Parallel()
	const keep = 7 * day
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		p := &pi{now: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), starts: make(map[presence.ID]time.Time)}
		for boot := range 20 {
			p.reboot()
			p.pass(8 * time.Second)
			times := realclock.New(p)
			o := options(path, newClock())
			o.Now, o.Age, o.Learned, o.Keep = p.Now, times.Age, times.Changed, keep
			j, err := journal.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := times.Attach(j); err != nil {
				t.Fatal(err)
			}
			if err := times.Recall(j.Tail); err != nil {
				t.Fatal(err)
			}
			for n := range 6 {
				appended(t, j, (&moment{p}).badge(n))
			}
			j.Ack(j.End())
			p.pass(time.Minute)
			p.learn(true)
			running, stop := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); _ = times.Run(running) }()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			stop()
			<-done
			for _, e := range all(t, j, 0) {
				if age := p.now.Sub(p.happened(e.At)); age > keep+time.Hour {
					t.Fatalf("in boot %d a %s is %v old", boot+1, e.Kind, age)
				}
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			p.pass(p.starts[p.boot].Add(day).Sub(p.now))
		}
	})
	whole(t, path)
}
