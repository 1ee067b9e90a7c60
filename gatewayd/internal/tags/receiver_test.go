package tags_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/beacon"
	"presence/drivers/beacon/beacontest"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

// port is a serial port that can be unplugged.
type port struct {
	mu     sync.Mutex
	gone   bool
	opened int
	line   *io.PipeWriter
}

func (p *port) open(context.Context) (io.ReadCloser, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened++
	if p.gone {
		return nil, fmt.Errorf("open /dev/ttyUSB0: %w", fs.ErrNotExist)
	}
	r, w := io.Pipe()
	p.line = w
	return r, nil
}

func (p *port) send(t *testing.T, s string) {
	t.Helper()
	p.mu.Lock()
	line := p.line
	p.mu.Unlock()
	if _, err := io.WriteString(line, s); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func (p *port) plug(in bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = !in
	if p.gone {
		_ = p.line.CloseWithError(errors.New("the device is gone"))
	}
}

// shelf keeps drafts from several goroutines.
type shelf struct {
	mu     sync.Mutex
	drafts []presence.Draft
}

func (s *shelf) Enqueue(_ context.Context, d presence.Draft) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drafts = append(s.drafts, d)
	return nil
}

func (s *shelf) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.drafts)
}

// today is the time of a bubble, moved to a year that a GPS receiver believes.
func today() time.Time { return time.Now().AddDate(26, 10, 0) }

// listen runs receivers of Kenwood tags inside a synctest bubble.
func listen(t *testing.T, test func(t *testing.T, r *tags.Tags, kept *shelf, ports map[string]*port)) {
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		kept := &shelf{}
		ports := map[string]*port{"yard": {}, "roof": {}}
		r := tags.New(tags.Options{
			Always: func() bool { return true }, Coordinates: tags.Full, Journal: kept, Log: slog.New(slog.DiscardHandler),
			Now: func() presence.Reading {
				return presence.Reading{Boottime: time.Minute + time.Since(started), Wall: today().UnixNano(), State: presence.ClockSynced}
			},
			Timing: func(r presence.Reading) presence.Timing {
				return presence.Timing{Quality: presence.QualitySynced, Time: r.WallTime()}
			},
		}, "yard", "roof")
		ctx, cancel := context.WithCancel(t.Context())
		var tasks sync.WaitGroup
		for name, p := range ports {
			tasks.Go(func() {
				err := r.Run(ctx, tags.Receiver{Name: name, Protocol: beacon.Kenwood, Open: p.open})
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%s ended: %v", name, err)
				}
			})
		}
		synctest.Wait()
		test(t, r, kept, ports)
		cancel()
		tasks.Wait() // a read that waits for a tag ends, too
	})
}

func health(r *tags.Tags, name string) presence.ReceiverHealth {
	for _, h := range r.Health() {
		if h.Name == name {
			return h
		}
	}
	return presence.ReceiverHealth{}
}

func TestTwoReceiversHearTheSameTags(t *testing.T) {
	listen(t, func(t *testing.T, r *tags.Tags, kept *shelf, ports map[string]*port) {
		var senders sync.WaitGroup
		var text strings.Builder
		for unit := range 200 {
			text.WriteString(beacontest.PKNDS(unit, officeLat, officeLon, today()))
		}
		text.WriteString("$PKNDS,noise*00\r\n")
		for _, p := range ports {
			senders.Go(func() { _, _ = io.WriteString(p.line, text.String()) })
		}
		senders.Wait()
		synctest.Wait()
		yard, roof := health(r, "yard"), health(r, "roof")
		if kept.count() != 200 || yard.Duplicates+roof.Duplicates != 200 {
			t.Errorf("%d recorded, %d and %d duplicates", kept.count(), yard.Duplicates, roof.Duplicates)
		}
		if yard.Frames != 200 || yard.Bad["checksum"] != 1 || yard.State != "ok" || yard.LastS == nil || *yard.LastS != 0 {
			t.Errorf("health %+v", yard)
		}
	})
}

func TestReceiverIsGoneAndComesBack(t *testing.T) {
	listen(t, func(t *testing.T, r *tags.Tags, kept *shelf, ports map[string]*port) {
		yard := ports["yard"]
		if h := health(r, "yard"); h.State != "silent" || h.LastS != nil {
			t.Errorf("before the first tag: %+v", h)
		}
		yard.send(t, beacontest.PKNDS(1, officeLat, officeLon, today()))
		yard.plug(false)
		time.Sleep(time.Hour)
		if h := health(r, "yard"); h.State != "gone" || !strings.Contains(h.Error, "ttyUSB0") || *h.LastS != 3600 {
			t.Errorf("unplugged: %+v", h)
		}
		if h := health(r, "roof"); h.State == "gone" {
			t.Errorf("the other one: %+v", h)
		}
		if yard.opened < 300 || yard.opened > 1000 {
			t.Errorf("tried %d times in an hour", yard.opened)
		}
		yard.plug(true)
		time.Sleep(10 * time.Second)
		yard.send(t, beacontest.PKNDS(2, officeLat, officeLon, today()))
		if h := health(r, "yard"); h.State != "ok" || h.Error != "" || kept.count() != 2 {
			t.Errorf("plugged in again: %+v, %d recorded", h, kept.count())
		}
		time.Sleep(6 * time.Minute)
		if h := health(r, "yard"); h.State != "silent" || *h.LastS != 360 {
			t.Errorf("quiet: %+v", h)
		}
	})
}

// A port that opens well and ends at once must not be a busy loop.
func TestReceiverThatDiesAtOnceDoesNotSpin(t *testing.T) {
	listen(t, func(t *testing.T, r *tags.Tags, _ *shelf, _ map[string]*port) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		opened := 0
		err := r.Run(ctx, tags.Receiver{Name: "yard", Protocol: beacon.Kenwood, Open: func(context.Context) (io.ReadCloser, error) {
			opened++
			return io.NopCloser(strings.NewReader("garbage")), nil
		}})
		if !errors.Is(err, context.DeadlineExceeded) || opened > 1000 {
			t.Errorf("opened %d times in an hour, %v", opened, err)
		}
	})
}

// What is held back until the time is known does not wait for the next tag.
func TestReleaseNeedsNoFurtherFix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		kept := &shelf{}
		var mu sync.Mutex
		state := presence.ClockUnsynced
		r := tags.New(tags.Options{
			Always: func() bool { return false }, Open: func(time.Time) bool { return true }, Coordinates: tags.Full, Journal: kept, Log: slog.New(slog.DiscardHandler),
			Now: func() presence.Reading {
				mu.Lock()
				defer mu.Unlock()
				return presence.Reading{Boottime: time.Since(started), Wall: today().UnixNano(), State: state}
			},
			Timing: func(presence.Reading) presence.Timing {
				mu.Lock()
				defer mu.Unlock()
				if state == presence.ClockUnsynced {
					return presence.Timing{}
				}
				return presence.Timing{Time: today()}
			},
		}, "yard")
		ctx, cancel := context.WithCancel(t.Context())
		var tasks sync.WaitGroup
		tasks.Go(func() { _ = r.Release(ctx) })
		if err := r.Receive(ctx, "yard", beacon.Fix{Tag: "kenwood:U00001"}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if kept.count() != 0 {
			t.Error("recorded, though nobody knows the time")
		}
		mu.Lock()
		state = presence.ClockSynced
		mu.Unlock()
		time.Sleep(2 * time.Second)
		if kept.count() != 1 {
			t.Error("still held back")
		}
		cancel()
		tasks.Wait()
	})
}

// A waypoint with the checksum of a known firmware is taken, and counted; its
// port is given back once.
func TestOddChecksumIsCountedThoughAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := open(tuesday, tags.Options{})
		line, w := io.Pipe()
		given := &givenBack{ReadCloser: line}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- y.Run(ctx, tags.Receiver{Name: "yard", Protocol: beacon.Waypoint, Open: func(context.Context) (io.ReadCloser, error) { return given, nil }})
		}()
		text := beacontest.WPL("BUDI", officeLat, officeLon)
		body := text[1:strings.IndexByte(text, '*')]
		if _, err := fmt.Fprintf(w, "$%s*%02X\r\n", body, beacontest.Checksum(body)^0x2E); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if h := y.Health()[0]; len(y.drafts) != 1 || h.Bad[string(beacon.OddChecksum)] != 1 || h.Frames != 1 {
			t.Errorf("%d records, health %+v", len(y.drafts), h)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
		if given.times != 1 {
			t.Errorf("closed %d times", given.times)
		}
	})
}

type givenBack struct {
	io.ReadCloser
	times int
}

func (g *givenBack) Close() error {
	g.times++
	return g.ReadCloser.Close()
}
