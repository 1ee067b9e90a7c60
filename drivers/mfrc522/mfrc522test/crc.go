package mfrc522test

import "math/bits"

// crcPreset is the start value that CRCPreset in ModeReg selects (data
// sheet, section 9.3.2.2).
func crcPreset(mode byte) uint16 {
	return [...]uint16{0x0000, 0x6363, 0xA671, 0xFFFF}[mode&0x03]
}

// crc is the coprocessor: polynomial x16 + x12 + x5 + 1, bits taken least
// significant first unless MSBFirst is set (data sheet, section 8.2.5).
func crc(mode byte, b []byte) uint16 {
	sum := crcPreset(mode)
	for _, v := range b {
		if mode&modeMSBFirst != 0 {
			v = bits.Reverse8(v)
		}
		for range 8 {
			odd := (sum ^ uint16(v)) & 1
			sum, v = sum>>1, v>>1
			if odd == 1 {
				sum ^= 0x8408
			}
		}
	}
	if mode&modeMSBFirst != 0 {
		sum = bits.Reverse16(sum)
	}
	return sum
}
