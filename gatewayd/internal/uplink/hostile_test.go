package uplink_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"testing"
	"time"

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
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		u := uplink.New(o)
		u.DialBy(func(context.Context) (net.Conn, error) { return near, nil })
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
