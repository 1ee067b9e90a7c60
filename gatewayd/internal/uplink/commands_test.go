package uplink

import (
	"bytes"
	"io"
	"net"
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

// FuzzPackets reads anything as packets from a broker: nothing is swallowed,
// and no packet passes that declares more than may be.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 0, 0x30, 5, 0, 1, 'a', 'b', 'c'}, 3)
	f.Add([]byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F, 1}, 1)
	f.Add([]byte{0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, 2)
	f.Add([]byte{0x30, 0x80, 0x80, 0x11}, 1)
	f.Fuzz(func(t *testing.T, stream []byte, chunk int) {
		got, err := io.ReadAll(&bounded{Conn: chunks{r: bytes.NewReader(stream), n: max(chunk%64, 1)}})
		if err == nil && !bytes.Equal(got, stream) {
			t.Errorf("%x became %x", stream, got)
		}
		if !bytes.HasPrefix(stream, got) {
			t.Errorf("%x became %x", stream, got)
		}
	})
}

// chunks is a connection that delivers a few bytes at a time.
type chunks struct {
	net.Conn
	r io.Reader
	n int
}

func (c chunks) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.n)]) }

func TestLargePacketEndsTheConnection(t *testing.T) {
	for name, head := range map[string][]byte{
		"256 MB":             {0x30, 0xFF, 0xFF, 0xFF, 0x7F},
		"one byte too large": {0x30, 0x81, 0x80, 0x10},
		"endless length":     {0x30, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80},
	} {
		if _, err := io.ReadAll(&bounded{Conn: chunks{r: bytes.NewReader(head), n: 1}}); err == nil {
			t.Errorf("%s passed", name)
		}
	}
	largest := append([]byte{0x30, 0x80, 0x80, 0x10}, make([]byte, maxPacket)...)
	if got, err := io.ReadAll(&bounded{Conn: chunks{r: bytes.NewReader(largest), n: 1000}}); err != nil || len(got) != len(largest) {
		t.Errorf("the largest packet: %d bytes, %v", len(got), err)
	}
}
