package mfrc522

// register is an address in the chip (data sheet, 9.2).
type register byte

const (
	regCommand    register = 0x01
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
	regModWidth   register = 0x24
	regRFCfg      register = 0x26
	regTMode      register = 0x2A
	regTPrescaler register = 0x2B
	regTReloadH   register = 0x2C
	regTReloadL   register = 0x2D
	regVersion    register = 0x37
)

// Commands and bits, by register.
const (
	commandIdle       = 0x00
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
	errorParity   = 0x02
	errorProtocol = 0x01

	status2Crypto1 = 0x08 // MFCrypto1On: everything sent is encrypted

	fifoFlush = 0x80
	fifoSize  = 64

	rxLastBits = 0x07 // of ControlReg

	startSend = 0x80 // of BitFramingReg

	collNotValid = 0x20
	collPos      = 0x1F // 0 means 32

	txControlReset = 0x80 // after a reset
	txControlField = 0x03 // drives both antenna pins

	txASK100      = 0x40   // 100 % ASK, which type A needs
	tModeAuto     = 0x80   // the timer starts at the end of each transmission
	rxGainShift   = 4      // of RFCfgReg
	rfCfgReserved = 0x08   // its reserved bits, as they are after a reset
	modWidth      = 0x26   // of type A at 106 kBd
	modeCRC6363   = 0x3D   // CRC preset of type A; the other bits as after a reset
	tPrescaler    = 0xA9   // 13.56 MHz / (2*169+1): ticks of 25 µs
	timerTicks    = 0x003B // one less than the ticks in chipTimeout
)
