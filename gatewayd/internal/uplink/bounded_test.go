package uplink

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// FuzzPackets reads anything as packets from a broker: nothing is swallowed but
// whole messages that are too large.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 0, 0x30, 5, 0, 1, 'a', 'b', 'c'}, 3)
	f.Add([]byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F, 1}, 1)
	f.Add([]byte{0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, 2)
	f.Add([]byte{0x30, 0x80, 0x80, 0x21}, 1)
	f.Fuzz(func(t *testing.T, stream []byte, chunk int) {
		passed := false
		got, _ := readPackets(stream, max(chunk%64, 1), func(error) { passed = true })
		if !passed && !bytes.HasPrefix(stream, got) {
			t.Errorf("%x became %x", stream, got)
		}
	})
}

// four is the number of filters that a gateway subscribes to.
func four() *atomic.Int64 {
	n := new(atomic.Int64)
	n.Store(4)
	return n
}

// readPackets is what comes through of a stream that arrives in chunks.
func readPackets(stream []byte, chunk int, passed func(error)) ([]byte, error) {
	return io.ReadAll(newBounded(chunks{r: bytes.NewReader(stream), n: chunk}, four(), func(_ string, why error) { passed(why) }))
}

// chunks is a connection that delivers a few bytes at a time.
type chunks struct {
	net.Conn
	r io.Reader
	n int
}

func (c chunks) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.n)]) }

func TestPacketThatPahoWouldNotSurviveEndsTheConnection(t *testing.T) {
	for name, head := range map[string][]byte{
		"256 MB":                 {0x20, 0xFF, 0xFF, 0xFF, 0x7F},
		"one byte too large":     {0x20, 0x81, 0x80, 0x20},
		"endless length":         {0x30, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80},
		"more answers than asks": {0x90, 7, 0, 1, 1, 1, 1, 1, 1},
		"PUBREC":                 {0x50, 2, 0, 1},
		"PUBREL":                 {0x62, 2, 0, 1},
		"PUBCOMP":                {0x70, 2, 0, 1},
		"a client's packet":      {0xC0, 0},
		"PUBACK with a QoS":      {0x42, 2, 0, 1},
		"long PUBACK":            {0x40, 3, 0, 1, 0},
		"long PINGRESP":          {0xD0, 1, 0},
	} {
		if _, err := readPackets(head, 1, func(error) {}); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}

func TestLargeMessageIsPassedOver(t *testing.T) {
	before, after := []byte{0x20, 2, 0, 0}, []byte{0x30, 5, 0, 1, 'a', 'b', 'c'}
	for size, wanted := range map[int]bool{maxPacket: true, maxPacket + 1: false, 3 * maxPacket: false} {
		large := append([]byte{0x32, byte(size)&0x7F | 0x80, byte(size>>7)&0x7F | 0x80, byte(size >> 14)}, make([]byte, size)...)
		passed := 0
		got, err := readPackets(slices.Concat(before, large, after), 1000, func(error) { passed++ })
		want := slices.Concat(before, after)
		if wanted {
			want = slices.Concat(before, large, after)
		}
		if err != nil || !bytes.Equal(got, want) || (passed == 0) != wanted {
			t.Errorf("%d bytes: %d came through, %v, %d passed over", size, len(got), err, passed)
		}
	}
}

// TestMessageAtQoS2IsPassedOver: paho would keep it until the broker goes on.
func TestMessageAtQoS2IsPassedOver(t *testing.T) {
	before, after := []byte{0x20, 2, 0, 0}, []byte{0x30, 5, 0, 1, 'a', 'b', 'c'}
	for head, wanted := range map[byte]bool{0x30: true, 0x32: true, 0x3B: true, 0x34: false, 0x3D: false, 0x36: false} {
		message := []byte{head, 7, 0, 1, 'a', 0, 9, 'b', 'c'}
		passed := 0
		got, err := readPackets(slices.Concat(before, message, after), 2, func(why error) {
			if passed++; !errors.Is(why, errQoS) {
				t.Error(why)
			}
		})
		want := slices.Concat(before, after)
		if wanted {
			want = slices.Concat(before, message, after)
		}
		if err != nil || !bytes.Equal(got, want) || (passed == 0) != wanted {
			t.Errorf("%x: %x came through, %v, %d passed over", head, got, err, passed)
		}
	}
}

// TestPassedOverMessageIsNamed: whoever sent it learns which one it was.
func TestPassedOverMessageIsNamed(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for topic, want := range map[string]string{"cmd/ping": "cmd/ping", "": "", long: long[:longestName]} {
		head := []byte{byte(len(topic) >> 8), byte(len(topic))}
		for kind, size := range map[byte]int{0x30: maxPacket + 1, 0x34: 2 + len(topic)} {
			body := append(slices.Concat(head, []byte(topic)), make([]byte, size-2-len(topic))...)
			packet := slices.Concat([]byte{kind, byte(size)&0x7F | 0x80, byte(size>>7)&0x7F | 0x80, byte(size >> 14)}, body)
			var named []string
			b := newBounded(chunks{r: bytes.NewReader(packet), n: 7}, four(), func(topic string, _ error) { named = append(named, topic) })
			if _, err := io.ReadAll(b); err != nil || !slices.Equal(named, []string{want}) {
				t.Errorf("%.20s at %x: %d named, %.20s, %v", topic, kind, len(named), named, err)
			}
		}
	}
	// What the message has no room for is not read.
	var named []string
	for _, short := range [][]byte{{0x34, 0}, {0x34, 1, 0}, {0x34, 3, 0, 9, 'a', 0x30, 2, 0, 0}} {
		b := newBounded(chunks{r: bytes.NewReader(short), n: 1}, four(), func(topic string, _ error) { named = append(named, topic) })
		if _, err := io.ReadAll(b); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(named, []string{"", "", "a"}) {
		t.Errorf("named %q", named)
	}
}
