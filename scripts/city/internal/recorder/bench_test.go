package recorder_test

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/scripts/brokertest"
)

// BenchmarkBacklog is events/s into the table with receipts, while gateways send what has
// waited at them: GATEWAYS of them (100) with EVENTS each (400), over mosquitto, with
// PostgreSQL beside it, all on this machine.
func BenchmarkBacklog(b *testing.B) {
	number := func(name string, usual int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return usual
	}
	gateways, events := number("GATEWAYS", 100), number("EVENTS", 400)
	for b.Loop() {
		c := newCity(b, brokertest.Start(b))
		c.record()
		begun := time.Now()
		var all sync.WaitGroup
		for i := range gateways {
			all.Go(func() { c.drain(b, newStream(fmt.Sprintf("gw-%d", i)), events) })
		}
		all.Wait()
		took := time.Since(begun)
		c.awaitRow("rows", `select count(*), count(distinct (stream, seq)) from presence.event`, fmt.Sprintf("%d\t%[1]d", gateways*events))
		c.awaitRow("no hole", `select count(*) from presence.hole`, "0")
		b.ReportMetric(float64(gateways*events)/took.Seconds(), "events/s")
	}
}

// drain is a gateway that sends what waits, 256 in flight, until all is receipted.
func (c *city) drain(t testing.TB, s stream, events int) {
	done := make(chan struct{})
	var once sync.Once
	receipted := func(_ mqtt.Client, m mqtt.Message) {
		for _, r := range c.receipts(s, []brokertest.Message{{Topic: m.Topic(), Payload: m.Payload()}}) {
			if r.Upto == int64(events) {
				once.Do(func() { close(done) })
			}
		}
	}
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(c.brokers[0].URL()).SetClientID(s.gateway).
		SetCleanSession(true).SetOrderMatters(true).SetConnectTimeout(wait))
	if token := client.Connect(); !token.WaitTimeout(wait) || token.Error() != nil {
		t.Errorf("%s: %v", s.gateway, token.Error())
		return
	}
	if token := client.Subscribe("presence/v1/dinkes/"+s.gateway+"/receipt", 1, receipted); !token.WaitTimeout(wait) || token.Error() != nil {
		t.Errorf("%s: %v", s.gateway, token.Error())
		return
	}
	defer client.Disconnect(0)
	var flight []mqtt.Token
	for seq := 1; seq <= events; seq++ {
		if len(flight) == 256 {
			flight[0].Wait()
			flight = flight[1:]
		}
		flight = append(flight, client.Publish(s.topic("tag"), 1, false, s.tag(seq)))
	}
	select {
	case <-done:
	case <-time.After(5 * wait):
		t.Errorf("%s: no receipt for its last event", s.gateway)
	}
}
