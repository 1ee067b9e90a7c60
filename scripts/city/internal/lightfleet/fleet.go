package lightfleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"presence/scripts/city/internal/lightgateway"
)

// perDinas is how many gateways belong to a department.
const perDinas = 20

// Options is what a fleet is made of.
type Options struct {
	// Gateway is what all gateways have in common. Their names are the fleet's.
	Gateway  lightgateway.Options
	Prefix   string // of the gateways' names; "sim" if it is empty
	Gateways int
	Seed     uint64 // of all that is left to chance
	// Configure, if set, changes the options of one gateway, such as its certificate.
	Configure func(*lightgateway.Options) error
}

// Fleet is a number of light gateways. Its methods may be called from any goroutine.
type Fleet struct {
	opt     Options
	members []*member
	tasks   sync.WaitGroup
}

// member is one gateway, with its process where it runs.
type member struct {
	office *office

	mu   sync.Mutex
	stop context.CancelCauseFunc // nil while it does not run
	done chan struct{}
}

// New makes the gateways. None of them runs yet.
func New(opt Options) (*Fleet, error) {
	if opt.Prefix == "" {
		opt.Prefix = "sim"
	}
	f := &Fleet{opt: opt}
	for n := range opt.Gateways {
		o := opt.Gateway
		o.Dinas = fmt.Sprintf("%s-dinas-%03d", opt.Prefix, n/perDinas+1)
		o.Gateway = fmt.Sprintf("%s-%04d", opt.Prefix, n+1)
		if opt.Configure != nil {
			if err := opt.Configure(&o); err != nil {
				return nil, fmt.Errorf("configure %s: %w", o.Gateway, err)
			}
		}
		g, err := lightgateway.New(o)
		if err != nil {
			return nil, fmt.Errorf("make %s: %w", o.Gateway, err)
		}
		f.members = append(f.members, &member{office: newOffice(g, n, opt.Seed)})
	}
	return f, nil
}

// Len is how many gateways there are.
func (f *Fleet) Len() int { return len(f.members) }

// Gateway is the gateway with a number from 0 on.
func (f *Fleet) Gateway(n int) *lightgateway.Gateway { return f.members[n].office.gateway }

// Record records so many events at each gateway that wait to be sent. Their latency does
// not count.
func (f *Fleet) Record(events int) {
	now := time.Now()
	for _, m := range f.members {
		m.office.backlog(events, now)
	}
}

// Start starts all gateways, evenly over a time.
func (f *Fleet) Start(ctx context.Context, ramp time.Duration) {
	began := time.Now()
	for n := range f.members {
		at := began.Add(ramp * time.Duration(n) / time.Duration(max(len(f.members), 1)))
		if wait := time.Until(at); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
		f.start(ctx, n)
	}
}

func (f *Fleet) start(ctx context.Context, n int) {
	m := f.members[n]
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stop != nil {
		return
	}
	ctx, m.stop = context.WithCancelCause(ctx)
	done := make(chan struct{})
	m.done = done
	f.tasks.Go(func() {
		defer close(done)
		_ = m.office.gateway.Run(ctx) // it ends with the context
	})
}

// Kill ends a gateway as SIGKILL does, and starts it again with a new stream.
func (f *Fleet) Kill(ctx context.Context, n int) error {
	m := f.members[n]
	m.end(lightgateway.ErrKilled)
	if err := m.office.gateway.Restart(false); err != nil {
		return err
	}
	f.start(ctx, n)
	return nil
}

// end ends a gateway for a reason.
func (m *member) end(why error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stop == nil {
		return
	}
	m.stop(why)
	<-m.done
	m.stop = nil
}

// Cut cuts the lines of a share of the gateways, chosen at random, for so long. With the
// share 1 and no time that is what a broker's restart does to a city: all come back at
// once.
func (f *Fleet) Cut(share float64, away time.Duration) {
	for _, m := range f.members {
		if rand.Float64() < share {
			m.office.gateway.Cut(away)
		}
	}
}

// Live has people come to work and tags be heard in all offices, until the context ends.
func (f *Fleet) Live(ctx context.Context, m Morning) {
	var offices sync.WaitGroup
	for _, member := range f.members {
		offices.Go(func() { member.office.live(ctx, m) })
	}
	offices.Wait()
}

// Stop says goodbye at all gateways, and waits until they have ended.
func (f *Fleet) Stop() {
	var all sync.WaitGroup
	for _, m := range f.members {
		all.Go(func() { m.end(context.Canceled) })
	}
	all.Wait()
	f.tasks.Wait()
}

// Totals is what all gateways have done.
type Totals struct {
	lightgateway.Stats
	Online     int // gateways that said so at least once
	Unfinished int // gateways with events that nobody has confirmed
	Latencies  lightgateway.Latencies
}

// Totals is what all gateways have done so far. LastUp is when the last of them came up.
func (f *Fleet) Totals() Totals {
	var t Totals
	for _, m := range f.members {
		s := m.office.gateway.Stats()
		t.Events += s.Events
		t.Pairs += s.Pairs
		t.Published += s.Published
		t.Acked += s.Acked
		t.Confirmed += s.Confirmed
		t.Connects += s.Connects
		t.Receipts += s.Receipts
		t.Refused += s.Refused
		t.Commands += s.Commands
		t.BytesSent += s.BytesSent
		t.BytesHeard += s.BytesHeard
		if !s.LastUp.IsZero() {
			t.Online++
		}
		if s.LastUp.After(t.LastUp) {
			t.LastUp = s.LastUp
		}
		if s.Waiting() > 0 {
			t.Unfinished++
		}
		if s.LastError != "" {
			t.LastError = s.LastError
		}
		m.office.gateway.AddLatencies(&t.Latencies)
	}
	return t
}

// AwaitConfirmed waits until every event is confirmed, and reports whether they are.
func (f *Fleet) AwaitConfirmed(ctx context.Context) bool {
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		if f.waiting() == 0 {
			tick.Stop()
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return false
		}
	}
}

// waiting is how many events nobody has confirmed.
func (f *Fleet) waiting() (n int64) {
	for _, m := range f.members {
		n += m.office.gateway.Stats().Waiting()
	}
	return n
}
