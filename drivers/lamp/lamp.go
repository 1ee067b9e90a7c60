package lamp

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// Signal is one thing that the lamp says.
type Signal int

// What the lamp says.
const (
	Accepted Signal = iota // green, one short beep
	Repeat                 // green twice, two short beeps
	Refused                // red, one long beep
	Identify               // all together, for a technician who looks for this box
)

// Pins are where the lamp is wired. A nil pin is not there. LEDs and the
// (active) buzzer are on while their pin is high.
type Pins struct {
	Green, Red, Buzzer gpio.PinOut
}

// step is a state of the pins for a time.
type step struct {
	green, red, buzzer bool
	lasting            time.Duration
}

// pattern is what a signal looks and sounds like.
func (s Signal) pattern() []step {
	const ms = time.Millisecond
	switch s {
	case Accepted:
		return []step{{green: true, buzzer: true, lasting: 80 * ms}, {green: true, lasting: 520 * ms}}
	case Repeat:
		return []step{
			{green: true, buzzer: true, lasting: 80 * ms}, {green: true, lasting: 70 * ms}, {lasting: 150 * ms},
			{green: true, buzzer: true, lasting: 80 * ms}, {green: true, lasting: 70 * ms}, {lasting: 150 * ms},
		}
	case Refused:
		return []step{{red: true, buzzer: true, lasting: 700 * ms}, {red: true, lasting: 500 * ms}}
	case Identify:
		var steps []step
		for range 10 {
			steps = append(steps, step{green: true, red: true, buzzer: true, lasting: 100 * ms}, step{lasting: 400 * ms})
		}
		return steps
	}
	return nil
}

// heldBack is how long a signal is seen at least before the next may replace
// it: a refusal must not vanish under the next person's green.
func (s Signal) heldBack() time.Duration {
	if s == Refused {
		return 300 * time.Millisecond
	}
	return 0
}

// waiting is how many signals may wait to be shown. With more, the people they
// are for have gone.
const waiting = 4

// Lamp shows signals. Show may be called from any goroutine.
type Lamp struct {
	pins    Pins
	log     *slog.Logger
	signals chan Signal

	complain sync.Once // a broken pin is told once, not at each tap
}

// New makes a lamp; Run makes it work.
func New(pins Pins, log *slog.Logger) *Lamp {
	return &Lamp{pins: pins, log: log, signals: make(chan Signal, waiting)}
}

// Show has a signal shown as soon as may be. It never blocks: where too many
// wait, the oldest gives way.
func (l *Lamp) Show(s Signal) {
	for {
		select {
		case l.signals <- s:
			return
		default:
		}
		select {
		case <-l.signals:
		default:
		}
	}
}

// Run shows signals until the context ends, and leaves everything dark and
// silent.
func (l *Lamp) Run(ctx context.Context) error {
	l.set(step{})
	defer l.set(step{})
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case s := <-l.signals:
			// A signal that comes while this one is shown replaces it.
			for next, more := l.show(ctx, timer, s); more; {
				next, more = l.show(ctx, timer, next)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// show plays one signal to its end, or until another may replace it.
func (l *Lamp) show(ctx context.Context, timer *time.Timer, s Signal) (next Signal, more bool) {
	defer l.set(step{})
	started := time.Now()
	for _, step := range s.pattern() {
		l.set(step)
		end := time.Now().Add(step.lasting)
		for left := step.lasting; left > 0; left = time.Until(end) {
			held := s.heldBack() - time.Since(started)
			signals := l.signals
			if held > 0 {
				signals = nil // not yet
				left = min(left, held)
			}
			timer.Reset(left)
			select {
			case <-timer.C:
			case next = <-signals:
				return next, true
			case <-ctx.Done():
				return 0, false
			}
		}
	}
	return 0, false
}

// set sets the pins that are there.
func (l *Lamp) set(s step) {
	for _, p := range []struct {
		pin gpio.PinOut
		on  bool
	}{{l.pins.Green, s.green}, {l.pins.Red, s.red}, {l.pins.Buzzer, s.buzzer}} {
		if p.pin == nil {
			continue
		}
		if err := p.pin.Out(gpio.Level(p.on)); err != nil {
			l.complain.Do(func() {
				l.log.Error("cannot drive the lamp", "pin", p.pin.Name(), "error", err)
			})
		}
	}
}
