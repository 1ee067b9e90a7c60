package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// city is the other end of the demonstration: a broker that can go away and
// come back, and the database behind it.
type city struct {
	address string // of the broker, the same each time it comes back
	show    func(topic string, payload []byte)

	broker *mqtt.Server

	mu     sync.Mutex
	keep   io.Writer                  // gets each event once, a line each, as it came
	events map[string]json.RawMessage // by id and rev
	again  int                        // deliveries of an event that was there already
	kept   error                      // the first event that could not be kept
}

// newCity finds a free port on the loopback address; open starts the broker.
func newCity(show func(topic string, payload []byte), keep io.Writer) (*city, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a port for the broker: %w", err)
	}
	defer l.Close()
	return &city{address: l.Addr().String(), show: show, keep: keep, events: make(map[string]json.RawMessage)}, nil
}

// open starts the broker and subscribes to all that gateways say.
func (c *city) open() error {
	c.broker = mqtt.New(&mqtt.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	if err := c.broker.AddHook(new(auth.AllowHook), nil); err != nil {
		return fmt.Errorf("open broker: %w", err)
	}
	if err := c.broker.AddListener(listeners.NewTCP(listeners.Config{ID: "city", Address: c.address})); err != nil {
		return fmt.Errorf("open broker: %w", err)
	}
	store := func(_ *mqtt.Client, _ packets.Subscription, pk packets.Packet) {
		c.store(pk.TopicName, pk.Payload)
	}
	if err := c.broker.Subscribe("presence/v1/#", 1, store); err != nil {
		return fmt.Errorf("open broker: %w", err)
	}
	if err := c.broker.Serve(); err != nil {
		return fmt.Errorf("open broker: %w", err)
	}
	return nil
}

// close takes the broker away; its database stays.
func (c *city) close() error {
	if c.broker == nil {
		return nil
	}
	err := c.broker.Close()
	c.broker = nil
	if err != nil {
		return fmt.Errorf("close broker: %w", err)
	}
	return nil
}

// store enters a message into the database: an event counts once, however often the
// gateway sends it.
func (c *city) store(topic string, payload []byte) {
	var e struct {
		ID  string `json:"id"`
		Rev int    `json:"rev"`
	}
	// An alert has an "id" as well: its text in Indonesian.
	if strings.Contains(topic, "/event/") && json.Unmarshal(payload, &e) == nil && e.ID != "" {
		key := fmt.Sprintf("%s/%d", e.ID, e.Rev)
		c.mu.Lock()
		_, known := c.events[key]
		if known {
			c.again++
		} else {
			c.events[key] = append(json.RawMessage(nil), payload...)
			if _, err := fmt.Fprintf(c.keep, "%s\n", payload); err != nil && c.kept == nil {
				c.kept = fmt.Errorf("keep event %s: %w", e.ID, err)
			}
		}
		c.mu.Unlock()
		if known {
			return
		}
	}
	c.show(topic, payload)
}

// received tells how many events of each kind and which ids are in the
// database, and how many deliveries were recognised as repeated.
func (c *city) received() (kinds map[string]int, ids map[string]bool, again int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kinds, ids = make(map[string]int), make(map[string]bool)
	for _, raw := range c.events {
		var e struct {
			ID   string `json:"id"`
			Kind string `json:"kind"`
		}
		if json.Unmarshal(raw, &e) == nil && !ids[e.ID] {
			ids[e.ID] = true
			kinds[e.Kind]++
		}
	}
	return kinds, ids, c.again
}
