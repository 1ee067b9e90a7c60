package desfire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

// cmac is AES-CMAC (RFC 4493; NIST SP 800-38B). It is here because AN10922 needs the
// subkeys, which no library gives away, and because the standard library keeps its own to
// itself.
func (k Key) cmac(message []byte) [aes.BlockSize]byte {
	block := k.block()
	k1, k2 := subkeys(block)

	// The last block may be short or, for an empty message, empty.
	n := max(0, (len(message)-1)/aes.BlockSize) * aes.BlockSize
	var last [aes.BlockSize]byte
	mask := k1
	if copy(last[:], message[n:]) < aes.BlockSize {
		last[len(message)-n] = 0x80
		mask = k2
	}
	xor(last[:], mask[:])

	var mac [aes.BlockSize]byte
	for ; n > 0; n -= aes.BlockSize {
		xor(mac[:], message[:aes.BlockSize])
		block.Encrypt(mac[:], mac[:])
		message = message[aes.BlockSize:]
	}
	xor(mac[:], last[:])
	block.Encrypt(mac[:], mac[:])
	return mac
}

// subkeys are K1 and K2 of CMAC: the encrypted zero block, doubled once and twice in
// GF(2^128) (RFC 4493, 2.3).
func subkeys(block cipher.Block) (k1, k2 [aes.BlockSize]byte) {
	var l [aes.BlockSize]byte
	block.Encrypt(l[:], l[:])
	k1 = double(l)
	return k1, double(k1)
}

// double multiplies by x in GF(2^128), in constant time.
func double(b [aes.BlockSize]byte) [aes.BlockSize]byte {
	carry := b[0] >> 7
	for i := range b[:aes.BlockSize-1] {
		b[i] = b[i]<<1 | b[i+1]>>7
	}
	b[aes.BlockSize-1] = b[aes.BlockSize-1]<<1 ^ 0x87&-carry
	return b
}

// xor adds b to a, which is as long.
func xor(a, b []byte) { subtle.XORBytes(a, a, b) }
