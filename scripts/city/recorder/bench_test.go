package main

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// BenchmarkBacklog is events/s into the table with receipts, while gateways send what has
// waited at them: GATEWAYS of them (100) with EVENTS each (400), over mosquitto, with
// PostgreSQL beside it, all on this machine.
func BenchmarkBacklog(b *testing.B) {
	number := func(name string, usual int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return usual
	}
	gateways, events := number("GATEWAYS", 100), number("EVENTS", 400)
	for b.Loop() {
		c := newCity(b)
		c.record()
		begun := time.Now()
		c.load(gateways, events, 5*time.Minute)
		b.ReportMetric(float64(gateways*events)/time.Since(begun).Seconds(), "events/s")
	}
}
