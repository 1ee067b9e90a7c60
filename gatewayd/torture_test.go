package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/drivers/beacon/beacontest"
	"presence/gatewayd/internal/brokertest"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sim"
)

// TestTorture kills a real gatewayd again and again while people tap and tags
// beacon at full rate, stops and starts its broker and cuts its serial line.
// At the end it compares what went green with what the city has.
//
// TORTURE_FOR says for how long (default 30s), TORTURE_SEED repeats a run as
// far as chance goes. `make torture` runs it for five minutes.
func TestTorture(t *testing.T) {
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

type torture struct {
	t      *testing.T
	seed   uint64
	rand   *rand.Rand
	broker *brokertest.Broker
	up     bool // the broker is
	city   *receiptCity
	g      *gateway
	link   string // the serial port's stable name
	radio  atomic.Pointer[os.File]

	kills, restarts, cuts int
	tags                  atomic.Int64 // lines written

	mu      sync.Mutex
	green   map[string]string // event id by UID
	shown   map[string]bool   // badges that were held to the reader
	unknown int               // taps whose answer was lost in a kill
	repeats int
}

func newTorture(t *testing.T, seed uint64) *torture {
	w := &torture{
		t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 1)),
		broker: brokertest.Start(t), up: true,
		link:  filepath.Join(t.TempDir(), "tty"),
		green: make(map[string]string), shown: make(map[string]bool),
	}
	w.plug()
	w.city = newReceiptCity(t, w.broker)
	w.g = newGateway(t, w.broker.URL(), "receipts = true\n"+everyTag+receiver(w.link))
	text, err := os.ReadFile(w.g.config)
	if err != nil {
		t.Fatal(err)
	}
	// Plain UIDs, so that an event tells its tap.
	w.g.configure(strings.Replace(string(text), `key_file = "badge.key"`, "plain_uid = true", 1))
	return w
}

// plug gives the serial line a new terminal under its old name.
func (w *torture) plug() {
	radio, port := openTTY(w.t)
	temporary := w.link + ".new"
	if err := os.Symlink(port, temporary); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(temporary, w.link); err != nil {
		w.t.Fatal(err)
	}
	if old := w.radio.Swap(radio); old != nil {
		_ = old.Close() // hangs up
	}
}

func (w *torture) run(length time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var crowd sync.WaitGroup
	for worker := range 3 {
		crowd.Go(func() { w.tap(ctx, worker) })
	}
	crowd.Go(func() { w.beacon(ctx) })

	for end := time.Now().Add(length); time.Now().Before(end); {
		w.g.launch()
		// The shortest lives end before the daemon is ready.
		<-time.After(time.Duration(w.rand.Int64N(int64(1500 * time.Millisecond))))
		switch w.rand.IntN(10) {
		case 0, 1:
			w.toggleBroker()
		case 2:
			w.plug()
			w.cuts++
		}
		<-time.After(time.Duration(w.rand.Int64N(int64(300 * time.Millisecond))))
		select {
		case err := <-w.g.done:
			w.t.Fatalf("gatewayd ended by itself: %v\n%s", err, w.g.log)
		default:
		}
		w.g.kill()
		w.kills++
	}
	cancel()
	crowd.Wait()
	if !w.up {
		w.toggleBroker()
	}
	w.city.awaitSubscribed()
	w.g.start()
	// An event whose receipt was lost with the line is sent again after a minute.
	w.g.awaitFor(3*time.Minute, "all to be delivered", func() bool { return w.g.health().Journal.Pending == 0 })
	w.g.stop()
	w.compare()
}

func (w *torture) toggleBroker() {
	if w.up {
		w.broker.Stop()
	} else {
		w.broker.Restart()
		w.restarts++
	}
	w.up = !w.up
}

// tap holds one new badge after the other to the reader.
func (w *torture) tap(ctx context.Context, worker int) {
	state := filepath.Join(w.g.dir, "state")
	for n := 0; ctx.Err() == nil; n++ {
		uid := fmt.Sprintf("04%02X%010X", worker, n)
		d, err := control.Dial(state)
		if err != nil {
			select { // it is dead at the moment
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		w.mu.Lock()
		w.shown[uid] = true
		w.mu.Unlock()
		w.answer(uid, w.ask(ctx, d, uid))
	}
}

// ask taps once; a tap whose answer does not come has outcome "".
func (w *torture) ask(ctx context.Context, d *control.Client, uid string) (l sim.Line) {
	// The tap in hand is finished when the others end.
	ctx = context.WithoutCancel(ctx)
	body, err := control.Post(ctx, d, "/sim/tap", sim.Tap{Reader: "door", UIDs: []string{uid}, Card: "mifare-classic-1k"})
	if err != nil {
		return sim.Line{}
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&l); err != nil {
		return sim.Line{}
	}
	return l
}

func (w *torture) answer(uid string, l sim.Line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch l.Outcome {
	case string(presence.Accepted):
		w.green[uid] = fmt.Sprintf("%s-%d", l.Stream, l.Seq)
	case string(presence.Repeat):
		w.repeats++
	default:
		w.unknown++
	}
}

// beacon writes bursts of lines, no two of the same tag.
func (w *torture) beacon(ctx context.Context) {
	for n := 0; ; {
		var burst strings.Builder
		for range 20 {
			burst.WriteString(beacontest.PKLDS(100+n/9000%900, 1000+n%9000, -7.9, 112.6, time.Now()))
			n++
		}
		// A line that is cut is a line not heard: what counts is that none is
		// invented.
		_, _ = io.WriteString(w.radio.Load(), burst.String())
		w.tags.Store(int64(n))
		select {
		case <-time.After(25 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

// compare is the oracle.
func (w *torture) compare() {
	t := w.t
	w.mu.Lock()
	defer w.mu.Unlock()
	w.city.mu.Lock()
	defer w.city.mu.Unlock()
	lost, invented := 0, 0
	for uid, id := range w.green {
		if w.city.badges[uid] != id {
			lost++
			t.Errorf("the tap of %s went green as %s; the city has %q", uid, id, w.city.badges[uid])
		}
	}
	for uid, id := range w.city.badges {
		if !w.shown[uid] {
			invented++
			t.Errorf("event %s is of %s, which nobody held to the reader", id, uid)
		}
	}
	for _, twice := range w.city.twice {
		invented++
		t.Error(twice)
	}
	for tag := range w.city.tags {
		fleet, unit := 0, 0
		if _, err := fmt.Sscanf(tag, "kenwood:%d-%d", &fleet, &unit); err != nil || int64((fleet-100)*9000+unit-1000) >= w.tags.Load() {
			invented++
			t.Errorf("tag %s was never sent", tag)
		}
	}
	for stream, s := range w.city.streams {
		if s.upto != s.highest {
			lost++
			t.Errorf("stream %s: the city has all up to %d, and %d", stream, s.upto, s.highest)
		}
		if p := s.previous; p != nil {
			before, known := w.city.streams[p.Stream.String()]
			if !known || before.highest != p.Seq {
				lost++
				t.Errorf("stream %s follows %s up to %d; the city has it up to %+v", stream, p.Stream, p.Seq, before)
			}
		}
	}
	// The answers' repeats are taps that a kill cut off and that a reader saw
	// again: the same event, by the same id.
	fmt.Printf("torture: kills=%d broker-restarts=%d tty-cuts=%d taps=%d unanswered=%d tags=%d delivered=%d redelivered=%d lost=%d invented=%d repeats=%d seed=%d\n",
		w.kills, w.restarts, w.cuts, len(w.green), w.unknown, len(w.city.tags), len(w.city.ids), w.city.again, lost, invented, w.repeats, w.seed)
}

// receiptCity is a city that confirms what it has, as a database would after
// its commit.
type receiptCity struct {
	t      *testing.T
	client mqtt.Client

	mu      sync.Mutex
	ids     map[string]bool
	again   int
	badges  map[string]string // event id by UID
	tags    map[string]string // event id by tag
	twice   []string
	streams map[string]*tortureStream
}

type tortureStream struct {
	upto, highest uint64
	ahead         map[uint64]bool // received beyond upto
	previous      *presence.Previous
}

func newReceiptCity(t *testing.T, b *brokertest.Broker) *receiptCity {
	c := &receiptCity{
		t: t, ids: make(map[string]bool),
		badges: make(map[string]string), tags: make(map[string]string), streams: make(map[string]*tortureStream),
	}
	c.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker(b.URL()).SetClientID("city").
		SetCleanSession(true).SetAutoReconnect(true).SetMaxReconnectInterval(100 * time.Millisecond).
		SetConnectRetry(true).SetConnectRetryInterval(50 * time.Millisecond).
		SetOnConnectHandler(func(client mqtt.Client) {
			client.Subscribe("presence/v1/+/+/event/#", 1, func(_ mqtt.Client, m mqtt.Message) { c.take(m) })
		}))
	c.client.Connect()
	c.awaitSubscribed()
	t.Cleanup(func() { c.client.Disconnect(100) })
	return c
}

// awaitSubscribed asks the broker something until it answers: then this
// connection's subscription stands.
func (c *receiptCity) awaitSubscribed() {
	c.t.Helper()
	for deadline := time.Now().Add(brokertest.Wait); ; {
		token := c.client.Subscribe("presence/v1/+/+/event/#", 1, func(_ mqtt.Client, m mqtt.Message) { c.take(m) })
		if token.WaitTimeout(time.Second) && token.Error() == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatal(errors.New("the city cannot subscribe"))
		}
		<-time.After(20 * time.Millisecond)
	}
}

// take stores an event and confirms its stream as far as it is complete.
func (c *receiptCity) take(m mqtt.Message) {
	var e struct {
		ID, Stream, Kind, Badge, Tag string
		Seq                          uint64
		Previous                     *presence.Previous
	}
	if err := json.Unmarshal(m.Payload(), &e); err != nil {
		c.t.Errorf("the city got %q: %v", m.Payload(), err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[e.Stream]
	if s == nil {
		s = &tortureStream{ahead: make(map[uint64]bool)}
		c.streams[e.Stream] = s
	}
	if c.ids[e.ID] {
		c.again++
	} else {
		c.ids[e.ID] = true
		s.highest = max(s.highest, e.Seq)
		s.ahead[e.Seq] = true
		for s.ahead[s.upto+1] {
			s.upto++
			delete(s.ahead, s.upto)
		}
		switch e.Kind {
		case "badge":
			c.once(c.badges, e.Badge, e.ID)
		case "tag":
			c.once(c.tags, e.Tag, e.ID)
		case "start":
			s.previous = e.Previous
		}
	}
	if s.upto == 0 {
		return // the stream's beginning is still to come
	}
	topic := m.Topic()[:strings.Index(m.Topic(), "/event/")] + "/receipt"
	c.client.Publish(topic, 1, false, fmt.Sprintf(`{"stream":%q,"upto":%d}`, e.Stream, s.upto))
}

func (c *receiptCity) once(of map[string]string, what, id string) {
	if before, known := of[what]; known {
		c.twice = append(c.twice, fmt.Sprintf("%s came as %s and as %s", what, before, id))
	}
	of[what] = id
}
