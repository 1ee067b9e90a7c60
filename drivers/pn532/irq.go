package pn532

import (
	"time"

	"periph.io/x/conn/v3/gpio"
)

const (
	// maxFalseEdges is how many edges in a row may come without the chip being ready
	// before the pin is ignored.
	maxFalseEdges = 8

	// maxSilentWaits is how many waits in a row may end without an edge before the log
	// says that the pin does not seem to be wired.
	maxSilentWaits = 1000
)

// hint is the chip's interrupt pin (P70_IRQ), where one is wired. An edge only means
// that it may be worth asking for the chip's status now; where no edge comes, it is
// asked for at the usual time. So a pin that is dead, stuck or noisy costs a few
// transfers and nothing else.
type hint struct {
	pin         gpio.PinIn // nil where none is wired
	falseEdges  int        // edges in a row at which the chip was not ready
	silentWaits int        // waits in a row without an edge
}

// await sleeps for as long as given, above 0, or until an edge comes, and reports
// whether one came.
func (h *hint) await(d time.Duration) bool {
	if h.pin == nil || h.falseEdges >= maxFalseEdges {
		time.Sleep(d)
		return false
	}
	start := time.Now()
	if h.pin.WaitForEdge(d) {
		h.silentWaits = 0
		return true
	}
	// A pin that cannot be waited for says so at once.
	if rest := d - time.Since(start); rest > 0 {
		time.Sleep(rest)
	}
	return false
}

// note remembers whether the chip was ready after an edge.
func (h *hint) note(ready bool) {
	if ready {
		h.falseEdges = 0
	} else {
		h.falseEdges++
	}
}

// missed remembers that the chip became ready without an edge.
func (h *hint) missed() { h.silentWaits++ }

// fault tells in words what is wrong with the pin, "" where nothing is known.
func (h *hint) fault() string {
	switch {
	case h.pin == nil:
	case h.falseEdges >= maxFalseEdges:
		return "edges come while the chip has nothing to say"
	case h.silentWaits >= maxSilentWaits:
		return "no edge ever comes"
	}
	return ""
}
