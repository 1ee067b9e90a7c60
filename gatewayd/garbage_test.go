package main_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/drivers/beacon/beacontest"
	"presence/scripts/brokertest"
)

// noise is random bytes, or a valid text that was cut and spoiled: what a fuzzer
// finds first.
func noise(r *rand.Rand, valid string) []byte {
	switch b := []byte(valid); r.IntN(3) {
	case 0:
		b = make([]byte, 1+r.IntN(600))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	case 1:
		return b[:r.IntN(len(b))]
	default:
		for range 1 + r.IntN(4) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		return b
	}
}

// TestGarbageOnEveryInputLeavesTheDoorAlone: random bytes on the radio, on the
// control socket and from the broker, all at once, and every tap still turns
// green.
func TestGarbageOnEveryInputLeavesTheDoorAlone(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/+/+/event/#")
	radio, port := openTTY(t)
	g := newGateway(t, b.URL(), everyTag+receiver(port))
	g.start()
	socket := filepath.Join(g.dir, "state", "control.sock")
	const prefix = "presence/v1/dinkes/dinkes-01/"

	const rounds = 300
	done := make(chan struct{}, 3)
	go func() {
		defer func() { done <- struct{}{} }()
		r := rand.New(rand.NewPCG(1, 1))
		for range rounds * 10 {
			_, _ = radio.Write(noise(r, beacontest.PKLDS(100, 1001, -7.9, 112.6, time.Now())))
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		r := rand.New(rand.NewPCG(2, 2))
		for range rounds {
			conn, err := net.Dial("unix", socket)
			if err != nil {
				t.Errorf("the control socket is gone: %v", err)
				return
			}
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			_, _ = conn.Write(noise(r, "POST /sim/reader HTTP/1.1\r\nHost: g\r\nContent-Length: 35\r\n\r\n{\"reader\":\"gate\",\"fault\":\"deaf\"}   "))
			_ = conn.Close()
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		r := rand.New(rand.NewPCG(3, 3))
		for i := range rounds {
			seen.Publish(prefix+[]string{"cmd/ping", "cmd/report", "cmd/x", "receipt", "status"}[i%5], false,
				noise(r, `{"tx":"1","expires":"2099-01-01T00:00:00Z","args":{},"stream":"019ab2c3-0000-7000-8000-000000000001","upto":5}`))
		}
	}()
	green := make(map[string]bool)
	for i := 0; len(done) < cap(done) || i < 10; i++ {
		a := g.tap("--uid", fmt.Sprintf("04DD%06X0000", i))[0]
		if a.Outcome != "accepted" {
			t.Fatalf("among garbage: %+v", a)
		}
		green[a.id()] = true
	}

	// A long silence of good lines is over: the first one counts again.
	if _, err := io.WriteString(radio, "\r\n"+beacontest.PKLDS(100, 1234, -7.9, 112.6, time.Now())); err != nil {
		t.Fatal(err)
	}
	messages := seen.Await("all taps and the good tag", func(m []brokertest.Message) bool {
		return count(m, "badge") >= len(green) && len(m) > 0 && strings.Contains(string(joined(m)), "kenwood:100-1234")
	})
	all := events(t, validator(t), messages)
	for id := range green {
		if _, ok := all[id]; !ok {
			t.Errorf("green tap %s is lost", id)
		}
	}
	h := g.health()
	if len(h.Receivers[0].Bad) == 0 || h.MQTT.Refused == 0 {
		t.Errorf("garbage was not counted: %v on the radio, %d from the broker", h.Receivers[0].Bad, h.MQTT.Refused)
	}
	g.stop()
}

// joined is the payload of the newest messages.
func joined(messages []brokertest.Message) (all []byte) {
	for _, m := range messages[max(0, len(messages)-50):] {
		all = append(all, m.Payload...)
	}
	return all
}
