package main

import (
	"strings"
	"testing"

	"presence/scripts/brokertest"
	"presence/scripts/city/internal/receipts"
)

// TestRoadOfAnEvent follows events from the broker into the database, and their receipt
// back: once each, whatever order they come in and how often.
func TestRoadOfAnEvent(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	gateway := c.brokers[0].Subscribe("presence/v1/+/+/receipt")
	p := c.record()
	s := newStream("dinkes-01")
	gateway.Publish(s.topic("start"), false, []byte(s.event("start", 1, `,"previous":null,"version":"1"`)))
	gateway.Publish(s.topic("badge"), false, []byte(s.badge(2)))
	gateway.Publish(s.topic("tag"), false, []byte(s.tag(4))) // 3 comes later
	gateway.Await("the receipt for the second", c.upto(s, 2))
	gateway.Publish(s.topic("tag"), false, []byte(s.event("tag", 3, `,"link":"00112233445566778899aabbccddeeff"`)))
	gateway.Await("the receipt for the fourth", c.upto(s, 4))
	c.whole(4)
	// A gateway that sends again gets its receipt again, and nothing is stored twice.
	before := len(c.receipts(s, gateway.Messages()))
	gateway.Publish(s.topic("tag"), false, []byte(s.tag(3)))
	gateway.Await("one more receipt", func(m []brokertest.Message) bool { return len(c.receipts(s, m)) > before })
	// Where the event upto has a link, so has the receipt.
	gateway.Publish(s.topic("tag"), false, []byte(s.event("tag", 5, `,"link":"ffeeddccbbaa99887766554433221100"`)))
	gateway.Await("the receipt for the fifth", c.upto(s, 5))
	all := c.receipts(s, gateway.Messages())
	if link := all[len(all)-1].Link; link != "ffeeddccbbaa99887766554433221100" {
		t.Errorf("the receipt for the fifth has the link %q", link)
	}
	c.whole(5)
	// A correction is confirmed by its rev, and again where it comes again.
	for n := range 2 {
		gateway.Publish(s.topic("badge"), false, []byte(strings.Replace(s.badge(2), `"rev":0`, `"rev":3`, 1)))
		gateway.Await("the confirmation of the correction", func(m []brokertest.Message) bool {
			confirmed := 0
			for _, r := range c.receipts(s, m) {
				if len(r.Revised) == 1 && r.Revised[0] == (receipts.Revised{Seq: 2, Rev: 3}) && r.Upto == 5 {
					confirmed++
				}
			}
			return confirmed == n+1
		})
	}
	if got := c.query(`select count(*) from presence.refused`); got != "0" {
		t.Errorf("%s messages were refused", got)
	}
	for name, want := range map[string]string{
		`recorder_events_total{result="stored"}`: "6", `recorder_events_total{result="doubled"}`: "2",
		`recorder_leader`: "1", `recorder_storing`: "1", `recorder_queue_events`: "0",
	} {
		if got := p.metric(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}
