package lightgateway

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// version is what a light gateway calls itself in info and start events.
const version = "simfleet"

// Options is what a gateway is made of. Zero values of the numbers and durations are the
// real gateway's defaults.
type Options struct {
	Dinas, Gateway string // [a-z0-9-]{1,32}; Gateway is the client id as well

	Brokers  []string    // host:port; the first is tried first, the next where that fails
	TLS      *tls.Config // nil: plain TCP
	Receipts bool        // an event counts as delivered at the city's receipt, not at its PUBACK
	Window   int         // events in flight: 256
	Batches  *Packer     // events that wait together travel in one message; nil: each alone

	// CityKey, if set, is the key with which receipts must be signed.
	CityKey ed25519.PublicKey

	Health     time.Duration // between two health documents: 60 s
	KeepAlive  time.Duration // of silence before a ping, in whole seconds: 15 s
	Receipt    time.Duration // for a receipt before the oldest events without one go again: 1 min
	ReceiptMax time.Duration // the same while the city does not answer to that: 1 h
	RetryMin   time.Duration // between two attempts to connect: 1 s
	RetryMax   time.Duration // 1 min

	// Keep is how many delivered events are kept for a resync; 0: all.
	Keep int
	// Zone is the office's time zone: UTC+7 where it is nil.
	Zone *time.Location
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.Health, time.Minute)
	set(&o.KeepAlive, 15*time.Second)
	set(&o.Receipt, time.Minute)
	set(&o.ReceiptMax, time.Hour)
	set(&o.RetryMin, time.Second)
	set(&o.RetryMax, time.Minute)
	if o.Window == 0 {
		o.Window = 256
	}
	if o.Zone == nil {
		o.Zone = time.FixedZone("WIB", 7*60*60)
	}
	return o
}

// Gateway is one light gateway. Its methods may be called from any goroutine; only one Run
// may be under way at a time.
type Gateway struct {
	opt    Options
	prefix string // "presence/v1/<dinas>/<gateway>/"
	origin origin
	topics [len(kindNames)]string // of events, by kind
	wake   chan struct{}          // has room for one: there is something to do

	mu          sync.Mutex
	journal     journal
	ledger      ledger
	unsynced    bool      // the clock is not set
	corrections []uint64  // positions that were published without a time, which is known now
	session     *session  // nil while there is none
	away        time.Time // there is no line before
	id          string    // of the process's session, which status names
	executed    map[string][]byte
	healthSeq   int
	started     time.Time
	stats       Stats
	latencies   Latencies
}

// Stats is what a gateway has done so far.
type Stats struct {
	Events     int64 // that were recorded
	Pairs      int64 // of id and revision that were published
	Published  int64 // publications of events, those that went again included
	Acked      int64 // events that the broker has acknowledged, each time
	Confirmed  int64 // events before the cursor: with receipts, those that the city has
	Connects   int64
	Receipts   int64 // that came and counted
	Refused    int64 // receipts and commands that did not
	Commands   int64 // that were carried out
	LastError  string
	LastUp     time.Time // when the gateway last said that it is online
	BytesSent  int64
	BytesHeard int64
}

// Waiting is how many recorded events nobody has confirmed.
func (s Stats) Waiting() int64 { return s.Events - s.Confirmed }

// uptime is for how long a gateway has run when it is made: a month, so that the digits of
// its events' boot_ms are as many as those of most gateways.
const uptime = 30 * 24 * time.Hour

// New makes a gateway with its first stream.
func New(opt Options) (*Gateway, error) {
	opt = opt.withDefaults()
	if len(opt.Brokers) == 0 {
		return nil, errors.New("no broker")
	}
	boot, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("make boot id: %w", err)
	}
	g := &Gateway{
		opt:    opt,
		prefix: "presence/v1/" + opt.Dinas + "/" + opt.Gateway + "/",
		origin: origin{
			names: `,"gateway":"` + opt.Gateway + `","dinas":"` + opt.Dinas + `","stream":"`,
			boot:  boot.String(), since: time.Now().Add(-uptime), zone: opt.Zone,
		},
		wake:     make(chan struct{}, 1),
		ledger:   ledger{receipts: opt.Receipts, patience: opt.Receipt, longest: opt.ReceiptMax, received: make(map[string]uint64), replay: replay{span: noSpan()}},
		executed: make(map[string][]byte),
	}
	g.journal.origin = &g.origin
	for k := range g.topics {
		g.topics[k] = g.prefix + "event/" + kind(k).String()
	}
	if err := g.Restart(false); err != nil {
		return nil, err
	}
	return g, nil
}

// ID is the gateway's id.
func (g *Gateway) ID() string { return g.opt.Gateway }

// Restart begins another process of the gateway: a stream with its start event, and a
// session. Clean says that the one before was stopped on purpose. No Run may be under way.
func (g *Gateway) Restart(clean bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	id, err := uuid.NewRandom()
	if err != nil {
		return fmt.Errorf("make session: %w", err)
	}
	g.id, g.started = id.String(), time.Now()
	if len(g.journal.streams) > 0 {
		g.journal.stream().clean = clean
	}
	if err := g.journal.begin(g.started); err != nil {
		return fmt.Errorf("begin stream: %w", err)
	}
	g.stats.Events++
	return nil
}

// Tap records that a badge was shown at the door, and returns the event's id. Backlog says
// that its latency does not count: it is recorded to wait.
func (g *Gateway) Tap(at time.Time, badge string, backlog bool) string {
	return g.record(event{kind: kindBadge, at: at, badge: badge}, backlog)
}

// Tag records that a tag was heard, with its zone: "inside", "outside", "uncertain", or ""
// without a fence.
func (g *Gateway) Tag(at time.Time, tag string, lat, lon float64, zone string, backlog bool) string {
	return g.record(event{kind: kindTag, at: at, tag: tag, lat: lat, lon: lon, state: zone}, backlog)
}

// Presence records what badge and tag say together, with the ids that it rests on.
// Distance is in metres and only for a contradiction; less than 0: none.
func (g *Gateway) Presence(at time.Time, badge, tag, state string, distance float64, events []string) string {
	return g.record(event{kind: kindPresence, at: at, badge: badge, tag: tag, state: state, more: &more{distance: distance, events: events}}, false)
}

// Lose loses so many tag events: their numbers are given, and a gap event names them.
func (g *Gateway) Lose(at time.Time, n uint64, reason string) string {
	g.mu.Lock()
	lost := g.journal.lose(n, reason)
	g.mu.Unlock()
	return g.record(event{kind: kindGap, at: at, more: lost}, false)
}

func (g *Gateway) record(e event, backlog bool) (id string) {
	g.mu.Lock()
	if !backlog {
		e.recorded = time.Now()
	}
	if g.unsynced {
		e.timing = unsynced
	}
	id = g.journal.add(e)
	g.stats.Events++
	g.mu.Unlock()
	g.poke()
	return id
}

// SetClock has the gateway lose the time, or know it again: then the events that it
// recorded meanwhile get theirs, and those that were published come again with a higher
// revision.
func (g *Gateway) SetClock(synced bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unsynced = !synced
	if !synced {
		return
	}
	for i := range g.journal.events {
		e := &g.journal.events[i]
		if e.timing != unsynced {
			continue
		}
		e.timing = corrected
		if e.sent {
			e.rev++
			g.corrections = append(g.corrections, g.journal.gone+uint64(i)+1)
			g.stats.Pairs++
		}
	}
	g.poke()
}

// Cut cuts the line as a fault on the way does: without a goodbye, and for so long.
func (g *Gateway) Cut(away time.Duration) {
	g.mu.Lock()
	g.away = time.Now().Add(away)
	s := g.session
	g.mu.Unlock()
	if s != nil {
		_ = s.conn.Close() // the session's loop says why it ended
	}
}

// Stats is what the gateway has done so far.
func (g *Gateway) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stats
	s.Confirmed = s.Events - int64(g.journal.newest()-g.ledger.cursor)
	return s
}

// AddLatencies adds how long events took from being recorded to being confirmed.
func (g *Gateway) AddLatencies(to *Latencies) {
	g.mu.Lock()
	defer g.mu.Unlock()
	to.Merge(&g.latencies)
}

// poke has the loop of the session look for something to do.
func (g *Gateway) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// ErrKilled as the cause of a context's end has Run end as SIGKILL ends a gateway: without
// a goodbye.
var ErrKilled = errors.New("killed")

// Run keeps the line up until the context ends, and then says goodbye, unless the
// context's cause is ErrKilled.
func (g *Gateway) Run(ctx context.Context) error {
	var bound time.Duration
	for {
		began := time.Now()
		err := g.runSession(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		g.mu.Lock()
		g.stats.LastError = err.Error()
		wait := time.Until(g.away)
		g.mu.Unlock()
		if time.Since(began) > 10*time.Second {
			bound = 0
		}
		bound = min(max(2*bound, g.opt.RetryMin), g.opt.RetryMax)
		wait = max(wait, bound/2+rand.N(bound/2+1))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// filters is what a gateway subscribes to.
func (g *Gateway) filters() []filter {
	f := []filter{
		{g.prefix + "cmd/+", 0}, {g.prefix + "receipt", 0}, {g.prefix + "status", 0}, {g.prefix + "alert/+", 0},
	}
	if g.opt.CityKey != nil { // which signs documents too
		f = append(f, filter{g.prefix + "roster", 0}, filter{g.prefix + "policy/hours", 0})
	}
	if g.opt.Batches != nil {
		f = append(f, filter{g.prefix + "event/batch", 0})
	}
	return f
}

// behindPrefix is a topic without the gateway's prefix.
func (g *Gateway) behindPrefix(topic string) string { return strings.TrimPrefix(topic, g.prefix) }
