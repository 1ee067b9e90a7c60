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
