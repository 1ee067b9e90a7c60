package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"presence/gatewayd/internal/backoff"
	"presence/gatewayd/internal/presence"
)

// Journal is what the uplink needs of the journal.
type Journal interface {
	// Cursor is the position up to which all is delivered.
	Cursor() uint64
	// End is the newest durable position.
	End() uint64
	// Next returns up to max records behind a position, and blocks until there
	// is at least one.
	Next(ctx context.Context, after uint64, max int) ([]presence.Entry, error)
	// Ack notes that all up to a position is delivered.
	Ack(pos uint64)
}

// Times says what is known, now, of when an event happened.
type Times interface {
	Timing(presence.Reading) presence.Timing
}

// CommandFunc answers one command. It runs on the connection's goroutine for
// commands and should take little time.
type CommandFunc func(ctx context.Context, args json.RawMessage) (json.RawMessage, error)

// Options is what an uplink needs.
type Options struct {
	Origin  presence.Origin
	Session presence.ID // of this process

	Address      string // host:port of the broker
	TLS          bool
	CAFile       string // "": the system's certificates
	CertFile     string
	KeyFile      string
	Username     string
	PasswordFile string
	Window       int // events in flight

	Journal  Journal
	Times    Times
	Now      func() presence.Reading
	Commands map[string]CommandFunc
	Log      *slog.Logger

	// Limits bounds waiting; zero values are the defaults.
	Limits Limits
}

// Limits bounds how long the uplink waits.
type Limits struct {
	Connect  time.Duration // for TCP, TLS and CONNACK: 10 s
	PubAck   time.Duration // for a PUBACK before the line counts as stalled: 10 s
	RetryMin time.Duration // between two attempts to connect: 1 s
	RetryMax time.Duration // 60 s
	Goodbye  time.Duration // for the last message: 1 s
}

func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&l.Connect, 10*time.Second)
	set(&l.PubAck, 10*time.Second)
	set(&l.RetryMin, time.Second)
	set(&l.RetryMax, time.Minute)
	set(&l.Goodbye, time.Second)
	return l
}

// Uplink is the line to the city. Its methods may be called from any goroutine.
type Uplink struct {
	opt    Options
	limits Limits
	prefix string // "presence/v1/<dinas>/<gateway>/"

	mu       sync.Mutex
	retained map[string][]byte // the last document of each topic
	current  *session          // nil while there is no connection
	stats    presence.MQTTHealth
	oldest   time.Time     // when the oldest event in flight was sent
	rival    time.Time     // when another gateway last called itself by our id
	progress chan struct{} // closed and replaced when the cursor moves
}

// New makes an uplink; Run makes it work.
func New(opt Options) *Uplink {
	return &Uplink{
		opt: opt, limits: opt.Limits.withDefaults(),
		prefix:   "presence/v1/" + opt.Origin.Dinas + "/" + opt.Origin.Gateway + "/",
		retained: make(map[string][]byte),
		progress: make(chan struct{}),
	}
}

// connectionHeld is how long a connection must have lasted for the next attempt
// to be made soon.
const connectionHeld = 10 * time.Second

// Run keeps the line up until the context ends, and then says goodbye.
func (u *Uplink) Run(ctx context.Context) error {
	wait := backoff.Backoff{Min: u.limits.RetryMin, Max: u.limits.RetryMax}
	for {
		started := time.Now()
		err := u.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		u.mu.Lock()
		u.stats.LastError = err.Error()
		u.mu.Unlock()
		if time.Since(started) > connectionHeld {
			wait.Reset()
		}
		pause := wait.Next()
		u.opt.Log.Warn("no line to the city, trying again", "error", err, "wait", pause.Round(time.Millisecond))
		if !backoff.Sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// Retain keeps a document for a topic behind the gateway's prefix and publishes
// it, retained, now if there is a connection and at the start of each. An empty
// one clears the topic.
func (u *Uplink) Retain(topic string, payload []byte) {
	u.mu.Lock()
	u.retained[topic] = payload
	s := u.current
	u.mu.Unlock()
	if s != nil {
		s.retain(topic, payload)
	}
}

// Log hands a line to the city if there is a connection, and forgets it
// otherwise.
func (u *Uplink) Log(line []byte) {
	u.mu.Lock()
	s := u.current
	u.mu.Unlock()
	if s != nil {
		s.log(line)
	}
}

// Stats says how the line fares.
func (u *Uplink) Stats() presence.MQTTHealth {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.stats
	h.Connected = u.current != nil
	if h.Connected {
		h.LastError = ""
		if !u.oldest.IsZero() {
			h.OldestInflightS = int64(time.Since(u.oldest).Seconds())
		}
	}
	return h
}

// Rival reports whether another gateway has used this one's id lately: the two
// throw each other off the broker.
func (u *Uplink) Rival() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.rival.IsZero() && time.Since(u.rival) < 10*time.Minute
}

// Drained waits until everything in the journal is delivered, or the context
// ends.
func (u *Uplink) Drained(ctx context.Context) {
	for {
		u.mu.Lock()
		progress := u.progress
		u.mu.Unlock()
		if u.opt.Journal.Cursor() >= u.opt.Journal.End() {
			return
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return
		}
	}
}

// ack moves the cursor.
func (u *Uplink) ack(pos uint64, events int64) {
	u.opt.Journal.Ack(pos)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stats.Acked += events
	close(u.progress)
	u.progress = make(chan struct{})
}

func (u *Uplink) refused(why string, topic string) {
	u.mu.Lock()
	u.stats.Refused++
	u.mu.Unlock()
	u.opt.Log.Warn("refused a message from the broker", "topic", topic, "reason", why)
}

// status is the retained document of the topic `status`.
func (u *Uplink) status(state, reason string, withTime bool) []byte {
	s := presence.Status{State: state, Session: u.opt.Session, Reason: reason}
	if withTime {
		if t := u.opt.Times.Timing(u.opt.Now()); !t.Time.IsZero() {
			text := t.Time.In(u.opt.Origin.Location).Format(presence.TimeLayout)
			s.Time = &text
		}
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic("encode status: " + err.Error()) // it holds nothing that JSON cannot say
	}
	return b
}

var (
	errLost    = errors.New("the connection was lost")
	errStalled = errors.New("the broker does not acknowledge")
)

// stalled says for how long nothing came.
func stalled(d time.Duration) error {
	return fmt.Errorf("%w: nothing for %s", errStalled, d.Round(time.Second))
}
