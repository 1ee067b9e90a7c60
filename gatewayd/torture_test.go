package main_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"presence/scripts/brokertest"
)

// TestTorture kills a real gatewayd again and again while people tap and tags
// beacon at full rate, stops and starts its broker, cuts its serial line and has
// the city go away. At the end it compares what went green and what the journal
// holds with what the city has, has the chain of that audited, and prints one line.
//
// TORTURE_FOR says for how long (default 30s). TORTURE_SEED repeats the choices
// of a run, though not its timing; an odd seed has the city confirm by receipts,
// an even one leaves that to PUBACKs. Every other life of the gateway sends batches.
// `make torture` runs it for five minutes.
func TestTorture(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	length := 30 * time.Second
	if text := os.Getenv("TORTURE_FOR"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TORTURE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	newTorture(t, seed).run(length)
}

const (
	// tortureWindow is the gateway's repeat window: a card that is shown again
	// within it must not become a second event.
	tortureWindow = 30 * time.Second

	// tortureAgain is for how long after its first tap a card is shown again.
	// What is left of the window is for the answer to come.
	tortureAgain = 15 * time.Second
)

type torture struct {
	t        *testing.T
	seed     uint64
	receipts bool
	rand     *rand.Rand // of the one who kills
	broker   *brokertest.Broker
	up       bool // the broker is
	city     *tortureCity
	g        *gateway
	text     string // of its configuration, without batches
	lives    int
	link     string // the serial port's stable name
	radio    atomic.Pointer[os.File]
	lines    atomic.Int64 // of tags, begun to be written
	faults   *faults
	audit    *auditor
	verdict  string // of the audit, on what the city got

	kills, restarts, cuts, absences int
	compared                        bool

	mu      sync.Mutex
	cards   map[string]*tortureCard // by UID: all that were ever shown
	green   int
	repeats int // answers that named an earlier event
	silent  int // taps whose answer was lost in a kill
	refused int
}

// tortureCard is a card that was shown at the door.
type tortureCard struct {
	first time.Time // just before the first tap
	taps  int
	id    string // of its event, as the door said; "" until it did
	loose bool   // it was accepted when the window may have passed: there may be two
}

func newTorture(t *testing.T, seed uint64) *torture {
	w := &torture{
		t: t, seed: seed, receipts: seed%2 == 1, rand: rand.New(rand.NewPCG(seed, 0)), up: true,
		link:   filepath.Join(t.TempDir(), "tty"),
		faults: &faults{t: t},
		audit:  newAuditor(t),
		cards:  make(map[string]*tortureCard),
	}
	if w.receipts {
		w.broker = brokertest.Start(t)
	} else {
		// Without receipts it is the broker who answers for an event after its
		// PUBACK, so this one keeps its word over a restart.
		w.broker = brokertest.Start(t, "allow_anonymous true", "persistence true", "persistence_location "+t.TempDir()+"/")
	}
	w.plug()
	w.city = newTortureCity(w)
	w.g = newGateway(t, w.broker.URL(), fmt.Sprintf("receipts = %t\n", w.receipts)+everyTag+receiver(w.link))
	w.audit.seal(w.g, "dinkes-01")
	// Plain UIDs, so that an event tells its tap.
	plain := fmt.Sprintf("plain_uid = true\nrepeat_window = %q", tortureWindow)
	w.text = strings.Replace(w.g.text(), `key_file = "badge.key"`, plain, 1)
	return w
}

// configure has every other life of the gateway send batches.
func (w *torture) configure() {
	if w.lives++; w.lives%2 == 0 {
		w.g.configure(w.text)
		return
	}
	w.g.configure(strings.Replace(w.text, "receipts = ", "batch = \"zstd\"\nbatch_wait = \"200ms\"\nreceipts = ", 1))
}

func (w *torture) run(length time.Duration) {
	defer w.conclude()
	w.torment(length)
	// What the old line still holds is not heard any more: from now on the
	// journal ends with the start of the last life.
	w.plug()
	if !w.up {
		w.toggleBroker()
	}
	w.city.here(true)
	w.city.awaitSubscribed()
	w.configure()
	w.g.start()
	// What the city did not receive is sent again a minute after its PUBACK.
	w.waitFor(3*time.Minute, func() bool { return w.g.health().Journal.Pending == 0 })
	w.g.stop()
	if out, code := w.g.try("verify"); code != 0 {
		w.t.Errorf("verify: exit %d\n%s", code, out)
	}
	j := w.readJournal()
	w.waitFor(brokertest.Wait, func() bool { return w.city.hasAll(j) })
	w.compare(j)
	w.checkChain()
}

// waitFor polls for what should come. What does not is found by comparing.
func (w *torture) waitFor(bound time.Duration, ok func() bool) {
	for deadline := time.Now().Add(bound); !ok() && time.Now().Before(deadline); {
		<-time.After(50 * time.Millisecond)
	}
}

// torment kills for a while; when it returns nobody taps, beacons or runs.
func (w *torture) torment(length time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	var crowd sync.WaitGroup
	defer func() {
		w.g.kill()
		cancel()
		_ = w.radio.Load().SetWriteDeadline(time.Now()) // it may wait for a reader
		crowd.Wait()
	}()
	for worker := range 4 {
		crowd.Go(func() { w.tap(ctx, worker) })
	}
	crowd.Go(func() { w.beacon(ctx) })

	upTo := func(most time.Duration) <-chan time.Time {
		return time.After(time.Duration(w.rand.Int64N(int64(most))))
	}
	for end := time.Now().Add(length); time.Now().Before(end); {
		w.configure()
		w.g.launch()
		// The shortest lives end before the daemon is ready.
		<-upTo(1200 * time.Millisecond)
		switch chance := w.rand.IntN(10); {
		case chance < 2, !w.up && chance < 4:
			w.toggleBroker()
		case chance == 8:
			w.plug()
			w.cuts++
		case chance == 9, !w.city.present && chance >= 6:
			w.city.here(!w.city.present)
			if w.city.present {
				w.absences++
			}
		}
		<-upTo(300 * time.Millisecond)
		select {
		case err := <-w.g.done:
			w.g.done <- err // for who waits for its end
			w.t.Fatalf("gatewayd ended by itself: %v\n%s", err, w.g.log)
		default:
		}
		w.g.kill()
		w.kills++
	}
}

func (w *torture) toggleBroker() {
	w.up = !w.up
	switch {
	case w.up:
		w.broker.Restart()
		w.restarts++
	case w.receipts && w.rand.IntN(2) == 0:
		w.broker.Kill() // all that it had not passed on is gone
	default:
		w.broker.Stop()
	}
}
