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

	dark    // nothing to say
	trouble // nothing to say but that it does not work: a slow red blink
)

// Pins are where the lamp is wired. A nil pin is not there. LEDs and the
// (active) buzzer are on while their pin is high; see Inverted.
type Pins struct {
	Green, Red, Buzzer gpio.PinOut
}

// Inverted is a pin for a part that is on while the pin is low, as many boards with a
// buzzer or a relay are.
func Inverted(p gpio.PinOut) gpio.PinOut { return inverted{p} }

type inverted struct{ gpio.PinOut }

// Out implements gpio.PinOut.
func (p inverted) Out(l gpio.Level) error { return p.PinOut.Out(!l) }

// step is a state of the pins for a time.
type step struct {
	green, red, buzzer bool
	lasting            time.Duration
	held               bool // no other signal may cut it short
}

// pattern is what a signal looks and sounds like.
func (s Signal) pattern() []step {
	const ms = time.Millisecond
	switch s {
	case Accepted:
		return []step{{green: true, buzzer: true, lasting: 80 * ms}, {green: true, lasting: 520 * ms}}
	case Repeat:
		return []step{
			{green: true, buzzer: true, lasting: 80 * ms},
			{green: true, lasting: 70 * ms},
			{lasting: 150 * ms},
			{green: true, buzzer: true, lasting: 80 * ms},
			{green: true, lasting: 70 * ms},
			{lasting: 150 * ms},
		}
	case Refused:
		return []step{
			// A refusal must not vanish under the next person's green.
			{red: true, buzzer: true, lasting: 300 * ms, held: true},
			{red: true, buzzer: true, lasting: 400 * ms},
			{red: true, lasting: 500 * ms},
		}
	case Identify:
		var steps []step
		for range 10 {
			steps = append(steps, step{green: true, red: true, buzzer: true, lasting: 100 * ms}, step{lasting: 400 * ms})
		}
		return steps
	case trouble:
		return []step{{red: true, lasting: 200 * ms}, {lasting: 1800 * ms}}
	}
	return []step{{lasting: time.Hour}}
}

// Lamp shows signals. Show and Trouble may be called from any goroutine.
type Lamp struct {
	pins Pins
	log  *slog.Logger
	wake chan struct{} // holds a token while Run has news to look at

	mu         sync.Mutex
	queue      []Signal  // at most a refusal, and the newest signal behind it
	idle       Signal    // dark or trouble
	identify   bool      // to be shown when there is nothing else
	identified time.Time // when somebody last asked for it and was heard

	complain sync.Once // a broken pin is logged once, not at each tap
}

// New makes a lamp; Run makes it work.
func New(pins Pins, log *slog.Logger) *Lamp {
	return &Lamp{pins: pins, log: log, wake: make(chan struct{}, 1), idle: dark}
}

// Show has a signal shown in place of what is shown now, at once or after the
// refusals that came before it. It never blocks. A signal that could not be
// shown before the next came is not shown, unless it is a refusal. Identify is
// shown as by the method of that name.
func (l *Lamp) Show(s Signal) {
	if s == Identify {
		l.Identify()
		return
	}
	l.mu.Lock()
	if n := len(l.queue); n > 0 && l.queue[n-1] != Refused {
		l.queue = l.queue[:n-1]
	}
	if s != Refused || len(l.queue) == 0 {
		l.queue = append(l.queue, s)
	}
	l.mu.Unlock()
	l.nudge()
}

// identifyPause is the pause between an answer and Identify, so that the two can be
// told apart.
const identifyPause = 500 * time.Millisecond

// identifyEvery is how often Identify is shown at most: somebody who asks for it again
// and again must not keep people at the door from seeing their answer.
const identifyEvery = 10 * time.Second

// Identify has the signal Identify shown as soon as no answer is being shown, and
// reports whether it will be. An answer ends it.
func (l *Lamp) Identify() bool {
	l.mu.Lock()
	now := time.Now()
	if !l.identified.IsZero() && now.Sub(l.identified) < identifyEvery {
		l.mu.Unlock()
		return false
	}
	l.identified, l.identify = now, true
	l.mu.Unlock()
	l.nudge()
	return true
}

// Trouble tells whether people at the door must see, between taps, that it does not
// work. It never blocks.
func (l *Lamp) Trouble(on bool) {
	l.mu.Lock()
	l.idle = dark
	if on {
		l.idle = trouble
	}
	l.mu.Unlock()
	l.nudge()
}

func (l *Lamp) nudge() {
	select {
	case l.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run shows signals until the context ends, and leaves everything dark and
// silent.
func (l *Lamp) Run(ctx context.Context) error {
	defer l.set(step{})
	timer := time.NewTimer(0)
	defer timer.Stop()
	before := dark
	for ctx.Err() == nil {
		s := l.next()
		steps := s.pattern()
		if s == Identify && before != dark && before != trouble {
			steps = append([]step{{lasting: identifyPause}}, steps...)
		}
		before = s
		for _, step := range steps {
			l.set(step)
			if !l.wait(ctx, timer, s, step) {
				break
			}
		}
	}
	return ctx.Err()
}

// next takes the signal to show now.
func (l *Lamp) next() Signal {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 && l.identify {
		l.identify = false
		return Identify
	}
	if len(l.queue) == 0 {
		return l.idle
	}
	s := l.queue[0]
	l.queue = append(l.queue[:0], l.queue[1:]...)
	return s
}

// wait waits for the end of a step; it returns false where the signal ends
// before.
func (l *Lamp) wait(ctx context.Context, timer *time.Timer, s Signal, step step) bool {
	timer.Reset(step.lasting)
	wake := l.wake
	if step.held {
		wake = nil
	}
	for step.held || !l.replaced(s) {
		select {
		case <-timer.C:
			return true
		case <-wake:
		case <-ctx.Done():
			return false
		}
	}
	return false
}

// replaced reports whether something else is to be shown now.
func (l *Lamp) replaced(s Signal) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	idle := s == dark || s == trouble
	return len(l.queue) > 0 || idle && (s != l.idle || l.identify)
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
