package mfrc522test

import "math/bits"

// presetA is what every checksum on the air begins with at 106 kbit/s: the
// chip selects it by itself (data sheet, section 9.3.2.2, remark on CRCPreset).
const presetA = 0x6363

// crcPreset is the start value that CRCPreset in ModeReg selects for CalcCRC
// (data sheet, section 9.3.2.2).
func crcPreset(mode byte) uint16 {
	return [...]uint16{0x0000, 0x6363, 0xA671, 0xFFFF}[mode&0x03]
}

// crc goes on from sum with the bytes of b: polynomial x16 + x12 + x5 + 1, bits
// taken least significant first (data sheet, section 8.2.5).
func crc(sum uint16, b []byte) uint16 {
	for _, v := range b {
		for range 8 {
			odd := (sum ^ uint16(v)) & 1
			sum, v = sum>>1, v>>1
			if odd == 1 {
				sum ^= 0x8408
			}
		}
	}
	return sum
}

// feedCRC has the coprocessor go on with the bytes of b and shows the result.
// MSBFirst reverses the bits on both sides; it is CalcCRC's alone, the air
// ignores it (data sheet, section 9.3.2.2).
func (c *Chip) feedCRC(b []byte) {
	reverse := c.reg[regMode]&modeMSBFirst != 0
	for _, v := range b {
		if reverse {
			v = bits.Reverse8(v)
		}
		c.crcSum = crc(c.crcSum, []byte{v})
	}
	result := c.crcSum
	if reverse {
		result = bits.Reverse16(result)
	}
	c.reg[regCRCResultH], c.reg[regCRCResultL] = byte(result>>8), byte(result)
}
