package pn532test

// Command codes (manual, section 7).
const (
	cmdDiagnose         = 0x00
	cmdFirmwareVersion  = 0x02
	cmdGeneralStatus    = 0x04
	cmdReadRegister     = 0x06
	cmdWriteRegister    = 0x08
	cmdReadGPIO         = 0x0C
	cmdWriteGPIO        = 0x0E
	cmdSetParameters    = 0x12
	cmdSAMConfiguration = 0x14
	cmdPowerDown        = 0x16
	cmdRFConfiguration  = 0x32
	cmdDataExchange     = 0x40
	cmdCommunicateThru  = 0x42
	cmdDeselect         = 0x44
	cmdListPassive      = 0x4A
	cmdRelease          = 0x52
	cmdSelect           = 0x54
)

// Bits of SetParameters that matter here (manual, section 7.2.9).
const (
	parameterAutoATR  = 0x04
	parameterAutoRATS = 0x10
)

// Status bytes (manual, section 7.1).
const (
	statusOK        = 0x00
	statusTimeout   = 0x01
	statusCRC       = 0x02
	statusParity    = 0x03
	statusBitCount  = 0x04
	statusCollision = 0x06
	statusProtocol  = 0x0B
	statusHot       = 0x0D
	statusAuthent   = 0x14
	statusBCC       = 0x23
	statusContext   = 0x27
)

// endless is the number of retries that never ends.
const endless = 0xFF

// begin starts a command.
func (c *Chip) begin(cmd []byte, at instant) *job {
	code, p := cmd[0], cmd[1:]
	if c.lowBattery && code != cmdSAMConfiguration && code != cmdFirmwareVersion && code != cmdDiagnose {
		c.violation("command %02X before SAMConfiguration", code)
		return c.refuse(at)
	}
	switch code {
	case cmdDiagnose:
		return c.diagnose(p, at)
	case cmdFirmwareVersion:
		if len(p) == 0 {
			return reply(at+commandTime, code+1, c.open.version[:]...)
		}
	case cmdGeneralStatus:
		if len(p) == 0 {
			return reply(at+commandTime, code+1, c.generalStatus()...)
		}
	case cmdReadRegister:
		return c.readRegisters(p, at)
	case cmdWriteRegister:
		return c.writeRegisters(p, at)
	case cmdReadGPIO:
		if len(p) == 0 {
			return reply(at+commandTime, code+1, 0x3F, 0x06, 0x02) // I1 alone is set: SPI
		}
	case cmdWriteGPIO:
		if len(p) == 2 {
			return reply(at+commandTime, code+1)
		}
	case cmdSetParameters:
		if len(p) == 1 {
			c.parameters = p[0]
			return reply(at+commandTime, code+1)
		}
	case cmdSAMConfiguration:
		return c.samConfiguration(p, at)
	case cmdPowerDown:
		return c.powerDown(p, at)
	case cmdRFConfiguration:
		return c.rfConfiguration(p, at)
	case cmdListPassive:
		return c.list(p, at)
	case cmdSelect, cmdDeselect, cmdRelease:
		return c.selecting(code, p, at)
	case cmdDataExchange:
		return c.dataExchange(p, at)
	case cmdCommunicateThru:
		return c.communicateThru(p, at)
	default:
		c.violation("command %02X, which this chip in software has not", code)
		return c.refuse(at)
	}
	c.violation("command %02X with the parameters % X", code, p)
	return c.refuse(at)
}

// reply is a command that ends at an instant.
func reply(at instant, code byte, data ...byte) *job {
	response := append([]byte{code}, data...)
	return &job{at, func(at instant) ([]byte, instant) { return response, at }}
}

// refuse answers with an error frame.
func (c *Chip) refuse(at instant) *job {
	return &job{at + commandTime, func(at instant) ([]byte, instant) { return errorFrame(), at }}
}

// wrong refuses parameters.
func (c *Chip) wrong(code byte, p []byte, at instant) *job {
	c.violation("command %02X with the parameters % X", code, p)
	return c.refuse(at)
}

// status is a command whose response is a status byte, and keeps it for
// GetGeneralStatus.
func (c *Chip) statusReply(at instant, code, status byte, data ...byte) *job {
	c.lastError = status
	return reply(at, code, append([]byte{status}, data...)...)
}

// diagnose is section 7.2.1 of the manual.
func (c *Chip) diagnose(p []byte, at instant) *job {
	const ok, notOK = 0x00, 0xFF
	if len(p) == 0 || len(p) > 263 {
		return c.wrong(cmdDiagnose, p, at)
	}
	test, p := p[0], p[1:]
	switch {
	case test == 0x00: // what the host sent comes back
		return reply(at+commandTime, cmdDiagnose+1, append([]byte{0x00}, p...)...)
	case (test == 0x01 || test == 0x02) && len(p) == 0: // ROM and RAM
		return reply(at+10*commandTime, cmdDiagnose+1, ok)
	case test == 0x04 && len(p) == 1: // polling for FeliCa: 128 times in vain
		return reply(at+feliCaTries, cmdDiagnose+1, 0x80)
	case test == 0x06 && len(p) == 0: // is the target still there?
		return c.presence(at)
	case test == 0x07 && len(p) == 1: // the antenna
		if c.fault == FaultDeaf {
			return reply(at+10*commandTime, cmdDiagnose+1, notOK)
		}
		return reply(at+10*commandTime, cmdDiagnose+1, ok)
	}
	return c.wrong(cmdDiagnose, append([]byte{test}, p...), at)
}

// generalStatus is section 7.2.3 of the manual: the last error, whether there is a
// field of somebody else, and the targets.
func (c *Chip) generalStatus() []byte {
	b := []byte{c.lastError, 0x00, 0x00}
	for i, t := range c.targets {
		if t != nil {
			b[2]++
			b = append(b, byte(i+1), 0x00, 0x00, t.modulation())
		}
	}
	return append(b, 0x00) // no SAM
}

// samConfiguration is section 7.2.10 of the manual. There is no SAM on this board,
// so that only the normal mode makes sense.
func (c *Chip) samConfiguration(p []byte, at instant) *job {
	if len(p) == 0 || len(p) > 3 || p[0] != 0x01 || len(p) == 3 && p[2] > 1 {
		return c.wrong(cmdSAMConfiguration, p, at)
	}
	c.lowBattery = false
	c.irq = len(p) < 3 || p[2] == 1
	return reply(at+commandTime, cmdSAMConfiguration+1)
}

// powerDown is section 7.2.11 of the manual: a mask of what may wake the chip, and
// whether it then drives the interrupt pin.
func (c *Chip) powerDown(p []byte, at instant) *job {
	const wakeBySPI = 0x20
	if len(p) == 0 || len(p) > 2 {
		return c.wrong(cmdPowerDown, p, at)
	}
	wakes := p[0]&wakeBySPI != 0
	c.ending = func() {
		c.setRF(false, c.now())
		c.sleep(true)
		c.spiWakes = wakes
	}
	return c.statusReply(at+commandTime, cmdPowerDown+1, statusOK)
}

// rfConfiguration is section 7.3.1 of the manual.
func (c *Chip) rfConfiguration(p []byte, at instant) *job {
	if len(p) == 0 {
		return c.wrong(cmdRFConfiguration, p, at)
	}
	// How many bytes each item has: the field, timings, retries of an exchange, of an
	// activation, and the analogue settings.
	lengths := map[byte]int{0x01: 1, 0x02: 3, 0x04: 1, 0x05: 3, 0x0A: 11, 0x0B: 8, 0x0C: 3, 0x0D: 9}
	item, data := p[0], p[1:]
	n, known := lengths[item]
	if !known || len(data) != n || item == 0x02 && (data[1] > 0x10 || data[2] > 0x10) {
		return c.wrong(cmdRFConfiguration, p, at)
	}
	switch item {
	case 0x01:
		c.setRF(data[0]&0x01 != 0, at)
	case 0x02:
		c.commTime = data[2]
	case 0x04:
		c.commTries = data[0]
	case 0x05:
		c.retries = data[2]
	}
	return reply(at+commandTime, cmdRFConfiguration+1)
}
