package city

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/uuid"
)

// quiet is after how much silence a broker has said all that it keeps: it sends that at
// once behind its answer to a subscription.
const quiet = time.Second

// Desk is somebody of the city who looks after all gateways at once: at its broker, or at
// each of its brokers where it has several that know nothing of each other.
type Desk struct {
	seats []*seat
	away  []error       // why a broker could not be reached
	came  chan struct{} // something was heard; one place
}

// seat is the desk's place at one broker.
type seat struct {
	client mqtt.Client
	broker string
	came   chan<- struct{}

	mu    sync.Mutex
	heard map[string][]byte // the last message on each topic that was not empty
	last  time.Time         // when something came
}

// Sit connects to the brokers, tls://host:port with a comma between several, with the
// certificate of "admin". It takes one that answers; see Away for the others.
func Sit(ctx context.Context, brokers string, config *tls.Config) (*Desk, error) {
	d := &Desk{came: make(chan struct{}, 1)}
	for broker := range strings.SplitSeq(brokers, ",") {
		s := &seat{broker: broker, came: d.came, heard: make(map[string][]byte), last: time.Now()}
		s.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker(broker).SetTLSConfig(config).
			SetClientID("city-" + uuid.NewString()).SetCleanSession(true).SetAutoReconnect(false).SetConnectTimeout(15 * time.Second).
			SetOrderMatters(true).SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { s.hear(m.Topic(), m.Payload()) }))
		if err := done(ctx, s.client.Connect()); err != nil {
			d.away = append(d.away, fmt.Errorf("connect to %s: %w", broker, err))
			continue
		}
		d.seats = append(d.seats, s)
	}
	if len(d.seats) == 0 {
		return nil, errors.Join(d.away...)
	}
	return d, nil
}

// Away says why brokers could not be reached: what is published now does not get there.
func (d *Desk) Away() []error { return d.away }

// Leave ends the connections.
func (d *Desk) Leave() {
	for _, s := range d.seats {
		s.client.Disconnect(100) // milliseconds
	}
}

func (s *seat) hear(topic string, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last = time.Now(); len(payload) == 0 {
		delete(s.heard, topic)
	} else {
		s.heard[topic] = payload
	}
	offer(s.came, struct{}{})
}

// Listen subscribes to topics below presence/v1/ and returns once all has come that the
// brokers keep of them.
func (d *Desk) Listen(ctx context.Context, topics ...string) error {
	filters := make(map[string]byte)
	for _, topic := range topics {
		filters["presence/v1/"+topic] = 1
	}
	for _, s := range d.seats {
		if err := s.listen(ctx, filters); err != nil {
			return err
		}
	}
	return nil
}

func (s *seat) listen(ctx context.Context, filters map[string]byte) error {
	subscribed := s.client.SubscribeMultiple(maps.Clone(filters), nil)
	if err := done(ctx, subscribed); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if granted, ok := subscribed.(*mqtt.SubscribeToken); ok {
		for topic, qos := range granted.Result() {
			if qos == refused {
				return fmt.Errorf("subscribe to %s: the broker does not allow it to this certificate; use that of admin", topic)
			}
		}
	}
	for since := time.Now(); ; {
		wait := quiet - time.Since(since)
		if wait <= 0 {
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return errors.New("the broker does not stop sending")
		}
		s.mu.Lock()
		if s.last.After(since) {
			since = s.last
		}
		s.mu.Unlock()
	}
}

// of is the last message of a gateway on a topic, nil if there is none.
func (s *seat) of(o Office, topic string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard["presence/v1/"+o.Dinas+"/"+o.ID+"/"+topic]
}

// below are the last messages of a gateway by the end of their topic, such as
// "alert/no-rtc", if they begin as asked.
func (s *seat) below(o Office, begin string) map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make(map[string][]byte)
	prefix := "presence/v1/" + o.Dinas + "/" + o.ID + "/"
	for topic, payload := range s.heard {
		if rest, ok := strings.CutPrefix(topic, prefix); ok && strings.HasPrefix(rest, begin) {
			found[rest] = payload
		}
	}
	return found
}

// where is the place at the broker at which a gateway is, or was last.
func (d *Desk) where(o Office, now time.Time) (best *seat, c Condition) {
	for _, s := range d.seats {
		if other := s.condition(o, now); best == nil || other.newer(c) {
			best, c = s, other
		}
	}
	return best, c
}

// Alerts are the alerts that stand at a gateway, by the end of their topic.
func (d *Desk) Alerts(o Office) map[string][]byte {
	s, _ := d.where(o, time.Now())
	return s.below(o, "alert/")
}

// Gateways are all that the brokers know of, whether in a list of offices or not.
func (d *Desk) Gateways() (offices []Office) {
	seen := make(map[Office]bool)
	for _, s := range d.seats {
		s.mu.Lock()
		for topic := range s.heard {
			if part := strings.Split(topic, "/"); len(part) > 4 {
				seen[Office{ID: part[3], Dinas: part[2]}] = true
			}
		}
		s.mu.Unlock()
	}
	for o := range seen {
		offices = append(offices, o)
	}
	return offices
}

// Publish publishes a message, retained or not, and waits until each broker has it.
func (d *Desk) Publish(ctx context.Context, topic string, retained bool, payload []byte) error {
	for _, s := range d.seats {
		if err := s.publish(ctx, topic, retained, payload); err != nil {
			return err
		}
	}
	return nil
}

func (s *seat) publish(ctx context.Context, topic string, retained bool, payload []byte) error {
	if err := done(ctx, s.client.Publish("presence/v1/"+topic, 1, retained, payload)); err != nil {
		return fmt.Errorf("publish %s at %s: %w", topic, s.broker, err)
	}
	return nil
}

// Clear clears what the brokers keep of a gateway: what it said last, as far as the desk
// listens to it, and what the city said to it. It returns how many topics those were.
func (d *Desk) Clear(ctx context.Context, o Office) (n int, err error) {
	for _, s := range d.seats {
		topics := []string{"roster", "policy/hours", "badge-keys", "badge-revoked", "receipt"} // not for admin to read
		for topic := range s.below(o, "") {
			topics = append(topics, topic)
		}
		for _, topic := range topics {
			if strings.HasPrefix(topic, "reply/") {
				continue // never kept
			}
			if err := s.publish(ctx, o.Dinas+"/"+o.ID+"/"+topic, true, nil); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

// request has the gateway say how it is now; the answer is heard on reply/report. It
// names the serials of what was published for it, by topic: what the gateway lacks of that,
// since the broker dropped it, it reads again.
func (d *Desk) request(ctx context.Context, o Office, serials map[string]uint64, wait time.Duration) error {
	command, err := json.Marshal(map[string]any{
		"tx": uuid.NewString(), "expires": time.Now().Add(wait).UTC().Format(time.RFC3339), "args": struct{}{},
		"documents": serials,
	})
	if err != nil {
		return fmt.Errorf("make command: %w", err)
	}
	return d.Publish(ctx, o.Dinas+"/"+o.ID+"/cmd/report", false, command)
}
