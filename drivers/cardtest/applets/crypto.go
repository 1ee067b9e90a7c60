package applets

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"slices"
)

// block encrypts one block of 16 bytes with AES-128.
func block(key [16]byte) cipher.Block {
	b, err := aes.NewCipher(key[:])
	if err != nil {
		panic("make AES: " + err.Error()) // 16 bytes are a key
	}
	return b
}

// subkeys are K1 and K2 of CMAC (NIST SP 800-38B, 6.1).
func subkeys(b cipher.Block) (k1, k2 [16]byte) {
	double := func(in [16]byte) (out [16]byte) {
		var carry byte
		for i := 15; i >= 0; i-- {
			out[i] = in[i]<<1 | carry
			carry = in[i] >> 7
		}
		out[15] ^= carry * 0x87
		return out
	}
	var l [16]byte
	b.Encrypt(l[:], l[:])
	k1 = double(l)
	return k1, double(k1)
}

// cmac is AES-CMAC (NIST SP 800-38B, 6.2).
func cmac(key [16]byte, message []byte) [16]byte {
	b := block(key)
	k1, k2 := subkeys(b)
	last := k1
	padded := slices.Clone(message)
	if len(message) == 0 || len(message)%16 != 0 {
		last = k2
		padded = padTo(append(padded, 0x80), 16)
	}
	subtle.XORBytes(padded[len(padded)-16:], padded[len(padded)-16:], last[:])
	return [16]byte(lastBlock(b, padded))
}

// lastBlock is the last block of the CBC encryption with an IV of zeros.
func lastBlock(b cipher.Block, plain []byte) []byte {
	out := make([]byte, len(plain))
	cipher.NewCBCEncrypter(b, make([]byte, 16)).CryptBlocks(out, plain)
	return out[len(out)-16:]
}

// padTo fills up with zeros to a multiple of n.
func padTo(b []byte, n int) []byte {
	for len(b)%n != 0 {
		b = append(b, 0)
	}
	return b
}

// truncated is the MAC that goes over the wire: the bytes 1, 3, 5 to 15 (NTAG 424 DNA
// data sheet, 9.1.3).
func truncated(full [16]byte) (mac [8]byte) {
	for i := range mac {
		mac[i] = full[2*i+1]
	}
	return mac
}

// diversify is the key of one card by AN10922, 2.2 (AES-128), from a master key and the
// diversification input, which has 1 to 31 bytes.
func diversify(master [16]byte, input []byte) ([16]byte, error) {
	if len(input) < 1 || len(input) > 31 {
		return [16]byte{}, fmt.Errorf("diversify key: input of %d bytes: want 1 to 31", len(input))
	}
	b := block(master)
	k1, k2 := subkeys(b)
	d, last := append([]byte{0x01}, input...), k1
	if len(d) < 32 {
		d, last = padTo(append(d, 0x80), 32), k2
	}
	subtle.XORBytes(d[16:], d[16:], last[:])
	return [16]byte(lastBlock(b, d)), nil
}

func encrypt(key, iv [16]byte, plain []byte) []byte {
	out := make([]byte, len(plain))
	cipher.NewCBCEncrypter(block(key), iv[:]).CryptBlocks(out, plain)
	return out
}

func decrypt(key, iv [16]byte, cipherText []byte) []byte {
	out := make([]byte, len(cipherText))
	cipher.NewCBCDecrypter(block(key), iv[:]).CryptBlocks(out, cipherText)
	return out
}

// rotated is X' of the authentication: the first byte goes to the end.
func rotated(x [16]byte) (r [16]byte) {
	copy(r[:], x[1:])
	r[15] = x[0]
	return r
}

// sessionKeys are made by AuthenticateEV2First and NonFirst (NTAG 424 DNA data sheet,
// 9.1.7).
func sessionKeys(key, rndA, rndB [16]byte) (enc, mac [16]byte) {
	vector := func(label1, label2 byte) []byte {
		v := append([]byte{label1, label2, 0x00, 0x01, 0x00, 0x80}, rndA[:2]...)
		for i := range 6 {
			v = append(v, rndA[2+i]^rndB[i])
		}
		v = append(v, rndB[6:]...)
		return append(v, rndA[8:]...)
	}
	return cmac(key, vector(0xA5, 0x5A)), cmac(key, vector(0x5A, 0xA5))
}

// session is what an authentication has agreed upon: EV2 secure messaging with AES.
type session struct {
	keyNo    byte
	rndA     [16]byte
	enc, mac [16]byte
	ti       [4]byte
	counter  uint16 // CmdCtr: commands carried out
}

// macOver is the MAC over a first byte (the command's code, or the status), the counter,
// TI and what follows.
func (s *session) macOver(first byte, rest ...[]byte) [8]byte {
	m := []byte{first}
	m = binary.LittleEndian.AppendUint16(m, s.counter)
	m = append(m, s.ti[:]...)
	for _, r := range rest {
		m = append(m, r...)
	}
	return truncated(cmac(s.mac, m))
}

// iv is the IV of Full mode for a command or a response.
func (s *session) iv(response bool) (iv [16]byte) {
	copy(iv[:], []byte{0xA5, 0x5A})
	if response {
		copy(iv[:], []byte{0x5A, 0xA5})
	}
	copy(iv[2:], s.ti[:])
	binary.LittleEndian.PutUint16(iv[6:], s.counter)
	block(s.enc).Encrypt(iv[:], iv[:])
	return iv
}

// seal encrypts the data of a response.
func (s *session) seal(data []byte) []byte {
	return encrypt(s.enc, s.iv(true), padTo(append(slices.Clone(data), 0x80), 16))
}

// open decrypts the data of a command; false where its length or padding is wrong.
func (s *session) open(data []byte) ([]byte, bool) {
	if len(data) == 0 || len(data)%16 != 0 {
		return nil, false
	}
	plain := decrypt(s.enc, s.iv(false), data)
	for i := len(plain) - 1; i >= len(plain)-16; i-- {
		switch plain[i] {
		case 0x00:
		case 0x80:
			return plain[:i], true
		default:
			return nil, false
		}
	}
	return nil, false
}
