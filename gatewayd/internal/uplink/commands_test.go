package uplink

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// FuzzCommand reads anything as a command: what is accepted has a transaction
// id and a date.
func FuzzCommand(f *testing.F) {
	for _, seed := range []string{
		`{"tx":"1","expires":"2026-11-23T07:30:00+07:00","args":{}}`, `{"tx":"1","expires":"2026-11-23T07:30:00Z"}`,
		`{"tx":1}`, `{`, ``, `[]`, "\xff", `{"tx":"1","expires":"2026-11-23T07:30:00Z","args":[]}`,
		`{"tx":"` + strings.Repeat("x", 200) + `"}`, `{"args":` + strings.Repeat("[", 5000) + `}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := parseCommand(payload)
		if err == nil && (c.TX == "" || len(c.TX) > maxTX || c.expires.IsZero() && !strings.HasPrefix(c.Expires, "0001-01-01")) {
			t.Errorf("%q was taken as %+v", payload, c)
		}
	})
}

// FuzzStatus reads anything as a status.
func FuzzStatus(f *testing.F) {
	for _, seed := range []string{
		`{"state":"online","session":"00000000-0000-4000-8000-000000000001","reason":"start","time":null}`,
		`{"state":"offline"}`, `{"session":"x"}`, `null`, `"online"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		s, err := parseStatus(payload)
		if err == nil && s.State != "online" && s.State != "offline" {
			t.Errorf("%q was taken as %+v", payload, s)
		}
	})
}

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

// readPackets is what comes through of a stream that arrives in chunks.
func readPackets(stream []byte, chunk int, passed func(error)) ([]byte, error) {
	return io.ReadAll(newBounded(chunks{r: bytes.NewReader(stream), n: chunk}, 4, passed))
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

func TestCoalescedWritesArriveInOrderAndToTheLast(t *testing.T) {
	near, far := net.Pipe()
	w := newCoalescing(near, 1<<20)
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(far) // ends with the connection
		got <- all
	}()
	var want []byte
	for i := range 20_000 {
		p := bytes.Repeat([]byte{byte(i)}, i%37+1)
		want = append(want, p...)
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if all := <-got; !bytes.Equal(all, want) {
		t.Errorf("%d bytes arrived of %d", len(all), len(want))
	}
	if _, err := w.Write([]byte("late")); err == nil {
		t.Error("a closed connection takes more")
	}
}

func TestFailedWriteEndsTheConnection(t *testing.T) {
	near, far := net.Pipe()
	w := newCoalescing(near, 1<<20)
	far.Close()
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err) // it is only noticed behind
	}
	if _, err := w.Read(make([]byte, 1)); err == nil {
		t.Error("the reader was not told")
	}
	<-w.done
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("it takes more after a failure")
	}
	w.Close()
}

// TestResyncNamesWhatIsMissing: whoever forgot an argument is told which.
func TestResyncNamesWhatIsMissing(t *testing.T) {
	const stream = `"stream":"019ab2c3-0000-7000-8000-000000000001"`
	for args, want := range map[string]string{
		``:                   "args: missing stream and seq",
		`null`:               "args: missing stream and seq",
		`{}`:                 "args: missing stream and seq",
		`{` + stream + `}`:   "args: missing seq",
		`{"seq":5}`:          "args: missing stream:",
		`{"seq":5,"from":1}`: `unknown field "from"`,
		`{"seq":"5"}`:        "seq",
	} {
		if _, err := new(Uplink).resync(t.Context(), []byte(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
