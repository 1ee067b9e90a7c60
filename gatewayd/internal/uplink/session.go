package uplink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// session is one connection to the broker, from CONNECT to its end.
type session struct {
	u           *Uplink
	client      mqtt.Client
	commands    chan message // on cmd/<name>
	own         chan message // on the gateway's own topics
	documents   *documentQueue
	time        *cityTime
	lost        chan error // has room for one: why paho says that the connection is gone
	reconnected bool       // this process was connected before
	sentBefore  uint64     // newest position that was sent before this connection
	// places is the window: the sender takes some before it publishes, and the collector
	// gives them back after the PUBACK.
	places     *semaphore.Weighted
	window     int64         // how many places there are
	trial      *post         // the batch of no events; nil: there is none
	echo       chan struct{} // has room for one: a batch came back from the broker
	echoed     atomic.Bool   // one did
	roundTrip  time.Duration // that the greeting took to be acknowledged
	pace       *pace         // bounds what is on its way by how fast the line is
	turn       atomic.Uint64 // position up to which this connection has sent everything in order
	lastPUBACK atomic.Int64  // when the broker last acknowledged anything, in ns since 1970
	unacked    []sent        // events without a PUBACK, at the end

	subscribing atomic.Int64 // how many filters the latest SUBSCRIBE has

	cleared int // alerts of earlier processes that were cleared; under the uplink's mutex

	// alongside is held for reading to publish something alongside other messages, and
	// for writing to publish something alone.
	alongside sync.RWMutex

	postsMu  sync.Mutex
	posts    []*post   // documents and replies without a PUBACK
	lineSize int       // of the latest line of the log, in bytes
	lineSent time.Time // when that was sent

	mu     sync.RWMutex // held for reading while a message from the broker is dispatched
	socket *coalescing
	ended  bool
}

// inboundRoom is how many messages of a kind from the broker may wait. Others are
// dropped and counted: a city sends far fewer.
const inboundRoom = 64

// publishWait bounds how long Publish waits until paho's writer takes the message over.
// As a rule that is at once, for the connection accepts every write (see coalescing).
// But in the moment after a connection was lost nobody takes it over any more, and
// Publish waits for the whole of this time.
const publishWait = time.Second

// errLost is why a session ended whose connection was lost.
var errLost = errors.New("the connection was lost")

// closedSoon is within what time a broker closes the connection over a message that it
// does not allow.
const closedSoon = time.Second

// session connects to the broker, works until the connection or the context ends, and
// returns why it ended.
func (u *Uplink) session(ctx context.Context) error {
	s := &session{
		u:         u,
		commands:  make(chan message, inboundRoom),
		own:       make(chan message, inboundRoom),
		documents: newDocumentQueue(),
		time:      &cityTime{now: u.opt.Now, check: u.opt.checkTime, answers: make(chan answer, 1)},
		lost:      make(chan error, 1),
		places:    semaphore.NewWeighted(int64(max(u.opt.Window, 1))),
		window:    int64(max(u.opt.Window, 1)),
		echo:      make(chan struct{}, 1),

		pace:       newPace(),
		sentBefore: u.ledger.sentUpto(),
	}
	options, err := s.options(ctx)
	if err != nil {
		return err
	}
	u.setPace(s.pace)
	defer u.setPace(nil)
	s.client = mqtt.NewClient(options)
	connect := s.client.Connect()
	defer s.hangUp(connect)
	err = s.awaitAnswer(ctx, connect, u.limits.Connect+time.Second)
	if ctx.Err() != nil && connect.WaitTimeout(u.limits.Goodbye/2) && connect.Error() == nil {
		err = nil // the broker has accepted the connection and holds its will: a goodbye is due
	}
	if err != nil {
		return fmt.Errorf("connect to %s: %w", u.opt.Address, plain(err))
	}
	err = s.work(ctx)
	if ctx.Err() != nil {
		s.goodbye()
	}
	return err
}

// work runs everything that goes over a connection, each in a goroutine of its own,
// until the first of them ends, and returns why.
func (s *session) work(ctx context.Context) error {
	u := s.u
	if err := s.greet(ctx); err != nil {
		if ctx.Err() == nil {
			err = s.whyLost(ctx, err)
			s.learn(err)
		}
		return fmt.Errorf("greet %s: %w", u.opt.Address, err)
	}
	u.opt.Log.Info("the line to the city is up", "broker", u.opt.Address)
	up := time.Now()
	// Before anything else runs: a command of the city may ask for events again.
	cursor := u.ledger.begin(u.opt.Journal.Cursor())
	defer func() {
		u.mu.Lock()
		u.connected = false
		u.since = time.Now()
		u.oldest = time.Time{}
		u.mu.Unlock()
	}()

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.drain(gctx, cursor) })
	g.Go(func() error { return s.publishDocumentsAndLog(gctx) })
	g.Go(func() error { return s.watchSilence(gctx) })
	g.Go(func() error { return s.keepTime(gctx) })
	g.Go(func() error { return s.listen(gctx, s.commands, s.handleCommand) })
	g.Go(func() error { return s.listen(gctx, s.own, s.handleOwn) })
	g.Go(func() error { return s.handleDocuments(gctx) })
	g.Go(func() error { return s.readAgain(gctx) })
	g.Go(func() error {
		select {
		case err := <-s.lost:
			return fmt.Errorf("%w: %w", errLost, err)
		case <-gctx.Done():
			return gctx.Err()
		}
	})
	err := g.Wait()
	if errors.Is(err, errLost) && s.time.justAsked() {
		u.noteTimeHangUp()
	} else {
		s.learn(err)
	}
	if errors.Is(err, errLost) && time.Since(up) < closedSoon {
		err = fmt.Errorf("%w (at once: does it allow this gateway's topics (ACL) and messages of this size?)", err)
	}
	return err
}
