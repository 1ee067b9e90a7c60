package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"presence/scripts/brokertest"
)

// takeover is within what time another recorder works when the one that led is gone: 5 s
// where nothing else runs, which the tests log. They fail at twice that, and later on a
// machine that has so much else to do that a query takes seconds.
func (c *city) takeover() time.Duration {
	begun := time.Now()
	c.query(`select 1`) // 20 ms where nothing else runs
	return 10*time.Second + 20*time.Since(begun)
}

// TestTwoRecorders runs two recorders: one works, and when it is killed the other one
// takes over, under load.
func TestTwoRecorders(t *testing.T) {
	c := newCity(t)
	first := c.record()
	second := c.start()
	c.await("the second to stand by", second.standsBy)
	var load sync.WaitGroup
	load.Go(func() { c.load(10, 1000, 2*time.Minute) })
	c.awaitStored(1000)
	first.kill()
	killed := time.Now()
	c.await("the second to work", second.works)
	took := time.Since(killed)
	t.Logf("the second recorder took over after %s", took)
	if took > c.takeover() {
		t.Errorf("the second recorder took over after %s", took)
	}
	load.Wait()
	// One that is stopped gives the lead up at once.
	third := c.start()
	c.await("the third to stand by", third.standsBy)
	second.signal(syscall.SIGTERM)
	stopped := time.Now()
	<-second.done
	if took := time.Since(stopped); took > c.takeover() || second.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("SIGTERM: it ended after %s with %s", took, second.cmd.ProcessState)
	}
	c.await("the third to work", third.works)
}

// standsBy reports whether another recorder leads, and this one says that all is well.
func (p *program) standsBy() (string, bool) {
	s, status := p.state()
	return fmt.Sprintf("%d %+v", status, s), s.StandingBy && status == 200
}

// awaitStored waits until more than so many events are stored.
func (c *city) awaitStored(events int) {
	c.t.Helper()
	c.await("events in the database", func() (string, bool) {
		got := c.query(fmt.Sprintf(`select count(*) > %d from presence.event`, events))
		return got, got == "t"
	})
}

// TestFrozenRecorder freezes the recorder that leads in the middle of its work, and wakes
// it when another one has taken over. What it does then must be nothing: no event is
// stored twice, nothing is receipted that is not stored, and the other one keeps its
// sessions and goes on.
func TestFrozenRecorder(t *testing.T) {
	c := newCity(t)
	first := c.record()
	second := c.start()
	c.await("the second to stand by", second.standsBy)
	watch := c.brokers[0].Subscribe("presence/v1/+/+/receipt")
	var load sync.WaitGroup
	load.Go(func() { c.load(10, 1500, 2*time.Minute) })
	c.awaitStored(1000)

	first.signal(syscall.SIGSTOP)
	frozen := time.Now()
	c.await("the second to work", second.works)
	took := time.Since(frozen)
	t.Logf("the second recorder took over after %s", took)
	if took > c.takeover() {
		t.Errorf("the second recorder took over after %s", took)
	}
	c.awaitStored(3000)
	first.signal(syscall.SIGCONT)
	c.await("the first to stand by", first.standsBy)
	done := make(chan struct{})
	go func() {
		defer close(done)
		load.Wait() // it has seen to it that each event is there once
	}()
	checked := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(20 * time.Millisecond):
		}
		messages := watch.Messages()
		c.receiptsAreTrue(messages[checked:])
		checked = len(messages)
	}
	if checked == 0 {
		t.Error("no receipt came")
	}
	if _, works := second.works(); !works {
		t.Error("the second recorder lost the lead to the one that woke")
	}
	if n := strings.Count(second.log.String(), "the session is up"); n != 1 {
		t.Errorf("the second recorder connected %d times: somebody threw it off", n)
	}
}

// receiptsAreTrue sees to it that no receipt says more than the database has. It is asked
// after they came, so the sooner the better.
func (c *city) receiptsAreTrue(messages []brokertest.Message) {
	c.t.Helper()
	stored := make(map[string]int64)
	for line := range strings.Lines(c.query(`select stream, upper(have) - 1 from presence.stream where begun and have @> 1::bigint`)) {
		var stream string
		var upto int64
		if _, err := fmt.Sscan(line, &stream, &upto); err != nil {
			c.t.Fatalf("%v: %q", err, line)
		}
		stored[stream] = upto
	}
	for _, m := range messages {
		var r receipt
		if err := json.Unmarshal(m.Payload, &r); err != nil || r.Stream == "" {
			c.t.Errorf("a receipt for no stream: %s", m.Payload)
		}
		if r.Upto > stored[r.Stream] {
			c.t.Errorf("a receipt says %d of stream %s, of which %d are stored", r.Upto, r.Stream, stored[r.Stream])
		}
	}
}
