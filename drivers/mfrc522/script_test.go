package mfrc522

import (
	"testing"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

// script is a chip that answers each frame with what a test says, for answers
// that no card and no sound chip would give. It has registers and a FIFO, and
// finishes every exchange at once.
type script struct {
	t *testing.T

	// reply is asked for each frame sent; nil means silence.
	reply func(frame []byte, lastBits byte) *reply

	regs      [64]byte
	fifo      []byte
	frames    [][]byte // everything that was sent on the air
	transfers int
	err       error // of the next transfers
	closed    int
	resets    int
	hot       bool // TempErr stays set
	speed     physic.Frequency
	frozen    map[register]byte // registers that no write and no reset changes

	wrote   func(reg register, v byte) // is told of each write, where it is not nil
	before  func() error               // is asked before each transfer, where it is not nil
	atReset map[register]byte          // what a reset leaves in registers, where it is not 0
	misread register                   // reads as it should only from the second time on
}

// reply is a scripted answer.
type reply struct {
	data     []byte
	errors   byte // ErrorReg
	lastBits byte // RxLastBits
	coll     byte // CollReg
	stuck    bool // no interrupt request ever comes
	idle     bool // nothing was received: the chip has dropped the command
}

func newScript(t *testing.T, f func(frame []byte, lastBits byte) *reply) *script {
	s := &script{t: t, reply: f}
	s.regs[regVersion] = 0x92
	return s
}

func (s *script) String() string                    { return "script" }
func (s *script) LimitSpeed(physic.Frequency) error { return nil }
func (s *script) Duplex() conn.Duplex               { return conn.Full }
func (s *script) Close() error                      { s.closed++; return nil }
func (s *script) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	if mode != spi.Mode0 || bits != 8 || f == 0 {
		s.t.Errorf("connected at %v in %v with %d bits", f, mode, bits)
	}
	s.speed = f
	return s, nil
}

// TxPackets takes writes only, each of them framed by chip select.
func (s *script) TxPackets(packets []spi.Packet) error {
	s.transfers++
	if s.err != nil {
		return s.err
	}
	if s.before != nil {
		if err := s.before(); err != nil {
			return err
		}
	}
	for _, p := range packets {
		if len(p.W) < 2 || len(p.R) != 0 || p.KeepCS || p.BitsPerWord != 0 || p.W[0]&0x81 != 0 {
			s.t.Errorf("packet %+v", p)
		}
		for _, v := range p.W[1:] {
			s.write(register(p.W[0]>>1), v)
		}
	}
	return nil
}

func (s *script) Tx(w, r []byte) error {
	s.transfers++
	if s.err != nil {
		return s.err
	}
	if s.before != nil {
		if err := s.before(); err != nil {
			return err
		}
	}
	if len(w) != len(r) || len(w) < 2 || len(w) > 65 {
		s.t.Errorf("transfer of %d and %d bytes", len(w), len(r))
	}
	if w[0]&0x80 == 0 {
		for _, v := range w[1:] {
			s.write(register(w[0]>>1), v)
		}
		return nil
	}
	for i := 1; i < len(w); i++ {
		r[i] = s.read(register(w[i-1] & 0x7E >> 1))
	}
	if w[len(w)-1] != 0 {
		s.t.Errorf("a read that does not end in 00: % X", w)
	}
	return nil
}

func (s *script) read(reg register) byte {
	if v, ok := s.frozen[reg]; ok {
		return v
	}
	switch reg {
	case regFIFOLevel:
		return byte(len(s.fifo))
	case regFIFOData:
		if len(s.fifo) == 0 {
			return 0 // the driver asks for the bytes along with their number
		}
		b := s.fifo[0]
		s.fifo = s.fifo[1:]
		return b
	}
	if reg == regError && s.hot {
		return s.regs[reg] | errorTemp
	}
	v := s.regs[reg]
	if reg == s.misread && reg != 0 {
		s.misread, s.regs[reg] = 0, 0
	}
	return v
}

func (s *script) write(reg register, v byte) {
	if s.wrote != nil {
		s.wrote(reg, v)
	}
	switch reg {
	case regComIrq:
		s.regs[reg] &^= v & 0x7F
		return
	case regFIFOLevel:
		s.fifo = nil
		return
	case regFIFOData:
		s.fifo = append(s.fifo, v)
		return
	case regCommand:
		if v == commandSoftReset {
			s.resets++
			version := s.regs[regVersion]
			s.regs, s.fifo = [64]byte{}, nil
			s.regs[regVersion], s.regs[regTxControl], s.regs[regCommand] = version, txControlReset, commandRcvOff
			s.regs[regColl] = 0x80 | collNotValid
			for reg, v := range s.atReset {
				s.regs[reg] = v
			}
			return
		}
	}
	s.regs[reg] = v
	if reg != regBitFraming || v&startSend == 0 || s.regs[regCommand] != commandTransceive {
		return
	}
	frame := s.fifo
	s.fifo = nil
	s.frames = append(s.frames, frame)
	a := s.reply(frame, v&7)
	switch {
	case a == nil:
		s.regs[regComIrq], s.regs[regError] = irqTimer, 0
	case a.stuck:
	default:
		s.regs[regComIrq] = irqRx
		if a.idle {
			s.regs[regComIrq] = irqIdle
		}
		s.regs[regError], s.regs[regControl], s.regs[regColl] = a.errors, a.lastBits, a.coll
		s.fifo = append([]byte(nil), a.data...)
	}
}
