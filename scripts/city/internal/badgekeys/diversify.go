package badgekeys

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// Key is a key of AES-128.
type Key [16]byte

// SystemID ends what keys are diversified by. With it that has at least 16 bytes, as
// shorter input makes AN10922 differ from a plain CMAC, which some tools for cards take
// for it.
const SystemID = "gatewayd"

// maxInput is the longest diversification input for a key of AES-128 (NXP AN10922,
// section 2.2).
const maxInput = 31

// Diversify makes the key of one card from a master key (NXP AN10922, section 2.2): the
// CMAC of 01, the input, and padding up to two blocks, whatever the input's length is.
func Diversify(master Key, input []byte) (key Key, err error) {
	if len(input) == 0 || len(input) > maxInput {
		return key, fmt.Errorf("diversify key: an input of %d bytes: want 1 to %d", len(input), maxInput)
	}
	block, err := aes.NewCipher(master[:])
	if err != nil {
		return key, fmt.Errorf("diversify key: %w", err)
	}
	var text [2 * aes.BlockSize]byte
	text[0] = 0x01
	n := 1 + copy(text[1:], input)
	var zero, subkey [aes.BlockSize]byte
	block.Encrypt(subkey[:], zero[:])
	subkey = double(subkey)
	if n < len(text) {
		text[n] = 0x80
		subkey = double(subkey) // for a text that is padded (NIST SP 800-38B, 6.2)
	}
	for i, b := range subkey {
		text[aes.BlockSize+i] ^= b
	}
	cipher.NewCBCEncrypter(block, zero[:]).CryptBlocks(text[:], text[:])
	copy(key[:], text[aes.BlockSize:])
	return key, nil
}

// double multiplies by x in GF(2^128), as the subkeys of CMAC are made (NIST SP 800-38B,
// 6.1).
func double(b [aes.BlockSize]byte) [aes.BlockSize]byte {
	carry := b[0] >> 7
	for i := range len(b) - 1 {
		b[i] = b[i]<<1 | b[i+1]>>7
	}
	b[len(b)-1] = b[len(b)-1]<<1 ^ 0x87*carry
	return b
}

// Application is the id of a DESFire application, most significant byte first. On the air
// it goes the other way round.
type Application [3]byte

var errInput = errors.New("neither a UID of 7 bytes nor a number of 16")

// Input is what the key of a card is diversified by: its UID of 7 bytes, or the number of
// 16 bytes in its file of a card with a random UID, then the application and SystemID.
func Input(id []byte, app Application) ([]byte, error) {
	if len(id) != 7 && len(id) != 16 {
		return nil, errInput
	}
	return append(append(append([]byte(nil), id...), app[:]...), SystemID...), nil
}
