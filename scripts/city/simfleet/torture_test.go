package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"presence/scripts/brokertest"
	"presence/scripts/city/internal/lightfleet"
)

// torture is what makes a run of the tests that kill: CITY_KILLS says how often each
// victim is killed (default 2), CITY_SEED repeats the choices of a run, though not its
// timing. `make city-torture` kills 20 times.
type torture struct {
	kills  int
	seed   uint64
	random *rand.Rand
}

func newTorture(t *testing.T) *torture {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes a quarter of a minute")
	}
	w := &torture{kills: setting(t, "CITY_KILLS", 2), seed: uint64(time.Now().UnixNano())}
	if text := os.Getenv("CITY_SEED"); text != "" {
		var err error
		if w.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CITY_SEED: %v", err)
		}
	}
	w.random = rand.New(rand.NewPCG(w.seed, 0))
	return w
}

// upTo is a time between nothing and a bound.
func (w *torture) upTo(most time.Duration) <-chan time.Time {
	return time.After(time.Duration(w.random.Int64N(int64(most))))
}

// asTheKit is how the city's kit configures mosquitto.
func asTheKit(t *testing.T) []string {
	return []string{"allow_anonymous true", "persistence true", "persistence_location " + t.TempDir() + "/", "autosave_interval 60"}
}

// impatient has gateways wait seconds for a receipt where they wait minutes in earnest, so
// that a run with many kills ends.
func impatient(o *lightfleet.Options) {
	o.Gateway.Receipt, o.Gateway.ReceiptMax = time.Second, 8*time.Second
	o.Gateway.RetryMin, o.Gateway.RetryMax = 200*time.Millisecond, 2*time.Second
}

// tormented has a fleet live while something is killed again and again, and proves at the
// end that each event is in the table once. It returns the line that says so.
func (w *torture) tormented(t *testing.T, c *theCity, victim string, kill func(fleet *lightfleet.Fleet), change ...func(*lightfleet.Options)) {
	t.Helper()
	fleet := c.newFleet(20, append(change, impatient)...)
	fleet.Record(100)
	fleet.Start(t.Context(), 0)
	ctx, stop := context.WithCancel(t.Context())
	var living sync.WaitGroup
	living.Go(func() { fleet.Live(ctx, lightfleet.Peak().Faster(20)) })
	for range w.kills {
		<-w.upTo(2 * time.Second)
		kill(fleet)
	}
	stop()
	living.Wait()
	c.awaitConfirmed(fleet, 3*time.Minute)
	has := c.prove(fleet)
	made := fleet.Totals()
	fmt.Printf("city-torture: seed=%d victim=%q kills=%d made=%d rows=%d missing=%d doubled=%d sent=%d connects=%d failed=%t\n",
		w.seed, victim, w.kills, made.Events, has.events, made.Events-has.distinct, has.events-has.distinct, made.Published, made.Connects, t.Failed())
}

// The recorder is killed while events come: what it had stored and not confirmed comes
// again, and is stored once.
func TestKilledRecorder(t *testing.T) {
	t.Parallel()
	w := newTorture(t)
	c := newCity(t)
	w.tormented(t, c, "recorder", func(*lightfleet.Fleet) {
		c.killRecorder()
		<-w.upTo(time.Second)
		c.startRecorder()
	})
}

// PostgreSQL is killed while events come: no receipt is sent meanwhile, and the recorder
// finds it again by itself.
func TestKilledPostgreSQL(t *testing.T) {
	t.Parallel()
	w := newTorture(t)
	c := newCity(t)
	w.tormented(t, c, "PostgreSQL", func(*lightfleet.Fleet) {
		c.db.Kill()
		<-w.upTo(time.Second)
		c.db.Restart()
	})
}

// The broker is killed while events come, and forgets what it has acknowledged: all that
// is not confirmed comes again.
func TestKilledBroker(t *testing.T) {
	t.Parallel()
	w := newTorture(t)
	c := newCity(t, brokertest.Start(t, asTheKit(t)...))
	w.tormented(t, c, "mosquitto", func(*lightfleet.Fleet) {
		c.brokers[0].Kill()
		<-w.upTo(time.Second)
		c.brokers[0].Restart()
	})
}

// A fifth of the gateways is killed while they record and send: each begins a new stream,
// and sends what the streams before lack.
func TestKilledGateways(t *testing.T) {
	t.Parallel()
	w := newTorture(t)
	c := newCity(t)
	w.tormented(t, c, "a fifth of the gateways", func(fleet *lightfleet.Fleet) {
		for _, n := range w.random.Perm(fleet.Len())[:fleet.Len()/5] {
			if err := fleet.Kill(t.Context(), n); err != nil {
				t.Error(err)
			}
		}
	})
}

// Everything is killed in turn: recorder, PostgreSQL and broker at once, and gateways.
func TestKilledTogether(t *testing.T) {
	t.Parallel()
	w := newTorture(t)
	c := newCity(t, brokertest.Start(t, asTheKit(t)...))
	w.tormented(t, c, "recorder, PostgreSQL, mosquitto and a gateway at once", func(fleet *lightfleet.Fleet) {
		c.killRecorder()
		c.brokers[0].Kill()
		c.db.Kill()
		if err := fleet.Kill(t.Context(), w.random.IntN(fleet.Len())); err != nil {
			t.Error(err)
		}
		back := []func(){c.startRecorder, c.brokers[0].Restart, c.db.Restart}
		for _, n := range w.random.Perm(len(back)) {
			<-w.upTo(500 * time.Millisecond)
			back[n]()
		}
	})
}

// Of two brokers under one name one is killed for good while events come: all gateways go
// on over the other one, and nothing is lost or stored twice.
func TestOneBrokerOfTwoIsGoneForGood(t *testing.T) {
	t.Parallel()
	w := newTorture(t)
	w.kills = 1
	c := newCity(t, brokertest.Start(t, asTheKit(t)...), brokertest.Start(t, asTheKit(t)...))
	w.tormented(t, c, "one mosquitto of two, for good", func(*lightfleet.Fleet) { c.brokers[w.random.IntN(2)].Kill() })
}

// What receipts are for: without them a gateway believes the broker. Where that is killed
// while no recorder is there, what it had acknowledged is lost, and nobody notices but
// the city. With receipts all of it comes again.
func TestWithoutReceiptsABrokerLoses(t *testing.T) {
	t.Parallel()
	w := newTorture(t)
	for _, receipts := range []bool{false, true} {
		t.Run(fmt.Sprintf("receipts=%t", receipts), func(t *testing.T) {
			t.Parallel()
			c := newCity(t, brokertest.Start(t, asTheKit(t)...))
			fleet := c.newFleet(20, impatient, func(o *lightfleet.Options) { o.Gateway.Receipts = receipts })
			fleet.Start(t.Context(), 0)
			c.awaitConfirmed(fleet, wait) // all have said that they are there
			c.killRecorder()
			fleet.Record(250)
			c.await("PUBACKs of all events", func() (string, bool) {
				made := fleet.Totals()
				return fmt.Sprint(made.Acked), made.Acked >= made.Events
			})
			c.brokers[0].Kill()
			c.brokers[0].Restart()
			before := c.sessions()
			c.startRecorder()
			c.awaitSessions(before + 1)
			c.awaitConfirmed(fleet, wait)
			if !receipts {
				// The gateways have nothing more to send. What is at the broker is stored by
				// the time that one more event of each is.
				for n := range fleet.Len() {
					fleet.Gateway(n).Tap(time.Now(), "04A1B2C3D4E5F6", false)
				}
				c.await("the last taps", func() (string, bool) {
					n := c.number("select count(*) from presence.event where badge = '04A1B2C3D4E5F6'")
					return fmt.Sprint(n), n == int64(fleet.Len())
				})
			}
			made, has := fleet.Totals(), c.count()
			lost := made.Events - has.distinct
			fmt.Printf("city-torture: seed=%d victim=%q receipts=%t made=%d rows=%d lost=%d holes=%d\n",
				w.seed, "mosquitto, while the recorder is away", receipts, made.Events, has.events, lost, has.holes)
			if receipts && (lost != 0 || has.holes != 0) {
				t.Errorf("with receipts %d events are lost", lost)
			}
			if !receipts && lost == 0 {
				t.Error("without receipts nothing is lost: then the page about brokers is wrong")
			}
			if !receipts && has.holes != lost {
				t.Errorf("%d events are lost, and the database sees %d missing", lost, has.holes)
			}
		})
	}
}
