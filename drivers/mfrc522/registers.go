package mfrc522

// register is an address in the chip (data sheet, 9.2).
type register byte

const (
	regCommand    register = 0x01
	regComIEn     register = 0x02
	regDivIEn     register = 0x03
	regComIrq     register = 0x04
	regError      register = 0x06
	regStatus2    register = 0x08
	regFIFOData   register = 0x09
	regFIFOLevel  register = 0x0A
	regControl    register = 0x0C
	regBitFraming register = 0x0D
	regColl       register = 0x0E
	regMode       register = 0x11
	regTxMode     register = 0x12
	regRxMode     register = 0x13
	regTxControl  register = 0x14
	regTxASK      register = 0x15
	regTxSel      register = 0x16
	regRxSel      register = 0x17
	regRxThresh   register = 0x18
	regDemod      register = 0x19
	regMfTx       register = 0x1C
	regMfRx       register = 0x1D
	regModWidth   register = 0x24
	regRFCfg      register = 0x26
	regGsN        register = 0x27
	regCWGsP      register = 0x28
	regModGsP     register = 0x29
	regTMode      register = 0x2A
	regTPrescaler register = 0x2B
	regTReloadH   register = 0x2C
	regTReloadL   register = 0x2D
	regTestSel2   register = 0x32
	regTestPinEn  register = 0x33
	regAutoTest   register = 0x36
	regVersion    register = 0x37
)

// Commands and bits, by register.
const (
	commandIdle       = 0x00
	commandMem        = 0x01 // moves the FIFO to the internal buffer
	commandCalcCRC    = 0x03
	commandTransceive = 0x0C
	commandSoftReset  = 0x0F
	commandPowerDown  = 0x10 // reads as 1 until the chip has started
	commandRcvOff     = 0x20

	irqAll   = 0x7F // with bit 7 clear, each 1 clears its request
	irqRx    = 0x20
	irqIdle  = 0x10
	irqTimer = 0x01

	errorTemp     = 0x40 // overheated: the chip switched the field off
	errorOverflow = 0x10
	errorColl     = 0x08
	errorCRC      = 0x04
	errorParity   = 0x02
	errorProtocol = 0x01

	status2Crypto1 = 0x08 // MFCrypto1On: everything sent is encrypted
	status2Unset   = 0xC8 // what is 0 in a sound chip: TempSensClear, I2CForceHS, MFCrypto1On

	fifoFlush = 0x80
	fifoSize  = 64

	internalSize = 25   // bytes of the internal buffer
	autoTestOn   = 0x09 // SelfTest of AutoTestReg

	rxLastBits = 0x07 // of ControlReg

	startSend = 0x80 // of BitFramingReg

	collNotValid = 0x20
	collPos      = 0x1F // 0 means 32

	comIEnPin = 0xA1 // IRqInv, RxIEn, TimerIEn: the pin falls at an answer and at a time-out
	divIEnPin = 0x80 // IRQPushPull: the pin needs no resistor

	collKeep = 0x80 // ValuesAfterColl: bits behind a collision are kept

	txControlReset = 0x80 // after a reset: the field is off
	txControlField = 0x03 // Tx1RFEn, Tx2RFEn: both antenna pins are driven

	crcOn = 0x80 // TxCRCEn of TxModeReg, RxCRCEn of RxModeReg: the chip sends and checks CRC_A

	txASK100    = 0x40 // 100 % ASK, which type A needs
	tModeAuto   = 0x80 // the timer starts at the end of each transmission
	rxGain      = 0x70 // of RFCfgReg
	rxGainShift = 4
	tPrescaler  = 0xA9 // 13.56 MHz / (2*169+1): ticks of 25 µs

	tPrescalerLong = 0x7FF // 13.56 MHz / (2*2047+1): ticks of 302 µs; 12 bits, the upper four in TModeReg
)

// guarded is a register that must keep its value between two scans, because a wrong
// one makes the chip deaf or the cards unable to understand it. Only the bits that
// the data sheet defines are written; reserved ones stay as the reset left them.
type guarded struct {
	reg        register
	resetValue byte // after a reset (data sheet, 9.3)
	mask       byte // bits that the driver sets
	value      byte // what it sets them to

	// atReset means that the driver leaves the register at its reset value. It is
	// written all the same: a register that does not take a value is broken.
	atReset bool
}

// atReset is a register that keeps its reset value in the bits of the mask.
func atReset(reg register, resetValue, mask byte) guarded {
	return guarded{reg: reg, resetValue: resetValue, mask: mask, value: resetValue & mask, atReset: true}
}

// guardedRegisters lists them. gain is RxGain, pin whether the interrupt pin is
// wired.
func guardedRegisters(gain byte, pin bool) []guarded {
	list := []guarded{
		{reg: regMode, resetValue: 0x3F, mask: 0xAB, value: 0x29}, // TxWaitRF, PolMFin, CRC preset 6363
		{reg: regTxMode, resetValue: 0x00, mask: 0xF8},            // 106 kBd, CRC by software
		{reg: regRxMode, resetValue: 0x00, mask: 0xFC},
		{reg: regTxASK, resetValue: 0x00, mask: txASK100, value: txASK100},
		{reg: regModWidth, resetValue: 0x26, mask: 0xFF, value: 0x26}, // of type A at 106 kBd
		{reg: regRFCfg, resetValue: 0x48, mask: rxGain, value: gain << rxGainShift},
		{reg: regTMode, resetValue: 0x00, mask: 0xFF, value: tModeAuto},
		{reg: regTPrescaler, resetValue: 0x00, mask: 0xFF, value: tPrescaler},
		{reg: regTReloadH, resetValue: 0x00, mask: 0xFF},
		atReset(regTxSel, 0x10, 0x3F),
		atReset(regRxSel, 0x84, 0xFF),
		atReset(regRxThresh, 0x84, 0xF7),
		atReset(regDemod, 0x4D, 0xFF),
		atReset(regMfTx, 0x62, 0x03),
		atReset(regMfRx, 0x00, 0x10),
		atReset(regGsN, 0x88, 0xFF),
		atReset(regCWGsP, 0x20, 0x3F),
		atReset(regModGsP, 0x20, 0x3F),
		atReset(regTestSel2, 0x00, 0xFF),
		atReset(regTestPinEn, 0x80, 0xFE),
		atReset(regAutoTest, 0x40, 0x4F),
		atReset(regComIEn, 0x80, 0xFF),
		atReset(regDivIEn, 0x00, 0x94),
		// The field comes on last, when all else is set.
		{reg: regTxControl, resetValue: txControlReset, mask: 0xFB, value: txControlReset | txControlField},
	}
	if pin {
		for i := range list {
			switch list[i].reg {
			case regComIEn:
				list[i].value = comIEnPin
			case regDivIEn:
				list[i].value = divIEnPin
			}
		}
	}
	return list
}

// notReset reports whether a value that was read just after a reset is one that
// only the driver sets: then the chip was not reset.
func (k guarded) notReset(value byte) bool {
	switch k.reg {
	case regTxControl, regTxASK, regTMode:
		return value&k.value&^k.resetValue != 0
	}
	return false
}

// cleared reports whether a wrong value is the reset value, so that the chip may
// have lost all its settings. A field that is off is as bad: the cards have lost
// their state.
func (k guarded) cleared(value, afterReset byte) bool {
	return value == afterReset || k.reg == regTxControl && value&txControlField != txControlField
}
