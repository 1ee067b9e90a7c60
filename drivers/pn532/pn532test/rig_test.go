package pn532test_test

import (
	"bytes"
	"encoding/hex"
	"math/bits"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/pn532/pn532test"
)

// rig is a host that does everything by the manual, step by step, and shares no
// code with the chip.
type rig struct {
	t     *testing.T
	field *cardtest.Field
	chip  *pn532test.Chip
	bus   spi.Conn
}

// in runs a test in virtual time.
func in(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// sleeping is a rig whose chip has just been powered.
func sleeping(t *testing.T, opts ...pn532test.Option) *rig {
	t.Helper()
	field := cardtest.NewField()
	r := &rig{t: t, field: field, chip: pn532test.New(field, opts...)}
	bus, err := r.chip.Port().Connect(physic.MegaHertz, spi.Mode0, 8)
	if err != nil {
		t.Fatal(err)
	}
	r.bus = bus
	return r
}

// ready is a rig that has been set up: awake, out of low battery mode, two tries a
// listing.
func ready(t *testing.T, opts ...pn532test.Option) *rig {
	t.Helper()
	r := sleeping(t, opts...)
	r.wake()
	r.ask("14 01", "")
	r.ask("32 05 FF 01 01", "")
	return r
}

// finish wants no violations.
func (r *rig) finish() {
	r.t.Helper()
	for _, v := range r.chip.Violations() {
		r.t.Errorf("violation: %s", v)
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// wake holds chip select low for 2.5 ms.
func (r *rig) wake() {
	r.t.Helper()
	r.packets(spi.Packet{W: []byte{0}, KeepCS: true})
	time.Sleep(2500 * time.Microsecond)
	r.packets(spi.Packet{W: []byte{0}})
}

func (r *rig) packets(p ...spi.Packet) {
	r.t.Helper()
	if err := r.bus.TxPackets(p); err != nil {
		r.t.Fatal(err)
	}
}

// transfer sends bytes, the least significant bit first, and returns what came.
func (r *rig) transfer(w ...byte) []byte {
	r.t.Helper()
	buf := make([]byte, len(w))
	for i, b := range w {
		buf[i] = bits.Reverse8(b)
	}
	if err := r.bus.Tx(buf, buf); err != nil {
		r.t.Fatal(err)
	}
	for i, b := range buf {
		buf[i] = bits.Reverse8(b)
	}
	return buf
}

// write sends a frame as it is.
func (r *rig) write(frame string) {
	r.t.Helper()
	r.transfer(append([]byte{0x01}, unhex(frame)...)...)
}

// status is the status byte.
func (r *rig) status() byte {
	r.t.Helper()
	return r.transfer(0x02, 0x00)[1]
}

// wait polls the status for so long, and reports whether the chip got ready.
func (r *rig) wait(limit time.Duration) bool {
	r.t.Helper()
	for start := time.Now(); time.Since(start) < limit; time.Sleep(100 * time.Microsecond) {
		if r.status()&1 == 1 {
			return true
		}
	}
	return false
}

// read reads so many bytes of a frame.
func (r *rig) read(n int) string {
	r.t.Helper()
	return strings.ToUpper(hex.EncodeToString(r.transfer(append([]byte{0x03}, make([]byte, n)...)...)[1:]))
}

// command wraps a command code and its parameters into a frame.
func command(data string) string {
	return strings.ToUpper(hex.EncodeToString(wrap(append([]byte{0xD4}, unhex(data)...))))
}

func wrap(data []byte) []byte {
	n := len(data)
	f := []byte{0x00, 0x00, 0xFF, byte(n), byte(-n)}
	if n > 255 {
		f = []byte{0x00, 0x00, 0xFF, 0xFF, 0xFF, byte(n >> 8), byte(n), byte(-(n>>8 + n&0xFF))}
	}
	f = append(f, data...)
	var sum byte
	for _, b := range data {
		sum += b
	}
	return append(f, -sum, 0x00)
}

const ack = "0000FF00FF00"

// send sends a command and reads its acknowledgement.
func (r *rig) send(data string) {
	r.t.Helper()
	r.write(command(data))
	if !r.wait(15 * time.Millisecond) {
		r.t.Fatalf("no ACK of %s", data)
	}
	if got := r.read(6); got != ack {
		r.t.Fatalf("the ACK of %s is %s", data, got)
	}
}

// response waits for a response and returns its data behind the command code.
func (r *rig) response(limit time.Duration) string {
	r.t.Helper()
	if !r.wait(limit) {
		return "nothing"
	}
	got := r.transfer(append([]byte{0x03}, make([]byte, 300)...)...)[1:]
	at := bytes.Index(got, []byte{0x00, 0xFF})
	if at < 0 {
		return "no frame"
	}
	got = got[at+2:]
	n := int(got[0])
	if got[0] == 0xFF && got[1] == 0xFF {
		n, got = int(got[2])<<8|int(got[3]), got[3:]
	}
	data := got[2 : 2+n]
	if n == 1 && data[0] == 0x7F {
		return "error"
	}
	var sum byte
	for _, b := range got[2 : 3+n] {
		sum += b
	}
	if sum != 0 || data[0] != 0xD5 {
		return "damaged"
	}
	return strings.ToUpper(hex.EncodeToString(data[2:]))
}

// ask sends a command and wants a response.
func (r *rig) ask(data, want string) {
	r.t.Helper()
	r.send(data)
	if got := r.response(3 * time.Second); got != strings.ReplaceAll(want, " ", "") {
		r.t.Errorf("%s is answered with %s, want %s", data, got, want)
	}
}

func (r *rig) put(uid string, technology card.Technology) *cardtest.Card {
	r.t.Helper()
	u, err := card.ParseUID(uid)
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := cardtest.New(u, technology)
	if err != nil {
		r.t.Fatal(err)
	}
	r.field.Put(c)
	return c
}
