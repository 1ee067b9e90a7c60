package uplink

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"presence/gatewayd/internal/backoff"
	"presence/gatewayd/internal/batch"
	"presence/gatewayd/internal/lastday"
	"presence/gatewayd/internal/presence"
)

// Uplink is the connection to the city. Its methods may be called from any goroutine,
// and only Run and Drained wait for the broker.
type Uplink struct {
	opt              Options
	limits           Limits
	prefix           string // "presence/v1/<dinas>/<gateway>/"
	commands         map[string]CommandFunc
	filters          map[string]byte // what to subscribe to, and at which QoS
	ledger           *ledger
	replies          replies
	executed         *executed
	revisions        *revisions
	unconfirmed      *unconfirmed
	review           review
	suspects         *suspects
	rereading        *rereading
	dial             func(context.Context) (net.Conn, error)
	published        atomic.Int64
	documentsChanged chan struct{} // has room for one: there is an unpublished document
	lines            chan []byte   // of the log, to be published
	traffic          traffic
	packer           *batch.Packer // of the sender; nil: events go one by one
	hurry            atomic.Int64  // who waits for everything to be delivered

	mu                 sync.Mutex
	retained           map[string][]byte   // the present document of each topic
	unpublished        map[string]struct{} // topics whose document is to be published
	contested          map[string]struct{} // topics of alerts where the broker has something else
	connected          bool
	since              time.Time // when the last connection ended, or the uplink was made
	greeted            int       // connections so far
	denied             []string  // see Denied
	announced          time.Time // when this connection published that the gateway is online; zero: it did not
	heard              bool      // the broker has passed that on to this gateway
	stats              presence.MQTTHealth
	oldest             time.Time     // when the oldest event in flight was sent
	rival              time.Time     // when another gateway was last seen under this one's id
	timeHangUps        int           // connections in a row that ended right after a question for the time
	askAfter           time.Time     // no question before this
	progress           chan struct{} // closed and replaced when the cursor moves, or idle or a correction changes
	idle               bool          // the sender of a connection has found nothing more to send
	rejectionLogged    time.Time     // when a rejected message was last logged
	rejectionBudget    bucket        // of lines about rejected messages on the topic `log`
	rejectionsUnlogged int64         // rejected messages since rejectionLogged
	early              uint64        // taps up to here were sent ahead of their turn
	ahead              uint64        // events up to here needed not be sent ahead of a backlog again
	learnt             bool          // the next connection may get further than the last one (see learn)
	farewell           string        // the reason that the goodbye gives
	daily              lastday.Count // of bytes sent and received
	batchesDenied      bool          // see BatchesDenied
	pace               *pace         // of the connection; nil: there is none
}

// logRoom is how many lines of the log may wait to be published.
const logRoom = 32

// New makes an uplink; Run makes it work.
func New(opt Options) *Uplink {
	u := &Uplink{
		opt: opt, limits: opt.Limits.withDefaults(),
		prefix:           "presence/v1/" + opt.Origin.Dinas + "/" + opt.Origin.Gateway + "/",
		commands:         maps.Clone(opt.Commands),
		revisions:        newRevisions(opt.Journal, opt.Times),
		documentsChanged: make(chan struct{}, 1),
		lines:            make(chan []byte, logRoom),
		retained:         make(map[string][]byte),
		unpublished:      make(map[string]struct{}),

		contested: make(map[string]struct{}),
		progress:  make(chan struct{}),
		farewell:  presence.ReasonStop,
		since:     time.Now(),
	}
	if opt.KeepAlive > 0 {
		u.limits.KeepAlive = opt.KeepAlive
	}
	u.suspects = newSuspects(u.limits.Aside, u.limits.Hold)
	u.rereading = newRereading(patience{u.limits.Reread, u.limits.RereadMax})
	patient := patience{u.limits.Receipt, u.limits.ReceiptMax}
	if j := opt.Journal; j != nil { // a probe has none
		u.ledger = newLedger(patient, earlier{j.Cursor(), j.Sent(), j.Unanswered()})
		u.unconfirmed = newUnconfirmed(patient, u.ledger.wake)
		var err error
		if u.executed, err = newExecuted(j); err != nil {
			opt.Log.Error("a command may be carried out once more", "error", err)
		}
	}
	if opt.Batch {
		var err error
		if u.packer, err = batch.NewPacker(); err != nil {
			opt.Log.Error("events go one by one", "error", err)
		}
	}
	if u.commands == nil {
		u.commands = make(map[string]CommandFunc)
	}
	u.commands["resync"] = u.resync
	// All at QoS 0, for a subscription at QoS 1 costs some brokers dearly (see rereading).
	// A receipt or command that is lost is repeated by the city, a late time is worth
	// nothing, what somebody changes of the gateway's own documents is put right at the
	// next restate, and documents of the city are read again.
	u.filters = map[string]byte{
		u.prefix + "cmd/+": 0, u.prefix + "receipt": 0, u.prefix + "status": 0, u.prefix + "alert/+": 0,
	}
	if opt.asksTime() {
		u.filters[u.prefix+"time/reply"] = 0
	}
	for topic := range opt.Documents {
		u.filters[u.prefix+topic] = 0
	}
	if opt.EventsOnly {
		maps.DeleteFunc(u.filters, func(topic string, _ byte) bool { return !opt.Receipts || topic != u.prefix+"receipt" })
	}
	if u.packer != nil {
		u.filters[u.prefix+BatchTopic] = 0
	}
	if u.dial = opt.Dial; u.dial == nil {
		u.dial = u.dialTCP
	}
	return u
}

// Run keeps the line up until the context ends, and then says goodbye.
func (u *Uplink) Run(ctx context.Context) error {
	defer func() {
		if err := u.executed.save(); err != nil {
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
		// A broker disconnects a client when another connects under its id: two gateways
		// with the same id must not do that to each other at full speed.
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

// Leave sets the reason that the goodbye gives; by default it is presence.ReasonStop.
func (u *Uplink) Leave(reason string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.farewell = reason
}

// Log publishes a line on the topic `log` if there is a connection and room for the
// line, and drops it otherwise.
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

// Stats is the uplink's part of the health document.
func (u *Uplink) Stats() presence.MQTTHealth {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.stats
	h.Published = u.published.Load()
	h.Connected, h.Receipts = u.connected, u.opt.Receipts
	h.BytesSent, h.BytesReceived = u.traffic.sent.Load(), u.traffic.received.Load()
	h.BytesDay = u.daily.Rise(time.Now(), h.BytesSent+h.BytesReceived)
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

// Rival reports whether another gateway has used this one's id within the last 10
// minutes. Each of the two makes the broker disconnect the other.
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

// Unheard reports whether the broker has acknowledged the gateway's status, but has not
// passed it on to the gateway itself, which subscribes to it. In MQTT 3.1.1 a broker that
// denies a gateway its topics shows in no other way: it acknowledges what is published
// and drops it.
func (u *Uplink) Unheard() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.connected && !u.heard && !u.announced.IsZero() && time.Since(u.announced) > u.limits.PubAck
}

// leastPlain and leastPacked are fewer bytes than an event needs on the line, alone or in a
// batch.
const (
	leastPlain  = 400
	leastPacked = 12
)

// hopeless reports whether the line is too slow for what waits to be delivered until the
// context ends. While nothing is known of the line it is not.
func (u *Uplink) hopeless(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	if !ok {
		return false
	}
	least := leastPlain
	if u.packer != nil {
		least = leastPacked
	}
	waits := float64(u.opt.Journal.End() - min(u.opt.Journal.End(), u.opt.Journal.Cursor()))
	u.mu.Lock()
	defer u.mu.Unlock()
	return waits*float64(least) > u.pace.carries(time.Until(deadline))
}

func (u *Uplink) setPace(p *pace) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pace = p
}

// Drained waits until everything in the journal is delivered, or the context
// ends. It does not wait where the line is too slow for that: a goodbye would only have to
// wait behind what is sent meanwhile.
func (u *Uplink) Drained(ctx context.Context) {
	if u.hopeless(ctx) {
		return
	}
	defer u.hurried()()
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

// Settled waits until everything in the journal is delivered, and every event whose time
// is known better by now has been corrected, or the context ends.
func (u *Uplink) Settled(ctx context.Context) error {
	defer u.hurried()()
	for {
		u.mu.Lock()
		progress, idle := u.progress, u.idle
		u.mu.Unlock()
		if end := u.opt.Journal.End(); idle && u.opt.Journal.Cursor() >= end {
			open, err := u.anyOpen(end)
			if err != nil || !open {
				return err
			}
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// anyOpen reports whether there is a correction up to a position that the broker has not
// acknowledged.
func (u *Uplink) anyOpen(upto uint64) (bool, error) {
	for looked := uint64(0); looked < upto; {
		open, to, err := u.revisions.openCorrections(looked, upto)
		if err != nil || len(open) > 0 {
			return len(open) > 0, err
		}
		looked = to
	}
	return false, nil
}

// setIdle notes whether there is something to send, and wakes who waits for that.
func (u *Uplink) setIdle(idle bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.idle = idle
	u.wakeWaiting()
}

// wakeWaiting wakes Drained and Settled. The caller holds the mutex.
func (u *Uplink) wakeWaiting() {
	close(u.progress)
	u.progress = make(chan struct{})
}

// RevisionsOutOfTurn returns the revisions of events, which are in order, for an
// export: those that the city has, or is going to get.
func (u *Uplink) RevisionsOutOfTurn(ctx context.Context, entries []presence.Entry) ([]presence.Revision, error) {
	return u.revisions.revise(ctx, entries, u.ledger.publishedUpto, bestKnownOutOfTurn)
}

// delivered moves the journal's cursor.
func (u *Uplink) delivered(pos uint64) {
	u.opt.Journal.Ack(pos)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.wakeWaiting()
}

// now is the present time as the documents print it, nil while it is unknown.
func (u *Uplink) now() *string {
	t := u.opt.Times.Timing(u.opt.Now())
	if !t.Within(presence.Roughly) {
		return nil
	}
	text := t.Time.In(u.opt.Origin.Location).Format(presence.TimeLayout)
	return &text
}

// stalled is why a connection is given up over which no acknowledgement comes.
func stalled(d time.Duration) error {
	return fmt.Errorf("the broker does not acknowledge: nothing for %s", d)
}
