package cardtest

// AppendCRC returns b with its CRC_A appended in order of transmission
// (ISO/IEC 14443-3, annex B: preset 6363, bits taken least significant first).
func AppendCRC(b []byte) []byte {
	crc := crcA(b)
	return append(b, byte(crc), byte(crc>>8))
}

// crcA is the checksum register after all bytes; its low byte is sent first.
// A frame followed by its own checksum leaves zero.
func crcA(b []byte) uint16 {
	crc := uint16(0x6363)
	for _, v := range b {
		crc ^= uint16(v)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0x8408
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}

// AppendCRCB returns b with its CRC_B appended in order of transmission (ISO/IEC
// 14443-3, annex B: preset FFFF, bits taken least significant first, inverted at
// the end).
func AppendCRCB(b []byte) []byte {
	sum := crcB(b)
	return append(b, sum[:]...)
}

// crcB is the checksum in order of transmission.
func crcB(b []byte) [2]byte {
	crc := uint16(0xFFFF)
	for _, v := range b {
		crc ^= uint16(v)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0x8408
			} else {
				crc >>= 1
			}
		}
	}
	crc = ^crc
	return [2]byte{byte(crc), byte(crc >> 8)}
}
