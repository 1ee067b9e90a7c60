package uplink

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net"
	"time"

	"presence/gatewayd/internal/presence"
)

// Journal is what the uplink needs of the journal.
type Journal interface {
	// Cursor is the position up to which everything is delivered.
	Cursor() uint64
	// End is the newest durable position.
	End() uint64
	// Next returns up to limit entries behind a position, and blocks until there is at
	// least one.
	Next(ctx context.Context, after uint64, limit int) ([]presence.Entry, error)
	// Ack notes that everything up to a position is delivered.
	Ack(pos uint64)
	// Stream is the stream to which new events are added.
	Stream() presence.ID
	// Save makes a small note durable in place of the one of the same name. Load returns
	// a note, nil if there is none of that name.
	Save(name string, data []byte) error
	Load(name string) ([]byte, error)
	// PositionOf is the position that an event has or had: the event itself may be gone by
	// now. It is false if there never was such an event, or if nothing of its stream is
	// left.
	PositionOf(stream presence.ID, seq uint64) (pos uint64, found bool)
	// Oldest is the oldest position.
	Oldest() uint64
	// Sent is the newest position that is known to have been sent.
	Sent() uint64
	// SetSent sets that position. It becomes durable with some later commit, so that
	// after a crash more may have been sent than is known.
	SetSent(pos uint64)
	// Unanswered is the position up to which the broker has acknowledged everything
	// while the city did not answer to what went again; 0 if it did.
	Unanswered() uint64
	// SetUnanswered sets that position, which becomes durable like that of SetSent.
	SetUnanswered(pos uint64)

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
	// Revise is what is known of a reading after a timing that was published of it.
	// That stands also when the clock has forgotten what it rested on.
	Revise(published presence.Timing, r presence.Reading) presence.Timing
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

// City verifies the city's signatures. An error says why a message is not the city's.
type City interface {
	Receipt(presence.Receipt) error
	Time(presence.TimeReply) error
}

// Document is a document of the city.
type Document interface {
	// Receive gets what the city publishes on the topic, retained or not: one document at
	// a time, in order, and the retained one again at each connection. Where many come at
	// once, some are left out for which there is a newer one. Only the size has been
	// checked. An empty payload means that the retained document was cleared. The payload
	// belongs to the method.
	Receive(payload []byte)
	// Serial is that of the document in force, 0 if there is none. It may wait for Receive.
	Serial() uint64
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
	WebSocket    string // path at which a web server takes MQTT over WebSocket; "": no WebSocket
	Proxy        string // host:port of an HTTP proxy that knows CONNECT; "": none
	CAFile       string // "": the system's certificates
	CertFile     string
	KeyFile      string
	CertTime     func() time.Time // at which certificates must be valid; nil: the system's clock
	Username     string
	PasswordFile string
	Window       int           // events in flight
	KeepAlive    time.Duration // of silence before a ping, in whole seconds; 0: that of the limits
	// Batch has events that wait to be sent travel together, at most BatchMax in a
	// batch. For BatchWait a tag event may wait for company.
	Batch     bool
	BatchWait time.Duration
	BatchMax  int
	Receipts  bool // an event is delivered at the city's receipt, not at its PUBACK

	// EventsOnly is for who delivers what a gateway recorded that does not run: nothing
	// but events is published, so that what the broker retains of the gateway stays as
	// it is, there is no will and no goodbye, and of what the city says only receipts
	// are heard.
	EventsOnly bool

	Journal  Journal
	Times    Times
	Now      func() presence.Reading
	Commands map[string]CommandFunc
	// City, if set, verifies signatures: then receipts and the time count only if they
	// are signed.
	City City
	// Head, if set, gets what a receipt with a link says is the city's newest event of a
	// stream, signed where City is set. It returns up to which number of the stream the
	// receipt may count; an error says why it does not count yet. It is called between two
	// messages from the broker, and must not wait.
	Head func(presence.Head) (upto uint64, err error)
	// CityTime, if set, returns the earliest and the latest time that the city's answer
	// can be; a zero instant is no bound.
	CityTime func() (from, to time.Time)
	// NotBefore, if set, is an instant that has certainly passed, for while the present
	// is unknown; zero if none is known.
	NotBefore func() time.Time
	// Anchor, if set, gets the city's time: at the reading it was utc, give or take
	// within. The city is asked only over TLS, or if City is set.
	Anchor func(at presence.Reading, utc time.Time, within time.Duration)
	// Documents are what the city publishes as retained messages, by topic without the
	// gateway's prefix.
	Documents map[string]Document
	Log       *slog.Logger
	// Restate is how often all retained documents are published again, as somebody may
	// have cleared or overwritten them at the broker; 0: never.
	Restate time.Duration
	// BrokerCertificate, if set, is called at each connection over TLS with the
	// certificate of the broker's chain, without its root, that expires first.
	BrokerCertificate func(*x509.Certificate)
	// Greeted, if set, is called at the start of each connection, before the retained
	// documents are published, so that those that say there is no connection can be
	// replaced.
	Greeted func()

	// Beat, if set, is called at each step with the time within which the next step
	// comes: 0 before work, the bound of a wait before the wait, less than 0 before
	// waiting for an event, which may take for ever.
	Beat func(next time.Duration)

	// Dial, if set, opens the connection to the proxy, or to the broker where there is no
	// proxy, in place of TCP.
	Dial func(context.Context) (net.Conn, error)

	// Limits bounds waiting; zero values are the defaults.
	Limits Limits
}

// Limits bounds what the uplink waits for. Zero values are the defaults.
type Limits struct {
	Connect     time.Duration // for TCP, proxy, TLS and WebSocket together, and for CONNACK: 10 s
	PubAck      time.Duration // for a PUBACK before the line counts as stalled: 10 s
	KeepAlive   time.Duration // of silence before a ping, in whole seconds: 15 s
	Ping        time.Duration // for the answer to a ping: 4 s
	RetryMin    time.Duration // between two attempts to connect: 1 s
	RetryMax    time.Duration // 60 s
	Held        time.Duration // for how long a connection must have lasted for the next attempt to be made soon: 10 s
	Goodbye     time.Duration // for the last message: 1 s
	Receipt     time.Duration // for a receipt before the oldest events without one go again: 1 min
	ReceiptMax  time.Duration // the same while the city does not answer to that: doubled up to 1 h
	Unreceipted int           // positions sent ahead of the last receipt: 10,000
	Aside       time.Duration // before a document over which the broker hung up is tried again: 10 min, then longer
	Hold        time.Duration // the same for an event: 1 min, then longer
	AskTime     time.Duration // between two rounds of asking for the time: 10 min, an hour where the clock is right anyway
	AskReply    time.Duration // for an answer before the question is given up: 2 s
	AskPause    time.Duration // between an answer and the next question: 500 ms
	Reread      time.Duration // for a document whose serial the city names before it is read again: 10 s
	RereadMax   time.Duration // the same while that is in vain: doubled up to 1 h
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
	set(&l.Reread, 10*time.Second)
	set(&l.RereadMax, time.Hour)
	if l.Unreceipted == 0 {
		l.Unreceipted = 10_000
	}
	return l
}
