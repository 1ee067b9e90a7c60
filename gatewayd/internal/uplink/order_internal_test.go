package uplink

import (
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sync/semaphore"

	"presence/gatewayd/internal/presence"
)

// sleepy is a client that does not take over one of the messages in time, and goes on
// with the next one.
type sleepy struct {
	wire
	misses int // the number of that message
	calls  int
}

func (s *sleepy) Publish(topic string, qos byte, retained bool, payload any) mqtt.Token {
	if s.calls++; s.calls == s.misses {
		return &failed{}
	}
	return s.wire.Publish(topic, qos, retained, payload)
}

// failed is the token of a message that was not taken over.
type failed struct{ mqtt.DummyToken }

func (*failed) Error() error { return errors.New("publish was broken by timeout") }

// overNotebook is an uplink over a notebook with so many events of this process.
func overNotebook(events int) (*Uplink, *notebook, *knowledge) {
	n := &notebook{now: kept{revisions: make(map[uint64]presence.Revision)}, crash: func() bool { return false }, stream: streamA}
	times := &knowledge{within: make(map[presence.ID]time.Duration), wrong: make(map[presence.ID]bool), changed: make(chan struct{})}
	for seq := range uint64(events) {
		n.entries = append(n.entries, presence.Entry{Pos: seq + 1, Record: presence.Record{Stream: streamA, Seq: seq + 1, Draft: presence.Draft{
			Kind: presence.KindBadge, At: presence.Reading{Boot: presence.ID{1}}, Badge: &presence.Badge{},
		}}})
	}
	u := New(Options{
		Origin:  presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes", Location: time.UTC},
		Journal: n, Times: times, Log: slog.New(slog.DiscardHandler),
		Now: func() presence.Reading { return presence.Reading{} },
	})
	return u, n, times
}

// TestNothingIsSentAfterAnEventThatWasNotTakenOver: else the city would get that one
// after a later one of its stream.
func TestNothingIsSentAfterAnEventThatWasNotTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, n, _ := overNotebook(10)
		client := &sleepy{misses: 4}
		s := &sender{
			session:  &session{u: u, client: client, places: semaphore.NewWeighted(100), window: 100, lost: make(chan error, 1)},
			inFlight: make(chan sent, 100),
		}
		u.ledger.begin(0)
		if err := s.sendNew(t.Context(), n.entries); err == nil || !strings.Contains(err.Error(), "broken by timeout") {
			t.Errorf("the connection goes on: %v", err)
		}
		if len(client.published) != 3 {
			t.Errorf("%d events were sent", len(client.published))
		}
	})
}

// TestExportBesideTheDrainMakesNoSecondTime: an export comes to an event while the drain
// publishes it, and then the gateway learns its time. Neither may give its own time to
// the event's rev 0.
func TestExportBesideTheDrainMakesNoSecondTime(t *testing.T) {
	u, n, times := overNotebook(1)
	shown := make(chan presence.Revision, 1)
	u.revisions.deciding.Lock() // for the drain
	go func() {
		all, err := u.RevisionsOutOfTurn(t.Context(), n.entries)
		if err != nil {
			t.Error(err)
			all = []presence.Revision{{}}
		}
		shown <- all[0]
	}()
	for begun := time.Now(); !waitsForTheLock(); { // the export has begun
		if time.Since(begun) > 30*time.Second {
			t.Fatal("the export does not come to decide")
		}
		runtime.Gosched()
	}
	u.ledger.begin(0)
	rest, _, _ := u.ledger.enter(n.entries)
	sent, err := u.revisions.decide(t.Context(), rest, 0, bestKnown)
	if err != nil {
		t.Fatal(err)
	}
	times.within[presence.ID{1}] = time.Second
	u.revisions.deciding.Unlock()
	if export := <-shown; export.Timing.Rev == sent[0].Timing.Rev && !export.Timing.SameAs(sent[0].Timing) {
		t.Errorf("the city has %+v, and the export %+v", sent[0].Timing, export.Timing)
	}
}

// waitsForTheLock reports whether a goroutine waits until it may decide.
func waitsForTheLock() bool {
	buf := make([]byte, 1<<20)
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if state, stack, _ := strings.Cut(g, "\n"); strings.Contains(state, "sync.Mutex.Lock") && strings.Contains(stack, ".(*revisions).revise(") {
			return true
		}
	}
	return false
}

// slowLeaver is a client that takes its time over the DISCONNECT, as on a machine where
// much else runs, and sends none if it is not given that time.
type slowLeaver struct {
	wire
	needs time.Duration
	left  bool
}

func (s *slowLeaver) Disconnect(ms uint) {
	given := time.Duration(ms) * time.Millisecond
	time.Sleep(min(given, s.needs))
	s.left = s.needs <= given
}

// TestGoodbyeHasTimeOnABusyMachine: without the DISCONNECT the broker would publish that
// the gateway was lost, after it has said that it stops.
func TestGoodbyeHasTimeOnABusyMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, _, _ := overNotebook(0)
		client := &slowLeaver{needs: 900 * time.Millisecond}
		s := &session{u: u, client: client}
		s.goodbye()
		if !client.left {
			t.Error("no DISCONNECT was sent")
		}
	})
}
