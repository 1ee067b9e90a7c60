package mfrc522test

import "presence/drivers/bus/bustest"

// Fault is something that is wrong with the chip or its wiring.
type Fault string

// The faults. bustest.ParseFault knows the first five.
const (
	FaultNone Fault = bustest.FaultNone
	// FaultDeaf: the bus answers, but the antenna drivers do not come on and
	// read back as off. A soft reset does not help; the reset pin does, unless
	// DeafToResetPin was given.
	FaultDeaf Fault = bustest.FaultDeaf
	// FaultBusLow: MISO is stuck at 0, as with a chip without power.
	FaultBusLow Fault = bustest.FaultBusLow
	// FaultBusHigh: MISO is stuck at 1, as with nothing connected.
	FaultBusHigh Fault = bustest.FaultBusHigh
	// FaultHang: a transfer does not return while the fault lasts, as with a
	// kernel driver that waits for an interrupt that is lost.
	FaultHang Fault = bustest.FaultHang

	// FaultSilent: every register looks right, but nothing is ever received.
	FaultSilent Fault = "silent"
	// FaultCrypto1: MFCrypto1On is set and cannot be cleared, so that no card
	// understands the reader, until a reset of either kind ends the fault.
	FaultCrypto1 Fault = "crypto1"
	// FaultNoIRQ: no interrupt request bit is ever set.
	FaultNoIRQ Fault = "no-irq"
	// FaultStuckTx: a frame that is begun never ends. Nothing reaches the
	// cards, and as the timer starts after the last bit, nothing times out.
	FaultStuckTx Fault = "stuck-tx"
	// FaultSelfTest: a bit is wrong in what the self test finds.
	FaultSelfTest Fault = "self-test"
)

// Break gives the chip a fault by its name, or mends it: see bustest.ParseFault.
func (c *Chip) Break(fault string) error {
	f, err := bustest.ParseFault[Fault](fault)
	if err != nil {
		return err
	}
	c.SetFault(f)
	return nil
}
