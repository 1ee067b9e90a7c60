package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"presence/config"
	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
	schema "presence/scripts/city"
)

// world is everything around one gateway: true time, power, a machine without a
// clock chip, a badge reader, a receiver of tags, a line and a city. The gateway
// in it is the whole daemon over a journal in a real file.
//
// One goroutine, that of the test, lets things happen; between two of them time
// passes in the bubble of testing/synctest.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	dir    string
	state  string // the gateway's state directory
	cfg    *config.Config
	log    *slog.Logger
	office *time.Location
	began  time.Time // in the bubble
	epoch  time.Time // what it truly was then

	machine *machineClock // of the boot, nil while the power is off
	wall    time.Time     // what the machine would wake with: its last shutdown
	door    *field
	yard    *radio
	line    *line
	life    *life // the process, nil while none runs
	lives   int

	truth *truth

	flooded              bool              // the journal may have had no room since the city last had all
	floodFrom, floodTo   time.Time         // the days on which that may have been
	refusedOn            map[time.Time]int // taps, by day
	sheets, untrueSheets int
	cutAcks              int // events that power cuts may have made pending again, since the city last had all
}

// mayGap tells whether something may have been lost on a day.
func (w *world) mayGap(day time.Time) bool {
	return !w.floodFrom.IsZero() && day.AddDate(0, 0, 1).After(w.floodFrom) && (w.floodTo.IsZero() || day.Before(w.floodTo))
}

// now is the true time.
func (w *world) now() time.Time { return w.epoch.Add(time.Since(w.began)) }

// until lets time pass.
func (w *world) until(at time.Time) { time.Sleep(at.Sub(w.now())) }

func (w *world) one(in int) bool { return w.rng.IntN(in) == 0 }

// chance tells whether something happens that happens in so many of 1000 cases.
func (w *world) chance(of1000 int) bool { return w.rng.IntN(1000) < of1000 }

func (w *world) between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.rng.Int64N(int64(b-a)+1))
}

// machineClock are the clocks of one boot of a machine without a clock chip.
type machineClock struct {
	w     *world
	boot  presence.ID
	born  time.Time // when the kernel started
	off   time.Time // when the power went; zero: it is on
	drift float64   // of the crystal

	mu     sync.Mutex
	ahead  time.Duration // CLOCK_REALTIME minus the truth
	synced bool
	polled time.Time // the last answer of NTP
	first  time.Time // the first
	lost   time.Time // when somebody typed date -s since, or zero
	set    chan struct{}
}

// powerOn boots the machine: it wakes in 1970 or at its last shutdown.
func (w *world) powerOn() {
	m := &machineClock{w: w, born: w.now(), drift: (w.rng.Float64()*2 - 1) * 60e-6, set: make(chan struct{}, 1)}
	for i := range m.boot {
		m.boot[i] = byte(w.rng.Uint32())
	}
	wakes := time.Unix(0, 0)
	if !w.wall.IsZero() && w.one(2) {
		wakes = w.wall
	}
	m.ahead = wakes.Sub(m.born)
	w.machine = m
	w.truth.boots[m.boot] = m
}

// Now implements clock.Source.
func (m *machineClock) Now() presence.Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.w.now()
	up := now.Sub(m.born)
	r := presence.Reading{
		Boot: m.boot, Boottime: up + time.Duration(float64(up)*m.drift), Wall: now.Add(m.ahead).UnixNano(),
	}
	// As clock.NewKernel reads adjtimex: the bound grows by 500 ppm, and counts
	// half as much again on top of what a line may hide.
	maxError := time.Duration(float64(now.Sub(m.polled)) * 500e-6)
	if m.synced && maxError < 16*time.Second {
		r.State, r.MaxError = presence.ClockSynced, 50*time.Millisecond+maxError+maxError/2
	}
	return r
}

// Steps implements clock.Source.
func (m *machineClock) Steps(ctx context.Context, stepped func()) error {
	for {
		select {
		case <-m.set:
			stepped()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// trueTime is when a reading of this boot was taken.
func (m *machineClock) trueTime(r presence.Reading) time.Time {
	return m.born.Add(time.Duration(float64(r.Boottime) / (1 + m.drift)))
}

// ntp is an answer of a time server.
func (m *machineClock) ntp(wrong time.Duration) {
	m.mu.Lock()
	step := (m.ahead - wrong).Abs() > 400*time.Millisecond
	if m.first.IsZero() {
		m.first = m.w.now()
	}
	m.ahead, m.synced, m.polled, m.lost = wrong, true, m.w.now(), time.Time{}
	m.mu.Unlock()
	if step {
		m.step()
	}
}

// jump is somebody who types date -s: the kernel forgets that it was disciplined.
func (m *machineClock) jump(by time.Duration) {
	m.mu.Lock()
	m.ahead, m.synced, m.lost = m.ahead+by, false, m.w.now()
	m.mu.Unlock()
	m.step()
}

func (m *machineClock) step() {
	select {
	case m.set <- struct{}{}:
	default:
	}
}

// field is a badge reader and what lies on it.
type field struct {
	w *world

	mu      sync.Mutex
	cards   []card.Card
	seen    map[card.UID]time.Time // when each was first seen since it was laid there
	fault   error
	noisy   int // looks to come that fail
	moved   time.Time
	changed chan struct{}
	errors  int64 // that this process was told
}

func newField(w *world) *field {
	return &field{w: w, seen: make(map[card.UID]time.Time), changed: make(chan struct{})}
}

// change changes what a look finds.
func (f *field) change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
	f.moved = f.w.now()
	close(f.changed)
	f.changed = make(chan struct{})
}

// open is a driver that finds its chip.
func (f *field) open() (card.Reader, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(f.fault, card.ErrBusDead) {
		f.errors++
		return nil, f.fault
	}
	return chip{f}, nil
}

type chip struct{ f *field }

// Poll implements card.Reader. A look at a field in which nothing happens takes
// long, so that a year has fewer of them.
func (c chip) Poll(ctx context.Context) ([]card.Card, error) {
	f := c.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault == nil && f.noisy == 0 && f.w.now().Sub(f.moved) > 500*time.Millisecond {
		changed := f.changed
		f.mu.Unlock()
		quiet := time.NewTimer(time.Second)
		select {
		case <-changed:
		case <-quiet.C:
		case <-ctx.Done():
		}
		quiet.Stop()
		f.mu.Lock()
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case f.fault != nil:
		f.errors++
		return nil, f.fault
	case f.noisy > 0:
		f.noisy--
		f.errors++
		return nil, errors.New("crc of an answer is wrong")
	}
	for _, one := range f.cards {
		if _, known := f.seen[one.UID]; !known {
			f.seen[one.UID] = f.w.now()
		}
	}
	return append([]card.Card(nil), f.cards...), nil
}

// Version implements card.Reader.
func (chip) Version() string { return "92" }

// Close implements card.Reader.
func (chip) Close() error { return nil }

// radio is a receiver of tags on a serial port.
type radio struct {
	mu   sync.Mutex
	port *port
	gone bool
}

type port struct {
	frames chan []byte
	rest   []byte
	once   sync.Once
	closed chan struct{}
}

func (r *radio) open() (io.ReadCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return nil, &os.PathError{Op: "open", Path: "/dev/yard", Err: syscall.ENOENT}
	}
	r.port = &port{frames: make(chan []byte, 1024), closed: make(chan struct{})}
	return r.port, nil
}

// unplug takes the receiver away, or brings it back.
func (r *radio) unplug(gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = gone
	if gone && r.port != nil {
		_ = r.port.Close()
	}
}

// send lets the receiver hear something, and tells whether the port took it.
func (r *radio) send(sentence string) bool {
	r.mu.Lock()
	p := r.port
	gone := r.gone || p == nil
	r.mu.Unlock()
	if gone {
		return false
	}
	select {
	case <-p.closed:
		return false
	default:
	}
	patience := time.NewTimer(time.Minute)
	defer patience.Stop()
	select {
	case p.frames <- []byte(sentence):
		return true
	case <-patience.C:
		return false // nobody reads
	}
}

func (p *port) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		select {
		case p.rest = <-p.frames:
		case <-p.closed:
			return 0, io.ErrUnexpectedEOF
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *port) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// line is the way to the city and the broker at its end.
type line struct {
	w         *world
	validator *schema.Validator

	mu       sync.Mutex
	up       bool
	silent   bool // what is sent goes nowhere, and nothing comes back
	conn     net.Conn
	life     *life     // who is connected
	online   bool      // the gateway has said that it is, over this connection
	greeted  time.Time // when somebody last said to be online
	retained map[string][]byte
	problems []string
	checked  map[string]int // messages held against the schema, by topic
}

const yearPrefix = "presence/v1/dinkes/year-01/"

func (l *line) dial(of *life) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up || l.silent || of.dead {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ENETUNREACH}
	}
	near, far := net.Pipe()
	if l.conn != nil {
		_ = l.conn.Close()
	}
	l.conn, l.life = far, of
	go l.serve(far, of)
	return near, nil
}

// cut ends the connection.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

// set takes the line down or brings it back.
func (l *line) set(up, silent bool) {
	l.mu.Lock()
	was := l.silent
	l.up, l.silent = up, silent
	l.mu.Unlock()
	if !up || was && !silent { // nobody waits for what went nowhere
		l.cut()
	}
}

// serve is the broker's side of one connection.
func (l *line) serve(conn net.Conn, of *life) {
	out := make(chan packets.ControlPacket, 4096)
	var writing sync.WaitGroup
	writing.Go(func() {
		for p := range out {
			if p.Write(conn) != nil {
				_ = conn.Close() // and the reader ends
			}
		}
	})
	defer writing.Wait()
	defer close(out)
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		p, err := packets.ReadPacket(r)
		if err != nil {
			return
		}
		if _, ends := p.(*packets.DisconnectPacket); ends && !l.quiet() {
			return
		}
		l.mu.Lock()
		for _, answer := range l.take(p, of) {
			out <- answer
		}
		l.mu.Unlock()
	}
}

func (l *line) quiet() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silent
}

// take is what the broker does with a packet.
func (l *line) take(p packets.ControlPacket, of *life) (answers []packets.ControlPacket) {
	switch p := p.(type) {
	case *packets.ConnectPacket:
		l.online = false
		answers = append(answers, packets.NewControlPacket(packets.Connack))
	case *packets.PingreqPacket:
		answers = append(answers, packets.NewControlPacket(packets.Pingresp))
	case *packets.SubscribePacket:
		ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
		ack.MessageID, ack.ReturnCodes = p.MessageID, make([]byte, len(p.Topics))
		answers = append(answers, ack)
		for topic, payload := range l.retained {
			if heard(topic) {
				answers = append(answers, publishing(topic, payload, true))
			}
		}
	case *packets.PublishPacket:
		topic := strings.TrimPrefix(p.TopicName, yearPrefix)
		event := strings.HasPrefix(topic, "event/")
		if event {
			of.published++
		}
		if l.silent {
			return nil
		}
		l.validate(topic, p)
		if p.Retain {
			l.retained[topic] = bytes.Clone(p.Payload)
			if len(p.Payload) == 0 {
				delete(l.retained, topic)
			}
		}
		if heard(topic) {
			answers = append(answers, publishing(topic, p.Payload, false))
		}
		if topic == "status" && bytes.Contains(p.Payload, []byte(`"online"`)) && !l.online {
			l.online = true
			of.greeted++
			l.greeted = l.w.now()
		}
		if p.Qos == 1 {
			ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
			ack.MessageID = p.MessageID
			answers = append(answers, ack)
		}
		if topic == "health" {
			l.health(p.Payload, of)
		}
		if event {
			of.acked++
			l.w.truth.cityGets(p.Payload)
		}
	}
	if l.silent {
		return nil
	}
	return answers
}

// health holds a health document against the connection over which it came.
func (l *line) health(payload []byte, of *life) {
	var h presence.Health
	tr := l.w.truth
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if err := json.Unmarshal(payload, &h); err != nil {
		tr.wrong("health", "%v", err)
		return
	}
	now := l.w.now()
	if !h.MQTT.Connected {
		tr.wrong("health.mqtt.connected", "a document that came over the line says that there is none")
	}
	if late := now.Sub(of.heard) - l.w.cfg.Health.Interval; h.Seq > 1 && h.Seq == of.health.Seq+1 && now.Sub(l.greeted) > time.Second && late > 100*time.Millisecond {
		tr.wrong("health.interval", "document %d came %v late", h.Seq, late)
	}
	of.health, of.heard = h, now
}

// heard tells whether the gateway subscribes to a topic of its own.
func heard(topic string) bool { return topic == "status" || strings.HasPrefix(topic, "alert/") }

func publishing(topic string, payload []byte, retained bool) packets.ControlPacket {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Retain = yearPrefix+topic, payload, retained
	return p
}

// validate holds some of the messages of each topic against the schema: all would
// take longer than the year.
func (l *line) validate(topic string, p *packets.PublishPacket) {
	l.checked[topic]++
	if n := l.checked[topic]; len(p.Payload) == 0 || n > 20 && n%500 != 0 {
		return
	}
	if err := l.validator.Validate(p.TopicName, p.Payload); err != nil {
		l.problems = append(l.problems, topic+": "+err.Error())
	}
}

// life is one process of the gateway.
type life struct {
	dir     string
	daemon  *Gateway
	stop    context.CancelFunc
	done    chan error
	dead    bool // it was left behind: the line does not know it any more; under the line's mutex
	since   time.Time
	answers []presence.Answer // of the lamp
	mu      sync.Mutex        // over answers

	// What the city's end saw of this process; under the line's mutex.
	published, acked, greeted int64

	health presence.Health // the last that the city got
	heard  time.Time       // when

	counts  counts    // what health must say
	frame   time.Time // when the receiver heard the last one
	refuses bool      // the journal refused the last tap
}

// start starts the gateway over what the last process left.
func (w *world) start() {
	w.lives++
	of := &life{since: w.now(), done: make(chan error, 1), counts: newCounts()}
	if w.life != nil {
		w.t.Fatal("a gateway runs already")
	}
	of.dir = w.state
	w.door.mu.Lock()
	w.door.errors = 0
	w.door.mu.Unlock()
	cfg := *w.cfg
	cfg.Gateway.StateDir = of.dir
	w.truth.starting(w)
	d, err := New(&cfg, w.log, Options{
		Observe: func(a presence.Answer) {
			of.mu.Lock()
			defer of.mu.Unlock()
			of.answers = append(of.answers, a)
		},
		around: surroundings{
			clock: w.machine,
			board: filepath.Join(w.dir, "root"),
			listen: func(string) (net.Listener, error) {
				return &deafListener{closed: make(chan struct{})}, nil
			},
			reader: func(context.Context, config.Reader) (card.Reader, error) { return w.door.open() },
			port:   func(context.Context, config.Receiver) (io.ReadCloser, error) { return w.yard.open() },
			dial:   func(context.Context) (net.Conn, error) { return w.line.dial(of) },
		},
	})
	if err != nil {
		w.t.Fatalf("%s: the gateway does not start: %v", w.stamp(), err)
	}
	of.daemon = d
	ctx, cancel := context.WithCancel(context.Background())
	of.stop = cancel
	go func() { of.done <- d.Run(ctx) }()
	w.life = of
	w.truth.started(w)
	synctest.Wait()
}

// halt stops the gateway as systemd does.
func (w *world) halt() {
	synctest.Wait()
	w.truth.ending(w, true)
	w.life.stop()
	if err := <-w.life.done; err != nil {
		w.t.Errorf("%s: the gateway stopped with %v", w.stamp(), err)
	}
	w.truth.ended(w)
	w.life = nil
}

// kill ends the gateway as a power cut or kill -9 does: what is in the files is
// all that there will be. The process that is left behind has lost its line, and
// ends over files that nobody looks at any more.
func (w *world) kill() {
	synctest.Wait()
	w.truth.ending(w, false)
	w.line.mu.Lock()
	w.life.dead = true
	w.line.mu.Unlock()
	w.line.cut()
	left := w.state
	w.state = filepath.Join(w.dir, "state-"+strconv.Itoa(w.lives))
	if err := os.CopyFS(w.state, os.DirFS(left)); err != nil {
		w.t.Fatal(err)
	}
	w.life.stop()
	<-w.life.done // whatever it thinks of its end
	if err := os.RemoveAll(left); err != nil {
		w.t.Fatal(err)
	}
	w.truth.ended(w)
	w.life = nil
}

// deafListener is a control socket at which nobody calls: the test asks the
// daemon itself.
type deafListener struct {
	once   sync.Once
	closed chan struct{}
}

func (l *deafListener) Accept() (net.Conn, error) {
	<-l.closed
	return nil, net.ErrClosed
}

func (l *deafListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *deafListener) Addr() net.Addr { return &net.UnixAddr{Name: "control.sock", Net: "unix"} }

// stamp is the true time for messages.
func (w *world) stamp() string { return w.now().In(w.office).Format("2006-01-02T15:04:05.000") }

// cityEvent is an event as the city reads it.
type cityEvent struct {
	ID      string         `json:"id"`
	Stream  presence.ID    `json:"stream"`
	Seq     uint64         `json:"seq"`
	Rev     int            `json:"rev"`
	Kind    string         `json:"kind"`
	Boot    presence.ID    `json:"boot"`
	Time    *time.Time     `json:"time"`
	Quality string         `json:"time_quality"`
	ErrorMS *float64       `json:"time_error_ms"`
	Min     *time.Time     `json:"time_min"`
	Max     *time.Time     `json:"time_max"`
	Badge   string         `json:"badge"`
	Tag     string         `json:"tag"`
	FixTime *time.Time     `json:"fix_time"`
	Reason  string         `json:"reason"`
	Kinds   map[string]int `json:"kinds"`
	Ranges  []struct {
		Stream presence.ID `json:"stream"`
		From   uint64      `json:"from"`
		To     *uint64     `json:"to"`
	} `json:"ranges"`
	Previous *struct {
		Stream presence.ID `json:"stream"`
		Seq    uint64      `json:"seq"`
		Clean  bool        `json:"clean"`
	} `json:"previous"`
}

func readCityEvent(payload []byte) (e cityEvent, err error) {
	err = json.Unmarshal(payload, &e)
	return e, err
}
