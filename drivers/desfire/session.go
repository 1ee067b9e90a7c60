package desfire

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"

	"presence/drivers/card"
)

// Session is an authentication that has succeeded, with the keys that were made for it. One
// goroutine uses it. Any other command to the card, such as a selection, ends it there.
type Session struct {
	link card.Link

	ti      [4]byte // transaction identifier, chosen by the card
	counter uint16  // of commands since the authentication
	encrypt Key
	mac     Key
	closed  bool
}

// Authenticate proves to the card that we know its key, and has the card prove it to us
// (AuthenticateEV2First with AES, data sheet NT4H2421Gx, 9.1.5). The challenge is read from
// random, which must be unforeseeable: crypto/rand. Nothing is tried twice.
//
// Of the errors ErrWrongKey says that the card has counted a failure, and ErrPending that it
// may have; ErrRnd, that whoever answers does not know the key. None of them may be followed
// by another attempt at once: after 1,000 failures a card locks the key for ever.
func Authenticate(ctx context.Context, link card.Link, keyNo byte, key Key, random io.Reader) (*Session, error) {
	var rndA [16]byte
	if _, err := io.ReadFull(random, rndA[:]); err != nil {
		return nil, fmt.Errorf("make challenge: %w", err)
	}
	rndB, err := firstHalf(ctx, link, keyNo, key)
	if err != nil {
		return nil, err
	}
	return secondHalf(ctx, link, key, rndA, rndB)
}

// firstHalf gets the card's challenge RndB. No failure is counted yet.
func firstHalf(ctx context.Context, link card.Link, keyNo byte, key Key) (rndB [16]byte, err error) {
	const name = "AuthenticateEV2First"
	data, sw, err := transmit(ctx, link, name, 0x71, keyNo, 0x00) // 00: no capabilities of ours
	switch {
	case err != nil:
		return rndB, err
	case sw != statusMore:
		return rndB, &StatusError{Command: name, SW: sw, kind: keyMeaning(sw)}
	case len(data) == 1+len(rndB) && data[0] == 0x01: // AuthMode 01: LRP
		return rndB, fmt.Errorf("%s: %w", name, ErrLRP)
	case len(data) != len(rndB):
		return rndB, fmt.Errorf("%s: %w: %d bytes", name, ErrMalformed, len(data))
	}
	return [16]byte(key.decrypt(data)), nil
}

// secondHalf answers the card's challenge and checks its answer to ours.
func secondHalf(ctx context.Context, link card.Link, key Key, rndA, rndB [16]byte) (*Session, error) {
	const name = "AuthenticateEV2First, second half"
	rotatedB := rotate(rndB)
	ours := key.encrypt(append(rndA[:], rotatedB[:]...))
	data, sw, err := transmit(ctx, link, name, 0xAF, ours...)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrPending, err)
	case sw != statusDone:
		return nil, &StatusError{Command: name, SW: sw, kind: keyMeaning(sw)}
	case len(data) != 2*aes.BlockSize:
		return nil, fmt.Errorf("%s: %w: %d bytes", name, ErrMalformed, len(data))
	}
	plain := key.decrypt(data) // TI, RndA', capabilities of the card and ours
	defer clear(plain)
	rotatedA := rotate(rndA)
	if subtle.ConstantTimeCompare(plain[4:20], rotatedA[:]) != 1 {
		return nil, fmt.Errorf("%s: %w", name, ErrRnd)
	}
	s := &Session{link: link, ti: [4]byte(plain)}
	s.encrypt, s.mac = sessionKeys(key, rndA, rndB)
	return s, nil
}

// rotate turns left by one byte.
func rotate(b [16]byte) [16]byte {
	first := b[0]
	copy(b[:], b[1:])
	b[15] = first
	return b
}

// sessionKeys makes the keys of a session of both challenges (data sheet NT4H2421Gx, 9.1.7).
func sessionKeys(key Key, a, b [16]byte) (encrypt, mac Key) {
	vector := make([]byte, 0, 32)
	vector = append(vector, 0xA5, 0x5A, 0x00, 0x01, 0x00, 0x80)
	vector = append(vector, a[:8]...)
	subtle.XORBytes(vector[8:14], a[2:8], b[:6])
	vector = append(vector, b[6:]...)
	vector = append(vector, a[8:]...)
	encrypt = Key(key.cmac(vector))
	vector[0], vector[1] = 0x5A, 0xA5
	return encrypt, Key(key.cmac(vector))
}

// Close forgets the session's keys.
func (s *Session) Close() {
	clear(s.encrypt[:])
	clear(s.mac[:])
	s.closed = true
}

// UID asks the card for its UID, which the anticollision of a card with random UIDs does not
// tell (GetCardUID, data sheet NT4H2421Gx, 10.5.3). The command is sent with a message
// authentication code and the answer comes encrypted and with one. Every error ends the
// session, as it does on the card.
func (s *Session) UID(ctx context.Context) (card.UID, error) {
	uid, err := s.uid(ctx)
	if err != nil {
		s.Close()
	}
	return uid, err
}

func (s *Session) uid(ctx context.Context) (card.UID, error) {
	const name = "GetCardUID"
	const command = 0x51
	if s.closed || s.counter == 0xFFFF { // FFFF: the card takes no further command
		return card.UID{}, fmt.Errorf("%s: %w", name, ErrClosed)
	}
	code := s.code(command, nil)
	s.counter++ // between command and answer (9.1.2)
	data, sw, err := transmit(ctx, s.link, name, command, code[:]...)
	if err != nil {
		return card.UID{}, err
	}
	if err := done(name, data, sw, aes.BlockSize+len(code)); err != nil {
		return card.UID{}, err
	}
	secret, theirs := data[:aes.BlockSize], data[aes.BlockSize:]
	want := s.code(byte(sw), secret)
	if subtle.ConstantTimeCompare(theirs, want[:]) != 1 {
		return card.UID{}, fmt.Errorf("%s: %w", name, ErrMAC)
	}
	plain := s.decrypt(secret)
	if !bytes.Equal(plain[7:], []byte{0x80, 0, 0, 0, 0, 0, 0, 0, 0}) {
		return card.UID{}, fmt.Errorf("%s: %w: padding", name, ErrMalformed)
	}
	uid, err := card.NewUID(plain[:7])
	if err != nil {
		return card.UID{}, fmt.Errorf("%s: %w: %w", name, ErrMalformed, err)
	}
	return uid, nil
}

// code is the message authentication code of a command, or of an answer, where its status
// stands in place of the command: every second byte of a CMAC over it, the counter, TI and
// the data (9.1.3).
func (s *Session) code(command byte, data []byte) [8]byte {
	message := binary.LittleEndian.AppendUint16([]byte{command}, s.counter)
	message = append(append(message, s.ti[:]...), data...)
	full := s.mac.cmac(message)
	var code [8]byte
	for i := range code {
		code[i] = full[2*i+1]
	}
	return code
}

// labelAnswer begins what the initialisation vector of an answer is made of (9.1.4).
const labelAnswer = 0x5AA5

// vector is the initialisation vector of an answer that is encrypted, or of a command by
// another label.
func (s *Session) vector(label uint16) [aes.BlockSize]byte {
	var v [aes.BlockSize]byte
	binary.BigEndian.PutUint16(v[:], label)
	copy(v[2:], s.ti[:])
	binary.LittleEndian.PutUint16(v[6:], s.counter)
	s.encrypt.block().Encrypt(v[:], v[:])
	return v
}

// decrypt decrypts the data of an answer, whole blocks, and leaves the padding.
func (s *Session) decrypt(data []byte) []byte {
	iv := s.vector(labelAnswer)
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(s.encrypt.block(), iv[:]).CryptBlocks(plain, data)
	return plain
}
