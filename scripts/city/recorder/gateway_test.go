package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/uuid"

	"presence/scripts/brokertest"
	"presence/scripts/city/internal/receipts"
)

// stream is a stream of a gateway.
type stream struct {
	dinas, gateway, id string
}

func newStream(gateway string) stream {
	return stream{"dinkes", gateway, uuid.Must(uuid.NewV7()).String()}
}

func (s stream) topic(kind string) string {
	return "presence/v1/" + s.dinas + "/" + s.gateway + "/event/" + kind
}

// event is an event of the stream; more is fields to add, with a comma before each.
func (s stream) event(kind string, seq int, more string) string {
	return `{"v":1,"id":"` + s.id + `-` + strconv.Itoa(seq) + `","gateway":"` + s.gateway + `","dinas":"` + s.dinas +
		`","stream":"` + s.id + `","seq":` + strconv.Itoa(seq) + `,"rev":0,"kind":"` + kind +
		`","boot":"4f0e6f9e-5f2f-4a51-8fdd-7fb4c9f3c9a1","time":"2026-11-29T08:15:30.123+07:00","time_quality":"synced","time_error_ms":12` + more + `}`
}

// tag is an event of a tag, as large as they usually are.
func (s stream) tag(seq int) string {
	return s.event("tag", seq, `,"receiver":"yard","tag":"mesh:1c2f13fc","lat":-7.9778,"lon":112.634,"accuracy_m":5,"fix_time":"2026-11-29T08:15:29.000+07:00","fix":"live","zone":"inside","rssi":-97,"snr":7.5`)
}

// badge is an event of a badge.
func (s stream) badge(seq int) string {
	return s.event("badge", seq, `,"reader":"door","badge":"h:0123456789abcdef0123456789abcdef","card":"iso14443-4","assurance":"uid"`)
}

// receipt is a receipt as a gateway gets it.
type receipt struct {
	Stream, Link, Sig string
	Upto              int64
	Revised           []receipts.Revised
}

// receipts are those of a stream that came so far, checked as a gateway checks them.
func (c *city) receipts(s stream, messages []brokertest.Message) (all []receipt) {
	c.t.Helper()
	for _, m := range messages {
		if m.Topic != "presence/v1/"+s.dinas+"/"+s.gateway+"/receipt" {
			continue
		}
		var r receipt
		if err := json.Unmarshal(m.Payload, &r); err != nil {
			c.t.Error(err)
		}
		if r.Stream != s.id {
			continue
		}
		said := []string{"gatewayd receipt v1", s.dinas, s.gateway, r.Stream, strconv.FormatInt(r.Upto, 10)}
		if r.Link != "" {
			said = append(said, r.Link)
		}
		if len(r.Revised) > 0 {
			revised := "revised"
			for _, c := range r.Revised {
				revised += fmt.Sprintf(" %d:%d", c.Seq, c.Rev)
			}
			said = append(said, revised)
		}
		sig, err := base64.StdEncoding.DecodeString(r.Sig)
		if err != nil || !ed25519.Verify(c.key.Public().(ed25519.PublicKey), []byte(strings.Join(said, "\n")), sig) {
			c.t.Errorf("a gateway would not believe %s", m.Payload)
		}
		all = append(all, r)
	}
	return all
}

// upto returns whether the newest receipt of a stream is up to a number.
func (c *city) upto(s stream, upto int64) func([]brokertest.Message) bool {
	return func(messages []brokertest.Message) bool {
		all := c.receipts(s, messages)
		return len(all) > 0 && all[len(all)-1].Upto == upto
	}
}

// gateway is a gateway under load: it publishes events, and again what is not receipted
// when its line or the city's has broken. It connects to the brokers in turn.
type gateway struct {
	c      *city
	s      stream
	events int
	window int
	again  time.Duration // without a receipt for so long it sends again

	mu    sync.Mutex
	upto  int // receipted
	moved chan struct{}
}

// newGateway makes a gateway with events that wait.
func (c *city) newGateway(name string, events int) *gateway {
	return &gateway{c: c, s: newStream(name), events: events, window: 256, again: 5 * time.Second, moved: make(chan struct{}, 1)}
}

// run publishes all events until they are receipted, or the time is over.
func (g *gateway) run(t testing.TB, within time.Duration) {
	t.Helper()
	deadline := time.Now().Add(within)
	for attempt := 0; g.receipted() < g.events; attempt++ {
		if time.Now().After(deadline) {
			t.Errorf("%s has a receipt up to %d of %d only", g.s.gateway, g.receipted(), g.events)
			return
		}
		g.connection(g.c.brokers[attempt%len(g.c.brokers)], deadline)
	}
}

func (g *gateway) receipted() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.upto
}

// take takes a receipt.
func (g *gateway) take(_ mqtt.Client, m mqtt.Message) {
	for _, r := range g.c.receipts(g.s, []brokertest.Message{{Topic: m.Topic(), Payload: m.Payload()}}) {
		g.mu.Lock()
		if int(r.Upto) > g.events {
			g.c.t.Errorf("%s: a receipt up to %d, and there are %d events", g.s.gateway, r.Upto, g.events)
		}
		g.upto = max(g.upto, int(r.Upto))
		g.mu.Unlock()
		select {
		case g.moved <- struct{}{}:
		default:
		}
	}
}

// connection publishes what is not receipted over one connection, and waits for receipts
// until it breaks or none comes.
func (g *gateway) connection(b *brokertest.Broker, deadline time.Time) {
	lost := make(chan struct{})
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(b.URL()).SetClientID(g.s.gateway).
		SetCleanSession(true).SetAutoReconnect(false).SetOrderMatters(true).SetConnectTimeout(5 * time.Second).
		SetConnectionLostHandler(func(mqtt.Client, error) { close(lost) }))
	defer client.Disconnect(0)
	if token := client.Connect(); !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		time.Sleep(50 * time.Millisecond) // the broker is being started
		return
	}
	if token := client.Subscribe("presence/v1/dinkes/"+g.s.gateway+"/receipt", 1, g.take); !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		return
	}
	var flight []mqtt.Token
	for seq := g.receipted() + 1; seq <= g.events; seq++ {
		if len(flight) == g.window {
			select {
			case <-flight[0].Done():
			case <-lost:
				return
			case <-time.After(g.again):
				return
			}
			flight = flight[1:]
		}
		event := g.s.tag(seq)
		kind := "tag"
		if seq%10 == 0 {
			kind, event = "badge", g.s.badge(seq)
		}
		flight = append(flight, client.Publish(g.s.topic(kind), 1, false, event))
	}
	for g.receipted() < g.events && time.Now().Before(deadline) {
		select {
		case <-g.moved:
		case <-lost:
			return
		case <-time.After(g.again):
			return
		}
	}
}

// load runs gateways at once until all is receipted, and sees to it that the database
// has each of their events once, and no hole.
func (c *city) load(gateways, events int, within time.Duration) {
	c.t.Helper()
	var all sync.WaitGroup
	for i := range gateways {
		g := c.newGateway(fmt.Sprintf("gw-%d", i), events)
		all.Go(func() { g.run(c.t, within) })
	}
	all.Wait()
	c.whole(gateways * events)
}

// whole sees to it that the database has so many events, each once, and no hole.
func (c *city) whole(events int) {
	c.t.Helper()
	c.awaitRow("rows = distinct = made", `select count(*), count(distinct (stream, seq)) from presence.event`, fmt.Sprintf("%d\t%[1]d", events))
	c.awaitRow("no hole", `select count(*) from presence.hole`, "0")
}
