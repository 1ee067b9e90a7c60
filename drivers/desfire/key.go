package desfire

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Key is an AES-128 key of a card. It shows itself to no format and no log.
type Key [16]byte

// hidden is what a key looks like to people.
const hidden = "(key)"

// Format implements fmt.Formatter, so that no verb prints the key.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue implements slog.LogValuer.
func (Key) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText implements encoding.TextMarshaler, for loggers that write JSON.
func (Key) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// block is AES with the key.
func (k Key) block() cipher.Block {
	b, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err) // 16 bytes are a key of AES
	}
	return b
}

// decrypt decrypts whole blocks in CBC mode, with an IV of zeros as between the halves of an
// authentication.
func (k Key) decrypt(data []byte) []byte {
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(k.block(), make([]byte, aes.BlockSize)).CryptBlocks(plain, data)
	return plain
}

// encrypt is the reverse of decrypt.
func (k Key) encrypt(plain []byte) []byte {
	data := make([]byte, len(plain))
	cipher.NewCBCEncrypter(k.block(), make([]byte, aes.BlockSize)).CryptBlocks(data, plain)
	return data
}

// Diversify makes a card's own key of a master key and of what is particular to the card,
// 1 to 31 bytes, usually its UID, the application and a name of the system (AN10922, 2.2).
//
// Give at least 16 bytes: below that AN10922 pads to two blocks and not to one, which is not
// the CMAC that much public code takes it for.
func Diversify(master Key, m []byte) (Key, error) {
	if len(m) < 1 || len(m) > 31 {
		return Key{}, errors.New("diversify key: want 1 to 31 bytes of input")
	}
	k1, k2 := subkeys(master.block())
	d := make([]byte, 2*aes.BlockSize)
	d[0] = 0x01 // AES-128
	last := k1
	if n := 1 + copy(d[1:], m); n < len(d) {
		d[n] = 0x80
		last = k2
	}
	xor(d[aes.BlockSize:], last[:])
	return Key(master.encrypt(d)[aes.BlockSize:]), nil
}
