package gateway

import (
	"os"
	"runtime/debug"
)

// LimitMemory keeps the heap of this process small, as a gateway on a small board
// should: to collect garbage twice as often costs less than memory that is not there.
// Whoever starts the process can set both values otherwise (GOGC, GOMEMLIMIT).
func LimitMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(32 << 20)
	}
}
