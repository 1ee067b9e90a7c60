package main

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// takeover is within what time another recorder works when the one that led is gone: 5 s,
// and more on a machine that has so much else to do that a query takes seconds.
func (c *city) takeover() time.Duration {
	begun := time.Now()
	c.query(`select 1`) // 20 ms where nothing else runs
	return 5*time.Second + 20*time.Since(begun)
}

// TestTwoRecorders runs two recorders: one works, and when it is killed the other one
// takes over, under load.
func TestTwoRecorders(t *testing.T) {
	c := newCity(t)
	first := c.record()
	second := c.start()
	c.await("the second to stand by", func() (string, bool) {
		s, status := second.state()
		return fmt.Sprintf("%d %+v", status, s), s.StandingBy && status == 200
	})
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
	c.await("the third to stand by", func() (string, bool) { s, _ := third.state(); return fmt.Sprintf("%+v", s), s.StandingBy })
	second.signal(syscall.SIGTERM)
	stopped := time.Now()
	<-second.done
	if took := time.Since(stopped); took > c.takeover() || second.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("SIGTERM: it ended after %s with %s", took, second.cmd.ProcessState)
	}
	c.await("the third to work", third.works)
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
	c.await("the second to stand by", func() (string, bool) { s, _ := second.state(); return fmt.Sprintf("%+v", s), s.StandingBy })
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
	c.await("the first to stand by", func() (string, bool) { s, _ := first.state(); return fmt.Sprintf("%+v", s), s.StandingBy })
	load.Wait() // it has checked each receipt, and that each event is there once
	if _, works := second.works(); !works {
		t.Error("the second recorder lost the lead to the one that woke")
	}
	if n := strings.Count(second.text(), "the session is up"); n != 1 {
		t.Errorf("the second recorder connected %d times: somebody threw it off", n)
	}
	// No receipt says more than the database has.
	for i := range 10 {
		for _, r := range c.receipts(stream{"dinkes", fmt.Sprintf("gw-%d", i), ""}, watch.Messages()) {
			t.Errorf("a receipt for no stream: %+v", r)
		}
	}
}
