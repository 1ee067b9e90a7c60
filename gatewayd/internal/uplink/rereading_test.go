package uplink_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
	"presence/scripts/natstest"
)

// overloaded is the way to a real broker that drops messages, as brokers do at QoS 0 with
// what they cannot send at once.
type overloaded struct {
	address string

	mu      sync.Mutex
	drop    string // topic; "": nothing is dropped
	dropped int
}

// dial is for uplink.Options.
func (l *overloaded) dial(ctx context.Context) (net.Conn, error) {
	broker, err := new(net.Dialer).DialContext(ctx, "tcp", l.address)
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	go func() {
		defer broker.Close()
		_, _ = io.Copy(broker, far) // ends with either connection
	}()
	go func() {
		defer far.Close()
		for in := bufio.NewReader(broker); ; {
			p, err := packets.ReadPacket(in)
			if err != nil {
				return
			}
			if m, ok := p.(*packets.PublishPacket); ok && l.drops(m.TopicName) {
				continue
			}
			if p.Write(far) != nil {
				return
			}
		}
	}()
	return near, nil
}

func (l *overloaded) drops(topic string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if topic != l.drop {
		return false
	}
	l.dropped++
	return true
}

// dropping has messages of a topic dropped from now on.
func (l *overloaded) dropping(topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop, l.dropped = topic, 0
}

func (l *overloaded) droppedAny() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped > 0
}

// TestDocumentThatTheBrokerDroppedIsReadAgain: a document reaches the broker, and not the
// gateway, whose connection goes on. The city names its serial, in a command or in a
// receipt, and the gateway has it after that.
func TestDocumentThatTheBrokerDroppedIsReadAgain(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	documentsAreReadAgain(t, b.Address(), b.Subscribe(prefix+"#"))
}

// TestDocumentThatNATSDroppedIsReadAgain: the same with a nats-server, where subscriptions
// at QoS 0 matter most.
func TestDocumentThatNATSDroppedIsReadAgain(t *testing.T) {
	t.Parallel()
	s := natstest.StartOne(t)
	documentsAreReadAgain(t, s.Address(), brokertest.At(t, s.MQTT).Subscribe(prefix+"#"))
	if n := s.Consumers(); n > 2 { // those of the test's own city, whose # counts twice
		t.Errorf("%d consumers", n)
	}
}

// TestProbeOverNATS: what gatewayd doctor tries works there too.
func TestProbeOverNATS(t *testing.T) {
	t.Parallel()
	o := options(natstest.StartOne(t).Address(), nil)
	if p := uplink.Try(t.Context(), o, false); p.Failed != "" || len(p.Denied) > 0 {
		t.Errorf("%s: %v, denied %q", p.Failed, p.Err, p.Denied)
	}
}

// documentsAreReadAgain is the test above with any broker.
func documentsAreReadAgain(t *testing.T, address string, city *brokertest.City) {
	t.Helper()
	roster, hours := new(inbox), new(inbox)
	line := &overloaded{address: address}
	o := options(address, newMemory(1))
	o.Receipts, o.Dial = true, line.dial
	o.Documents = map[string]uplink.Document{"roster": roster, "policy/hours": hours}
	o.Limits.Reread = 20 * time.Millisecond
	u := uplink.New(o)
	run(t, u)
	city.Await("the event", func(m []brokertest.Message) bool { return len(seqs(m)) > 0 })
	for n, tc := range []struct {
		topic string
		has   *inbox
		name  func(serial int)
	}{
		{"roster", roster, func(serial int) {
			city.Publish(prefix+"cmd/ping", false, fmt.Appendf(nil, `{"tx":"name","expires":%q,"documents":{"roster":%d}}`, inAnHour(), serial))
		}},
		{"policy/hours", hours, func(serial int) {
			city.Publish(prefix+"receipt", false, fmt.Appendf(nil, `{"stream":"%s","upto":1,"documents":{"policy/hours":%d}}`, stream, serial))
		}},
	} {
		serial := 7 + n
		line.dropping(prefix + tc.topic)
		city.Publish(prefix+tc.topic, true, []byte(strconv.Itoa(serial)))
		await(t, "the document to be dropped", line.droppedAny)
		line.dropping("")
		tc.name(serial)
		await(t, "the "+tc.topic, func() bool { return tc.has.Serial() == uint64(serial) })
	}
	if s := u.Stats(); s.Reconnects != 0 || s.Refused != 0 {
		t.Errorf("%d reconnects, %d refused", s.Reconnects, s.Refused)
	}
}

// TestSubscriptionsAreAtQoS0: on some brokers one at QoS 1 is a consumer of its own.
func TestSubscriptionsAreAtQoS0(t *testing.T) {
	t.Parallel()
	configure := func(_ *scriptedBroker, _ *memory, o *uplink.Options) {
		o.Receipts, o.Batch = true, true
		o.Documents = map[string]uplink.Document{"roster": new(inbox), "policy/hours": new(inbox)}
	}
	runScripted(t, 0, configure, func(t *testing.T, b *scriptedBroker, _ *uplink.Uplink, _ *memory) {
		subscribed := b.subscribed()
		if len(subscribed) != 7 {
			t.Errorf("subscribed to %v", subscribed)
		}
		for filter, qos := range subscribed {
			if qos != 0 {
				t.Errorf("%s at QoS %d", filter, qos)
			}
		}
	})
}

// TestSerialThatNeverComesIsAskedForSeldom: the city names what the broker does not have,
// once, and then with each receipt for a day.
func TestSerialThatNeverComesIsAskedForSeldom(t *testing.T) {
	t.Parallel()
	roster := new(inbox)
	configure := func(_ *scriptedBroker, _ *memory, o *uplink.Options) {
		o.Receipts = true
		o.Documents = map[string]uplink.Document{"roster": roster}
	}
	name := func(b *scriptedBroker, topic string, serial int) {
		b.send("receipt", false, receiptWith(stream, 1, fmt.Sprintf(`"documents":{%q:%d}`, topic, serial)))
	}
	runScripted(t, 1, configure, func(t *testing.T, b *scriptedBroker, _ *uplink.Uplink, _ *memory) {
		subscriptions := func() (n int) {
			for _, kind := range b.kinds() {
				if kind == "SUBSCRIBE" {
					n++
				}
			}
			return n - 1 // that of the greeting
		}
		name(b, "roster", 5)
		name(b, "badge-keys", 5) // nothing that this gateway reads
		for _, step := range []struct {
			until time.Duration
			want  int
		}{{9 * time.Second, 0}, {2 * time.Second, 1}, {40 * time.Second, 2}, {80 * time.Second, 3}, {24 * time.Hour, 3}} {
			time.Sleep(step.until) // of the bubble
			if got := subscriptions(); got != step.want {
				t.Fatalf("after %v more: read again %d times, want %d", step.until, got, step.want)
			}
		}
		before := subscriptions()
		for serial := range 24 * 60 {
			name(b, "roster", 6+serial)
			time.Sleep(time.Minute)
		}
		if again := subscriptions() - before; again < 20 || again > 40 {
			t.Errorf("named each minute of a day it was read again %d times", again)
		}
		b.send("roster", true, []byte("100000"))
		before = subscriptions()
		name(b, "roster", 100000)
		time.Sleep(24 * time.Hour)
		if again := subscriptions() - before; again != 0 {
			t.Errorf("in force already, it was read again %d times", again)
		}
		name(b, "roster", 100001) // a new one is asked for as soon as the first was
		time.Sleep(11 * time.Second)
		if again := subscriptions() - before; again != 1 {
			t.Errorf("a new serial was read again %d times", again)
		}
	})
}

// TestDocumentThatIsJustComingIsNotReadAgain: the city publishes a document and names it
// at once, when the line breaks: the next connection brings what is retained anyway.
func TestDocumentThatIsJustComingIsNotReadAgain(t *testing.T) {
	t.Parallel()
	roster := &inbox{takes: 5 * time.Second}
	configure := func(_ *scriptedBroker, _ *memory, o *uplink.Options) {
		o.Documents = map[string]uplink.Document{"roster": roster}
		o.Receipts = true
	}
	runScripted(t, 1, configure, func(t *testing.T, b *scriptedBroker, _ *uplink.Uplink, _ *memory) {
		b.send("receipt", false, receiptWith(stream, 1, `"documents":{"roster":9}`))
		time.Sleep(9 * time.Second)
		b.hangUp()
		time.Sleep(3 * time.Second)
		b.send("roster", true, []byte("9"))
		time.Sleep(time.Minute)
		if n := len(slices.DeleteFunc(b.kinds(), func(kind string) bool { return kind != "SUBSCRIBE" })); n > 1 {
			t.Errorf("%d subscriptions", n)
		}
	})
}

func receiptWith(of presence.ID, upto int, more string) []byte {
	return fmt.Appendf(nil, `{"stream":"%s","upto":%d,%s}`, of, upto, more)
}
