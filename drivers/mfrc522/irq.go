package mfrc522

import (
	"time"

	"periph.io/x/conn/v3/gpio"
)

const (
	// maxEdges is how many edges one exchange follows up.
	maxEdges = 4

	// maxLies is how many edges in a row may come without anything having
	// happened before the pin is not listened to any more.
	maxLies = 8

	// maxMute is how many exchanges may pass without an edge before the log
	// says that the pin does not seem to be wired.
	maxMute = 1000
)

// hint is the chip's interrupt pin, where one is wired. An edge only ever says
// that it may be worth asking the chip now. What happened the chip itself
// tells, and it is asked at the usual time where no edge comes: a pin that is
// dead, stuck or noisy costs a few questions and nothing else.
type hint struct {
	pin    gpio.PinIn // nil where none is wired
	proven bool       // the last edge was true
	edges  int        // that this exchange may still follow up
	lies   int        // edges in a row that were not true
	mute   int        // exchanges in a row without an edge
}

// listen begins an exchange.
func (h *hint) listen() {
	h.edges = maxEdges
	h.mute++
}

// await sleeps for as long as given, above 0, or until an edge comes, and
// reports whether one came.
func (h *hint) await(d time.Duration) bool {
	if h.pin == nil || h.edges == 0 || h.lies >= maxLies {
		time.Sleep(d)
		return false
	}
	start := time.Now()
	if h.pin.WaitForEdge(d) {
		h.edges--
		h.mute = 0
		return true
	}
	// A pin that cannot be waited for says so at once.
	if rest := d - time.Since(start); rest > 0 {
		time.Sleep(rest)
	}
	return false
}

// judge notes whether an edge was true.
func (h *hint) judge(truth bool) {
	h.proven = truth
	if truth {
		h.lies = 0
	} else {
		h.lies++
	}
}

// doubt says in words what is wrong with the pin, "" where nothing is known.
func (h *hint) doubt() string {
	switch {
	case h.pin == nil:
	case h.lies >= maxLies:
		return "edges come without anything having happened"
	case h.mute >= maxMute:
		return "no edge ever comes"
	}
	return ""
}
