package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"presence/scripts/city/internal/realfleet"
)

// The morning goes from before the day begins until shortly after.
const (
	firstComes = -24 * time.Second // before the day begins
	lastComes  = 18 * time.Second  // after it
)

// plan decides when everybody comes: most in time, ten late, and one person's tag
// is at home.
func (t *town) plan() {
	for i, o := range t.offices {
		for k, p := range o.people {
			late := (i*peopleEach+k)%24 == 7
			from, to := firstComes, -time.Second
			if late {
				from, to = time.Second, lastComes
			}
			p.comes = t.opens.Add(from + time.Duration(t.random.Int64N(int64(to-from))))
		}
	}
	t.offices[0].people[2].atHome = true
}

// dark is the office whose gateway loses its power.
func (t *town) dark() *office { return t.offices[len(t.offices)-1] }

// live has the morning happen. Say tells what happens. It returns an error where something
// failed that the demo does not break on purpose.
func (t *town) live(ctx context.Context, m *machine, say func(format string, a ...any)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed firstError
	var people, radios sync.WaitGroup
	var power sync.RWMutex // held for writing while the dark office has none
	for _, o := range t.offices {
		people.Go(func() { failed.note(t.arrivals(ctx, o, &power)) })
		radios.Go(func() { failed.note(o.beacons(ctx)) })
	}
	people.Go(func() { failed.note(t.faults(ctx, m, &power, say)) })
	people.Wait()
	cancel()
	radios.Wait()
	return failed.err
}

// firstError keeps the first error that somebody met.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil && !errors.Is(err, context.Canceled) {
		f.err = err
	}
}

// sleepUntil waits for an instant, or returns why it did not.
func sleepUntil(ctx context.Context, at time.Time) error {
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// arrivals has an office's people hold their badges to the reader, each when they come. At
// a door without power they wait, as no lamp answers.
func (t *town) arrivals(ctx context.Context, o *office, power *sync.RWMutex) error {
	var all sync.WaitGroup
	var failed firstError
	for _, p := range o.people {
		all.Go(func() {
			if err := sleepUntil(ctx, p.comes); err != nil {
				return
			}
			if o == t.dark() {
				power.RLock()
				defer power.RUnlock()
			}
			answers, err := o.door.Tap(ctx, p.badge, 1)
			switch {
			case err != nil:
				failed.note(err)
			case answers[0].Outcome != "accepted":
				failed.note(fmt.Errorf("the door of %s answers %s %s", o.gateway, answers[0].Outcome, answers[0].Reason))
			default:
				p.came = fmt.Sprintf("%s-%d", answers[0].Stream, answers[0].Seq)
			}
		})
	}
	all.Wait()
	return failed.err
}

// beacons has an office's tags report where they are, every five seconds.
func (o *office) beacons(ctx context.Context) error {
	const home = 0.02 // degrees: some two kilometres away
	for tick := time.NewTicker(5 * time.Second); ; {
		now := time.Now()
		for _, p := range o.people {
			if p.unit == 0 {
				continue
			}
			r := realfleet.Report{Fleet: o.fleet, Unit: p.unit, Lat: o.lat, Lon: o.lon, At: now}
			if p.atHome {
				r.Lat += home
			}
			if err := o.door.Hear(r); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return nil
		}
	}
}

// faults is what goes wrong on this morning: the recorder is killed, the broker is away for
// a while, and one gateway loses its power.
func (t *town) faults(ctx context.Context, m *machine, power *sync.RWMutex, say func(string, ...any)) error {
	door := t.dark().door
	steps := []struct {
		at time.Duration // from when the day begins
		do func() error
	}{
		{-18 * time.Second, func() error {
			say("the recorder is killed in the middle of its work, and starts again")
			m.recorder.end(syscall.SIGKILL)
			return m.recorder.start()
		}},
		{-12 * time.Second, func() error {
			say("the broker is stopped: gateways keep what they record")
			m.broker.end(syscall.SIGTERM)
			return nil
		}},
		{-6 * time.Second, func() error {
			say("the broker is back: gateways send what has waited")
			return m.restartBroker(ctx)
		}},
		{-4 * time.Second, func() error {
			say("%s loses its power: its door stays dark", t.dark().gateway)
			power.Lock()
			return door.Kill()
		}},
		{0, func() error {
			say("the working day begins")
			return nil
		}},
		{9 * time.Second, func() error {
			defer power.Unlock()
			if err := door.Start(ctx); err != nil {
				return err
			}
			say("%s has power again: who stood at its door can come in", t.dark().gateway)
			return nil
		}},
	}
	for _, s := range steps {
		if err := sleepUntil(ctx, t.opens.Add(s.at)); err != nil {
			return err
		}
		if err := s.do(); err != nil {
			return err
		}
	}
	return nil
}

// settled is for how long nothing new may have been recorded: tags that were heard wait a
// second for the disk.
const settled = 3 * time.Second

// awaitConfirmed waits until the city has confirmed everything that every gateway has
// recorded, and returns how many events that are.
func (t *town) awaitConfirmed(ctx context.Context) (events int64, err error) {
	var since time.Time // when the number of events was another one
	for {
		var waiting, recorded int64
		for _, o := range t.offices {
			h, err := o.door.Health(ctx)
			if err != nil {
				return 0, err
			}
			waiting += h.Journal.Pending
			recorded += h.Journal.Events
		}
		if recorded != events || waiting > 0 {
			events, since = recorded, time.Now()
		}
		if time.Since(since) > settled {
			return events, nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return events, fmt.Errorf("%d events of %d are not confirmed", waiting, events)
		}
	}
}
