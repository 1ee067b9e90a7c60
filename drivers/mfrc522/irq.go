package mfrc522

import (
	"time"

	"periph.io/x/conn/v3/gpio"
)

const (
	// maxEdges is how many edges one exchange follows up.
	maxEdges = 4

	// maxFalseEdges is how many edges in a row may come without anything having
	// happened before the pin is ignored.
	maxFalseEdges = 8

	// maxSilentExchanges is how many exchanges may pass without an edge before the log
	// says that the pin does not seem to be wired.
	maxSilentExchanges = 1000
)

// hint is the chip's interrupt pin, where one is wired. An edge only means that it
// may be worth reading the chip's status now; where no edge comes, the status is
// read at the usual time. So a pin that is dead, stuck or noisy costs a few
// transfers and nothing else.
type hint struct {
	pin             gpio.PinIn // nil where none is wired
	proven          bool       // something had happened at the last edge
	edges           int        // that this exchange may still follow up
	falseEdges      int        // edges in a row at which nothing had happened
	silentExchanges int        // exchanges in a row without an edge
}

// listen begins an exchange.
func (h *hint) listen() {
	h.edges = maxEdges
	h.silentExchanges++
}

// await sleeps for as long as given, above 0, or until an edge comes, and
// reports whether one came.
func (h *hint) await(d time.Duration) bool {
	if h.pin == nil || h.edges == 0 || h.falseEdges >= maxFalseEdges {
		time.Sleep(d)
		return false
	}
	start := time.Now()
	if h.pin.WaitForEdge(d) {
		h.edges--
		h.silentExchanges = 0
		return true
	}
	// A pin that cannot be waited for says so at once.
	if rest := d - time.Since(start); rest > 0 {
		time.Sleep(rest)
	}
	return false
}

// note remembers whether something had happened at an edge.
func (h *hint) note(happened bool) {
	h.proven = happened
	if happened {
		h.falseEdges = 0
	} else {
		h.falseEdges++
	}
}

// fault tells in words what is wrong with the pin, "" where nothing is known.
func (h *hint) fault() string {
	switch {
	case h.pin == nil:
	case h.falseEdges >= maxFalseEdges:
		return "edges come without anything having happened"
	case h.silentExchanges >= maxSilentExchanges:
		return "no edge ever comes"
	}
	return ""
}
