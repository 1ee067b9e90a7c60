package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sys/unix"

	"presence/drivers/beacon/beacontest"
	"presence/gatewayd/internal/brokertest"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sim"
	"presence/scripts/city"
)

// TestTorture kills a real gatewayd again and again while people tap and tags
// beacon at full rate, stops and starts its broker, cuts its serial line and has
// the city go away. At the end it compares what went green and what the journal
// holds with what the city has, and prints one line.
//
// TORTURE_FOR says for how long (default 30s). TORTURE_SEED repeats the choices
// of a run, though not its timing; an odd seed has the city confirm by receipts,
// an even one leaves that to PUBACKs. `make torture` runs it for five minutes.
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
	link     string // the serial port's stable name
	radio    atomic.Pointer[os.File]
	lines    atomic.Int64 // of tags, begun to be written
	faults   *faults

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

// faults counts what is wrong, and says the first of it.
type faults struct {
	t *testing.T

	mu             sync.Mutex
	lost, invented int
}

// faultsSaid is how many faults are said; the others are only counted.
const faultsSaid = 20

func (f *faults) lose(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost++
	f.say("lost: ", format, args...)
}

func (f *faults) invent(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.invented++
	f.say("invented: ", format, args...)
}

func (f *faults) say(which, format string, args ...any) {
	if f.lost+f.invented <= faultsSaid {
		f.t.Errorf(which+format, args...)
	} else {
		f.t.Fail()
	}
}

func newTorture(t *testing.T, seed uint64) *torture {
	w := &torture{
		t: t, seed: seed, receipts: seed%2 == 1, rand: rand.New(rand.NewPCG(seed, 0)), up: true,
		link:   filepath.Join(t.TempDir(), "tty"),
		faults: &faults{t: t},
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
	text, err := os.ReadFile(w.g.config)
	if err != nil {
		t.Fatal(err)
	}
	// Plain UIDs, so that an event tells its tap.
	plain := fmt.Sprintf("plain_uid = true\nrepeat_window = %q", tortureWindow)
	w.g.configure(strings.Replace(string(text), `key_file = "badge.key"`, plain, 1))
	return w
}

// plug gives the serial line a new terminal under its old name, and hangs up the
// old one.
func (w *torture) plug() {
	radio, port := openTTY(w.t)
	// A write to a terminal that nobody reads must end when it is closed, which
	// takes a descriptor that does not block.
	fd, err := unix.FcntlInt(radio.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		w.t.Fatal(err)
	}
	if err := radio.Close(); err != nil {
		w.t.Fatal(err)
	}
	temporary := w.link + ".new"
	if err := os.Symlink(port, temporary); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(temporary, w.link); err != nil {
		w.t.Fatal(err)
	}
	if old := w.radio.Swap(os.NewFile(uintptr(fd), "radio")); old != nil {
		_ = old.Close() // hangs up
	}
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

// tap shows one card after the other, and some again.
func (w *torture) tap(ctx context.Context, worker int) {
	r := rand.New(rand.NewPCG(w.seed, 1+uint64(worker)))
	state := filepath.Join(w.g.dir, "state")
	var recent, unanswered []string
	const rounds = 8
	for n := 0; ctx.Err() == nil; {
		d, err := control.Dial(state)
		if err != nil {
			select { // it is dead at the moment
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if uid := w.again(r, &unanswered, recent); uid != "" {
			unanswered = append(unanswered, w.show(d, [][]string{{uid}})...)
			continue
		}
		several := make([][]string, rounds)
		lanes := 1 + r.IntN(3) // cards at once
		for round := range several {
			for lane := range lanes {
				several[round] = append(several[round], fmt.Sprintf("04%02X%02X%08X", worker, lane, n))
			}
			n++
		}
		unanswered = append(unanswered, w.show(d, several)...)
		recent = several[0]
	}
}

// again chooses a card that was shown before, "" for a new one: rather one whose
// holder saw no light, and comes back.
func (w *torture) again(r *rand.Rand, unanswered *[]string, recent []string) string {
	const remembered = 64
	*unanswered = (*unanswered)[max(0, len(*unanswered)-remembered):]
	uid := ""
	switch chance := r.IntN(10); {
	case chance < 5 && len(*unanswered) > 0:
		last := len(*unanswered) - 1
		uid, *unanswered = (*unanswered)[last], (*unanswered)[:last]
	case chance < 7 && len(recent) > 0:
		uid = recent[r.IntN(len(recent))]
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, shown := w.cards[uid]; !shown || time.Since(c.first) > tortureAgain {
		return ""
	}
	return uid
}

// show holds the cards of each round to the reader together, the next when the
// ones before are answered. It returns the cards that saw no answer.
func (w *torture) show(d *control.Client, rounds [][]string) (unanswered []string) {
	pending := w.shown(rounds[0])
	defer func() {
		unanswered = slices.Collect(maps.Keys(pending))
		w.mu.Lock()
		defer w.mu.Unlock()
		w.silent += len(pending)
	}()
	// It ends with the daemon, which is killed soon.
	body, err := control.Post(context.Background(), d, "/sim/tap",
		sim.Tap{Reader: "door", UIDs: rounds[0], Card: "mifare-classic-1k", Count: len(rounds)})
	if err != nil {
		return nil
	}
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var l sim.Line
		if err := dec.Decode(&l); err != nil {
			return nil
		}
		if l.Error != "" || !pending[l.UID] {
			w.t.Errorf("the door answers %+v", l)
			return nil
		}
		if l.Outcome == "none" {
			continue // it stays without an answer
		}
		delete(pending, l.UID)
		w.answered(l.Result)
		if len(pending) == 0 && len(rounds) > 1 {
			rounds = rounds[1:]
			pending = w.shown(rounds[0])
		}
	}
}

// shown notes that cards come into the field.
func (w *torture) shown(uids []string) map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	pending := make(map[string]bool)
	for _, uid := range uids {
		pending[uid] = true
		if w.cards[uid] == nil {
			w.cards[uid] = &tortureCard{first: time.Now()}
		}
		w.cards[uid].taps++
	}
	return pending
}

// answered notes what the lamp said.
func (w *torture) answered(r sim.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.cards[r.UID]
	id := fmt.Sprintf("%s-%d", r.Stream, r.Seq)
	switch r.Outcome {
	case string(presence.Accepted):
		w.green++
		c.loose = c.loose || time.Since(c.first) >= tortureWindow
		if c.id != "" && !c.loose {
			w.faults.invent("%s went green as %s and again as %s", r.UID, c.id, id)
		}
		c.id = id
	case string(presence.Repeat):
		w.repeats++
		if c.taps == 1 || c.id != "" && c.id != id {
			w.faults.invent("the tap %d of %s is called a repeat of %s; it is %q", c.taps, r.UID, id, c.id)
		}
		c.id = id // of one that saw no light, but is recorded
	default:
		w.refused++
		w.t.Errorf("%s was refused: %s", r.UID, r.Reason)
	}
}

// Each line of a tag differs from all others in its tag and its place, which
// tell its number.
const (
	tortureUnits = 9_000
	tortureTags  = 900 * tortureUnits
	tortureLaps  = 100
	tortureSouth = -20.0   // latitude of the first
	tortureWest  = 100.0   // longitude of the first lap
	tortureStep  = 600_000 // to a degree: the resolution of the line
)

func tortureLine(n int64, now time.Time) string {
	tag, lap := n%tortureTags, n/tortureTags
	return beacontest.PKLDS(100+int(tag/tortureUnits), 1000+int(tag%tortureUnits),
		tortureSouth+float64(tag)/tortureStep, tortureWest+float64(lap)/tortureStep, now)
}

// lineNumber is the number of the line of which an event tells, or -1.
func lineNumber(tag string, lat, lon float64) int64 {
	var fleet, unit int64
	if _, err := fmt.Sscanf(tag, "kenwood:%d-%d", &fleet, &unit); err != nil {
		return -1
	}
	number := (fleet-100)*tortureUnits + unit - 1000
	lap := int64(math.Round((lon - tortureWest) * tortureStep))
	if number != int64(math.Round((lat-tortureSouth)*tortureStep)) || lap < 0 {
		return -1
	}
	return lap*tortureTags + number
}

// beacon writes bursts of lines. One that is cut, or in the hands of a daemon
// that is killed, is not heard; what counts is that none is invented.
func (w *torture) beacon(ctx context.Context) {
	r := rand.New(rand.NewPCG(w.seed, 100))
	for ctx.Err() == nil && w.lines.Load() < tortureLaps*tortureTags {
		var burst strings.Builder
		n, now := w.lines.Load(), time.Now()
		for range 1 + r.IntN(300) {
			burst.WriteString(tortureLine(n, now))
			n++
		}
		w.lines.Store(n)
		_, _ = io.WriteString(w.radio.Load(), burst.String())
		select {
		case <-time.After(time.Duration(r.IntN(100)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// journalStream is one stream of the journal.
type journalStream struct {
	name  string
	first uint64   // number of the first that is still there
	sums  []uint64 // of the events from there on
}

// readJournal reads what the gateway says that it recorded.
func (w *torture) readJournal() []*journalStream {
	path, err := binary()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(path, "--config", w.g.config, "export")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	var streams []*journalStream
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			w.t.Errorf("export says %q: %v", lines.Text(), err)
			continue
		}
		if len(streams) == 0 || streams[len(streams)-1].name != e.Stream {
			streams = append(streams, &journalStream{name: e.Stream, first: e.Seq})
		}
		s := streams[len(streams)-1]
		if want := s.first + uint64(len(s.sums)); e.Seq != want {
			w.faults.lose("journal: stream %s goes on with %d, not %d", e.Stream, e.Seq, want)
		}
		s.sums = append(s.sums, w.city.sum(lines.Bytes()))
	}
	if err := lines.Err(); err != nil {
		w.t.Errorf("read export: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		w.t.Errorf("export: %v", err)
	}
	return streams
}

// compare is the oracle.
func (w *torture) compare(journal []*journalStream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.city.mu.Lock()
	defer w.city.mu.Unlock()
	w.compareCards()
	w.compareJournal(journal)
	w.compareStreams()
	w.compared = true
}

// compareCards holds what people saw at the door against the city's events.
func (w *torture) compareCards() {
	for uid, c := range w.cards {
		ids := w.city.badges[uid]
		if c.id != "" && !slices.Contains(ids, c.id) {
			w.faults.lose("%s was told of event %s; the city has %q", uid, c.id, ids)
		}
		if len(ids) > 1 && !c.loose {
			w.faults.invent("%s was there once and is recorded as %q", uid, ids)
		}
	}
	for uid, ids := range w.city.badges {
		if w.cards[uid] == nil {
			w.faults.invent("nobody showed %s, and the city has it as %q", uid, ids)
		}
	}
}

// compareJournal holds the journal against the city's events: what is durable
// was delivered, as it is, and what was delivered is durable.
func (w *torture) compareJournal(journal []*journalStream) {
	if len(journal) == 0 {
		w.faults.lose("the journal is empty")
		return
	}
	durable := make(map[string]bool)
	for _, j := range journal {
		durable[j.name] = true
		s := w.city.streams[j.name]
		for i, sum := range j.sums {
			seq := j.first + uint64(i)
			switch got := s.sum(seq); got {
			case sum:
			case 0:
				w.faults.lose("event %s-%d is in the journal and not in the city", j.name, seq)
			default:
				w.faults.invent("event %s-%d is another in the journal than in the city", j.name, seq)
			}
		}
		if last := j.first + uint64(len(j.sums)) - 1; s != nil && uint64(len(s.sums)) > last {
			w.faults.invent("stream %s ends with %d in the journal and with %d in the city", j.name, last, len(s.sums))
		}
	}
	for name := range w.city.streams {
		// Names rise with time; an older one has made room.
		if !durable[name] && name > journal[0].name {
			w.faults.invent("stream %s is in the city and not in the journal", name)
		}
	}
}

// compareStreams looks for holes: within the streams, and between one and the
// next.
func (w *torture) compareStreams() {
	first := 0
	follows := make(map[string]string)
	for name, s := range w.city.streams {
		for i, sum := range s.sums {
			if sum == 0 {
				w.faults.lose("event %s-%d never came", name, i+1)
			}
		}
		p := s.previous
		if p == nil {
			first++
			continue
		}
		before := w.city.streams[p.Stream.String()]
		if before == nil || uint64(len(before.sums)) != p.Seq || p.Clean {
			w.faults.lose("stream %s follows %+v, which was killed and is not so in the city", name, *p)
		}
		if other, taken := follows[p.Stream.String()]; taken {
			w.faults.invent("streams %s and %s both follow %s", name, other, p.Stream)
		}
		follows[p.Stream.String()] = name
	}
	if first != 1 {
		w.faults.lose("%d streams follow none", first)
	}
}

// conclude prints the closing line, also of a run that could not be finished.
func (w *torture) conclude() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.city.mu.Lock()
	defer w.city.mu.Unlock()
	w.faults.mu.Lock()
	defer w.faults.mu.Unlock()
	name := "torture:"
	if !w.compared {
		name = "torture: broken off before comparing:"
	}
	fmt.Printf("%s kills=%d broker-restarts=%d tty-cuts=%d city-absences=%d taps=%d unanswered=%d refused=%d tags=%d delivered=%d redelivered=%d lost=%d invented=%d repeats=%d receipts=%t seed=%d\n",
		name, w.kills, w.restarts, w.cuts, w.absences, w.green, w.silent, w.refused, w.lines.Load(),
		w.city.delivered, w.city.again, w.faults.lost, w.faults.invented, w.repeats, w.receipts, w.seed)
}

// tortureCity has every event once, as a database would. Where receipts are
// wanted it confirms what it has.
type tortureCity struct {
	w         *torture
	client    mqtt.Client
	present   bool // connected, or trying to be
	validator *city.Validator
	seed      maphash.Seed

	mu        sync.Mutex
	closed    bool
	delivered int // different events
	again     int
	badges    map[string][]string // event ids by UID
	heard     []uint64            // a bit for each line of a tag
	streams   map[string]*cityStream
}

// cityStream is one stream of the city's events.
type cityStream struct {
	sums     []uint64 // of the event with number 1 and the following; 0: it did not come
	upto     uint64   // all up to here came
	previous *presence.Previous
}

// sum is the check sum of an event, 0 if it did not come.
func (s *cityStream) sum(seq uint64) uint64 {
	if s == nil || seq > uint64(len(s.sums)) {
		return 0
	}
	return s.sums[seq-1]
}

const tortureEvents = "presence/v1/+/+/event/#"

func newTortureCity(w *torture) *tortureCity {
	c := &tortureCity{
		w: w, validator: validator(w.t), seed: maphash.MakeSeed(),
		badges: make(map[string][]string), streams: make(map[string]*cityStream),
	}
	c.here(true)
	c.awaitSubscribed()
	w.t.Cleanup(func() {
		c.here(false)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.closed = true
	})
	return c
}

// here has the city come or go. What the broker acknowledged while it was away
// is in its session where it has one; without, only receipts tell the gateway
// that nobody got it.
func (c *tortureCity) here(present bool) {
	switch {
	case present && !c.present:
		c.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker(c.w.broker.URL()).SetClientID("city").
			SetCleanSession(c.w.receipts). // without receipts the broker keeps what comes meanwhile
			SetAutoReconnect(true).SetMaxReconnectInterval(100 * time.Millisecond).
			SetConnectRetry(true).SetConnectRetryInterval(50 * time.Millisecond).
			SetDefaultPublishHandler(c.take).
			SetOnConnectHandler(func(client mqtt.Client) { client.Subscribe(tortureEvents, 1, nil) }))
		c.client.Connect()
	case !present && c.present:
		c.client.Disconnect(250)
	}
	c.present = present
}

// awaitSubscribed subscribes until the broker answers: then this connection's
// subscription stands.
func (c *tortureCity) awaitSubscribed() {
	c.w.t.Helper()
	for deadline := time.Now().Add(brokertest.Wait); ; {
		token := c.client.Subscribe(tortureEvents, 1, nil)
		if token.WaitTimeout(time.Second) && token.Error() == nil {
			return
		}
		if time.Now().After(deadline) {
			c.w.t.Fatal("the city cannot subscribe")
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (c *tortureCity) sum(event []byte) uint64 { return maphash.Bytes(c.seed, event) | 1 }

// hasAll tells whether there is as much of each stream as in the journal.
func (c *tortureCity) hasAll(journal []*journalStream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !slices.ContainsFunc(journal, func(j *journalStream) bool {
		s := c.streams[j.name]
		return s == nil || s.upto < j.first+uint64(len(j.sums))-1
	})
}

type tortureEvent struct {
	event
	Lat, Lon float64
	Previous *presence.Previous
}

// take stores an event, and confirms its stream as far as it is complete.
func (c *tortureCity) take(client mqtt.Client, m mqtt.Message) {
	var e tortureEvent
	if err := json.Unmarshal(m.Payload(), &e); err != nil {
		c.w.faults.invent("an event says %q: %v", m.Payload(), err)
		return
	}
	// Looking at each of many thousand tag events would be most of the work.
	if e.Kind != "tag" || e.Seq%64 == 0 {
		if err := c.validator.Validate(m.Topic(), m.Payload()); err != nil {
			c.w.faults.invent("%v", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	const most = 1 << 24 // in one life of a second
	if c.closed {
		return
	}
	if e.Seq < 1 || e.Seq > most || e.ID != fmt.Sprintf("%s-%d", e.Stream, e.Seq) {
		c.w.faults.invent("event %q has the number %d in stream %q", e.ID, e.Seq, e.Stream)
		return
	}
	s := c.streams[e.Stream]
	if s == nil {
		s = new(cityStream)
		c.streams[e.Stream] = s
	}
	if missing := int(e.Seq) - len(s.sums); missing > 0 {
		s.sums = append(s.sums, make([]uint64, missing)...)
	}
	switch sum := c.sum(m.Payload()); s.sums[e.Seq-1] {
	case 0:
		s.sums[e.Seq-1] = sum
		c.first(s, e)
	case sum:
		c.again++
	default:
		c.w.faults.invent("two events are called %s; the second says %s", e.ID, m.Payload())
	}
	if c.w.receipts && s.upto > 0 {
		topic := m.Topic()[:strings.Index(m.Topic(), "/event/")] + "/receipt"
		client.Publish(topic, 1, false, fmt.Sprintf(`{"stream":%q,"upto":%d}`, e.Stream, s.upto))
	}
}

// first takes an event that the city did not have yet.
func (c *tortureCity) first(s *cityStream, e tortureEvent) {
	c.delivered++
	// Only a broker that forgets can bring a later one first.
	if !c.w.receipts && e.Seq != s.upto+1 {
		c.w.faults.lose("event %s came first after %d", e.ID, s.upto)
	}
	for s.sum(s.upto+1) != 0 {
		s.upto++
	}
	switch e.Kind {
	case "badge":
		c.badges[e.Badge] = append(c.badges[e.Badge], e.ID)
	case "tag":
		n := lineNumber(e.Tag, e.Lat, e.Lon)
		if n < 0 || n >= c.w.lines.Load() {
			c.w.faults.invent("event %s is of %s at %f, %f, which was never sent", e.ID, e.Tag, e.Lat, e.Lon)
			return
		}
		for int(n/64) >= len(c.heard) {
			c.heard = append(c.heard, 0)
		}
		if c.heard[n/64]&(1<<(n%64)) != 0 {
			c.w.faults.invent("event %s is the second of %s", e.ID, e.Tag)
		}
		c.heard[n/64] |= 1 << (n % 64)
	case "start":
		s.previous = e.Previous
	default:
		c.w.faults.lose("a killed gateway names a loss: event %s is a %s", e.ID, e.Kind)
	}
}
