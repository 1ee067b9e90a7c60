package recorder_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"presence/scripts/brokertest"
)

// receipt is a receipt as a gateway gets it.
type receipt struct {
	Stream, Link, Sig string
	Upto              int64
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
			c.t.Fatal(err)
		}
		if r.Stream != s.id {
			continue
		}
		said := []string{"gatewayd receipt v1", s.dinas, s.gateway, r.Stream, fmt.Sprint(r.Upto)}
		if r.Link != "" {
			said = append(said, r.Link)
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

// TestRoadOfAnEvent follows events from the broker into the database, and their receipt
// back: once each, whatever order they come in and how often.
func TestRoadOfAnEvent(t *testing.T) {
	c := newCity(t)
	gateway := c.brokers[0].Subscribe("presence/v1/+/+/receipt")
	c.record()
	s := newStream("dinkes-01")
	gateway.Publish(s.topic("start"), false, []byte(s.event("start", 1, `,"previous":null,"version":"1"`)))
	gateway.Publish(s.topic("badge"), false, []byte(s.badge(2)))
	gateway.Publish(s.topic("tag"), false, []byte(s.tag(4))) // 3 comes later
	gateway.Await("the receipt for the second", c.upto(s, 2))
	gateway.Publish(s.topic("tag"), false, []byte(s.tag(3)))
	gateway.Await("the receipt for the fourth", c.upto(s, 4))
	c.awaitRow("rows", `select count(*), count(distinct (stream, seq)), min(seq), max(seq) from presence.event`, "4\t4\t1\t4")
	// A gateway that sends again gets its receipt again, and nothing is stored twice.
	before := len(c.receipts(s, gateway.Messages()))
	gateway.Publish(s.topic("tag"), false, []byte(s.tag(3)))
	gateway.Await("one more receipt", func(m []brokertest.Message) bool { return len(c.receipts(s, m)) > before })
	c.awaitRow("rows", `select count(*) from presence.event`, "4")
	if got := c.query(`select count(*) from presence.refused`); got != "0" {
		t.Errorf("%s messages were refused", got)
	}
}
