package readertest

import (
	"log/slog"
	"syscall"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// Benchmark measures what a look at the field costs, in real time, of which the machine
// sleeps through most: the transfers (each a call of the kernel), the bytes on the bus,
// how long the bus is busy with them at 1 MHz, and the time of the processor, that of the
// chip in software included.
func Benchmark(b *testing.B, s Subject) {
	for _, c := range []struct {
		name string
		uids []string
	}{{"Empty", nil}, {"OneCard", []string{"04A1B2C3D4E5F6"}}, {"ThreeCards", []string{"04A1B2C3D4E5F6", "DEADBEEF", "04010203040506"}}} {
		b.Run(c.name, func(b *testing.B) {
			field := cardtest.NewField()
			for _, text := range c.uids {
				uid, err := card.ParseUID(text)
				if err != nil {
					b.Fatal(err)
				}
				one, err := cardtest.New(uid, card.MifareClassic1K)
				if err != nil {
					b.Fatal(err)
				}
				field.Put(one)
			}
			chip := s.Chip(field, s.Readings[0])
			counted := &wire{PortCloser: chip.Port(), t: b}
			reader, err := s.Open(counted, chip, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = reader.Close() }()
			look := func() {
				if seen, err := reader.Poll(b.Context()); err != nil || len(seen) != len(c.uids) {
					b.Fatalf("saw %v, %v", seen, err)
				}
			}
			time.Sleep(10 * time.Millisecond) // the cards start
			look()
			transfers, clocked, cpu := counted.transfers, counted.bytes, cpuTime(b)
			b.ReportAllocs()
			for b.Loop() {
				look()
			}
			each := func(n int) float64 { return float64(n) / float64(b.N) }
			b.ReportMetric(each(counted.transfers-transfers), "transfers/op")
			b.ReportMetric(each(counted.bytes-clocked), "bytes/op")
			b.ReportMetric(each(8*(counted.bytes-clocked)), "bus-µs/op")
			b.ReportMetric(each(int(cpuTime(b)-cpu))/1e3, "cpu-µs/op")
		})
	}
}

// cpuTime is what this process has used so far.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
