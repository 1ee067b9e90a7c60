package pn532

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// firmware is the part of the chip's firmware that deals with cards, over a field of
// simulated ones. The manual leaves open what exactly it sends; both readings are
// here.
type firmware struct {
	field     *cardtest.Field
	wupa      bool // InListPassiveTarget wakes cards in HALT, too
	noRaw     bool // registers can be neither read nor written
	retries   byte
	rats      bool // it sends RATS by itself
	rfOff     int  // how often the field was switched off
	lists     int
	txMode    byte
	lastBits  byte
	typeB     *pupiCard
	holdsB    bool // it has selected a card of type B and was not told to let go of it
	tellsToGo bool // a new listing tells the card of the one before to go
	broken    bool // its field stays off
}

// pupiCard is a card of type B, which the simulated field does not know.
type pupiCard struct {
	pupi    [4]byte
	dynamic bool // another PUPI each time that it is powered
	power   byte // how often it was
	active  bool // it was selected, and answers no request
	away    int  // so many requests from now on find nothing
}

func newFirmware(cards ...*cardtest.Card) *firmware {
	f := &firmware{field: cardtest.NewField(), retries: 0xFF, rats: true}
	f.field.Put(cards...)
	return f
}

func (f *firmware) answer(code byte, p []byte) ([]byte, time.Duration, bool) {
	const quick = time.Millisecond
	if n := map[byte]int{0x12: 1, 0x32: 2, 0x42: 1, 0x4A: 2}[code]; len(p) < n || code == 0x32 && p[0] == 5 && len(p) < 4 {
		return nil, quick, false
	}
	switch code {
	case 0x02:
		return []byte{0x32, 0x01, 0x06, 0x07}, quick, true
	case 0x14:
		return nil, quick, true
	case 0x12:
		f.rats = p[0]&0x10 != 0
		return nil, quick, true
	case 0x32:
		switch p[0] {
		case 1:
			f.setRF(p[1]&1 != 0)
		case 5:
			f.retries = p[3]
		}
		return nil, quick, true
	case 0x06:
		if f.noRaw {
			return nil, quick, false
		}
		if f.field.RF() {
			return []byte{0x83}, quick, true
		}
		return []byte{0x80}, quick, true
	case 0x08:
		for ; len(p) >= 3; p = p[3:] {
			switch [2]byte(p) {
			case [2]byte{0x63, 0x02}:
				f.txMode = p[2]
			case [2]byte{0x63, 0x3D}:
				f.lastBits = p[2] & 7
			}
		}
		return nil, quick, !f.noRaw
	case 0x42:
		if f.noRaw {
			return nil, quick, false
		}
		return f.raw(p)
	case 0x52:
		f.holdsB = false
		hlta := cardtest.AppendCRC([]byte{0x50, 0x00})
		f.exchange(hlta, 32)
		return []byte{0x00}, 4 * time.Millisecond, true
	case 0x4A:
		f.lists++
		if f.holdsB && f.tellsToGo && !f.typeB.active {
			f.holdsB = false
			return []byte{0x00}, time.Second, true // a card that is gone is told to go
		}
		if p[1] == 3 {
			return f.listB()
		}
		return f.list()
	}
	return nil, quick, false
}

func (f *firmware) setRF(on bool) {
	if f.broken {
		on = false
	}
	if !on && f.field.RF() {
		f.rfOff++
		if b := f.typeB; b != nil {
			b.power++
			b.active = false
		}
	}
	f.field.SetRF(on, time.Now())
}

func (f *firmware) raw(p []byte) ([]byte, time.Duration, bool) {
	frame := cardtest.Frame{Bytes: p, Bits: 8 * len(p)}
	if f.lastBits != 0 {
		frame.Bits += int(f.lastBits) - 8
	}
	if f.txMode&0x80 != 0 {
		frame.Bytes = cardtest.AppendCRC(append([]byte(nil), p...))
		frame.Bits += 16
	}
	a := f.field.Exchange(time.Now(), frame)
	switch {
	case a.Bits == 0:
		return []byte{0x01}, 4 * time.Millisecond, true
	case a.Collision >= 0:
		return []byte{0x06}, time.Millisecond, true
	case a.BadParity:
		return []byte{0x03}, time.Millisecond, true
	case a.Bits%8 != 0:
		return []byte{0x05}, time.Millisecond, true
	}
	b := append([]byte{0x00}, a.Bytes...)
	if f.txMode&0x80 != 0 {
		n := len(b) - 2
		if n < 1 || !bytes.Equal(cardtest.AppendCRC(append([]byte(nil), b[1:n]...))[n-1:], b[n:]) {
			return []byte{0x02}, time.Millisecond, true
		}
		b = b[:n]
	}
	return b, time.Millisecond, true
}

// exchange sends a frame of whole bytes, or of 7 bits where it is a single byte.
func (f *firmware) exchange(b []byte, bitCount int) cardtest.Answer {
	return f.field.Exchange(time.Now(), cardtest.Frame{Bytes: b, Bits: bitCount})
}

func (f *firmware) list() ([]byte, time.Duration, bool) {
	f.lastBits, f.txMode = 0, 0x80
	f.field.SetRF(!f.broken, time.Now())
	request := byte(0x26)
	if f.wupa {
		request = 0x52
	}
	took := time.Millisecond
	for n := 0; ; n++ {
		if f.retries == 0xFF && n > 3 {
			return nil, never, true
		}
		if n > int(f.retries) {
			return []byte{0x00}, took, true
		}
		took += time.Millisecond
		if target := f.activate(request); target != nil {
			return append([]byte{0x01, 0x01}, target...), took + 5*time.Millisecond, true
		}
	}
}

// activate is one request and, where cards answer, the selection of one of them.
func (f *firmware) activate(request byte) []byte {
	a := f.exchange([]byte{request}, 7)
	if a.Bits != 16 {
		return nil
	}
	atqa := slices.Clone(a.Bytes)
	var uid []byte
	for sel := byte(0x93); sel <= 0x97; sel += 2 {
		known, bitCount := [5]byte{}, 0
		for bitCount < 40 {
			whole := bitCount / 8
			frame := append([]byte{sel, byte(2+whole)<<4 | byte(bitCount%8)}, known[:(bitCount+7)/8]...)
			a := f.exchange(frame, 16+bitCount)
			if a.Bits != 40-bitCount {
				return nil
			}
			upto := a.Bits
			if a.Collision >= 0 {
				upto = a.Collision + 1 // the bit that collided is taken as 1
			}
			for i := range upto {
				known[(bitCount+i)/8] |= (a.Bytes[i/8] >> (i % 8) & 1) << ((bitCount + i) % 8)
			}
			bitCount += upto
		}
		if known[0]^known[1]^known[2]^known[3] != known[4] {
			return nil
		}
		frame := cardtest.AppendCRC(append([]byte{sel, 0x70}, known[:]...))
		a := f.exchange(frame, 8*len(frame))
		if a.Bits != 24 || !bytes.Equal(cardtest.AppendCRC([]byte{a.Bytes[0]}), a.Bytes) {
			return nil
		}
		sak := a.Bytes[0]
		if sak&4 != 0 {
			uid = append(uid, known[1:4]...)
			continue
		}
		uid = append(uid, known[:4]...)
		target := append([]byte{atqa[1], atqa[0], sak, byte(len(uid))}, uid...)
		if sak&0x20 != 0 && f.rats {
			rats := cardtest.AppendCRC([]byte{0xE0, 0x50})
			if a := f.exchange(rats, 32); a.Bits > 16 {
				target = append(target, a.Bytes[:a.Bits/8-2]...)
			}
		}
		return target
	}
	return nil
}

func (f *firmware) listB() ([]byte, time.Duration, bool) {
	b := f.typeB
	if b == nil || b.active || !f.field.RF() {
		return []byte{0x00}, 2 * time.Millisecond, true
	}
	if b.away > 0 {
		b.away--
		return []byte{0x00}, 2 * time.Millisecond, true
	}
	b.active, f.holdsB = true, true
	p := b.pupi
	if b.dynamic {
		p[3] += b.power
	}
	data := append([]byte{0x01, 0x01, 0x50}, p[:]...)
	return append(data, 0, 0, 0, 0, 0x00, 0x81, 0x71, 0x01, 0x00), 5 * time.Millisecond, true
}

func newCard(t testing.TB, uid string, technology card.Technology) *cardtest.Card {
	t.Helper()
	u, err := card.ParseUID(uid)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cardtest.New(u, technology)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
