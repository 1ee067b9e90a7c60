package pn532

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// The commands that this driver uses (7.1, table "command set").
const (
	cmdDiagnose           = 0x00
	cmdGetFirmwareVersion = 0x02
	cmdReadRegister       = 0x06
	cmdWriteRegister      = 0x08
	cmdSetParameters      = 0x12
	cmdSAMConfiguration   = 0x14
	cmdRFConfiguration    = 0x32
	cmdCommunicateThru    = 0x42
	cmdListPassiveTarget  = 0x4A
	cmdRelease            = 0x52
)

// Parameters of commands.
const (
	samNormal  = 0x01 // SAMConfiguration: no SAM is used (7.2.10)
	samTimeout = 0x14 // in steps of 50 ms, of no effect in this mode

	// parameters of SetParameters (7.2.9): answers ATR_REQ by itself, which is the
	// default and of no use here, but does not send RATS. A card that was sent RATS
	// speaks ISO/IEC 14443-4 only and does not answer a request.
	paramAutoATR = 0x04

	rfField     = 0x01 // items of RFConfiguration (7.3.1)
	rfTiming    = 0x02
	rfExchanges = 0x04
	rfRetries   = 0x05

	allTargets = 0x00 // InRelease (7.3.11)

	typeA = 0x00 // InListPassiveTarget: 106 kbit/s type A (7.3.5)
	typeB = 0x03 // 106 kbit/s type B

	supportsB = 0x02 // in the last byte of GetFirmwareVersion (7.2.2)
)

// Timings that are set by RFConfiguration, as code n for 100 µs x 2^(n-1).
const (
	timeoutATR = 0x0B // 102.4 ms, the default
	// timeoutRaw is how long InCommunicateThru waits for an answer, 1.6 ms: cards
	// answer WUPA and SELECT after 91 µs, and HLTA is refused within 1 ms if at all.
	timeoutRaw = 0x05
)

// exchangeRetries is how often the chip by itself repeats a frame that a card does not
// answer. It must not: the card could carry a command out twice.
const exchangeRetries = 0

// requests is how often InListPassiveTarget repeats its request after the first one,
// which may only make a card IDLE that was ACTIVE. Each takes some 16 ms while no card
// answers.
const requests = 1

// How long commands may take beside what the chip itself needs for a frame.
const (
	quickWait = 50 * time.Millisecond  // what is only set or read in the chip
	rawWait   = 50 * time.Millisecond  // one frame to a card
	listWait  = 150 * time.Millisecond // three requests, and a UID of three levels
	testWait  = time.Second            // a self test
)

// Registers of the contactless unit (data sheet, 8.6.23).
const (
	regTxMode     = 0x6302
	regRxMode     = 0x6303
	regTxControl  = 0x6304
	regBitFraming = 0x633D

	modeCRC        = 0x80 // TxMode and RxMode: a CRC is sent and checked; else 106 kbit/s type A
	shortFrame     = 0x07 // BitFraming: 7 bits of the last byte are sent
	txControlField = 0x03 // TxControl: both antenna drivers are on
)

// status is the first byte of the reply to a command that sends something to a card:
// the low six bits are an error (7.1, table "error codes").
type status byte

const (
	statusMask = 0x3F
	statusMore = 0x40 // there was more to tell than a reply can hold

	statusOK          status = 0x00
	statusTimeout     status = 0x01 // no card answered
	statusCRC         status = 0x02
	statusParity      status = 0x03
	statusBitCount    status = 0x04
	statusFraming     status = 0x05
	statusCollision   status = 0x06
	statusBufferSize  status = 0x07
	statusRFOverflow  status = 0x09
	statusNoField     status = 0x0A
	statusProtocol    status = 0x0B
	statusOverheated  status = 0x0D
	statusOverflow    status = 0x0E
	statusFormat      status = 0x13
	statusOverCurrent status = 0x2D
)

func (s status) code() status { return s & statusMask }

// fault is an error where the chip, not a card, is the reason.
func (s status) fault() error {
	switch s.code() {
	case statusOverheated, statusOverCurrent:
		return fmt.Errorf("%w: it is overheated or draws too much current (status %02X)", errStuck, byte(s.code()))
	}
	return nil
}

// do carries out a command whose reply says nothing but that it was done.
func (r *Reader) do(ctx context.Context, code byte, params ...byte) error {
	data, err := r.link.exchange(ctx, request{code: code, params: params, wait: quickWait})
	if err == nil && len(data) != 0 {
		err = fmt.Errorf("%w: %d bytes in reply to %02X", errFrame, len(data), code)
	}
	return err
}

// firmware is what GetFirmwareVersion tells (7.2.2): the chip, its version and
// revision, and what it supports.
func (r *Reader) firmware(ctx context.Context) (version [4]byte, err error) {
	data, err := r.link.exchange(ctx, request{code: cmdGetFirmwareVersion, want: len(version), wait: quickWait})
	if err != nil {
		return version, err
	}
	if len(data) != len(version) {
		return version, fmt.Errorf("%w: firmware version of %d bytes", errFrame, len(data))
	}
	return [4]byte(data), nil
}

// setField switches the field on or off. Cards are ready fieldUp after it was
// switched on, which is waited for.
func (r *Reader) setField(ctx context.Context, on byte) error {
	if err := r.do(ctx, cmdRFConfiguration, rfField, on); err != nil {
		return err
	}
	if on == 0 {
		return sleep(ctx, fieldDown)
	}
	return sleep(ctx, fieldUp)
}

// fieldIsOn reports whether the antenna drivers are on. A chip that does not let its
// registers be read is believed.
func (r *Reader) fieldIsOn(ctx context.Context) (bool, error) {
	data, err := r.link.exchange(ctx, request{
		code: cmdReadRegister, params: []byte{regTxControl >> 8, regTxControl & 0xFF}, want: 1, wait: quickWait,
	})
	switch {
	case errors.Is(err, errRefused):
		return true, nil
	case err != nil:
		return false, err
	case len(data) != 1:
		return false, fmt.Errorf("%w: register of %d bytes", errFrame, len(data))
	}
	return data[0]&txControlField == txControlField, nil
}

// list has the chip look for one card that answers a request, and select it. It
// returns the target data, nil where there is none. initiator are the data that a
// request of this type needs.
func (r *Reader) list(ctx context.Context, brTy byte, initiator ...byte) ([]byte, error) {
	data, err := r.link.exchange(ctx, r.listRequest(brTy, initiator...))
	if err != nil {
		return nil, err
	}
	return oneTarget(data)
}

// sameAgain reports whether the reply to the last list, for type A, is the same when
// the chip sends it once more: what was spoilt on the bus is not.
func (r *Reader) sameAgain(ctx context.Context, target []byte) (bool, error) {
	before := append([]byte(nil), target...)
	data, err := r.link.again(ctx, r.listRequest(typeA))
	if err != nil {
		return false, err
	}
	now, err := oneTarget(data)
	return err == nil && bytes.Equal(now, before), nil
}

func (r *Reader) listRequest(brTy byte, initiator ...byte) request {
	return request{
		code: cmdListPassiveTarget, params: append([]byte{1, brTy}, initiator...), want: maxTarget + 1, wait: listWait,
	}
}

// framing is how raw frames are sent.
type framing int

const (
	framingUnknown framing = iota // another command may have changed it
	framingShort                  // 7 bits, without CRC
	framingWhole                  // whole bytes, with CRC
)

// setFraming has the next raw frames sent like that.
func (r *Reader) setFraming(ctx context.Context, f framing) error {
	if r.framing == f {
		return nil
	}
	r.framing = framingUnknown
	mode, lastBits := byte(modeCRC), byte(0)
	if f == framingShort {
		mode, lastBits = 0, shortFrame
	}
	err := r.do(ctx, cmdWriteRegister,
		regTxMode>>8, regTxMode&0xFF, mode,
		regRxMode>>8, regRxMode&0xFF, mode,
		regBitFraming>>8, regBitFraming&0xFF, lastBits)
	if err == nil {
		r.framing = f
	}
	return err
}

// raw sends a frame to the cards as it is and returns the answer. It may be sent twice.
func (r *Reader) raw(ctx context.Context, bytes ...byte) (status, []byte, error) {
	if err := r.setTimer(ctx, timeoutRaw); err != nil {
		return 0, nil, err
	}
	data, err := r.thru(ctx, request{params: bytes, want: 1 + maxAnswer, wait: rawWait})
	if err != nil {
		return 0, nil, err
	}
	s := status(data[0]).code()
	if err := s.fault(); err != nil {
		return s, nil, err
	}
	return s, data[1:], nil
}
