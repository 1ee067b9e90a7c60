package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"presence/drivers/beacon/beacontest"
	"presence/scripts/brokertest"
)

// TestTortureBatches has a backlog wait, and kills the gateway and its broker with SIGKILL
// while it drains in batches: once with PUBACKs, and once with receipts. At the end it
// compares what the journal holds with what the city has, by id and rev, and prints a line
// for each of the two. BATCH_EVENTS says how long the backlog is (default 10,000), and
// BATCH_KILLS how often each of the two is killed (default 2): `make torture` has 100,000
// and 20. TORTURE_SEED repeats the choices of a run, though not its timing.
//
// What is lost is measured so that a broker's own loss is not the gateway's. A mosquitto
// that is killed forgets what it has not saved, sessions and what waits in them, and it
// saves every half hour. So without receipts the city has subscribed whenever the gateway
// can reach the broker: mosquitto writes an event to the socket of a subscriber who is
// there before it acknowledges it, and what is in a socket outlives the process that wrote
// it. Then all that was acknowledged has to be with the city, and nothing is excused. With
// receipts the city is away after some kills, and the broker forgets what it has
// acknowledged meanwhile: nothing may be lost by that either.
func TestTortureBatches(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes ten seconds")
	}
	events, kills := number(t, "BATCH_EVENTS", 10_000), number(t, "BATCH_KILLS", 2)
	seed := number(t, "TORTURE_SEED", int(time.Now().UnixNano()>>10))
	for _, receipts := range []bool{false, true} {
		t.Run(fmt.Sprintf("receipts=%t", receipts), func(t *testing.T) {
			t.Parallel()
			w := newBatchTorture(t, receipts, events, uint64(seed))
			w.run(kills)
		})
	}
}

// batchTorture is a gateway with a backlog, its line, the broker and the city.
type batchTorture struct {
	t        *testing.T
	receipts bool
	events   int // recorded before the line comes up
	seed     uint64
	rand     *rand.Rand
	broker   *brokertest.Broker
	line     *toxiproxy.Proxy
	city     *steadyCity
	g        *gateway
	audit    *auditor
	verdict  string // of the audit, on what the city got

	kills, brokerKills int
	flowing            int // kills while events were coming in
	absences           int // restarts of the broker at which the city came later than the gateway
	lost, invented     int
	compared           bool
}

// batchLineRate is what the line carries while there is killing, in KB a second: some
// 3,000 events, so that the backlog lasts until the end.
const batchLineRate = 48

func newBatchTorture(t *testing.T, receipts bool, events int, seed uint64) *batchTorture {
	w := &batchTorture{t: t, receipts: receipts, events: events, seed: seed, rand: rand.New(rand.NewPCG(seed, 1))}
	w.broker = brokertest.Start(t, "allow_anonymous true", "persistence true", "persistence_location "+t.TempDir()+"/")
	w.city = newSteadyCity(t, w.broker, receipts)
	w.audit = newAuditor(t)
	w.city.came = w.audit.add
	w.line = toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), t.Name(), "127.0.0.1:0", w.broker.Address())
	w.openLine()
	t.Cleanup(w.line.Stop)
	thin := fmt.Sprintf(`{"name":"thin","type":"bandwidth","stream":"upstream","toxicity":1,"attributes":{"rate":%d}}`, batchLineRate)
	if _, err := w.line.Toxics.AddToxicJson(strings.NewReader(thin)); err != nil {
		t.Fatal(err)
	}
	radio, port := openTTY(t)
	more := fmt.Sprintf("receipts = %t\nbatch = \"zstd\"\nbatch_wait = \"100ms\"\n", receipts) + everyTag + receiver(port)
	w.g = newGateway(t, "tcp://"+w.line.Listen, more)
	w.audit.seal(w.g, "dinkes-01")
	w.line.Stop()
	w.g.start()
	now := time.Now()
	for i := range events {
		frame := beacontest.PKLDS(100+i%50, 1000+i/50%8000, -7.9+float64(i)/1e6, 112.6, now)
		if _, err := radio.WriteString(frame); err != nil {
			t.Fatal(err)
		}
	}
	w.g.awaitFor(2*time.Minute, "the backlog", func() bool { return w.g.health().Journal.Events >= int64(events) })
	w.g.kill()
	return w
}

// openLine lets the gateway reach the broker. While the line was cut, somebody else's
// connection may have been given its port: then it is tried again for a while.
func (w *batchTorture) openLine() {
	w.t.Helper()
	err := w.line.Start()
	for deadline := time.Now().Add(brokertest.Wait); err != nil && time.Now().Before(deadline); err = w.line.Start() {
		<-time.After(100 * time.Millisecond)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// run kills both as often as is said, lets the rest arrive, and compares.
func (w *batchTorture) run(kills int) {
	defer w.conclude()
	w.city.connect()
	w.openLine()
	w.g.launch()
	for w.kills < kills || w.brokerKills < kills {
		if w.rand.IntN(4) > 0 { // else it may not even have connected
			w.awaitFlow()
		}
		before := w.city.count()
		<-time.After(time.Duration(w.rand.IntN(500)) * time.Millisecond)
		after := w.city.count()
		if after > before {
			w.flowing++
		}
		if after >= w.events {
			w.t.Fatalf("the backlog has arrived after %d kills of the gateway and %d of the broker: the line is too fast", w.kills, w.brokerKills)
		}
		w.killOne(w.kills < kills, w.brokerKills < kills)
	}
	w.finish()
	if w.city.packed < w.events/2 {
		w.t.Errorf("only %d events came in batches", w.city.packed)
	}
}

// finish widens the line, waits until all is delivered, and compares.
func (w *batchTorture) finish() {
	if err := w.line.Toxics.RemoveToxic(context.Background(), "thin"); err != nil {
		w.t.Fatal(err)
	}
	// What the city did not confirm is sent again a minute after its PUBACK.
	w.g.awaitFor(4*time.Minute, "the rest to be delivered", func() bool {
		_, code := w.g.try("status", "--json")
		return code == 0 && w.g.health().Journal.Pending == 0
	})
	w.g.stop()
	if out, code := w.g.try("verify"); code != 0 {
		w.t.Errorf("verify: exit %d\n%s", code, out)
	}
	w.compare(w.g.must("export"))
}

// TestReloadWithBatchesOnTheirWay: somebody switches batches off, and on again, while a
// backlog drains. Nothing is lost or comes as another one.
func TestReloadWithBatchesOnTheirWay(t *testing.T) {
	t.Parallel()
	w := newBatchTorture(t, false, 3000, 1)
	// A gateway that is reloaded goes on to send for a moment.
	if _, err := w.line.Toxics.UpdateToxicJson("thin", strings.NewReader(`{"attributes":{"rate":6}}`)); err != nil {
		t.Fatal(err)
	}
	w.city.connect()
	w.openLine()
	w.g.start()
	packed := func() int {
		w.city.mu.Lock()
		defer w.city.mu.Unlock()
		return w.city.packed
	}
	w.g.await("batches", func() bool { return packed() > 0 })
	zstd := w.g.text()
	reload := func(text string) {
		t.Helper()
		w.g.configure(text)
		if err := w.g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	reload(strings.Replace(zstd, `batch = "zstd"`, `batch = "off"`, 1))
	w.g.await("events that come one by one", func() bool {
		before := packed()
		count := w.city.count()
		w.awaitFlow()
		return w.city.count() > count && packed() == before
	})
	before := packed()
	reload(zstd)
	w.g.await("batches again", func() bool { return packed() > before })
	w.finish()
	if n := w.city.packed; n >= w.events+before {
		t.Errorf("%d events came in batches: was it ever off?", n)
	}
}

// awaitFlow waits until something new comes in, but not for long: after several kills of
// the broker the gateway waits longer before it tries again.
func (w *batchTorture) awaitFlow() {
	before := w.city.count()
	for deadline := time.Now().Add(4 * time.Second); w.city.count() == before && time.Now().Before(deadline); {
		<-time.After(10 * time.Millisecond)
	}
}

// killOne kills the gateway, the broker, or now and then both at once.
func (w *batchTorture) killOne(gateway, broker bool) {
	both := w.rand.IntN(8) == 0
	if gateway && broker && !both {
		gateway = w.rand.IntN(2) == 0
		broker = !gateway
	}
	if broker {
		w.broker.Kill()
		w.brokerKills++
	}
	if gateway {
		w.g.kill()
		w.kills++
	}
	if broker {
		w.bringBack()
	}
	if gateway {
		w.g.launch()
	}
}

// bringBack starts the broker again. Without receipts the gateway does not reach it before
// the city has subscribed.
func (w *batchTorture) bringBack() {
	if w.receipts && w.rand.IntN(3) == 0 {
		w.absences++
		w.broker.Restart()
		<-time.After(time.Duration(w.rand.IntN(1500)) * time.Millisecond)
		w.city.connect()
		return
	}
	w.line.Stop()
	w.broker.Restart()
	w.city.connect()
	w.openLine()
}

// compare holds what the gateway says that it recorded against what the city has.
func (w *batchTorture) compare(export string) {
	w.city.mu.Lock()
	defer w.city.mu.Unlock()
	for _, p := range w.city.problems {
		w.invented++
		w.t.Error(p)
	}
	say := func(format string, args ...any) {
		if w.lost+w.invented <= faultsSaid {
			w.t.Errorf(format, args...)
		} else {
			w.t.Fail()
		}
	}
	recorded := make(map[revisionID]bool)
	tags := 0
	for line := range strings.Lines(export) {
		line = strings.TrimSuffix(line, "\n")
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			w.t.Fatalf("export says %q: %v", line, err)
		}
		if e.Kind == "tag" {
			tags++
		}
		name := revisionID{e.ID, e.Rev}
		recorded[name] = true
		switch sum, came := w.city.sums[name]; {
		case !came:
			w.lost++
			say("lost: %s rev %d is in the journal and not in the city", e.ID, e.Rev)
		case sum != maphash.String(w.city.seed, line):
			w.invented++
			say("invented: %s rev %d is another in the journal than in the city", e.ID, e.Rev)
		}
	}
	for name := range w.city.sums {
		if !recorded[name] {
			w.invented++
			say("invented: %s rev %d is in the city and not in the journal", name.id, name.rev)
		}
	}
	if tags != w.events {
		w.t.Errorf("the journal has %d tag events, and %d were recorded", tags, w.events)
	}
	var findings string
	if w.verdict, findings = w.audit.captured(); findings != "" {
		w.t.Errorf("audit: %s\n%.3000s", w.verdict, findings)
	}
	w.compared = true
}

// conclude prints the closing line, also of a run that could not be finished.
func (w *batchTorture) conclude() {
	w.city.mu.Lock()
	defer w.city.mu.Unlock()
	name := "torture-batches:"
	if !w.compared {
		name = "torture-batches: broken off before comparing:"
	}
	fmt.Printf("%s events=%d receipts=%t kills=%d broker-kills=%d while-flowing=%d city-late=%d came=%d batches=%d in-batches=%d redelivered=%d lost=%d invented=%d audit=%q seed=%d\n",
		name, w.events, w.receipts, w.kills, w.brokerKills, w.flowing, w.absences,
		len(w.city.sums), w.city.frames, w.city.packed, w.city.again, w.lost, w.invented, w.verdict, w.seed)
}
