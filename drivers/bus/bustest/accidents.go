package bustest

import (
	"fmt"
	"sync"
)

// The faults that an operator may ask for of any chip in software, by name.
const (
	FaultNone    = "none"
	FaultDeaf    = "deaf"     // the chip answers, and sees no card
	FaultBusLow  = "bus-low"  // MISO stays at 0
	FaultBusHigh = "bus-high" // MISO stays at 1
	FaultHang    = "hang"     // a transfer does not return while the fault lasts
)

// ParseFault reads one of these names, as the type that a chip has for its faults.
func ParseFault[F ~string](name string) (F, error) {
	switch name {
	case FaultNone, FaultDeaf, FaultBusLow, FaultBusHigh, FaultHang:
		return F(name), nil
	}
	return "", fmt.Errorf("parse fault %q: want deaf, bus-low, bus-high, hang or none", name)
}

// Accidents are what can befall the transfers of any chip, once. A chip embeds them, and
// asks Befall at each transfer. They have a lock of their own.
type Accidents struct {
	mu       sync.Mutex
	failNext int // transfers that fail from now on
	failWith error
	downIn   int // transfers until a brown-out; 0 never
}

// FailTransfers makes the next n transfers fail with an error, before they reach the
// chip.
func (a *Accidents) FailTransfers(n int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failNext, a.failWith = n, err
}

// BrownOutAt has the supply fail for a moment just before the nth transfer from now on;
// 1 is the next one. The chip starts over, which the host does not know.
func (a *Accidents) BrownOutAt(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.downIn = n
}

// Befall counts a transfer. An error is its end; else brownOut says that the chip has to
// start over before it. One that fails does not count towards a brown-out.
func (a *Accidents) Befall() (brownOut bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failNext > 0 {
		a.failNext--
		return false, a.failWith
	}
	if a.downIn == 0 {
		return false, nil
	}
	a.downIn--
	return a.downIn == 0, nil
}
