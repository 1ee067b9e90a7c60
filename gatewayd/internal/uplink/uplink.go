package uplink

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	// Stream is the stream to which new events are added.
	Stream() presence.ID
	// Save makes a small note durable in place of the one of the same name, and Load
	// returns it, nothing if there is none.
	Save(name string, data []byte) error
	Load(name string) ([]byte, error)
	// Place is the position that a stream's event has or had: it may have been
	// forgotten, or be gone because its time was over. False where there never
	// was such an event, or nothing of its stream is left.
	Place(stream presence.ID, seq uint64) (pos uint64, found bool)
	// Oldest is the oldest position.
	Oldest() uint64
	// Sent is the newest position that is known to have been sent.
	Sent() uint64
	// NoteSent notes how far that is by now. It becomes durable with some later
	// commit: what is known after a crash was sent, and more may have been.
	NoteSent(pos uint64)
	// Unanswered is the position up to which the broker has everything although
	// the city did not answer when some of it went again; 0 where it did.
	Unanswered() uint64
	// NoteUnanswered notes that, in the same way.
	NoteUnanswered(pos uint64)

	// Revisions returns the saved revisions of the events from..to, by position.
	Revisions(from, to uint64) (map[uint64]presence.Revision, error)
	// SaveRevisions makes revisions durable before they are published. After an
	// error they must be taken as published.
	SaveRevisions(ctx context.Context, all []presence.Revision) error
	// QueueRevisions takes revisions that are being published. They become durable
	// not later than the delivery of their events.
	QueueRevisions(all []presence.Revision)
	// OpenCorrections returns the saved corrections of events behind a position, up
	// to another, that the broker has not acknowledged, in order. It reads a part of
	// the range at a time and returns the position up to which it looked.
	OpenCorrections(after, upto uint64) (open []presence.Revision, looked uint64, err error)
	// FinalUpto is the position up to which every event's revision is final.
	FinalUpto() uint64
	// SetFinalUpto notes that position.
	SetFinalUpto(pos uint64)
}

// Times knows when events happened, as well as it can be known at the moment.
type Times interface {
	// Timing is what is known of the instant of a reading. A process that starts
	// after a crash knows at least as much as the one before it.
	Timing(presence.Reading) presence.Timing
	// Final reports whether the timing of a reading will never change any more,
	// unless Doubts rises.
	Final(presence.Reading) bool
	// Doubts rises each time that a timing which was returned before may turn out
	// to be wrong. In a new process it is 0 only if that never happened.
	Doubts() uint64
	// Changed is closed as soon as some timing may have changed. Get the channel
	// first, then the timings, then wait for it.
	Changed() <-chan struct{}
}

// City knows what the city says. The errors tell why it did not say it.
type City interface {
	Receipt(presence.Receipt) error
	Time(presence.TimeReply) error
}

// CommandFunc answers one command. Commands run one after the other; while one
// runs, a few others wait and more are refused. The context ends with the
// connection. A command runs once for each transaction id.
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
	CertTime     func() time.Time // by which certificates are judged; nil: the system's clock
	Username     string
	PasswordFile string
	Window       int  // events in flight
	Receipts     bool // an event is delivered at the city's receipt, not at its PUBACK

	Journal  Journal
	Times    Times
	Now      func() presence.Reading
	Commands map[string]CommandFunc
	// City, if set, knows what the city says by its signature: then receipts and
	// the time count only signed.
	City City
	// CityTime, if set, bounds what the city can say that the time is; a zero
	// instant bounds nothing.
	CityTime func() (from, to time.Time)
	// NotBefore, if set, is an instant that has certainly passed, for while the
	// time is unknown; zero where none is known.
	NotBefore func() time.Time
	// Anchor, if set, is told what the city says of the time: utc was right at
	// the reading, within so much. The city is asked only over TLS.
	Anchor func(at presence.Reading, utc time.Time, within time.Duration)
	// Documents are handed what the city publishes under a topic behind the
	// gateway's prefix, retained or not: all of a topic in order, one at a time,
	// and the retained one again at each connection. Nothing has been checked
	// but the size; an empty payload is the end of a retained document. The
	// payload stays with whom it is handed to.
	Documents map[string]func(payload []byte)
	Log       *slog.Logger
	// Restate is how often what is retained is said once more, for somebody may
	// have cleared or overwritten it at the broker; 0 for never.
	Restate time.Duration
	// BrokerCertificate, if set, is told at each connection over TLS which
	// certificate of the broker's chain, without its root, ends first.
	BrokerCertificate func(*x509.Certificate)
	// Greeted, if set, is called at the start of each connection, before what is
	// retained is published: what says that there is none is renewed by then.
	Greeted func()

	// Beat, if set, is told at each step within what time the next one comes:
	// 0 before work, the bound of a wait before the wait, less than 0 before
	// waiting for an event, which may take for ever.
	Beat func(next time.Duration)

	// Dial, if set, opens the connection beneath MQTT and TLS in place of TCP.
	Dial func(context.Context) (net.Conn, error)

	// Limits bounds waiting; zero values are the defaults.
	Limits Limits
}

// Limits bounds what the uplink waits for. Zero values are the defaults.
type Limits struct {
	Connect     time.Duration // for TCP, TLS and CONNACK: 10 s
	PubAck      time.Duration // for a PUBACK before the line counts as stalled: 10 s
	KeepAlive   time.Duration // of silence before a ping, in whole seconds: 15 s
	Ping        time.Duration // for the answer to a ping: 4 s
	RetryMin    time.Duration // between two attempts to connect: 1 s
	RetryMax    time.Duration // 60 s
	Held        time.Duration // for which a connection must have lasted for the next attempt to be made soon: 10 s
	Goodbye     time.Duration // for the last message: 1 s
	Receipt     time.Duration // for a receipt before the oldest events without one go again: 1 min
	ReceiptMax  time.Duration // the same while the city does not answer to that: doubled up to 1 h
	Unreceipted int           // positions sent ahead of the last receipt: 10,000
	Aside       time.Duration // before a document over which the broker hung up is tried again: 10 min, then longer
	Hold        time.Duration // the same for an event: 1 min, then longer
	AskTime     time.Duration // between two rounds of asking for the time: 10 min
	AskReply    time.Duration // for an answer before the question is given up: 2 s
	AskPause    time.Duration // between an answer and the next question: 500 ms
}

func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&l.Connect, 10*time.Second)
	set(&l.PubAck, 10*time.Second)
	set(&l.KeepAlive, 15*time.Second)
	set(&l.Ping, 4*time.Second)
	set(&l.RetryMin, time.Second)
	set(&l.RetryMax, time.Minute)
	set(&l.Held, 10*time.Second)
	set(&l.Goodbye, time.Second)
	set(&l.Receipt, time.Minute)
	set(&l.ReceiptMax, time.Hour)
	set(&l.Aside, 10*time.Minute)
	set(&l.Hold, time.Minute)
	set(&l.AskTime, 10*time.Minute)
	set(&l.AskReply, slowestReply)
	set(&l.AskPause, 500*time.Millisecond)
	if l.Unreceipted == 0 {
		l.Unreceipted = 10_000
	}
	return l
}

// Uplink is the line to the city. Its methods may be called from any goroutine,
// and none but Run and Drained waits for the line.
type Uplink struct {
	opt       Options
	limits    Limits
	prefix    string // "presence/v1/<dinas>/<gateway>/"
	commands  map[string]CommandFunc
	filters   map[string]byte // what to subscribe to, and at which QoS
	ledger    *ledger
	answers   answers
	spent     *spent
	revisions *revisions
	review    review
	refusals  *refusals
	dial      func(context.Context) (net.Conn, error)
	published atomic.Int64
	changed   chan struct{} // has room for one: a document is not yet said
	lines     chan []byte   // of the log, not yet said

	mu        sync.Mutex
	retained  map[string][]byte   // the last document of each topic
	unsaid    map[string]struct{} // topics whose document is to be published
	contested map[string]struct{} // topics of alerts where the broker has something else
	connected bool
	since     time.Time // when the line went, or the uplink was made
	greeted   int       // connections so far
	denied    []string
	spoke     time.Time // when this connection said that the gateway is online; zero: it may not
	heard     bool      // the broker has passed that on
	stats     presence.MQTTHealth
	oldest    time.Time     // when the oldest event in flight was sent
	rival     time.Time     // when another gateway was last seen under our id
	hangUps   int           // connections in a row that ended over a question for the time
	askAfter  time.Time     // nobody is asked for the time before
	progress  chan struct{} // closed and replaced when the cursor moves
	refusal   time.Time     // when a refusal was last logged
	telling   bucket        // of refusals to the city
	quiet     int64         // refusals that were not logged since
	early     uint64        // taps up to here were sent ahead of their turn
	learnt    bool          // the next connection may get further than the last one
	farewell  string        // the reason that the goodbye gives
}

// logRoom is how many lines of the log may wait for the line.
const logRoom = 32

// New makes an uplink; Run makes it work.
func New(opt Options) *Uplink {
	u := &Uplink{
		opt: opt, limits: opt.Limits.withDefaults(),
		prefix:    "presence/v1/" + opt.Origin.Dinas + "/" + opt.Origin.Gateway + "/",
		commands:  maps.Clone(opt.Commands),
		revisions: newRevisions(opt.Journal, opt.Times),
		changed:   make(chan struct{}, 1),
		lines:     make(chan []byte, logRoom),
		retained:  make(map[string][]byte),
		unsaid:    make(map[string]struct{}),

		contested: make(map[string]struct{}),
		progress:  make(chan struct{}),
		farewell:  presence.ReasonStop,
		since:     time.Now(),
	}
	u.refusals = newRefusals(u.limits.Aside, u.limits.Hold)
	patient := patience{u.limits.Receipt, u.limits.ReceiptMax}
	if j := opt.Journal; j != nil { // a probe has none
		u.ledger = newLedger(patient, j.Sent(), j.Unanswered())
		var err error
		if u.spent, err = newSpent(j); err != nil {
			opt.Log.Error("a command may be carried out once more", "error", err)
		}
	}
	if u.commands == nil {
		u.commands = make(map[string]CommandFunc)
	}
	u.commands["resync"] = u.resync
	u.filters = map[string]byte{
		u.prefix + "cmd/+": 1, u.prefix + "receipt": 1, u.prefix + "status": 1, u.prefix + "alert/+": 1,
	}
	if opt.asksTime() {
		u.filters[u.prefix+"time/reply"] = 0 // a time that is delivered again is late
	}
	for topic := range opt.Documents {
		u.filters[u.prefix+topic] = 1
	}
	if u.dial = opt.Dial; u.dial == nil {
		u.dial = u.dialTCP
	}
	return u
}

// Run keeps the line up until the context ends, and then says goodbye.
func (u *Uplink) Run(ctx context.Context) error {
	defer func() {
		if err := u.spent.save(); err != nil {
			u.opt.Log.Warn("a command may be answered once more", "error", err)
		}
	}()
	wait := backoff.Backoff{Min: u.limits.RetryMin, Max: u.limits.RetryMax}
	for {
		u.beat(0)
		started := time.Now()
		err := u.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		u.mu.Lock()
		u.stats.LastError = err.Error()
		learnt := u.learnt
		u.learnt = false
		u.mu.Unlock()
		// Two gateways under one id throw each other off the broker: they must
		// not do it at full speed.
		if (learnt || time.Since(started) > u.limits.Held) && !u.Rival() {
			wait.Reset()
		}
		pause := wait.Next()
		u.opt.Log.Warn("no line to the city, trying again", "error", err, "wait", pause.Round(time.Millisecond))
		u.beat(pause)
		if !backoff.Sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

func (u *Uplink) beat(next time.Duration) {
	if u.opt.Beat != nil {
		u.opt.Beat(next)
	}
}

// Leave sets the reason that the goodbye gives, which is presence.ReasonStop
// where nobody says otherwise.
func (u *Uplink) Leave(reason string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.farewell = reason
}

// Retain keeps a document for a topic behind the gateway's prefix and publishes
// it, retained, now if there is a connection and at the start of each. An empty
// one clears the topic.
func (u *Uplink) Retain(topic string, payload []byte) {
	u.mu.Lock()
	u.retained[topic] = payload
	u.mu.Unlock()
	u.say(topic)
}

// say has a topic's document published.
func (u *Uplink) say(topic string) {
	u.mu.Lock()
	u.unsaid[topic] = struct{}{}
	u.mu.Unlock()
	select {
	case u.changed <- struct{}{}:
	default: // somebody said so already
	}
}

// Log hands a line to the city if there is a connection that takes it, and
// forgets it otherwise.
func (u *Uplink) Log(line []byte) {
	u.mu.Lock()
	connected := u.connected
	u.mu.Unlock()
	if !connected {
		return
	}
	select {
	case u.lines <- line:
	default:
	}
}

// Stats says how the line fares.
func (u *Uplink) Stats() presence.MQTTHealth {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.stats
	h.Published = u.published.Load()
	h.Connected = u.connected
	if h.Connected {
		h.LastError = ""
		if !u.oldest.IsZero() {
			h.OldestInflightS = int64(time.Since(u.oldest).Seconds())
		}
	} else {
		h.DisconnectedS = int64(time.Since(u.since).Seconds())
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

// Denied lists the topics, behind the gateway's prefix, that the broker did not
// let this gateway subscribe to at its last connection.
func (u *Uplink) Denied() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.denied)
}

// Unheard reports that the broker acknowledged, long ago, that this gateway is
// online, but did not pass it on, although the gateway subscribes to that. In
// MQTT 3.1.1 that is all that shows of a broker that denies a gateway its
// topics: what is published is acknowledged and thrown away.
func (u *Uplink) Unheard() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.connected && !u.heard && !u.spoke.IsZero() && time.Since(u.spoke) > u.limits.PubAck
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

// RevisionsOutOfTurn returns the revisions of events, which are in order, for an
// export: those that the city has, or is going to get.
func (u *Uplink) RevisionsOutOfTurn(ctx context.Context, entries []presence.Entry) ([]presence.Revision, error) {
	return u.revisions.revise(ctx, entries, u.ledger.publishedUpto(), bestKnownOutOfTurn)
}

// delivered moves the cursor.
func (u *Uplink) delivered(pos uint64) {
	u.opt.Journal.Ack(pos)
	u.mu.Lock()
	defer u.mu.Unlock()
	close(u.progress)
	u.progress = make(chan struct{})
}

// refusalInterval spaces the lines of the log about refused messages: whoever
// floods the line shall not flood the log as well.
const refusalInterval = 5 * time.Second

// How often the city is told of refused messages: so many at once, and one each
// interval after that.
const toldAtOnce = 20

// refused counts a message of the broker that was not as it should be, and tells
// the city, if there is a connection.
func (u *Uplink) refused(topic string, why error) {
	if u.telling.take(time.Now()) {
		u.Log(u.logLine(topic, why))
	}
	u.mu.Lock()
	u.stats.Refused++
	u.quiet++
	now := time.Now()
	if now.Sub(u.refusal) < refusalInterval {
		u.mu.Unlock()
		return
	}
	n := u.quiet
	u.refusal, u.quiet = now, 0
	u.mu.Unlock()
	u.opt.Log.Warn("refused a message from the broker", "topic", clip(topic), "reason", why, "refused", n)
}

// clip is a topic as the log names it: whoever sends may have made it as long as a
// topic can be.
func clip(topic string) string {
	return fmt.Sprintf("%.80s", strings.ToValidUTF8(topic, "\uFFFD"))
}

// logLine is a line of the log about a refused message.
func (u *Uplink) logLine(topic string, why error) []byte {
	b, err := json.Marshal(presence.LogLine{
		Time: u.now(), Level: slog.LevelWarn.String(), Text: "refused a message from the broker",
		Details: map[string]string{"topic": clip(strings.TrimPrefix(topic, u.prefix)), "reason": fmt.Sprintf("%.200s", why)},
	})
	if err != nil {
		panic("encode log: " + err.Error()) // it holds nothing that JSON cannot say
	}
	return b
}

// bucket lets a few things through at once, and more only as time passes.
type bucket struct {
	mu    sync.Mutex
	spent int       // of toldAtOnce
	since time.Time // when the oldest of those comes back
}

func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if back := int(now.Sub(b.since) / refusalInterval); back > 0 {
		b.spent, b.since = max(b.spent-back, 0), now
	}
	if b.spent >= toldAtOnce {
		return false
	}
	b.spent++
	return true
}

// now prints the present time as the documents do, nil while it is unknown.
func (u *Uplink) now() *string {
	t := u.opt.Times.Timing(u.opt.Now())
	if !t.Within(presence.Roughly) {
		return nil
	}
	text := t.Time.In(u.opt.Origin.Location).Format(presence.TimeLayout)
	return &text
}

// status is the retained document of the topic `status`.
func (u *Uplink) status(state, reason string, withTime bool) []byte {
	s := presence.Status{State: state, Session: u.opt.Session, Reason: reason}
	if withTime {
		s.Time = u.now()
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic("encode status: " + err.Error()) // it holds nothing that JSON cannot say
	}
	return b
}

// stalled says for how long nothing came.
func stalled(d time.Duration) error {
	return fmt.Errorf("the broker does not acknowledge: nothing for %s", d)
}
