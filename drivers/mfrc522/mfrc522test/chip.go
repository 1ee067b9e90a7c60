package mfrc522test

import (
	"sync"
	"time"

	"presence/drivers/bus/bustest"
	"presence/drivers/cardtest"
)

// internalSize is the size of the internal buffer in bytes (data sheet, section
// 10.3.1.2).
const internalSize = 25

// Stats are counters over the chip's life.
type Stats struct {
	Transfers  int64 // on the bus, failed ones among them
	Frames     int64 // sent into the field
	RFOffs     int64 // times that the field went off
	SoftResets int64
	HardResets int64 // pulses of the reset pin
}

// Chip is one MFRC522 on its board. All methods are safe for concurrent use.
type Chip struct {
	bustest.Accidents

	mu    sync.Mutex
	field *cardtest.Field

	version                                      byte
	collPos                                      CollPos
	collBit                                      byte
	maxTx                                        int
	resetTime                                    time.Duration
	deafToPin                                    bool
	storeLate, startHidden, endAtColl, alertOnce bool
	keepsCRC                                     bool

	made  time.Time
	onBus time.Duration // time that transfers would have taken

	fault    Fault
	mended   sync.Cond // on mu: the fault has changed
	noise    cardtest.Disturber
	flipMOSI int // bits until one is flipped; 0 never
	flipMISO int
	irqFault bustest.IRQFault
	stats    Stats

	reg      [64]byte
	fifo     [fifoSize]byte
	fifoLen  int
	internal [internalSize]byte // the buffer of Mem; only the loss of power clears it
	held     bool               // the reset pin is low
	booting  bool
	sleeping bool // soft power-down
	rf       bool
	phase    byte // as ModemState

	due [eventCount]instant

	timerTick  time.Duration
	timerLeft  uint16 // where it was stopped
	crcDone    bool
	crcSum     uint16 // of CalcCRC, before MSBFirst turns it around
	txStart    instant
	txTaken    int  // bytes that have left the FIFO for the frame on air
	txDry      bool // the FIFO was empty when the next byte was due
	txLastBits byte // of the last byte that go out; 0 is all of it
	sent       int  // bits of the frame on air
	sentBuffer [maxSent + 2]byte
	rxStart    instant
	rxPut      int                              // bytes of the answer that are in the FIFO already
	heard      [cardtest.MaxAnswer*9/8 + 1]byte // with parity bits where ParityDisable keeps them
	answer     cardtest.Answer                  // Bytes point into heard
	rxAlign    int
}

// New makes a chip in front of a field, powered, out of reset and idle.
func New(field *cardtest.Field, opts ...Option) *Chip {
	c := &Chip{
		field: field, version: 0x92, collBit: 1, maxTx: 4096, resetTime: time.Millisecond,
		made: time.Now(), fault: FaultNone,
	}
	c.mended.L = &c.mu
	for _, o := range opts {
		o(c)
	}
	c.setDefaults()
	return c
}

// SetFault puts the chip into a fault, or mends it with FaultNone. One fault
// holds at a time.
func (c *Chip) SetFault(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.advance(now)
	c.fault = f
	c.mended.Broadcast()
	switch f {
	case FaultDeaf:
		c.reg[regTxControl] &^= txControlAntenna
	case FaultCrypto1:
		c.reg[regStatus2] |= status2Crypto1
	}
	c.updateRF(now)
}

// Fault tells which fault holds.
func (c *Chip) Fault() Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault
}

// Stats returns the counters.
func (c *Chip) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Register looks at a register without touching the bus, and without any of
// the effects that reading it there would have.
func (c *Chip) Register(addr byte) byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.advance(now)
	return c.peek(addr&0x3F, now)
}

// Reset and power.

func (c *Chip) setDefaults() {
	c.reg = defaults()
	c.fifoLen = 0
	c.phase = modemIdle
	c.sleeping = false
	c.crcDone = true
	c.timerLeft = 0
	for e := range c.due {
		c.due[e] = never
	}
}

// reset puts every register to its default and starts the chip up again.
func (c *Chip) reset(at instant) {
	c.setDefaults()
	if c.fault == FaultCrypto1 {
		c.fault = FaultNone
	}
	c.booting = true
	c.due[evBoot] = at + c.resetTime
	c.updateRF(at)
}

// hold is the reset pin.
func (c *Chip) hold(low bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.advance(now)
	if low == c.held {
		return
	}
	c.held = low
	if low {
		c.stats.HardResets++
		if c.fault == FaultDeaf && !c.deafToPin {
			c.fault = FaultNone
		}
	}
	c.reset(now)
	if low {
		c.due[evBoot] = never
	}
}

// updateRF drives the field as the registers say.
func (c *Chip) updateRF(at instant) {
	on := c.drives() && !c.held && !c.booting && !c.sleeping && c.fault != FaultDeaf
	if c.rf && !on {
		c.stats.RFOffs++
	}
	c.rf = on
	c.field.SetRF(on, c.clockAt(at))
	if on && c.phase == modemTxWait {
		c.send(at)
	}
}

// drives reports whether a carrier stands between TX1 and TX2, where NXP's
// antenna circuit hangs: it takes both drivers, in opposite phase, with some
// conductance each way (data sheet, sections 9.3.2.5, 9.3.3.8 and 9.3.3.9).
func (c *Chip) drives() bool {
	tx := c.reg[regTxControl]
	opposite := tx&txControlInvTx1On != 0 != (tx&txControlInvTx2On != 0)
	return tx&txControlAntenna == txControlAntenna && opposite &&
		c.reg[regGsN]&0xF0 != 0 && c.reg[regCWGsP] != 0
}

// Registers.

// read is a read over the bus.
func (c *Chip) read(addr byte, now instant) byte {
	if c.held {
		return 0
	}
	if addr == regFIFOData {
		v := c.pop()
		c.plan()
		return v
	}
	return c.peek(addr, now)
}

func (c *Chip) peek(addr byte, now instant) byte {
	switch addr {
	case regCommand:
		v := c.reg[regCommand]
		if c.booting || c.sleeping {
			v |= commandPowerDown
		}
		return v
	case regStatus1:
		return c.status1()
	case regStatus2:
		return c.reg[regStatus2] | c.phase
	case regFIFOData:
		if c.fifoLen > 0 {
			return c.fifo[0]
		}
		return 0
	case regFIFOLevel:
		return byte(c.fifoLen)
	case regBitFraming:
		if c.startHidden {
			return c.reg[regBitFraming] &^ framingStartSend
		}
	case regTCounterH:
		return byte(c.timerCount(now) >> 8)
	case regTCounterL:
		return byte(c.timerCount(now))
	case regVersion:
		return c.version
	}
	return c.reg[addr]
}

func (c *Chip) status1() byte {
	var v byte
	if c.crcDone {
		v |= status1CRCReady
		if c.reg[regCRCResultH]|c.reg[regCRCResultL] == 0 {
			v |= status1CRCOk
		}
	}
	if c.reg[regComIrq]&c.reg[regComIEn]&0x7F != 0 || c.reg[regDivIrq]&c.reg[regDivIEn]&divIrqBits != 0 {
		v |= status1IRq
	}
	if c.due[evTimer] != never {
		v |= status1TRunning
	}
	return v | c.alerts()
}

func (c *Chip) alerts() byte {
	var v byte
	water := int(c.reg[regWaterLevel])
	if fifoSize-c.fifoLen <= water {
		v |= status1HiAlert
	}
	if c.fifoLen <= water {
		v |= status1LoAlert
	}
	return v
}

// write is a write over the bus. While the chip starts up it is lost.
func (c *Chip) write(addr, v byte, now instant) {
	if c.held || c.booting {
		return
	}
	switch addr {
	case regCommand:
		c.command(v, now)
	case regComIrq:
		c.changeIRQ(regComIrq, v, 0x7F)
	case regDivIrq:
		c.changeIRQ(regDivIrq, v, divIrqBits)
	case regStatus2:
		// The host can clear MFCrypto1On but not set it.
		crypto := c.reg[regStatus2] & v & status2Crypto1
		if c.fault == FaultCrypto1 {
			crypto = status2Crypto1
		}
		c.reg[regStatus2] = v&0xC0 | crypto
	case regFIFOData:
		c.hostPush(v, now)
	case regFIFOLevel:
		if v&fifoFlush != 0 {
			c.setFIFOLen(0)
			c.reg[regError] &^= errBufferOvfl
			c.plan()
		}
	case regControl:
		if v&controlStopTimer != 0 {
			c.stopTimer(now)
		}
		if v&controlStartTimer != 0 {
			c.startTimer(now)
		}
	case regBitFraming:
		c.reg[regBitFraming] = v & 0xF7
		c.maybeSend(now)
	case regColl:
		c.reg[regColl] = c.reg[regColl]&^collKeepAfter | v&collKeepAfter
	case regTxControl:
		if c.fault == FaultDeaf {
			v &^= txControlAntenna
		}
		c.reg[regTxControl] = v
		c.updateRF(now)
	default:
		if mask := writable(addr); mask != 0 {
			c.reg[addr] = c.reg[addr]&^mask | v&mask
			c.updateRF(now)
		}
	}
}

// changeIRQ is a write to an interrupt request register: the top bit says
// whether the marked requests are set or cleared.
func (c *Chip) changeIRQ(addr, v, mask byte) {
	if v&irqSet1 != 0 {
		c.reg[addr] |= v & mask
	} else {
		c.reg[addr] &^= v & mask
	}
}

func (c *Chip) raise(addr, bits byte) {
	if c.fault != FaultNoIRQ {
		c.reg[addr] |= bits
	}
}

func (c *Chip) raiseError(bits byte) {
	c.reg[regError] |= bits
	c.raise(regComIrq, irqErr)
}
