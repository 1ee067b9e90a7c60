package main

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"presence/scripts/brokertest"
)

// TestOneBrokerOfTwoIsGoneForRealGateways is TestOneBrokerOfTwoIsGoneForGood with real
// gateways, at which people tap meanwhile: for each green lamp there is one row.
func TestOneBrokerOfTwoIsGoneForRealGateways(t *testing.T) {
	t.Parallel()
	w := newTorture(t)
	c := newCity(t, brokertest.Start(t, asTheKit(t)...), brokertest.Start(t, asTheKit(t)...))
	_, port, err := net.SplitHostPort(brokertest.OneName(t, c.addresses()...))
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	called := *c // whose gateways call both by one name
	called.brokers = []*brokertest.Broker{brokertest.At(t, number)}
	const gateways, taps = 4, 40
	var accepted atomic.Int64
	var doors sync.WaitGroup
	for n := range gateways {
		g := called.realGateway(fmt.Sprintf("real-%02d", n), "")
		if err := g.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		doors.Go(func() {
			answers, err := g.Tap(t.Context(), fmt.Sprintf("04A1B2%02X000001", n), taps)
			if err != nil {
				t.Error(err)
			}
			for _, a := range answers {
				if a.Outcome == "accepted" {
					accepted.Add(1)
				}
			}
		})
	}
	<-w.upTo(2 * time.Second)
	c.brokers[w.random.IntN(2)].Kill()
	doors.Wait()
	if accepted.Load() != gateways*taps {
		t.Errorf("%d of %d taps were accepted", accepted.Load(), gateways*taps)
	}
	c.await("a row for each tap", func() (string, bool) {
		n := c.number("select count(*) from presence.event where kind = 'badge'")
		return fmt.Sprint(n), n >= accepted.Load()
	})
	has := c.count()
	if rows := c.number("select count(*) from presence.event where kind = 'badge'"); rows != accepted.Load() || has.distinct != has.events || has.holes != 0 {
		t.Errorf("%d rows of %d taps; %+v", rows, accepted.Load(), has)
	}
	fmt.Printf("city-torture: seed=%d victim=%q taps=%d rows=%d missing=%d doubled=%d failed=%t\n", w.seed, "one mosquitto of two, for good, with real gateways",
		accepted.Load(), has.events, has.holes, has.events-has.distinct, t.Failed())
}
