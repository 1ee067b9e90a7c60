package mfrc522test

import (
	"strings"
	"time"
)

// CollPos is an interpretation of what CollReg's position counts. The data sheet
// leaves it open whether the bits that the reader sent already are counted.
type CollPos int

// The two interpretations. They differ once a whole byte of the UID is known.
const (
	// CollPosFrame counts within the received frame, RxAlign included: NXP's
	// own interpretation.
	CollPosFrame CollPos = iota
	// CollPosUID counts from the first bit of the cascade level's UID.
	CollPosUID
)

// Option sets up a chip.
type Option func(*Chip)

// Version sets VersionReg. Genuine chips have 91 and 92 (the default), clones
// 88, B2 or 12.
func Version(v byte) Option { return func(c *Chip) { c.version = v } }

// CollisionPosition chooses the interpretation of CollReg.
func CollisionPosition(p CollPos) Option { return func(c *Chip) { c.collPos = p } }

// CollisionBit sets what the FIFO shows for the collided bit itself, 0 or 1
// (the default). The data sheet does not say, so a driver must not care.
func CollisionBit(b byte) Option { return func(c *Chip) { c.collBit = b & 1 } }

// StoreLateWrites has the FIFO take what the host writes while an answer is
// awaited. WrErr is set either way (data sheet, section 9.3.1.7); whether the
// byte is dropped (the default) is not said.
func StoreLateWrites() Option { return func(c *Chip) { c.storeLate = true } }

// StartSendReadsZero has StartSend in BitFramingReg read as 0 always. The data
// sheet's table marks it as write-only and its reset value as 0, which a chip may
// take to mean either (section 9.3.1.14).
func StartSendReadsZero() Option { return func(c *Chip) { c.startHidden = true } }

// EndAtCollision has a frame end with the collided bit. "All received bits are
// cleared after a collision" (data sheet, section 9.3.1.15) may also mean that
// the rest of the frame is counted and reads as zeros (the default).
func EndAtCollision() Option { return func(c *Chip) { c.endAtColl = true } }

// AlertOnce has LoAlertIRq and HiAlertIRq store only that an alert comes on. "In
// opposition to the LoAlert bit, the LoAlertIRq bit stores this event" (data
// sheet, section 9.3.1.5) may mean that, or each byte that leaves while the level
// is low, which is what boards show (the default).
func AlertOnce() Option { return func(c *Chip) { c.alertOnce = true } }

// ChecksumInFIFO has a received checksum stand in the FIFO behind its frame though
// RxCRCEn is set. The data sheet says that it is calculated and not whether it is kept
// (section 9.3.2.4); by default it is checked and not kept.
func ChecksumInFIFO() Option { return func(c *Chip) { c.keepsCRC = true } }

// Interpretations are all combinations of what the data sheet leaves open, by name: a
// driver must work with each.
func Interpretations() map[string][]Option {
	open := []struct {
		name string
		opt  Option
	}{
		{"position counted from the UID", CollisionPosition(CollPosUID)},
		{"collided bit 0", CollisionBit(0)},
		{"frame ends at the collision", EndAtCollision()},
		{"late writes stored", StoreLateWrites()},
		{"StartSend reads 0", StartSendReadsZero()},
		{"alerts once", AlertOnce()},
	}
	all := make(map[string][]Option)
	for mask := range 1 << len(open) {
		name, opts := "", []Option(nil)
		for i, o := range open {
			if mask>>i&1 == 1 {
				name += ", " + o.name
				opts = append(opts, o.opt)
			}
		}
		all[strings.TrimPrefix(name, ", ")] = opts
	}
	return all
}

// MaxTxSize sets the longest transfer of the bus in bytes; the default is that
// of spidev, 4096.
func MaxTxSize(n int) Option { return func(c *Chip) { c.maxTx = n } }

// ResetTime sets how long a reset takes, 1 ms unless given. Most of it is the
// crystal starting up.
func ResetTime(d time.Duration) Option { return func(c *Chip) { c.resetTime = d } }

// DeafToResetPin makes FaultDeaf survive the reset pin as well.
func DeafToResetPin() Option { return func(c *Chip) { c.deafToPin = true } }
