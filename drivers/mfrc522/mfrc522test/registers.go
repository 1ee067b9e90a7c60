package mfrc522test

// Register addresses (data sheet, section 9.2).
const (
	regCommand    = 0x01
	regComIEn     = 0x02
	regDivIEn     = 0x03
	regComIrq     = 0x04
	regDivIrq     = 0x05
	regError      = 0x06
	regStatus1    = 0x07
	regStatus2    = 0x08
	regFIFOData   = 0x09
	regFIFOLevel  = 0x0A
	regWaterLevel = 0x0B
	regControl    = 0x0C
	regBitFraming = 0x0D
	regColl       = 0x0E
	regMode       = 0x11
	regTxMode     = 0x12
	regRxMode     = 0x13
	regTxControl  = 0x14
	regTxASK      = 0x15
	regTxSel      = 0x16
	regRxSel      = 0x17
	regDemod      = 0x19
	regMfRx       = 0x1D
	regCRCResultH = 0x21
	regCRCResultL = 0x22
	regModWidth   = 0x24
	regRFCfg      = 0x26
	regGsN        = 0x27
	regCWGsP      = 0x28
	regTMode      = 0x2A
	regTPrescaler = 0x2B
	regTReloadH   = 0x2C
	regTReloadL   = 0x2D
	regTCounterH  = 0x2E
	regTCounterL  = 0x2F
	regAutoTest   = 0x36
	regVersion    = 0x37
)

// Commands (data sheet, table 149).
const (
	cmdIdle        = 0x0
	cmdMem         = 0x1
	cmdRandomID    = 0x2
	cmdCalcCRC     = 0x3
	cmdTransmit    = 0x4
	cmdNoCmdChange = 0x7
	cmdReceive     = 0x8
	cmdTransceive  = 0xC
	cmdMFAuthent   = 0xE
	cmdSoftReset   = 0xF
)

// Bits of registers (data sheet, section 9.3).
const (
	commandRcvOff    = 0x20
	commandPowerDown = 0x10

	comIEnInverted = 0x80 // IRqInv

	irqSet1    = 0x80 // also Set2 of DivIrqReg
	irqTx      = 0x40
	irqRx      = 0x20
	irqIdle    = 0x10
	irqHiAlert = 0x08
	irqLoAlert = 0x04
	irqErr     = 0x02
	irqTimer   = 0x01

	divIrqCRC  = 0x04
	divIrqBits = 0x14

	errWrite      = 0x80
	errBufferOvfl = 0x10
	errColl       = 0x08
	errCRC        = 0x04
	errParity     = 0x02
	errProtocol   = 0x01

	status1CRCOk    = 0x40
	status1CRCReady = 0x20
	status1IRq      = 0x10
	status1TRunning = 0x08
	status1HiAlert  = 0x02
	status1LoAlert  = 0x01

	status2Crypto1 = 0x08

	fifoFlush = 0x80

	controlStopTimer  = 0x80
	controlStartTimer = 0x40

	framingStartSend = 0x80

	collKeepAfter   = 0x80 // ValuesAfterColl
	collPosNotValid = 0x20

	modeMSBFirst = 0x80
	modeTxWaitRF = 0x20

	modeCRCEn      = 0x80 // TxCRCEn, RxCRCEn
	modeSpeed      = 0x70
	txModeInvMod   = 0x08
	rxModeNoErr    = 0x08
	rxModeMultiple = 0x04

	txControlAntenna  = 0x03 // Tx2RFEn, Tx1RFEn
	txControlTx2CW    = 0x08
	txControlInvTx1On = 0x40
	txControlInvTx2On = 0x80

	txSelDriver         = 0x30 // DriverSel
	txSelDriverInternal = 0x10 // from the internal encoder

	rxSelUART         = 0xC0 // UARTSel
	rxSelUARTInternal = 0x80 // from the internal analog module
	rxSelWait         = 0x3F // RxWait

	rfCfgReserved = 0x8F

	txASKForce100 = 0x40

	demodAddIQ       = 0xC0
	demodAddIQFreeze = 0x40 // above it, values are reserved
	demodPrescalEven = 0x10

	mfRxParityDisable = 0x10

	autoTestSelfTest = 0x0F
	autoTestEnabled  = 0x09

	tModeAuto        = 0x80
	tModeAutoRestart = 0x10
)

// ModemState in Status2Reg (data sheet, section 9.3.1.9).
const (
	modemIdle         = 0
	modemWaitSend     = 1
	modemTxWait       = 2
	modemTransmitting = 3
	modemRxWait       = 4
	modemWaitData     = 5
	modemReceiving    = 6
)

// defaults are the registers after a reset (data sheet, section 9.3).
// VersionReg differs from chip to chip.
func defaults() (r [64]byte) {
	r[regCommand] = commandRcvOff
	r[regComIEn] = 0x80
	r[regComIrq] = irqIdle | irqLoAlert
	r[regWaterLevel] = 0x08
	r[regControl] = 0x10
	r[regColl] = collKeepAfter | collPosNotValid
	r[regMode] = 0x3F
	r[regTxControl] = 0x80
	r[regTxSel] = 0x10
	r[regRxSel] = 0x84
	r[0x18] = 0x84 // RxThresholdReg
	r[regDemod] = 0x4D
	r[0x1C] = 0x62 // MfTxReg
	r[0x1F] = 0xEB // SerialSpeedReg
	r[regCRCResultH], r[regCRCResultL] = 0xFF, 0xFF
	r[regModWidth] = 0x26
	r[regRFCfg] = 0x48
	r[regGsN] = 0x88
	r[regCWGsP] = 0x20
	r[0x29] = 0x20 // ModGsPReg
	r[0x33] = 0x80 // TestPinEnReg
	r[regAutoTest] = 0x40
	return r
}

// writable says which bits a plain write changes, for the registers that do
// nothing else; 0 for read-only and reserved ones.
func writable(addr byte) byte {
	switch addr {
	case regComIEn, regMode, regTxControl, regTxSel, regRxSel, 0x1F, regModWidth, regGsN,
		regTMode, regTPrescaler, regTReloadH, regTReloadL:
		return 0xFF
	case regDivIEn:
		return 0x94
	case regWaterLevel, regCWGsP, 0x29:
		return 0x3F
	case regTxMode, regRxMode:
		return 0xFC
	case regTxASK:
		return 0x40
	case 0x18:
		return 0xF7
	case regDemod:
		return 0xFF
	case 0x1C:
		return 0x03
	case regMfRx:
		return 0x10
	case regRFCfg:
		return 0x7F // of which the lower four are reserved
	case 0x31, 0x32, 0x33, 0x34, regAutoTest, 0x38, 0x39, 0x3A:
		return 0xFF
	}
	return 0
}
