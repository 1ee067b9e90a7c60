package uplink_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// small is a broker that hangs up over packets of more than 1,024 bytes.
func small(t *testing.T) *brokertest.Broker {
	return brokertest.Start(t, "allow_anonymous true", "max_packet_size 1024")
}

// document is one of a size.
func document(bytes int) []byte {
	return fmt.Appendf(nil, `{"text":"%s"}`, strings.Repeat("x", bytes-len(`{"text":""}`)))
}

// names are those of what is refused.
func names(all []uplink.Refusal) (names []string) {
	for _, r := range all {
		names = append(names, r.Name)
	}
	return names
}

// lastOn is the latest message of a topic.
func lastOn(messages []brokertest.Message, topic string) string {
	for _, m := range slices.Backward(messages) {
		if m.Topic == prefix+topic {
			return string(m.Payload)
		}
	}
	return ""
}

// TestDocumentOverWhichTheBrokerHangsUpIsSetAside: all the others and the events
// go on, and it is published again as soon as it fits.
func TestDocumentOverWhichTheBrokerHangsUpIsSetAside(t *testing.T) {
	t.Parallel()
	b := small(t)
	city := b.Subscribe(prefix + "#")
	j := newMemory(6)
	u := uplink.New(options(b.Address(), j))
	u.Retain("info", document(300))
	u.Retain("health", document(1080))
	u.Retain("alert/a", document(200))
	run(t, u)
	await(t, "the events and what is refused", func() bool {
		documents, events := u.Refused()
		if len(events) > 0 {
			t.Fatalf("events are refused: %v", events)
		}
		return j.Cursor() == 6 && slices.Equal(names(documents), []string{"health"}) && u.Stats().Connected
	})
	u.Retain("info", document(301))
	city.Await("the other documents", func(m []brokertest.Message) bool {
		return len(lastOn(m, "info")) == 301 && len(lastOn(m, "alert/a")) == 200
	})
	j.add(4)
	await(t, "more events", func() bool { return j.Cursor() == 10 })
	before := u.Stats().Reconnects
	u.Retain("health", document(1081))
	u.Retain("health", document(500))
	city.Await("a smaller one", func(m []brokertest.Message) bool { return len(lastOn(m, "health")) == 500 })
	await(t, "nothing refused", func() bool { d, _ := u.Refused(); return len(d) == 0 })
	u.Retain("health", document(1080)) // that is known not to go
	await(t, "it to be refused", func() bool { d, _ := u.Refused(); return len(d) == 1 })
	if n := u.Stats().Reconnects - before; n != 0 {
		t.Errorf("%d connections were lost over what is known", n)
	}
}

// TestSeveralDocumentsThatTheBrokerRefuses are found one after the other.
func TestSeveralDocumentsThatTheBrokerRefuses(t *testing.T) {
	t.Parallel()
	b := small(t)
	j := newMemory(500)
	o := options(b.Address(), j)
	u := uplink.New(o)
	for i := range 4 {
		u.Retain(fmt.Sprintf("alert/large-%d", i), document(1200+i))
		u.Retain(fmt.Sprintf("alert/small-%d", i), document(200+i))
	}
	run(t, u)
	await(t, "all of them and the events", func() bool {
		d, _ := u.Refused()
		return len(d) == 4 && j.Cursor() == 500 && u.Stats().Connected
	})
}

// TestEventOverWhichTheBrokerHangsUpIsHeld: it stays undelivered, and so does
// what follows it, but for the taps; once the broker takes it, everything goes
// in order.
func TestEventOverWhichTheBrokerHangsUpIsHeld(t *testing.T) {
	t.Parallel()
	b := small(t)
	city := b.Subscribe(prefix + "event/#")
	j := newMemory(300)
	gap := &j.entries[99]
	gap.Kind, gap.Badge = presence.KindGap, nil
	gap.Gap = &presence.Gap{Reason: presence.GapForgotten, Kinds: map[string]int{"badge": 50}}
	for i := range 50 {
		gap.Gap.Ranges = append(gap.Gap.Ranges, presence.Range{Stream: presence.ID{5}, From: uint64(3 * i), To: uint64(3 * i)})
	}
	start := &j.entries[149]
	start.Kind, start.Badge, start.Start = presence.KindStart, nil, &presence.Start{Version: "1"}
	o := options(b.Address(), j)
	o.Limits.Hold = 2 * time.Second
	u := uplink.New(o)
	run(t, u)
	held := fmt.Sprintf("%s-100", stream)
	await(t, "the event to be refused", func() bool {
		d, events := u.Refused()
		if len(d) > 0 {
			t.Fatalf("documents are refused: %v", d)
		}
		return slices.Equal(names(events), []string{held})
	})
	city.Await("the taps", func(m []brokertest.Message) bool {
		all := seqs(m)
		return slices.Contains(all, 99) && slices.Contains(all, 300)
	})
	j.add(1)
	got := city.Await("another tap", func(m []brokertest.Message) bool { return slices.Contains(seqs(m), 301) })
	if lastOn(got, "event/start") != "" {
		t.Error("what is no tap went ahead")
	}
	if c := j.Cursor(); c != 99 {
		t.Errorf("the cursor is at %d", c)
	}
	b.Stop()
	b.Reconfigure("allow_anonymous true")
	b.Restart()
	await(t, "everything", func() bool { return j.Cursor() == 301 })
	await(t, "nothing refused", func() bool { _, e := u.Refused(); return len(e) == 0 })
	// The gateway may have been back before the city was.
	city = b.Subscribe(prefix + "event/#")
	city.Publish(prefix+"cmd/resync", false, fmt.Appendf(nil, `{"tx":"r","expires":%q,"args":{"stream":"%s","seq":100}}`, inAnHour(), stream))
	city.Await("the gap and the start", func(m []brokertest.Message) bool {
		return lastOn(m, "event/gap") != "" && lastOn(m, "event/start") != ""
	})
}

// TestReplyThatIsTooLargeForTheBroker becomes a short one with the reason.
func TestReplyThatIsTooLargeForTheBroker(t *testing.T) {
	t.Parallel()
	b := small(t)
	city := b.Subscribe(prefix + "reply/+")
	o := options(b.Address(), newMemory(1))
	o.Commands["report"] = func(context.Context, json.RawMessage) (json.RawMessage, error) { return document(2000), nil }
	u := uplink.New(o)
	run(t, u)
	ask := func(name, tx string) {
		city.Publish(prefix+"cmd/"+name, false, fmt.Appendf(nil, `{"tx":%q,"expires":%q}`, tx, time.Now().Add(time.Minute).UTC().Format(time.RFC3339)))
	}
	for n := 0; ; n++ {
		await(t, "the line", func() bool { return u.Stats().Connected })
		before := u.Stats().Reconnects
		ask("report", fmt.Sprint(n))
		await(t, "an answer or the end of the line", func() bool {
			return len(city.Messages()) > 0 || u.Stats().Reconnects > before
		})
		if len(city.Messages()) > 0 {
			break
		}
		if n == 5 {
			t.Fatal("it is never answered")
		}
	}
	if text := lastOn(city.Messages(), "reply/report"); !strings.Contains(text, `"ok":false`) || !strings.Contains(text, "bytes") {
		t.Errorf("answered: %s", text)
	}
	if d, _ := u.Refused(); !slices.Equal(names(d), []string{"reply/report"}) {
		t.Errorf("refused: %v", d)
	}
	ask("ping", "p")
	city.Await("another answer", func(m []brokertest.Message) bool { return replied(m, "p", `"pong":true`) })
}

// TestLineOfTheLogThatIsTooLarge costs one connection, and no more.
func TestLineOfTheLogThatIsTooLarge(t *testing.T) {
	t.Parallel()
	b := small(t)
	city := b.Subscribe(prefix + "log")
	j := newMemory(1)
	u := uplink.New(options(b.Address(), j))
	run(t, u)
	await(t, "the line", func() bool { return j.Cursor() == 1 })
	u.Log(document(1500))
	await(t, "the end of the line", func() bool { return u.Stats().Reconnects == 1 })
	u.Log(document(1600))
	u.Log(document(100))
	city.Await("a short one", func(m []brokertest.Message) bool { return len(m) == 1 && len(m[0].Payload) == 100 })
	j.add(1)
	await(t, "an event", func() bool { return j.Cursor() == 2 })
	if n := u.Stats().Reconnects; n != 1 {
		t.Errorf("%d connections were lost", n)
	}
}

// TestBrokerThatIsStartedAnewBlamesNobody: a line that breaks is nothing unusual.
func TestBrokerThatIsStartedAnewBlamesNobody(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	j := newMemory(0)
	u := uplink.New(options(b.Address(), j))
	u.Retain("health", document(1000))
	run(t, u)
	for range 5 {
		j.add(1000)
		u.Retain("info", document(300))
		b.Kill()
		b.Restart()
		await(t, "the line", func() bool { return j.Cursor() == j.End() && u.Stats().Connected })
	}
	if d, e := u.Refused(); len(d)+len(e) > 0 {
		t.Errorf("refused: %v %v", d, e)
	}
}

// TestBrokerThatForbidsTopics: some hang up over what their access list forbids,
// whatever its size; the status of the gateway may be among it.
func TestBrokerThatForbidsTopics(t *testing.T) {
	t.Parallel()
	for _, forbidden := range []string{"health", "status", "alert/a"} {
		t.Run(forbidden, func(t *testing.T) {
			b := brokertest.Start(t)
			address := forbidding(t, b.Address(), prefix+forbidden)
			city := b.Subscribe(prefix + "#")
			j := newMemory(6)
			o := options(address, j)
			o.Limits.PubAck = time.Second
			u := uplink.New(o)
			for _, topic := range []string{"info", "health", "alert/a"} {
				u.Retain(topic, document(100))
			}
			run(t, u)
			await(t, "the events and what is refused", func() bool {
				d, _ := u.Refused()
				return j.Cursor() == 6 && slices.Equal(names(d), []string{forbidden}) && u.Stats().Connected
			})
			city.Await("what is allowed", func(m []brokertest.Message) bool { return lastOn(m, "info") != "" })
			if forbidden == "status" {
				<-time.After(1500 * time.Millisecond)
				if u.Unheard() {
					t.Error("it waits to hear what it could not say")
				}
			}
		})
	}
}

// forbidding is a way to a broker that closes a connection as soon as something is
// published on a topic.
func forbidding(t *testing.T, broker, topic string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", broker)
			if err != nil {
				near.Close()
				continue
			}
			serving.Go(func() {
				defer near.Close()
				_, _ = io.Copy(near, far)
			})
			serving.Go(func() {
				defer far.Close()
				defer near.Close()
				for in := bufio.NewReader(near); ; {
					packet, err := readPacket(in)
					if err != nil || packet[0]>>4 == 3 && bytes.Contains(packet, append([]byte{0, byte(len(topic))}, topic...)) {
						return
					}
					if _, err := far.Write(packet); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return l.Addr().String()
}

// readPacket reads a packet of MQTT with its header.
func readPacket(in *bufio.Reader) ([]byte, error) {
	packet, length := []byte{0}, 0
	head, err := in.ReadByte()
	packet[0] = head
	for shift := 0; err == nil; shift += 7 {
		var digit byte
		if digit, err = in.ReadByte(); err != nil {
			break
		}
		packet = append(packet, digit)
		length |= int(digit&0x7F) << shift
		if digit&0x80 == 0 {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	body := make([]byte, length)
	_, err = io.ReadFull(in, body)
	return append(packet, body...), err
}
