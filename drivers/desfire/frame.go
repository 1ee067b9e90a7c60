package desfire

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"presence/drivers/card"
)

// Status bytes of an answer to a wrapped command (data sheet NT4H2421Gx, 8.4 and table 23).
const (
	statusDone = 0x9100
	statusMore = 0x91AF // the card waits for the next frame, or has one
)

// AID is the number of an application, most significant byte first, as people write it:
// F54230. Over the air it goes the other way round.
type AID [3]byte

// ParseAID reads six hex digits.
func ParseAID(s string) (AID, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(AID{}) {
		return AID{}, fmt.Errorf("parse application %q: want six hex digits", s)
	}
	return AID(b), nil
}

// String is the number in upper-case hex.
func (a AID) String() string { return strings.ToUpper(hex.EncodeToString(a[:])) }

// wire is the number as it goes over the air: least significant byte first.
func (a AID) wire() [3]byte { return [3]byte{a[2], a[1], a[0]} }

// transmit wraps a command of the card's own into one of ISO/IEC 7816-4 (90 CMD 00 00 Lc data
// 00), and returns the answer's data and its two status bytes.
func transmit(ctx context.Context, link card.Link, name string, command byte, data ...byte) ([]byte, uint16, error) {
	apdu := []byte{0x90, command, 0x00, 0x00}
	if len(data) > 0 {
		apdu = append(append(apdu, byte(len(data))), data...)
	}
	return exchange(ctx, link, name, append(apdu, 0x00))
}

// exchange sends a command and returns the answer's data and its two status bytes.
func exchange(ctx context.Context, link card.Link, name string, apdu []byte) ([]byte, uint16, error) {
	answer, err := link.Exchange(ctx, apdu)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", name, err)
	}
	n := len(answer) - 2
	if n < 0 {
		return nil, 0, fmt.Errorf("%s: %w: %d bytes", name, ErrMalformed, len(answer))
	}
	return append([]byte(nil), answer[:n]...), uint16(answer[n])<<8 | uint16(answer[n+1]), nil
}

// done checks that a command has ended, with so many bytes of data.
func done(name string, data []byte, sw uint16, want int) error {
	if sw != statusDone {
		return &StatusError{Command: name, SW: sw, kind: meaning(sw)}
	}
	if len(data) != want {
		return fmt.Errorf("%s: %w: %d bytes, want %d", name, ErrMalformed, len(data), want)
	}
	return nil
}

// SelectApplication selects an application of a DESFire, which ends every session with the
// card. The error wraps ErrAbsent where the card has no such application or is no DESFire.
func SelectApplication(ctx context.Context, link card.Link, aid AID) error {
	const name = "SelectApplication"
	wire := aid.wire()
	data, sw, err := transmit(ctx, link, name, 0x5A, wire[:]...)
	if err != nil {
		return err
	}
	return done(name, data, sw, 0)
}

// SelectNTAG424 selects the application of an NTAG 424 DNA by its name D2760000850101, which
// ends every session with the card. The error wraps ErrAbsent where the card refuses, by
// whatever status.
func SelectNTAG424(ctx context.Context, link card.Link) error {
	const name = "ISOSelectFile"
	_, sw, err := exchange(ctx, link, name,
		[]byte{0x00, 0xA4, 0x04, 0x00, 0x07, 0xD2, 0x76, 0x00, 0x00, 0x85, 0x01, 0x01, 0x00})
	if err != nil {
		return err
	}
	if sw != 0x9000 {
		return &StatusError{Command: name, SW: sw, kind: ErrAbsent}
	}
	return nil
}

// numberFile is the file in which a badge with a random UID keeps its number.
const numberFile = 0x01

// ReadNumber reads the number of a badge that shows a random UID: the first 16 bytes of file
// 01 of the selected application, which anybody may read. It says which key is the card's
// and proves nothing.
func ReadNumber(ctx context.Context, link card.Link) ([16]byte, error) {
	b, err := ReadData(ctx, link, numberFile, 0, 16)
	if err != nil {
		return [16]byte{}, err
	}
	return [16]byte(b), nil
}

// ReadData reads n bytes, 1 to 256, of a file of the selected application that needs no
// authentication. The command is AD, which all cards know that this package can
// authenticate; a card may send the bytes in several frames.
func ReadData(ctx context.Context, link card.Link, file byte, offset, n int) ([]byte, error) {
	const name = "ReadData"
	if offset < 0 || offset >= 1<<24 || n < 1 || n > 256 {
		return nil, errors.New("read data: want 1 to 256 bytes at an offset of 3 bytes")
	}
	part, sw, err := transmit(ctx, link, name, 0xAD, file,
		byte(offset), byte(offset>>8), byte(offset>>16), byte(n), byte(n>>8), 0x00)
	all := part
	for err == nil && sw == statusMore && len(part) > 0 && len(all) < n {
		part, sw, err = transmit(ctx, link, name, 0xAF)
		all = append(all, part...)
	}
	if err != nil {
		return nil, err
	}
	return all, done(name, all, sw, n)
}
