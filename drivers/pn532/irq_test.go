package pn532

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"

	"presence/drivers/card"
)

// irqPin is a pin whose edges a test makes.
type irqPin struct {
	gpiotest.Pin
	script *script
	wait   func(p *irqPin, d time.Duration) bool
	in     error
	edges  int
}

func (p *irqPin) In(gpio.Pull, gpio.Edge) error { return p.in }

func (p *irqPin) WaitForEdge(d time.Duration) bool { return p.wait(p, d) }

// wired is a pin that falls when the chip is ready.
func wired(p *irqPin, d time.Duration) bool {
	if len(p.script.pending) == 0 {
		time.Sleep(d)
		return false
	}
	until := time.Until(p.script.pending[0].at)
	if until > d {
		time.Sleep(d)
		return false
	}
	time.Sleep(max(until, 0))
	p.edges++
	return true
}

// Whatever the pin does, the same cards are seen; one that works makes it faster.
func TestInterruptPinIsOnlyAHint(t *testing.T) {
	var without time.Duration
	for _, tt := range []struct {
		name  string
		pin   func(p *irqPin)
		fault string
	}{
		{"none", nil, ""},
		{"works", func(p *irqPin) { p.wait = wired }, ""},
		{"dead", func(p *irqPin) { p.wait = func(_ *irqPin, d time.Duration) bool { time.Sleep(d); return false } }, "no edge ever comes"},
		{"cannot wait", func(p *irqPin) { p.wait = func(*irqPin, time.Duration) bool { return false } }, "no edge ever comes"},
		{"always an edge", func(p *irqPin) { p.wait = func(*irqPin, time.Duration) bool { return true } }, "edges come while the chip has nothing to say"},
		{"refuses", func(p *irqPin) { p.in = errors.New("busy") }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFirmware(newCard(t, "DEADBEEF", card.MifareClassic1K))
				s := newScript(t, f.answer)
				opts := Options{}
				if tt.pin != nil {
					p := &irqPin{script: s}
					tt.pin(p)
					opts.IRQ = p
				}
				r, err := New(s, opts)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = r.Close() }()
				if on := s.commands[0] == "14011401"; on != (r.link.irq.pin != nil) {
					t.Errorf("told %s", s.commands[0])
				}
				start := time.Now()
				for range 200 {
					if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 {
						t.Fatalf("saw %v, %v", seen, err)
					}
				}
				took := time.Since(start)
				switch tt.name {
				case "none":
					without = took
				case "works":
					if took >= without {
						t.Errorf("took %v, without a pin %v", took, without)
					}
				default:
					if took > without+without/10 {
						t.Errorf("took %v, without a pin %v", took, without)
					}
				}
				if got := r.link.irq.fault(); got != tt.fault || r.irqWarned != (tt.fault != "") {
					t.Errorf("fault %q, warned %v", got, r.irqWarned)
				}
			})
		})
	}
}
