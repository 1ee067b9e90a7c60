package mfrc522test

import (
	"math/bits"
	"math/rand/v2"

	"presence/drivers/cardtest"
)

// command is a write to CommandReg.
func (c *Chip) command(v byte, now instant) {
	switch {
	case v&commandPowerDown != 0 && v&0x0F != cmdSoftReset:
		c.sleeping = true
		c.due[evBoot] = never
		c.updateRF(now)
	case c.sleeping:
		// PowerDown reads as 1 until the chip is awake.
		c.due[evBoot] = now + wakeUp
	}
	code := v & 0x0F
	if code == cmdNoCmdChange {
		c.reg[regCommand] = c.reg[regCommand]&0x0F | v&commandRcvOff
		return
	}
	// A new command ends the one under way and clears the errors of the last
	// (data sheet, sections 9.3.1.7 and 10.2).
	c.abort()
	c.reg[regError] = 0
	c.reg[regCommand] = v&commandRcvOff | code
	if c.sleeping && code != cmdSoftReset {
		c.reg[regCommand] &^= 0x0F
		return
	}
	switch code {
	case cmdIdle: // the host's own Idle requests no interrupt
	case cmdCalcCRC:
		c.crcSum = crcPreset(c.reg[regMode])
		c.feedCRC(nil)
		c.startCRC(now)
	case cmdTransmit:
		c.send(now)
	case cmdMem:
		c.mem()
	case cmdRandomID:
		for i := range randomIDSize {
			c.internal[i] = byte(rand.Uint32())
		}
		c.finish()
	case cmdReceive:
		c.startReceiver()
	case cmdTransceive:
		c.phase = modemWaitSend
		c.maybeSend(now)
	case cmdMFAuthent:
		c.maybeAuthent()
	case cmdSoftReset:
		c.stats.SoftResets++
		c.reset(now)
	default:
		c.finish() // what is unknown ends at once
	}
}

// abort drops whatever the last command had under way.
func (c *Chip) abort() {
	for _, e := range []int{evTxEnd, evRxBegin, evRxFifth, evRxEnd, evCRC} {
		c.due[e] = never
	}
	c.phase = modemIdle
}

// finish is a command that ends by itself.
func (c *Chip) finish() {
	c.phase = modemIdle
	c.reg[regCommand] &^= 0x0F
	c.raise(regComIrq, irqIdle)
}

// mem moves the FIFO into the internal buffer, or, where the FIFO is empty, the
// buffer into the FIFO (data sheet, section 10.3.1.2).
func (c *Chip) mem() {
	if c.fifoLen == 0 {
		for _, v := range c.internal {
			c.push(v)
		}
	} else {
		for i := range c.internal {
			c.internal[i] = c.pop()
		}
	}
	c.finish()
}

// startReceiver has the receiver wait for data. The errors of the last frame are
// cleared in its start-up phase, also those that no command has cleared (data
// sheet, section 9.3.1.7).
func (c *Chip) startReceiver() {
	c.reg[regError] &^= errColl | errCRC | errParity | errProtocol
	c.phase = modemWaitData
}

// startCRC has the coprocessor work through the FIFO at one byte in eight
// cycles. The command does not end by itself: what is written to the FIFO later
// is added to the sum (data sheet, section 10.3.1.4).
func (c *Chip) startCRC(now instant) {
	c.crcDone = false
	c.due[evCRC] = now + max(cycles(int64(8*c.fifoLen)), 1)
}

// selfTest fills the FIFO with the 64 bytes of the chip's version, if the host
// has prepared it as the data sheet says: the internal buffer cleared, a 0 in
// the FIFO, SelfTest in AutoTestReg, then CalcCRC (section 16.1.1).
func (c *Chip) selfTest() {
	reference, known := selfTests[c.version]
	if c.internal != [internalSize]byte{} || c.fifoLen != 1 || c.fifo[0] != 0 || !known {
		reference = [fifoSize]byte{0xFF}
	}
	if c.fault == FaultSelfTest {
		reference[17] ^= 0x04
	}
	c.setFIFOLen(0)
	for _, v := range reference {
		c.push(v)
	}
	c.crcDone = true
	c.raise(regDivIrq, divIrqCRC)
}

func (c *Chip) endCRC() {
	c.feedCRC(c.fifo[:c.fifoLen])
	c.setFIFOLen(0)
	c.crcDone = true
	c.raise(regDivIrq, divIrqCRC)
}

// maybeAuthent stands in for MFAuthent: once its 12 bytes are there it
// succeeds, whatever the key. All that follows is encrypted.
func (c *Chip) maybeAuthent() {
	if c.fifoLen < 12 {
		return
	}
	c.setFIFOLen(c.fifoLen - 12)
	c.reg[regStatus2] |= status2Crypto1
	c.finish()
}

// maybeSend starts a transmission of Transceive when StartSend is set and
// there is something to send.
func (c *Chip) maybeSend(now instant) {
	if c.reg[regCommand]&0x0F == cmdTransceive && c.phase == modemWaitSend &&
		c.reg[regBitFraming]&framingStartSend != 0 && c.fifoLen > 0 {
		c.send(now)
	}
}

// send starts a transmission. With TxWaitRF, which is set after a reset, it
// waits for the chip's own field, forever if need be: neither TxIRq nor the
// timer will ever tell (data sheet, sections 9.3.1.9 and 9.3.2.2).
func (c *Chip) send(now instant) {
	if c.reg[regMode]&modeTxWaitRF != 0 && !c.rf {
		c.phase = modemTxWait
		return
	}
	c.txStart, c.txTaken, c.txDry = now, 0, false
	c.txLastBits = c.reg[regBitFraming] & 0x07
	c.phase = modemTransmitting
	c.reg[regColl] |= collPosNotValid
	c.plan()
}

// happen is an event that has come.
func (c *Chip) happen(event int, at instant) {
	switch event {
	case evBoot:
		c.booting, c.sleeping = false, false
		c.updateRF(at)
	case evTxEnd:
		c.endSend(at)
	case evRxBegin:
		if c.field.Interrupted() { // the card has gone before it answered
			c.due[evRxFifth], c.due[evRxEnd] = never, never
			c.phase = modemWaitData
			return
		}
		c.phase = modemReceiving
		c.rxAlign = int(c.reg[regBitFraming] >> 4 & 0x07)
		c.rxStart, c.rxPut = at, 0
	case evRxFifth:
		if c.reg[regTMode]&tModeAuto != 0 && c.reg[regRxMode]&rxModeMultiple == 0 {
			c.stopTimer(at)
		}
	case evRxEnd:
		c.endReceive()
	case evTimer:
		c.timerLeft = 0
		c.raise(regComIrq, irqTimer)
		if c.reg[regTMode]&tModeAutoRestart != 0 {
			c.startTimer(at)
		}
	case evCRC:
		if c.reg[regAutoTest]&autoTestSelfTest == autoTestEnabled {
			c.selfTest()
			return
		}
		c.endCRC()
	}
}

func (c *Chip) endSend(at instant) {
	if c.reg[regTxMode]&modeCRCEn != 0 {
		sum := crc(presetA, c.sentBuffer[:c.txTaken])
		c.sentBuffer[c.txTaken], c.sentBuffer[c.txTaken+1] = byte(sum), byte(sum>>8)
	}
	c.raise(regComIrq, irqTx)
	if c.reg[regTMode]&tModeAuto != 0 {
		c.startTimer(at)
	}
	if c.rf {
		c.stats.Frames++
	}
	c.exchange(at)
	if c.reg[regCommand]&0x0F == cmdTransmit {
		c.finish()
		return
	}
	c.startReceiver()
	if c.answer.Bits == 0 || !c.hears() {
		return
	}
	c.phase = modemRxWait
	delay := cycles(frameDelayAfter1)
	if last := max(c.sent-1, 0); c.sentBuffer[last/8]>>(last%8)&1 == 0 {
		delay = cycles(frameDelayAfter0)
	}
	delay = max(delay, c.answer.Delay)
	c.due[evRxBegin] = at + delay
	if c.answer.Bits >= 4 {
		c.due[evRxFifth] = at + delay + cycles(5*etu)
	}
	c.due[evRxEnd] = at + delay + cardFrame(c.answer.Bits)
}

// exchange hands the frame to the cards, as far as they understand how it was
// sent, and keeps their answer.
func (c *Chip) exchange(at instant) {
	c.answer = cardtest.Answer{Collision: -1}
	if !c.modulates() {
		return
	}
	frame := c.sentBuffer[:(c.sent+7)/8]
	encrypted := c.reg[regStatus2]&status2Crypto1 != 0
	noParity := c.reg[regMfRx]&mfRxParityDisable != 0 && c.sent >= 8
	if encrypted || noParity {
		for i := range frame {
			frame[i] ^= 0xA5 // something that no card expects
		}
	}
	if c.noise.OnAir(frame, c.sent) {
		for i := range frame {
			frame[i] ^= 0xA5 // a card drops a frame whose parity is wrong
		}
	}
	answer := c.field.Exchange(c.clockAt(at), cardtest.Frame{Bytes: frame, Bits: c.sent})
	n := copy(c.heard[:], answer.Bytes)
	answer.Bytes = c.heard[:n]
	c.answer = c.noise.Heard(answer, c.heard[:])
	if c.noise.Hit() {
		c.field.Disturbed()
	}
}

// modulates reports whether cards can see a frame. Type A at 106 kbit/s is full
// modulation of both drivers, by the internal encoder, in pauses of the default
// width.
func (c *Chip) modulates() bool {
	return c.reg[regTxASK]&txASKForce100 != 0 &&
		c.reg[regTxMode]&(modeSpeed|txModeInvMod) == 0 &&
		c.reg[regTxSel]&txSelDriver == txSelDriverInternal &&
		c.reg[regTxControl]&txControlTx2CW == 0 &&
		c.reg[regModWidth] == defaults()[regModWidth]
}

// hears reports whether the receiver is able to make sense of an answer. Of
// reserved bits that were changed, and reserved values, nobody knows what they
// do: here they deafen.
func (c *Chip) hears() bool {
	return c.reg[regCommand]&commandRcvOff == 0 && c.reg[regRxMode]&modeSpeed == 0 &&
		c.reg[regRxSel]&rxSelUART == rxSelUARTInternal &&
		c.reg[regRxSel]&rxSelWait <= maxRxWait &&
		c.reg[regDemod]&demodAddIQ <= demodAddIQFreeze &&
		c.reg[regRFCfg]&rfCfgReserved == defaults()[regRFCfg]&rfCfgReserved &&
		c.fault != FaultSilent
}

// maxRxWait is for how many bits the receiver may stay off after sending
// (RxWait) and still hear the answer from its first bit on: it comes after 1172
// cycles at the earliest.
const maxRxWait = frameDelayAfter0 / etu

// endReceive puts the answer into the FIFO.
func (c *Chip) endReceive() {
	if c.answer.Bits < 4 && c.reg[regRxMode]&rxModeNoErr != 0 {
		c.phase = modemWaitData
		return
	}
	if c.field.Interrupted() { // it has gone while it answered
		c.answer.BadParity = true
		c.answer.Bytes[c.answer.Bits/16] ^= 0x55
	}
	if c.answer.Collision >= 0 {
		c.collided()
	} else if c.answer.BadParity && c.reg[regMfRx]&mfRxParityDisable == 0 {
		c.raiseError(errParity)
	}
	if c.reg[regMfRx]&mfRxParityDisable != 0 {
		c.keepParity()
	}

	n := c.rxAlign + c.answer.Bits
	whole := c.answer.Bits / 8
	if c.reg[regRxMode]&modeCRCEn != 0 {
		if c.answer.Bits%8 != 0 || whole < 3 || crc(presetA, c.answer.Bytes[:whole]) != 0 {
			c.raiseError(errCRC)
		}
		if whole >= 3 && !c.keepsCRC {
			n -= 16
		}
	}
	var v byte
	for i := c.rxAlign + 8*c.rxPut; i < n; i++ {
		from := i - c.rxAlign
		v |= c.answer.Bytes[from/8] >> (from % 8) & 1 << (i % 8)
		if i%8 == 7 || i == n-1 {
			c.push(v)
			v = 0
		}
	}
	c.reg[regControl] = c.reg[regControl]&^0x07 | byte(n%8)
	c.raise(regComIrq, irqRx)
	if c.reg[regCommand]&0x0F == cmdReceive {
		c.finish()
		return
	}
	c.phase = modemWaitSend
	if c.reg[regRxMode]&rxModeMultiple != 0 {
		// The errors are for the host to see, until the next frame begins.
		c.phase = modemWaitData
	}
}

// keepParity has the parity bits of an answer stand between its bytes, as the
// receiver takes them for data when ParityDisable is set.
func (c *Chip) keepParity() {
	var with [cardtest.MaxAnswer*9/8 + 1]byte
	n := 0
	add := func(bit byte) {
		with[n/8] |= bit << (n % 8)
		n++
	}
	for i := range c.answer.Bits {
		add(c.answer.Bytes[i/8] >> (i % 8) & 1)
		if i%8 == 7 {
			add(byte(bits.OnesCount8(c.answer.Bytes[i/8])+1) & 1)
		}
	}
	c.answer.Bits = n
	c.answer.Bytes = c.heard[:copy(c.heard[:], with[:(n+7)/8])]
}

// collided reports the first collision and spoils the bits behind it.
func (c *Chip) collided() {
	at := c.answer.Collision
	c.raiseError(errColl)
	if c.collBit == 0 {
		c.answer.Bytes[at/8] &^= 1 << (at % 8)
	}
	if c.reg[regColl]&collKeepAfter == 0 {
		for i := at + 1; i < c.answer.Bits; i++ {
			c.answer.Bytes[i/8] &^= 1 << (i % 8)
		}
	}
	if c.endAtColl {
		c.answer.Bits = at + 1
	}
	pos := c.rxAlign + at + 1
	if c.collPos == CollPosUID {
		pos = at + 1
		if sel := c.sentBuffer[0]; c.sent >= 16 && (sel == 0x93 || sel == 0x95 || sel == 0x97) {
			pos += c.sent - 16
		}
	}
	if pos > 32 { // CollPos counts to 32, and 32 is written as 0
		return
	}
	c.reg[regColl] = c.reg[regColl]&collKeepAfter | byte(pos&0x1F)
}
