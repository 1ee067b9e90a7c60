package city

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/uuid"
)

// quiet is after how much silence a broker has said all that it keeps: it sends that at
// once behind its answer to a subscription.
const quiet = time.Second

// Desk is somebody of the city at the broker who looks after all gateways at once.
type Desk struct {
	client mqtt.Client
	broker string

	mu    sync.Mutex
	heard map[string][]byte // the last message on each topic that was not empty
	last  time.Time         // when something came
	came  chan struct{}     // something did; one place
}

// Sit connects to the broker, tls://host:port, with the certificate of "admin".
func Sit(ctx context.Context, broker string, config *tls.Config) (*Desk, error) {
	d := &Desk{broker: broker, heard: make(map[string][]byte), last: time.Now(), came: make(chan struct{}, 1)}
	d.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker(broker).SetTLSConfig(config).
		SetClientID("city-" + uuid.NewString()).SetCleanSession(true).SetAutoReconnect(false).SetConnectTimeout(15 * time.Second).
		SetOrderMatters(true).SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { d.hear(m.Topic(), m.Payload()) }))
	if err := done(ctx, d.client.Connect()); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", broker, err)
	}
	return d, nil
}

// Leave ends the connection.
func (d *Desk) Leave() { d.client.Disconnect(100) } // milliseconds

func (d *Desk) hear(topic string, payload []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last = time.Now(); len(payload) == 0 {
		delete(d.heard, topic)
	} else {
		d.heard[topic] = payload
	}
	offer(d.came, struct{}{})
}

// Listen subscribes to topics below presence/v1/ and returns once all has come that the
// broker keeps of them. With what it returns the last messages can be looked at.
func (d *Desk) Listen(ctx context.Context, topics ...string) error {
	filters := make(map[string]byte)
	for _, topic := range topics {
		filters["presence/v1/"+topic] = 1
	}
	subscribed := d.client.SubscribeMultiple(filters, nil)
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
		d.mu.Lock()
		if d.last.After(since) {
			since = d.last
		}
		d.mu.Unlock()
	}
}

// Last is the last message on a topic below presence/v1/, nil if there is none.
func (d *Desk) Last(topic string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.heard["presence/v1/"+topic]
}

// Below are the last messages of a gateway by the end of their topic, such as
// "alert/no-rtc", if they begin as asked.
func (d *Desk) Below(o Office, begin string) map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := make(map[string][]byte)
	prefix := "presence/v1/" + o.Dinas + "/" + o.ID + "/"
	for topic, payload := range d.heard {
		if rest, ok := strings.CutPrefix(topic, prefix); ok && strings.HasPrefix(rest, begin) {
			found[rest] = payload
		}
	}
	return found
}

// Gateways are all that the broker knows of, whether in a list of offices or not.
func (d *Desk) Gateways() (offices []Office) {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := make(map[Office]bool)
	for topic := range d.heard {
		if part := strings.Split(topic, "/"); len(part) > 4 {
			seen[Office{ID: part[3], Dinas: part[2]}] = true
		}
	}
	for o := range seen {
		offices = append(offices, o)
	}
	return offices
}

// Publish publishes a message, retained or not, and waits until the broker has it.
func (d *Desk) Publish(ctx context.Context, topic string, retained bool, payload []byte) error {
	if err := done(ctx, d.client.Publish("presence/v1/"+topic, 1, retained, payload)); err != nil {
		return fmt.Errorf("publish %s: %w", topic, err)
	}
	return nil
}

// Clear clears what the broker keeps of a gateway: what it said last, as far as the desk
// listens to it, and what the city said to it. It returns how many topics those were.
func (d *Desk) Clear(ctx context.Context, o Office) (n int, err error) {
	topics := []string{"roster", "policy/hours", "receipt"} // not for admin to read
	for topic := range d.Below(o, "") {
		topics = append(topics, topic)
	}
	for _, topic := range topics {
		if strings.HasPrefix(topic, "reply/") {
			continue // never kept
		}
		if err := d.Publish(ctx, o.Dinas+"/"+o.ID+"/"+topic, true, nil); err != nil {
			return n, err
		}
		n++
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
