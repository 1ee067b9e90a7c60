package pn532

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

// script is a PN532 as far as a test needs one: what it answers to a command is a
// function of the test. It was written from the user manual's chapters on frames and
// on SPI (6.2), together with this driver; the full chip is in pn532test, by others.
type script struct {
	t *testing.T

	// answer is what the chip answers to a command: data behind its code, after a
	// while; ok is false where it takes the command for an error.
	answer func(code byte, params []byte) (data []byte, after time.Duration, ok bool)

	// tamper, if set, changes what is on the wires: the host's bytes and the chip's,
	// in the order of bits that the manual prints, direction byte included.
	tamper func(n int, mosi, miso []byte)

	// frameOut, if set, may change a frame before the chip has it ready; nil drops it.
	frameOut func(frame []byte) []byte

	commands  []string // in hex, from the command's code on, as received
	acks      int      // acknowledgements of the host
	nacks     int
	rouses    int // transfers that begin with no direction
	transfers int
	fail      error         // of every transfer
	ackAfter  time.Duration // a command, 0 means at once
	asleep    bool          // nothing is heard until chip select was low for long
	slow      bool          // data within a millisecond of chip select are not heard
	deaf      bool          // the chip is not there: miso is idle
	idle      byte          // what MISO shows where no chip drives it
	speed     physic.Frequency
	closed    int

	pending []out
	last    []byte // the last reply
	part    []byte // a transfer that goes on: its direction byte
	partAt  time.Time
}

// out is a frame that the chip will have ready.
type out struct {
	bytes []byte
	at    time.Time
}

func newScript(t *testing.T, answer func(code byte, params []byte) ([]byte, time.Duration, bool)) *script {
	return &script{t: t, answer: answer, idle: 0xFF}
}

func (s *script) String() string      { return "script" }
func (s *script) Duplex() conn.Duplex { return conn.Full }
func (s *script) Close() error        { s.closed++; return nil }

func (s *script) LimitSpeed(physic.Frequency) error { return nil }

func (s *script) Connect(f physic.Frequency, mode spi.Mode, width int) (spi.Conn, error) {
	if mode != spi.Mode0 || width != 8 {
		s.t.Errorf("connected with %v and %d bits", mode, width)
	}
	s.speed = f
	return s, nil
}

func (s *script) Tx(w, r []byte) error { return s.TxPackets([]spi.Packet{{W: w, R: r}}) }

func (s *script) TxPackets(packets []spi.Packet) error {
	s.transfers++
	if s.fail != nil {
		return s.fail
	}
	if len(packets) != 1 {
		s.t.Errorf("%d packets", len(packets))
	}
	p := packets[0]
	if len(p.R) != 0 && len(p.R) != len(p.W) {
		s.t.Errorf("%d bytes written, %d read", len(p.W), len(p.R))
	}
	if p.KeepCS {
		if len(p.W) != 1 {
			s.t.Errorf("%d bytes before a pause", len(p.W))
		}
		s.part, s.partAt = []byte{p.W[0]}, time.Now()
		return nil
	}
	waited := time.Duration(0)
	if s.part != nil {
		waited = time.Since(s.partAt)
	}
	wire := slices.Concat(s.part, p.W)
	head := len(s.part)
	s.part = nil
	mosi, miso := make([]byte, len(wire)), make([]byte, len(wire))
	for i := range wire {
		mosi[i], miso[i] = bits.Reverse8(wire[i]), s.idle
	}
	if s.tamper != nil {
		s.tamper(s.transfers, mosi, nil)
	}
	if !s.deaf {
		s.transfer(mosi, miso, waited)
	}
	if s.tamper != nil {
		s.tamper(s.transfers, nil, miso)
	}
	for i := range p.R {
		p.R[i] = bits.Reverse8(miso[head+i])
	}
	return nil
}

func (s *script) transfer(mosi, miso []byte, waited time.Duration) {
	switch {
	case mosi[0] == 0x00:
		s.rouses++
		s.asleep = false
	case s.asleep:
		return
	case s.slow && waited < time.Millisecond:
		return
	}
	miso[0] = 0xAA // nobody may rely on it
	switch mosi[0] {
	case dirWrite:
		s.receive(mosi[1:])
	case dirStatus:
		miso[1] = 0
		if len(s.pending) > 0 && !time.Now().Before(s.pending[0].at) {
			miso[1] = 1
		}
	case dirRead:
		clear(miso[1:])
		if len(s.pending) > 0 && !time.Now().Before(s.pending[0].at) {
			copy(miso[1:], s.pending[0].bytes)
			s.pending = s.pending[1:]
		}
	}
}

// receive takes a frame of the host.
func (s *script) receive(b []byte) {
	switch text := hex.EncodeToString(b); {
	case text == "0000ff00ff00":
		s.acks++
		s.pending = nil
		return
	case text == "0000ffff0000":
		s.nacks++
		s.push(s.last, 200*time.Microsecond)
		return
	}
	code, params, err := commandOf(b)
	if err != nil {
		return // a damaged frame is not acknowledged
	}
	s.commands = append(s.commands, strings.ToUpper(hex.EncodeToString(append([]byte{code}, params...))))
	s.pending = nil
	s.push(ackFrame(), max(s.ackAfter, 200*time.Microsecond))
	data, after, ok := s.answer(code, params)
	if after == never {
		return
	}
	s.last = replyFrame(code+1, data...)
	if !ok {
		s.last = []byte{0x00, 0x00, 0xFF, 0x01, 0xFF, 0x7F, 0x81, 0x00}
	}
	s.push(s.last, after)
}

// never is when a command ends that does not.
const never = time.Duration(1<<63 - 1)

func (s *script) push(frame []byte, after time.Duration) {
	frame = append([]byte(nil), frame...)
	if s.frameOut != nil {
		frame = s.frameOut(frame)
	}
	if frame == nil {
		return
	}
	at := time.Now().Add(after)
	if n := len(s.pending); n > 0 && s.pending[n-1].at.After(at) {
		at = s.pending[n-1].at
	}
	s.pending = append(s.pending, out{frame, at})
}

// commandOf is the command in a frame of the host, which has to be exactly as the
// manual has it.
func commandOf(b []byte) (code byte, params []byte, err error) {
	if len(b) < 9 || b[0] != 0 || b[1] != 0 || b[2] != 0xFF {
		return 0, nil, errors.New("no frame")
	}
	n, body := int(b[3]), b[5:]
	if b[3] == 0xFF && b[4] == 0xFF {
		n, body = int(b[5])<<8|int(b[6]), b[8:]
		if b[5]+b[6]+b[7] != 0 {
			return 0, nil, errors.New("LCS")
		}
	} else if b[3]+b[4] != 0 {
		return 0, nil, errors.New("LCS")
	}
	if len(body) != n+2 || body[0] != 0xD4 || body[n+1] != 0 {
		return 0, nil, fmt.Errorf("%d bytes for a length of %d", len(body), n)
	}
	var sum byte
	for _, v := range body[:n+1] {
		sum += v
	}
	if sum != 0 {
		return 0, nil, errors.New("DCS")
	}
	return body[1], body[2:n], nil
}

// replyFrame is a frame of the chip.
func replyFrame(code byte, data ...byte) []byte {
	n := len(data) + 2
	b := []byte{0x00, 0x00, 0xFF, byte(n), byte(-n)}
	if n > 255 {
		b = []byte{0x00, 0x00, 0xFF, 0xFF, 0xFF, byte(n >> 8), byte(n), byte(-(n>>8 + n&0xFF))}
	}
	sum := 0xD5 + int(code)
	b = append(b, 0xD5, code)
	for _, v := range data {
		sum += int(v)
		b = append(b, v)
	}
	return append(b, byte(-sum), 0x00)
}

// sound answers set-up commands as a PN532 does, and all else as the given function.
func sound(rest func(code byte, params []byte) ([]byte, time.Duration, bool)) func(code byte, params []byte) ([]byte, time.Duration, bool) {
	return func(code byte, params []byte) ([]byte, time.Duration, bool) {
		switch code {
		case 0x02:
			return []byte{0x32, 0x01, 0x06, 0x07}, time.Millisecond, true
		case 0x06:
			return []byte{0x83}, time.Millisecond, true
		case 0x52:
			return []byte{0x00}, 4 * time.Millisecond, true
		case 0x08, 0x12, 0x14, 0x32:
			return nil, time.Millisecond, true
		}
		if rest == nil {
			return []byte{0x00}, 2 * time.Millisecond, true
		}
		return rest(code, params)
	}
}

// open connects the driver to a script.
func open(t *testing.T, s *script) *Reader {
	t.Helper()
	r, err := New(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
