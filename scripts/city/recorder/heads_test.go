package main

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"presence/scripts/brokertest"
	"presence/scripts/city/internal/event"
)

// linkOf is a link that a test makes up.
func linkOf(n int) string { return fmt.Sprintf("%032x", n) }

// start is the first event of a stream behind nothing, with a link.
func (s stream) start(link int) string {
	return s.event("start", 1, `,"previous":null,"version":"1","link":"`+linkOf(link)+`"`)
}

func (s stream) linked(seq, link int) string {
	return s.event("badge", seq, `,"badge":"h:0123456789abcdef0123456789abcdef","link":"`+linkOf(link)+`"`)
}

// A gateway that begins a stream is told how far the city has its newest other one, with
// the link there: also where the start comes in a batch, to another recorder than the one
// that stored what was before, and beside other gateways'. It is told once for each start,
// however often that comes. The head is the newest stream's, be it that of a seal.
func TestAStartIsAnsweredWithTheHead(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	gateway := c.brokers[0].Subscribe("presence/v1/+/+/receipt")
	p := c.record()
	const gateways = 5
	var before, after [gateways]stream
	for i := range gateways {
		before[i], after[i] = newStream(fmt.Sprintf("gw-%d", i)), newStream(fmt.Sprintf("gw-%d", i))
		gateway.Publish(before[i].topic("start"), false, []byte(before[i].start(100*i+1)))
		gateway.Publish(before[i].topic("badge"), false, []byte(before[i].linked(2, 100*i+2)))
	}
	// Of the last one the newest event is a seal, whose own link nobody sends.
	last := before[gateways-1]
	seal := last.event("seal", 3, `,"upto":2,"link":"`+linkOf(100*(gateways-1)+2)+`","anchors":[],"key":"0011223344556677","sig":"x"`)
	gateway.Publish(last.topic("seal"), false, []byte(seal))
	for i := range gateways - 1 {
		gateway.Await("the receipts for what was before", c.upto(before[i], 2))
	}
	gateway.Await("the receipt for the seal", c.upto(last, 3))
	p.kill()
	c.record()

	seen := len(gateway.Messages())
	heads := func(s stream, messages []brokertest.Message) []receipt { return c.receipts(s, messages[seen:]) }
	for i := range gateways {
		if i%2 == 0 {
			gateway.Publish(after[i].topic("batch"), false, pack(t, after[i].start(100*i+50)+"\n"+after[i].linked(2, 100*i+51)+"\n"))
		} else {
			gateway.Publish(after[i].topic("start"), false, []byte(after[i].start(100*i+50)))
		}
	}
	for i := range gateways {
		upto, link := int64(2), linkOf(100*i+2)
		if i == gateways-1 {
			core, err := event.Core([]byte(seal))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := hex.DecodeString(link)
			if err != nil {
				t.Fatal(err)
			}
			upto, link = 3, hex.EncodeToString(event.NextLink(raw, core))
		}
		gateway.Await("the head of the stream before", func(m []brokertest.Message) bool { return len(heads(before[i], m)) > 0 })
		if r := heads(before[i], gateway.Messages())[0]; r.Upto != upto || r.Link != link {
			t.Errorf("%s: told %+v, want up to %d with %s", before[i].gateway, r, upto, link)
		}
	}
	// Again the same start, and its correction: it has its receipt, and no other.
	for range 3 {
		again := len(c.receipts(after[1], gateway.Messages()))
		gateway.Publish(after[1].topic("start"), false, []byte(strings.Replace(after[1].start(150), `"rev":0`, `"rev":1`, 1)))
		gateway.Publish(after[1].topic("start"), false, []byte(after[1].start(150)))
		gateway.Await("the receipt for the start", func(m []brokertest.Message) bool { return len(c.receipts(after[1], m)) > again })
	}
	gateway.Publish(after[1].topic("badge"), false, []byte(after[1].linked(2, 151)))
	gateway.Await("the receipt for the second", c.upto(after[1], 2))
	for i := range gateways {
		if n := len(heads(before[i], gateway.Messages())); n != 1 {
			t.Errorf("%s was told %d times, want once", before[i].gateway, n)
		}
	}
}
