package mfrc522test_test

import (
	"bytes"
	"testing"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/mfrc522/mfrc522test"
)

func TestBusRules(t *testing.T) {
	r := newRig(t, mfrc522test.MaxTxSize(16))
	connect := func(f physic.Frequency, m spi.Mode, bits int) error {
		_, err := r.chip.Port().Connect(f, m, bits)
		return err
	}
	for name, err := range map[string]error{
		"mode 3":              connect(physic.MegaHertz, spi.Mode3, 8),
		"half duplex":         connect(physic.MegaHertz, spi.Mode0|spi.HalfDuplex, 8),
		"LSB first":           connect(physic.MegaHertz, spi.Mode0|spi.LSBFirst, 8),
		"9 bits":              connect(physic.MegaHertz, spi.Mode0, 9),
		"20 MHz":              connect(20*physic.MegaHertz, spi.Mode0, 8),
		"no speed":            connect(0, spi.Mode0, 8),
		"empty":               r.bus.Tx(nil, nil),
		"unequal":             r.bus.Tx([]byte{0x80 | version<<1}, make([]byte, 2)),
		"too long":            r.bus.Tx(make([]byte, 17), nil),
		"no packets":          r.bus.TxPackets(nil),
		"unequal packets":     r.bus.TxPackets([]spi.Packet{{W: []byte{1}, R: []byte{1, 2}}}),
		"packets of 17 bytes": r.bus.TxPackets([]spi.Packet{{W: make([]byte, 8)}, {W: make([]byte, 9)}}),
	} {
		if err == nil {
			t.Errorf("%s was allowed", name)
		}
	}
	if l, ok := r.bus.(conn.Limits); !ok || l.MaxTxSize() != 16 {
		t.Error("no limit on transfers")
	}
	if r.bus.Duplex() != conn.Full {
		t.Error("not full duplex")
	}

	p := r.chip.Port()
	if err := p.LimitSpeed(physic.MegaHertz); err != nil {
		t.Fatal(err)
	}
	b, err := p.Connect(100*physic.MegaHertz, spi.Mode0, 8) // limited to 1 MHz
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Connect(physic.MegaHertz, spi.Mode0, 8); err == nil {
		t.Error("connected twice")
	}
	buf := make([]byte, 2)
	split := []spi.Packet{{W: []byte{0x80 | version<<1}, KeepCS: true}, {R: buf[:1]}}
	if err := b.TxPackets(split); err != nil || buf[0] != 0x92 {
		t.Errorf("read in two packets: % X %v", buf, err)
	}
	split[0].KeepCS = false
	if err := b.TxPackets(split); err != nil || buf[0] != 0 {
		t.Errorf("chip select went up between: % X %v", buf, err)
	}
	if err := b.Tx([]byte{0x81 | version<<1, 0}, buf); err != nil || buf[1] != 0 {
		t.Errorf("an address byte with its lowest bit set: % X %v", buf, err)
	}
	// Each byte of a read is the address of the next answer.
	several := []byte{0x80 | version<<1, 0x80 | water<<1, 0x80 | modWidth<<1, 0}
	if err := b.Tx(several, several); err != nil || !bytes.Equal(several[1:], []byte{0x92, 0x08, 0x26}) {
		t.Errorf("three registers in one read: % X %v", several, err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if b.Tx(buf, buf) == nil || p.Close() == nil {
		t.Error("a closed port works")
	}
}

// The demonstration polls all day: a transfer must cost next to nothing.
func TestTransfersAllocateNothing(t *testing.T) {
	r := newRig(t)
	buf := make([]byte, 2)
	if n := testing.AllocsPerRun(100, func() {
		buf[0] = 0x80 | version<<1
		if err := r.bus.Tx(buf, buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
