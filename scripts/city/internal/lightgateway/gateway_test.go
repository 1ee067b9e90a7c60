package lightgateway_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/scripts/brokertest"
	"presence/scripts/city"
	"presence/scripts/city/internal/lightgateway"
)

// running is a gateway of a test that runs.
type running struct {
	*lightgateway.Gateway
	t    *testing.T
	stop context.CancelCauseFunc
	done chan struct{}
}

func newGateway(t *testing.T, opt lightgateway.Options) *running {
	t.Helper()
	opt.Dinas, opt.Gateway = "dinkes", "dinkes-01"
	opt.RetryMin, opt.RetryMax = 20*time.Millisecond, 20*time.Millisecond
	g, err := lightgateway.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Gateway: g, t: t}
	t.Cleanup(func() { r.end(context.Canceled) })
	return r
}

func (r *running) start() {
	var ctx context.Context
	ctx, r.stop = context.WithCancelCause(context.Background())
	r.done = make(chan struct{})
	go func() {
		defer close(r.done)
		_ = r.Run(ctx)
	}()
}

func (r *running) end(why error) {
	if r.stop != nil {
		r.stop(why)
		<-r.done
	}
}

// await waits until something is so of what the gateway has done.
func (r *running) await(what string, ok func(lightgateway.Stats) bool) {
	r.t.Helper()
	for deadline := time.Now().Add(wait); !ok(r.Stats()); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain for %s: %+v", what, r.Stats())
		}
	}
}

// everything has a gateway record events of all kinds.
func everything(g *lightgateway.Gateway) (events int) {
	at := time.Now()
	id := g.Tap(at, "h:00112233445566778899aabbccddeeff", false)
	g.Tap(at, "04A1B2C3D4E5F6", true)
	g.Tag(at, "kenwood:100-1001", -7.97, 112.63, "inside", false)
	g.Tag(at, "reyax:50", -7.97, 112.63, "", false)
	g.Presence(at, "04A1B2C3D4E5F6", "reyax:50", "contradiction", 1234.5, []string{id, id})
	g.Presence(at, "04A1B2C3D4E5F6", "reyax:50", "on_site", -1, []string{id})
	g.Lose(at, 3, "journal-full")
	g.SetClock(false)
	g.Tap(at, "04A1B2C3", false)
	return 8
}

// Everything that a light gateway publishes at a real broker is as the AsyncAPI document
// says: events of all kinds, alone and in batches, corrections, documents, replies, the log
// and the last will.
func TestMessagesAreAsDescribed(t *testing.T) {
	broker := brokertest.Start(t)
	v, err := city.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	heardAt := broker.Subscribe("presence/v1/#")
	for round, batches := range []bool{false, true} {
		opt := lightgateway.Options{Brokers: []string{broker.Address()}}
		if batches {
			if opt.Batches, err = lightgateway.NewPacker(); err != nil {
				t.Fatal(err)
			}
		}
		g := newGateway(t, opt)
		events := int64(everything(g.Gateway)) + 1
		g.start()
		g.await("all events", func(s lightgateway.Stats) bool { return s.Waiting() == 0 && s.Acked == events })
		g.SetClock(true) // the last event is corrected
		g.await("a correction", func(s lightgateway.Stats) bool { return s.Acked == events+1 })
		expires := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
		for _, name := range []string{"ping", "report", "identify", "resync", "dance"} {
			heardAt.Publish(prefix+"cmd/"+name, false, fmt.Appendf(nil, `{"tx":"t","expires":%q}`, expires))
		}
		heardAt.Publish(prefix+"cmd/ping", false, []byte("no command"))
		heardAt.Await("replies and the log", func(all []brokertest.Message) bool {
			count := make(map[string]int)
			for _, m := range all {
				count[m.Topic]++
			}
			return count[prefix+"log"] > round && count[prefix+"reply/dance"] > round
		})
		g.end(lightgateway.ErrKilled)
		heardAt.Await("the last will", func(all []brokertest.Message) bool {
			return slices.ContainsFunc(all[max(0, len(all)-4):], func(m brokertest.Message) bool { return strings.Contains(string(m.Payload), `"lost"`) })
		})
		if got, want := g.Stats().Pairs, events+1; got != want {
			t.Errorf("%d pairs of id and revision, want %d", got, want)
		}
	}
	kinds := make(map[string]int)
	for _, m := range heardAt.Messages() {
		kinds[strings.TrimPrefix(m.Topic, prefix)]++
		if strings.HasPrefix(m.Topic, prefix+"cmd/") {
			continue // ours, one of which is wrong on purpose
		}
		if err := v.Validate(m.Topic, m.Payload); err != nil {
			t.Error(err)
		}
	}
	for _, topic := range []string{"event/start", "event/badge", "event/tag", "event/presence", "event/gap", "info", "health", "status", "log", "reply/ping", "reply/report", "reply/resync"} {
		if kinds[topic] < 2 {
			t.Errorf("%d messages on %s, want 2 at least", kinds[topic], topic)
		}
	}
	if len(heardAt.Batches()) < 2 { // one is the trial without events
		t.Errorf("%d batches came", len(heardAt.Batches()))
	}
}

// Without receipts for a while the oldest 32 events come again, and then, as soon as the
// city answers, what it lacks, in parts that double.
func TestRepeatsWithoutReceipt(t *testing.T) {
	b := newScriptedBroker(t)
	g := newGateway(t, lightgateway.Options{Brokers: []string{b.address()}, Receipts: true, Receipt: 300 * time.Millisecond, ReceiptMax: time.Hour})
	for range 199 {
		g.Tap(time.Now(), "04A1B2C3D4E5F6", false)
	}
	g.start()
	all := b.await(0, "events", atLeast(t, 200))
	stream := headOf(t, all[slices.IndexFunc(all, heard.isEvent)]).Stream
	all = b.await(0, "the oldest again", atLeast(t, 232))
	if got := inShort(seqs(t, all)); got != "1-200 1-32" {
		t.Fatalf("without a receipt came %s", got)
	}
	place := b.now()
	b.send(prefix+"receipt", fmt.Sprintf(`{"stream":%q,"upto":32}`, stream))
	all = b.await(place, "what the city lacks", atLeast(t, 64))
	if got := inShort(seqs(t, all)); got != "33-96" {
		t.Errorf("after an answer for 32 came %s", got)
	}
	b.send(prefix+"receipt", fmt.Sprintf(`{"stream":%q,"upto":200}`, stream))
	g.await("the cursor to move", func(s lightgateway.Stats) bool { return s.Waiting() == 0 })
	var l lightgateway.Latencies
	g.AddLatencies(&l)
	if l.Count() != 199 || l.Quantile(0.5) < 280*time.Millisecond {
		t.Errorf("%d latencies, half of them below %v", l.Count(), l.Quantile(0.5))
	}
}

// Where the gateway has the city's key, a receipt counts only signed with it.
func TestReceiptsCountOnlySigned(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := newScriptedBroker(t)
	g := newGateway(t, lightgateway.Options{Brokers: []string{b.address()}, Receipts: true, CityKey: public})
	g.start()
	all := b.await(0, "the start event", atLeast(t, 1))
	stream := headOf(t, all[slices.IndexFunc(all, heard.isEvent)]).Stream
	b.send(prefix+"receipt", fmt.Sprintf(`{"stream":%q,"upto":1}`, stream))
	g.await("a receipt to be refused", func(s lightgateway.Stats) bool { return s.Refused == 1 })
	if g.Stats().Waiting() != 1 {
		t.Error("a receipt without a signature counts")
	}
	const link = "00112233445566778899aabbccddeeff"
	text := strings.Join([]string{"gatewayd receipt v1", "dinkes", "dinkes-01", stream, "1", link}, "\n")
	sig := base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte(text)))
	b.send(prefix+"receipt", fmt.Sprintf(`{"stream":%q,"upto":1,"link":%q,"sig":%q}`, stream, link, sig))
	g.await("a signed receipt to count", func(s lightgateway.Stats) bool { return s.Waiting() == 0 })
}

// A gateway that is killed begins a new stream, whose start event names the last number of
// the one before, and sends what was left of that first.
func TestKilledGateway(t *testing.T) {
	b := newScriptedBroker(t)
	g := newGateway(t, lightgateway.Options{Brokers: []string{b.address()}, Receipts: true})
	for range 9 {
		g.Tap(time.Now(), "04A1B2C3D4E5F6", false)
	}
	g.start()
	b.await(0, "events", atLeast(t, 10))
	g.end(lightgateway.ErrKilled)
	for _, h := range b.since(0) {
		if h.packet == "DISCONNECT" {
			t.Error("who is killed says no goodbye")
		}
	}
	if err := g.Restart(false); err != nil {
		t.Fatal(err)
	}
	place := b.now()
	g.start()
	all := b.await(place, "events of both streams", atLeast(t, 11))
	if got := inShort(seqs(t, all)); got != "1-10 1-1" {
		t.Errorf("after a kill came %s", got)
	}
	first := headOf(t, all[slices.IndexFunc(all, heard.isEvent)]).Stream
	last := all[len(all)-1]
	for i := len(all) - 1; !last.isEvent(); i-- {
		last = all[i]
	}
	if want := fmt.Sprintf(`"previous":{"stream":%q,"seq":10,"clean":false,"link":"`, first); !strings.Contains(string(last.payload), want) {
		t.Errorf("the start event says %s, want %s", last.payload, want)
	}
	// A receipt for the second stream moves nothing before the first is confirmed.
	second := headOf(t, last).Stream
	b.send(prefix+"receipt", fmt.Sprintf(`{"stream":%q,"upto":1}`, second))
	g.await("a receipt", func(s lightgateway.Stats) bool { return s.Receipts == 1 })
	if n := g.Stats().Waiting(); n != 11 {
		t.Errorf("%d events wait, want all 11", n)
	}
	b.send(prefix+"receipt", fmt.Sprintf(`{"stream":%q,"upto":10}`, first))
	g.await("the cursor to move over both", func(s lightgateway.Stats) bool { return s.Waiting() == 0 })
}

// Quantiles are right to within 4 %.
func TestLatencies(t *testing.T) {
	var l lightgateway.Latencies
	for ms := range 1000 {
		l.Add(time.Duration(ms+1) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		if got := l.Quantile(q); got < want*96/100 || got > want*104/100 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if l.Max() != time.Second || l.Count() != 1000 {
		t.Errorf("max %v of %d", l.Max(), l.Count())
	}
	if empty := new(lightgateway.Latencies); empty.Quantile(0.99) != 0 {
		t.Error("without durations there is a quantile")
	}
}
