package mfrc522

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"

	"presence/drivers/card"
	"presence/drivers/isodep"
)

// A chip that loses its settings in the middle of a link is mended; the card does not
// answer meanwhile, and that is all that its user learns.
func TestChipFailsDuringALink(t *testing.T) {
	for name, fail := range map[string]func(p *processor){
		"loses its field":    func(p *processor) { p.regs[regTxControl] = txControlReset },
		"resets itself":      func(p *processor) { p.write(regCommand, commandSoftReset) },
		"loses one register": func(p *processor) { p.regs[regModWidth] = 0x11 },
		"sends nonsense":     func(p *processor) { p.regs[regRxSel] = 0; p.nonsense = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProcessor(t, nil)
				p.block = func([]byte) *reply {
					fail(p)
					p.layer4 = false
					return &reply{data: []byte{0}, stuck: !p.nonsense}
				}
				r := open(t, p.script)
				err := r.Select(t.Context(), p.card(t), command(t, "905A00000301000000", "9100"))
				if !errors.Is(err, card.ErrGone) || errors.Is(err, card.ErrProtocol) {
					t.Error(err)
				}
				if n := r.Counts().Mends; n != 1 {
					t.Errorf("%d mends", n)
				}
				if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 || r.Counts().Mends != 1 {
					t.Errorf("saw %v, %v, %+v", seen, err, r.Counts())
				}
			})
		})
	}
	t.Run("cannot be mended", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newProcessor(t, nil)
			p.block = func([]byte) *reply { p.hot = true; return nil }
			r := open(t, p.script)
			if err := r.Select(t.Context(), p.card(t), command(t, "905A00000301000000", "9100")); !errors.Is(err, card.ErrDeaf) {
				t.Error(err)
			}
			p.hot, p.layer4 = false, false
			if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 {
				t.Errorf("saw %v, %v", seen, err)
			}
		})
	})
}

// A chip that has reset itself shows the end of a command, and may hold the frame that it
// was to send: that is no answer of a card.
func TestOurOwnFrameIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProcessor(t, func(frame []byte) *reply { return &reply{data: frame, idle: true} })
		r := open(t, p.script)
		err := r.Select(t.Context(), p.card(t), func(f card.Frames) error {
			return isodep.Run(t.Context(), f, isodep.Options{}, func(l *isodep.Link) error {
				response, err := l.Exchange(t.Context(), []byte{0x90, 0x5A, 0x00, 0x00})
				if err == nil {
					t.Errorf("response %X", response)
				}
				return err
			})
		})
		if !errors.Is(err, card.ErrGone) {
			t.Error(err)
		}
		p.sees(t, r)
	})
}

// A bus that fails is told as by Poll, before, during and behind a link; what was proven
// before it failed stays true.
func TestBusFailsDuringALink(t *testing.T) {
	dead := errors.New("broken pipe")
	for n, over := 0, false; !over; n++ {
		synctest.Test(t, func(t *testing.T) {
			p := newProcessor(t, func([]byte) *reply { return &reply{data: []byte{0x02, 0x91, 0x00}} })
			r := open(t, p.script)
			proven := false
			left := n
			p.before = func() error {
				if left--; left < 0 {
					return dead
				}
				return nil
			}
			err := r.Select(t.Context(), p.card(t), func(f card.Frames) error {
				err := command(t, "905A00000301000000", "9100")(f)
				proven = err == nil
				return err
			})
			if left < 0 && proven != (err == nil) || left >= 0 && err != nil || err != nil && !errors.Is(err, card.ErrBusDead) {
				t.Errorf("after %d transfers: %v, proven %t", n, err, proven)
			}
			over = left >= 0
			p.before = nil
			p.layer4 = false
			if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 {
				t.Errorf("after %d transfers: saw %v, %v", n, seen, err)
			}
		})
	}
}

// A context that ends while a card computes ends the wait, and the card is put to sleep.
func TestCancelledWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProcessor(t, func([]byte) *reply { return &reply{stuck: true} })
		r := open(t, p.script)
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		time.AfterFunc(100*time.Millisecond, cancel)
		err := r.Select(ctx, p.card(t), func(f card.Frames) error {
			// Without DESELECT, so that the field has to be switched off.
			send(t, f, "E050")
			_, err := f.Transceive(ctx, []byte{0x02, 0x00}, time.Second)
			if took := time.Since(start); !errors.Is(err, context.Canceled) || took > 110*time.Millisecond {
				t.Errorf("%v after %v", err, took)
			}
			p.wrote = func(reg register, v byte) {
				if reg == regTxControl && v&txControlField == 0 {
					p.layer4 = false
				}
			}
			if _, again := f.Transceive(ctx, []byte{0x02, 0x00}, time.Second); !errors.Is(again, context.Canceled) {
				t.Error(again)
			}
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		p.sees(t, r)
		if err := r.Select(ctx, p.card(t), nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := r.Select(t.Context(), p.card(t), nil); err == nil {
			t.Error("selected by a reader that is closed")
		}
	})
}

// latePin is an interrupt pin whose edge is noticed only after the driver has seen the
// answer without it, so that it waits for the next one who asks.
type latePin struct {
	gpiotest.Pin
	edges int
}

func (*latePin) In(gpio.Pull, gpio.Edge) error { return nil }

func (p *latePin) WaitForEdge(d time.Duration) bool {
	if p.edges > 0 {
		p.edges--
		return true
	}
	time.Sleep(d)
	return false
}

// An edge that comes before the card can have answered is one of the exchange before, and
// no sign of a broken pin.
func TestEdgeOfTheExchangeBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked time.Time
		p := newProcessor(t, func([]byte) *reply { asked = time.Now(); return &reply{stuck: true} })
		pin := &latePin{}
		p.before = func() error {
			if !asked.IsZero() && time.Since(asked) > 2*time.Millisecond {
				asked = time.Time{}
				p.regs[regComIrq], p.regs[regError], p.fifo = irqRx, 0, []byte{0x02}
				pin.edges++
			}
			return nil
		}
		r, err := New(p.script, Options{IRQ: pin})
		if err != nil {
			t.Fatal(err)
		}
		err = r.Select(t.Context(), p.card(t), func(f card.Frames) error {
			for range 2 * maxFalseEdges {
				if _, err := f.Transceive(t.Context(), []byte{0x02, 0x00}, 20*time.Millisecond); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || r.chip.irq.fault() != "" || r.chip.irq.falseEdges > 1 { // HLTA may follow the last one up
			t.Errorf("%v, the pin: %q, %d false edges", err, r.chip.irq.fault(), r.chip.irq.falseEdges)
		}
	})
}
