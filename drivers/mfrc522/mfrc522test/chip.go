package mfrc522test

import (
	"strings"
	"sync"
	"time"

	"presence/drivers/cardtest"
)

// fifoSize is the size of the FIFO buffer in bytes (data sheet, section 8.3).
const fifoSize = 64

// internalSize is the size of the internal buffer in bytes (data sheet, section
// 10.3.1.2).
const internalSize = 25

// CollPos is a reading of what CollReg's position counts. The data sheet leaves
// it open whether the bits that the reader sent already are counted.
type CollPos int

// The two readings. They differ once a whole byte of the UID is known.
const (
	// CollPosFrame counts within the received frame, RxAlign included: NXP's
	// own reading.
	CollPosFrame CollPos = iota
	// CollPosUID counts from the first bit of the cascade level's UID.
	CollPosUID
)

// Option sets up a chip.
type Option func(*Chip)

// Version sets VersionReg. Genuine chips have 91 and 92 (the default), clones
// 88, B2 or 12.
func Version(v byte) Option { return func(c *Chip) { c.version = v } }

// CollisionPosition chooses the reading of CollReg.
func CollisionPosition(p CollPos) Option { return func(c *Chip) { c.collPos = p } }

// CollisionBit sets what the FIFO shows for the collided bit itself, 0 or 1
// (the default). The data sheet does not say, so a driver must not care.
func CollisionBit(b byte) Option { return func(c *Chip) { c.collBit = b & 1 } }

// What the data sheet leaves open can be read in two ways; a driver must work with
// both.

// StoreLateWrites has the FIFO take what the host writes while an answer is
// awaited. WrErr is set either way (data sheet, section 9.3.1.7); whether the
// byte is dropped (the default) is not said.
func StoreLateWrites() Option { return func(c *Chip) { c.storeLate = true } }

// StartSendReadsZero has StartSend in BitFramingReg read as 0 always. The data
// sheet's table marks it as write-only and its reset value as 0, which a chip may
// take to mean either (section 9.3.1.14).
func StartSendReadsZero() Option { return func(c *Chip) { c.startHidden = true } }

// EndAtCollision has a frame end with the collided bit. "All received bits are
// cleared after a collision" (data sheet, section 9.3.1.15) may also mean that
// the rest of the frame is counted and reads as zeros (the default).
func EndAtCollision() Option { return func(c *Chip) { c.endAtColl = true } }

// AlertOnce has LoAlertIRq and HiAlertIRq store only that an alert comes on. "In
// opposition to the LoAlert bit, the LoAlertIRq bit stores this event" (data
// sheet, section 9.3.1.5) may mean that, or each byte that leaves while the level
// is low, which is what boards show (the default).
func AlertOnce() Option { return func(c *Chip) { c.alertOnce = true } }

// Readings are all combinations of what the data sheet leaves open, by name, for
// tests that a driver must pass with each.
func Readings() map[string][]Option {
	open := []struct {
		name string
		opt  Option
	}{
		{"position counted from the UID", CollisionPosition(CollPosUID)},
		{"collided bit 0", CollisionBit(0)},
		{"frame ends at the collision", EndAtCollision()},
		{"late writes stored", StoreLateWrites()},
		{"StartSend reads 0", StartSendReadsZero()},
		{"alerts once", AlertOnce()},
	}
	all := make(map[string][]Option)
	for mask := range 1 << len(open) {
		name, opts := "", []Option(nil)
		for i, o := range open {
			if mask>>i&1 == 1 {
				name += ", " + o.name
				opts = append(opts, o.opt)
			}
		}
		all[strings.TrimPrefix(name, ", ")] = opts
	}
	return all
}

// MaxTxSize sets the longest transfer of the bus in bytes; the default is that
// of spidev, 4096.
func MaxTxSize(n int) Option { return func(c *Chip) { c.maxTx = n } }

// ResetTime sets how long a reset takes, 1 ms unless given. Most of it is the
// crystal starting up.
func ResetTime(d time.Duration) Option { return func(c *Chip) { c.resetTime = d } }

// DeafToResetPin makes FaultDeaf survive the reset pin as well.
func DeafToResetPin() Option { return func(c *Chip) { c.deafToPin = true } }

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
	mu    sync.Mutex
	field *cardtest.Field

	version                                      byte
	collPos                                      CollPos
	collBit                                      byte
	maxTx                                        int
	resetTime                                    time.Duration
	deafToPin                                    bool
	storeLate, startHidden, endAtColl, alertOnce bool

	made  time.Time
	onBus time.Duration // time that transfers would have taken

	fault    Fault
	mended   sync.Cond // on mu: the fault has changed
	failNext int       // transfers that fail from now on
	failWith error
	resetIn  int // transfers until a brown-out; 0 never
	noise    noise
	flipMOSI int // bits until one is flipped; 0 never
	flipMISO int
	irqFault IRQFault
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
	sent       int    // bits of the frame on air
	sentBuffer [fifoSize + 2]byte
	heard      [fifoSize]byte
	answer     cardtest.Answer // Bytes point into heard
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

// FailTransfers makes the next n transfers fail with an error, before they
// reach the chip.
func (c *Chip) FailTransfers(n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failNext, c.failWith = n, err
}

// BrownOutAt resets the chip by itself just before the nth transfer from now
// on; 1 is the next one.
func (c *Chip) BrownOutAt(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resetIn = n
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
		return c.pop()
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

// FIFO.

// setFIFOLen changes the level. A byte that leaves while the level is low, or
// comes while it is high, is an event that its interrupt request stores.
func (c *Chip) setFIFOLen(n int) {
	less, more := n < c.fifoLen, n > c.fifoLen
	before := c.alerts()
	c.fifoLen = n
	alerts := c.alerts()
	if c.alertOnce {
		alerts &^= before
	}
	if more && alerts&status1HiAlert != 0 {
		c.raise(regComIrq, irqHiAlert)
	}
	if less && alerts&status1LoAlert != 0 {
		c.raise(regComIrq, irqLoAlert)
	}
}

func (c *Chip) push(v byte) {
	if c.fifoLen == fifoSize {
		c.raiseError(errBufferOvfl)
		return
	}
	c.fifo[c.fifoLen] = v
	c.setFIFOLen(c.fifoLen + 1)
}

func (c *Chip) pop() byte {
	if c.fifoLen == 0 {
		return 0
	}
	v := c.fifo[0]
	copy(c.fifo[:], c.fifo[1:c.fifoLen])
	c.setFIFOLen(c.fifoLen - 1)
	return v
}

// hostPush is a byte that the host writes.
func (c *Chip) hostPush(v byte, now instant) {
	switch c.phase {
	case modemRxWait, modemWaitData, modemReceiving:
		c.raiseError(errWrite)
		if c.storeLate {
			c.push(v)
		}
		return
	}
	c.push(v)
	switch c.reg[regCommand] & 0x0F {
	case cmdCalcCRC:
		c.startCRC(now)
	case cmdMFAuthent:
		c.maybeAuthent()
	case cmdTransceive:
		c.maybeSend(now)
	}
}

// Timer.

func (c *Chip) startTimer(at instant) {
	prescaler := int64(c.reg[regTMode]&0x0F)<<8 | int64(c.reg[regTPrescaler])
	ticks := 2*prescaler + 1
	if c.reg[regDemod]&demodPrescalEven != 0 {
		ticks++
	}
	reload := int64(c.reg[regTReloadH])<<8 | int64(c.reg[regTReloadL])
	c.timerTick = max(cycles(ticks), 1)
	c.due[evTimer] = at + cycles(ticks*(reload+1))
}

func (c *Chip) stopTimer(at instant) {
	c.timerLeft = c.timerCount(at)
	c.due[evTimer] = never
}

func (c *Chip) timerCount(now instant) uint16 {
	if c.due[evTimer] == never {
		return c.timerLeft
	}
	return uint16(min(max(c.due[evTimer]-now, 0)/c.timerTick, 0xFFFF))
}
