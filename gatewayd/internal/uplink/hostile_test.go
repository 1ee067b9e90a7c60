package uplink_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
)

// FuzzBroker lets a broker answer anything at all after its CONNACK: the
// connection may end, the gateway may not, and no cursor moves without PUBACKs.
func FuzzBroker(f *testing.F) {
	suback := []byte{0x90, 6, 0, 1, 1, 1, 1, 1}
	online := []byte{0x40, 2, 0, 2}
	greeted := append(append([]byte(nil), suback...), online...)
	f.Add([]byte{})
	f.Add(suback)
	f.Add(greeted)
	f.Add([]byte{0x90, 10, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1}) // more answers than questions
	f.Add([]byte{0x90, 2, 0, 1})
	f.Add([]byte{0x90, 6, 0, 1, 0x80, 0x80, 0x80, 0x80})
	f.Add(append(greeted, 0x30, 3, 0, 1, 'x'))
	f.Add(append(greeted, 0x36, 5, 0, 1, 'x', 0, 9))     // QoS 3
	f.Add(append(greeted, 0x32, 2, 0, 9))                // a topic that is cut off
	f.Add(append(greeted, 0x00, 0, 0xF0, 0, 0x10, 0))    // types that no broker sends
	f.Add(append(greeted, 0x62, 2, 0, 3, 0x70, 2, 0, 4)) // QoS 2's answers
	f.Fuzz(func(t *testing.T, packets []byte) {
		near, far := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer far.Close()
			far.SetDeadline(time.Now().Add(5 * time.Second))
			in := bufio.NewReader(far)
			if skipPacket(in) != nil { // CONNECT
				return
			}
			far.Write([]byte{0x20, 2, 0, 0})
			if skipPacket(in) != nil { // SUBSCRIBE
				return
			}
			go io.Copy(io.Discard, in) // ends with the connection
			far.Write(packets)
		}()
		o := options("broker:1883", newMemory(1))
		o.Limits.Goodbye = 50 * time.Millisecond
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		o.Dial = func(context.Context) (net.Conn, error) { return near, nil }
		u := uplink.New(o)
		go func() { ended <- u.Run(ctx) }()
		<-done
		cancel()
		<-ended
	})
}

// skipPacket reads a packet of less than 16 KiB.
func skipPacket(r *bufio.Reader) error {
	if _, err := r.ReadByte(); err != nil {
		return err
	}
	length := 0
	for shift := 0; ; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return err
		}
		length |= int(b&0x7F) << shift
		if b&0x80 == 0 {
			break
		}
	}
	_, err := r.Discard(length)
	return err
}

// flood is what a hostile broker sends over and over.
type flood func(r *rand.Rand, n int) []byte

// publication is a PUBLISH packet.
func publication(qos int, retained bool, topic string, id int, payload []byte) []byte {
	head := byte(0x30 | qos<<1)
	if retained {
		head |= 1
	}
	body := append([]byte{byte(len(topic) >> 8), byte(len(topic))}, topic...)
	if qos > 0 {
		body = append(body, byte(id>>8), byte(id))
	}
	length, packet := len(body)+len(payload), []byte{head}
	for {
		digit := byte(length & 0x7F)
		if length >>= 7; length > 0 {
			packet = append(packet, digit|0x80)
			continue
		}
		packet = append(packet, digit)
		break
	}
	return append(append(packet, body...), payload...)
}

// TestHostileBrokerCannotFillTheMemory: whatever it sends, and however little of
// what it gets it acknowledges.
func TestHostileBrokerCannotFillTheMemory(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(50)) // as the daemon does
	large := bytes.Repeat([]byte("x"), 400_000)
	soon := inAnHour()
	floods := map[string]flood{
		"QoS 2":       func(_ *rand.Rand, n int) []byte { return publication(2, false, prefix+"cmd/ping", n, large[:100_000]) },
		"small QoS 2": func(_ *rand.Rand, n int) []byte { return publication(2, false, prefix+"status", n, large[:10]) },
		"QoS 3":       func(_ *rand.Rand, n int) []byte { return publication(3, false, prefix+"status", n, large) },
		"large notes": func(_ *rand.Rand, n int) []byte { return publication(1, n%2 == 0, prefix+"alert/x", n, large) },
		"large commands": func(_ *rand.Rand, n int) []byte {
			return publication(1, false, prefix+"cmd/ping", n, fmt.Appendf(nil, `{"tx":"%d","expires":%q,"args":{"x":%q}}`, n, soon, large))
		},
		"documents": func(_ *rand.Rand, n int) []byte { return publication(1, true, prefix+"roster", n, large) },
		"commands": func(_ *rand.Rand, n int) []byte {
			return publication(1, false, prefix+"cmd/report", n, fmt.Appendf(nil, `{"tx":"%d","expires":%q}`, n, soon))
		},
		"unknown commands": func(_ *rand.Rand, n int) []byte {
			return publication(1, false, fmt.Sprintf("%scmd/%d%s", prefix, n, large[:20_000]), n, fmt.Appendf(nil, `{"tx":"%d","expires":%q}`, n, soon))
		},
		"alerts": func(_ *rand.Rand, n int) []byte {
			return publication(1, true, fmt.Sprintf("%salert/%d%s", prefix, n, large[:20_000]), n, large[:10])
		},
		"short alerts": func(_ *rand.Rand, n int) []byte {
			return publication(1, n%2 == 0, fmt.Sprintf("%salert/%d", prefix, n), n, large[:10])
		},
		"receipts": func(_ *rand.Rand, n int) []byte {
			return publication(1, false, prefix+"receipt", n, receiptFor(stream, n))
		},
		"foreign status": func(_ *rand.Rand, n int) []byte {
			return publication(1, false, prefix+"status", n, fmt.Appendf(nil, `{"state":"online","session":"%s","reason":"start","time":null}`, presence.ID{byte(n)}))
		},
		"odd PUBACKs": func(_ *rand.Rand, n int) []byte { return []byte{0x42, 2, byte(n >> 8), byte(n)} },
		"PUBRECs":     func(_ *rand.Rand, n int) []byte { return []byte{0x50, 2, byte(n >> 8), byte(n)} },
		"PUBRELs":     func(_ *rand.Rand, n int) []byte { return []byte{0x62, 2, byte(n >> 8), byte(n)} },
		"noise": func(r *rand.Rand, _ int) []byte {
			b := make([]byte, 1+r.IntN(3000))
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			return b
		},
	}
	everything := slices.Collect(maps.Values(floods))
	floods["everything"] = func(r *rand.Rand, n int) []byte { return everything[r.IntN(len(everything))](r, n) }
	const most = 40 << 20
	lasts := 250 * time.Millisecond
	if long() {
		lasts = 5 * time.Second
	}
	for name, next := range floods {
		t.Run(name, func(t *testing.T) {
			debug.FreeOSMemory()
			before := inUse()
			address := hostileBroker(t, next)
			o := options(address, newMemory(2000))
			o.Receipts = true
			o.Commands["report"] = func(context.Context, json.RawMessage) (json.RawMessage, error) { return document(5000), nil }
			o.Documents = map[string]uplink.Document{"roster": &inbox{takes: 10 * time.Millisecond}}
			o.Restate = 100 * time.Millisecond
			o.Limits.Goodbye = 50 * time.Millisecond // which nobody acknowledges
			stop := run(t, uplink.New(o))
			peak := uint64(0)
			for began := time.Now(); time.Since(began) < lasts; {
				<-time.After(20 * time.Millisecond)
				peak = max(peak, inUse())
			}
			stop()
			t.Logf("%.1f MB in use at most", float64(peak-min(before, peak))/1e6)
			if peak > before+most {
				t.Errorf("%d MB in use", (peak-before)>>20)
			}
		})
	}
}

// inUse is the memory that the program needs for its heap and its stacks, in bytes. What
// nobody uses any more is collected first: on a busy machine that comes late, and most of
// it is the broker's, which is in this process too.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// hostileBroker lets everybody in, acknowledges the first publication and nothing
// else, reads what it gets and sends what comes next, until the test ends.
func hostileBroker(t *testing.T, next flood) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for seed := uint64(1); ; seed++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { serveHostile(c, &serving, rand.New(rand.NewPCG(seed, 0)), next) })
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return l.Addr().String()
}

// serveHostile is a hostile broker's side of one connection.
func serveHostile(c net.Conn, serving *sync.WaitGroup, r *rand.Rand, next flood) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(c)
	for _, answer := range [][]byte{{0x20, 2, 0, 0}, {0x90, 7, 0, 1, 1, 1, 1, 1, 1}, {0x40, 2, 0, 2}} {
		if skipPacket(in) != nil {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
	serving.Go(func() { _, _ = io.Copy(io.Discard, in) })
	for n := 1; ; n++ {
		if _, err := c.Write(next(r, n%65535+1)); err != nil {
			return
		}
	}
}
