package lamp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"
	"pgregory.net/rapid"

	"presence/drivers/lamp"
)

// scope records when a pin changes, in virtual milliseconds.
type scope struct {
	gpiotest.Pin
	started time.Time
	mu      sync.Mutex
	level   gpio.Level
	edges   []string
}

func (s *scope) Out(l gpio.Level) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l != s.level {
		s.level = l
		sign := map[gpio.Level]string{gpio.High: "+", gpio.Low: "-"}[l]
		s.edges = append(s.edges, fmt.Sprintf("%s%d", sign, time.Since(s.started).Milliseconds()))
	}
	return nil
}

func (s *scope) wave() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.edges, " ")
}

// A part that is on while its pin is low is off before, between and after the signals.
func TestInvertedPinIsLowWhileItsPartIsOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plain, turned := &scope{started: time.Now()}, &scope{started: time.Now()}
		l := lamp.New(lamp.Pins{Green: plain, Buzzer: lamp.Inverted(turned)}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		time.Sleep(time.Second)
		l.Show(lamp.Repeat)
		time.Sleep(time.Second)
		cancel()
		<-done
		if g, b := plain.wave(), turned.wave(); g != "+1000 -1150 +1300 -1450" || b != "+0 -1000 +1080 -1300 +1380" || turned.level != gpio.High {
			t.Errorf("green %s, buzzer %s, and %s at the end", g, b, turned.level)
		}
	})
}

// watch runs a lamp with scopes on all pins.
func watch(t *testing.T, play func(l *lamp.Lamp)) (green, red, buzzer string) {
	synctest.Test(t, func(t *testing.T) {
		g, r, b := &scope{started: time.Now()}, &scope{started: time.Now()}, &scope{started: time.Now()}
		l := lamp.New(lamp.Pins{Green: g, Red: r, Buzzer: b}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		play(l)
		time.Sleep(10 * time.Second)
		cancel()
		<-done
		green, red, buzzer = g.wave(), r.wave(), b.wave()
	})
	return green, red, buzzer
}

func TestSignalsTellThemselvesApart(t *testing.T) {
	for _, tc := range []struct {
		name               string
		signal             lamp.Signal
		green, red, buzzer string
	}{
		{"accepted", lamp.Accepted, "+0 -600", "", "+0 -80"},
		{"repeat", lamp.Repeat, "+0 -150 +300 -450", "", "+0 -80 +300 -380"},
		{"refused", lamp.Refused, "", "+0 -1200", "+0 -700"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			green, red, buzzer := watch(t, func(l *lamp.Lamp) { l.Show(tc.signal) })
			if green != tc.green || red != tc.red || buzzer != tc.buzzer {
				t.Errorf("green %q, red %q, buzzer %q", green, red, buzzer)
			}
		})
	}
}

func TestNextSignalReplacesAtOnceButNotARefusal(t *testing.T) {
	green, _, _ := watch(t, func(l *lamp.Lamp) {
		l.Show(lamp.Accepted)
		time.Sleep(200 * time.Millisecond)
		l.Show(lamp.Repeat)
	})
	if green != "+0 -350 +500 -650" {
		t.Errorf("accepted, then repeat: green %q", green)
	}
	green, red, _ := watch(t, func(l *lamp.Lamp) {
		l.Show(lamp.Refused)
		time.Sleep(50 * time.Millisecond)
		l.Show(lamp.Accepted)
	})
	if red != "+0 -300" || green != "+300 -900" {
		t.Errorf("refused, then accepted: red %q, green %q", red, green)
	}
}

// A refusal that waits behind another is seen before later greens.
func TestNoRefusalIsCrowdedOut(t *testing.T) {
	green, red, _ := watch(t, func(l *lamp.Lamp) {
		l.Show(lamp.Accepted)
		time.Sleep(100 * time.Millisecond)
		l.Show(lamp.Refused)
		for range 50 {
			l.Show(lamp.Accepted)
			l.Show(lamp.Repeat)
		}
		l.Show(lamp.Accepted)
	})
	if green != "+0 -100 +400 -1000" || red != "+100 -400" {
		t.Errorf("green %q, red %q", green, red)
	}
}

func TestTroubleBlinksBetweenTaps(t *testing.T) {
	green, red, buzzer := watch(t, func(l *lamp.Lamp) {
		l.Trouble(true)
		time.Sleep(2500 * time.Millisecond)
		l.Show(lamp.Accepted) // another reader still works
		time.Sleep(100 * time.Millisecond)
		l.Trouble(true) // again: the green is not cut short
		time.Sleep(1400 * time.Millisecond)
		l.Trouble(false)
	})
	if red != "+0 -200 +2000 -2200 +3100 -3300" || green != "+2500 -3100" || buzzer != "+2500 -2580" {
		t.Errorf("green %q, red %q, buzzer %q", green, red, buzzer)
	}
}

func TestIdentifyLastsFiveSeconds(t *testing.T) {
	green, red, buzzer := watch(t, func(l *lamp.Lamp) { l.Show(lamp.Identify) })
	if strings.Count(green, "+") != 10 || !strings.HasSuffix(green, "+4500 -4600") || green != red || green != buzzer {
		t.Errorf("green %q, red %q, buzzer %q", green, red, buzzer)
	}
}

// Whatever is shown at whatever moment, every refusal is red for 300 ms at
// least, and what was shown last is what is seen last.
func TestRandomSignals(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type show struct {
			pause int
			s     lamp.Signal
		}
		shows := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) show {
			return show{rapid.IntRange(0, 400).Draw(rt, "pause"), lamp.Signal(rapid.IntRange(0, 2).Draw(rt, "signal"))}
		}), 1, 20).Draw(rt, "shows")
		green, red, _ := watch(t, func(l *lamp.Lamp) {
			for _, show := range shows {
				time.Sleep(time.Duration(show.pause) * time.Millisecond)
				l.Show(show.s)
			}
		})
		refused := false
		for _, show := range shows {
			refused = refused || show.s == lamp.Refused
		}
		if refused != (red != "") {
			rt.Fatalf("%v: red %q", shows, red)
		}
		edges := strings.Fields(red)
		for i := 0; i+1 < len(edges); i += 2 {
			var on, off int
			fmt.Sscanf(edges[i], "+%d", &on)
			fmt.Sscanf(edges[i+1], "-%d", &off)
			if off-on < 300 {
				rt.Fatalf("%v: red %q", shows, red)
			}
		}
		if last := shows[len(shows)-1].s; last != lamp.Refused && green == "" {
			rt.Fatalf("%v: never green", shows)
		}
	})
}

func TestShowNeverBlocks(t *testing.T) {
	l := lamp.New(lamp.Pins{}, slog.New(slog.DiscardHandler)) // nobody runs it
	for range 1000 {
		l.Show(lamp.Refused)
	}
}

// TestIdentifyNeverHidesAnAnswer: however often somebody asks for it, each answer
// is shown as if nobody did, and it comes at most once in 10 s.
func TestIdentifyNeverHidesAnAnswer(t *testing.T) {
	for _, s := range []lamp.Signal{lamp.Accepted, lamp.Repeat, lamp.Refused} {
		alone := make([]string, 3)
		alone[0], alone[1], alone[2] = watch(t, func(l *lamp.Lamp) { l.Show(s) })
		green, red, buzzer := watch(t, func(l *lamp.Lamp) {
			l.Show(s)
			for range 40 {
				time.Sleep(50 * time.Millisecond)
				l.Show(lamp.Identify)
			}
		})
		for i, flooded := range []string{green, red, buzzer} {
			if !strings.HasPrefix(flooded, alone[i]) || len(flooded) == len(alone[i]) {
				t.Errorf("signal %d on pin %d: %q, and %q while somebody asks where the box is", s, i, alone[i], flooded)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		l := lamp.New(lamp.Pins{}, slog.New(slog.DiscardHandler))
		shown := 0
		for range 20 * 60 { // for a minute
			if l.Identify() {
				shown++
			}
			time.Sleep(50 * time.Millisecond)
		}
		if shown != 6 {
			t.Errorf("%d times in a minute", shown)
		}
	})
}

func TestAnySubsetOfPins(t *testing.T) {
	for mask := range 8 {
		synctest.Test(t, func(t *testing.T) {
			var pins lamp.Pins
			scopes := map[int]*scope{}
			for bit, pin := range map[int]*gpio.PinOut{1: &pins.Green, 2: &pins.Red, 4: &pins.Buzzer} {
				if mask&bit != 0 {
					scopes[bit] = &scope{started: time.Now()}
					*pin = scopes[bit]
				}
			}
			l := lamp.New(pins, slog.New(slog.DiscardHandler))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- l.Run(ctx) }()
			l.Show(lamp.Identify)
			time.Sleep(2 * time.Second)
			cancel() // in the middle of it
			<-done
			for bit, s := range scopes {
				if s.wave() == "" || s.level != gpio.Low {
					t.Errorf("pins %03b: pin %d has wave %q and ends %v", mask, bit, s.wave(), s.level)
				}
			}
		})
	}
}

// broken is a pin that cannot be driven.
type broken struct{ gpiotest.Pin }

func (*broken) Out(gpio.Level) error { return errors.New("no such line") }

func TestBrokenPinIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		l := lamp.New(lamp.Pins{Green: &broken{}}, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		for range 5 {
			l.Show(lamp.Accepted)
			time.Sleep(time.Second)
		}
		cancel()
		<-done
		if n := strings.Count(log.String(), "no such line"); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}
