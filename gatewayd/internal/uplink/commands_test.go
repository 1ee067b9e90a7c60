package uplink

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"presence/gatewayd/internal/presence"
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
	return io.ReadAll(newBounded(chunks{r: bytes.NewReader(stream), n: chunk}, 4, func(_ string, why error) { passed(why) }))
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

// TestPassedOverMessageIsNamed: whoever sent it learns which one it was.
func TestPassedOverMessageIsNamed(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for topic, want := range map[string]string{"cmd/ping": "cmd/ping", "": "", long: long[:longestName]} {
		head := []byte{byte(len(topic) >> 8), byte(len(topic))}
		for kind, size := range map[byte]int{0x30: maxPacket + 1, 0x34: 2 + len(topic)} {
			body := append(slices.Concat(head, []byte(topic)), make([]byte, size-2-len(topic))...)
			packet := slices.Concat([]byte{kind, byte(size)&0x7F | 0x80, byte(size>>7)&0x7F | 0x80, byte(size >> 14)}, body)
			var named []string
			b := newBounded(chunks{r: bytes.NewReader(packet), n: 7}, 4, func(topic string, _ error) { named = append(named, topic) })
			if _, err := io.ReadAll(b); err != nil || !slices.Equal(named, []string{want}) {
				t.Errorf("%.20s at %x: %d named, %.20s, %v", topic, kind, len(named), named, err)
			}
		}
	}
	// What the message has no room for is not read.
	var named []string
	for _, short := range [][]byte{{0x34, 0}, {0x34, 1, 0}, {0x34, 3, 0, 9, 'a', 0x30, 2, 0, 0}} {
		b := newBounded(chunks{r: bytes.NewReader(short), n: 1}, 4, func(topic string, _ error) { named = append(named, topic) })
		if _, err := io.ReadAll(b); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(named, []string{"", "", "a"}) {
		t.Errorf("named %q", named)
	}
}

// TestRefusalsAreInPlainWords, with the topic as it was sent.
func TestRefusalsAreInPlainWords(t *testing.T) {
	u := &Uplink{prefix: "presence/v1/dinkes/dinkes-01/"}
	u.opt.Now, u.opt.Times = func() presence.Reading { return presence.Reading{} }, nobodyKnows{}
	for payload, want := range map[string]string{
		`{"tx":3}`:       "tx is a JSON number: want text in quotes",
		`[]`:             "it is a JSON array: want an object",
		`{"tx":"1"`:      "it is no JSON",
		`nothing`:        "it is no JSON",
		`{"expires":{}}`: "expires is a JSON object: want text in quotes",
	} {
		_, err := parseCommand([]byte(payload))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Go ") {
			t.Errorf("%s: %v", payload, err)
			continue
		}
		var line presence.LogLine
		if err := json.Unmarshal(u.logLine(u.prefix+"cmd/ping", err), &line); err != nil || line.Details["topic"] != "cmd/ping" {
			t.Errorf("the log says %+v, %v", line, err)
		}
	}
	for payload, want := range map[string]string{
		`{"stream":3}`: "stream is a JSON number: want text in quotes",
		`{"upto":-1}`:  "upto is a JSON number -1: want a whole number from 0 on",
		`{"sum":1}`:    `unknown field "sum"`,
		``:             "ends too early",
	} {
		if _, err := parseReceipt([]byte(payload)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "json: ") {
			t.Errorf("%s: %v", payload, err)
		}
	}
}

// nobodyKnows is a clock that knows no time.
type nobodyKnows struct{ Times }

func (nobodyKnows) Timing(presence.Reading) presence.Timing { return presence.Timing{} }
