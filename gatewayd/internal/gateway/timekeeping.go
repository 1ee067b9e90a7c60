package gateway

import (
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// timekeeping is the clock, and what is known of the time by it.
type timekeeping struct {
	*clock.Clock
	sim   *clock.Sim     // nil: the clock is real
	zone  *time.Location // of the office
	gates alerts.Gates   // of the alert about the city's clock
}

// openClock takes the clock that is configured.
func (g *Gateway) openClock() error {
	source, mock, err := clockSource(g.cfg.Clock.Source, g.around.clock)
	if err != nil {
		return err
	}
	g.time.Clock, g.time.sim, g.time.zone = clock.New(source), mock, g.origin.Location
	return nil
}

// recallTime lets the clock know what earlier boots knew. Without that it knows
// less of their events' times, which is no reason to record nothing.
func (g *Gateway) recallTime() error {
	if err := g.time.Attach(g.journal); err != nil {
		g.log.Warn("what was known of earlier boots' times is lost", "error", err)
	}
	return g.time.Recall(g.journal.Tail)
}

// stamp prints the present time as the messages carry it, nil while it is unknown.
func (k *timekeeping) stamp() *string {
	t := k.Timing(k.Now())
	if !t.Within(presence.Roughly) {
		return nil
	}
	s := t.Time.In(k.zone).Format(presence.TimeLayout)
	return &s
}

// clockHealth says how the clock is, and whether the board keeps time without power.
func (g *Gateway) clockHealth() presence.ClockHealth {
	h := g.time.Health()
	h.RTC = g.board.HasRTC()
	return h
}

// conditions are the alerts about the clock that no number in health shows.
func (k *timekeeping) conditions() []alerts.Alert {
	return append(k.cityConditions(), k.jumpConditions()...)
}

// jumpConditions tell that the clock contradicts what was known before.
func (k *timekeeping) jumpConditions() []alerts.Alert {
	jump, is := k.Jump()
	if !is {
		return nil
	}
	if jump.Decided {
		return []alerts.Alert{alerts.ClockJumpedBack.Raise(nil)}
	}
	v := alerts.Values{"shows": language.Moment(jump.Shows, k.zone)}
	if !jump.Passed.IsZero() {
		v["passed"] = language.Moment(jump.Passed, k.zone)
	}
	return []alerts.Alert{alerts.ClockJumped.Raise(v)}
}

// cityConditions compare the system's clock, while it claims to be right, with the
// city's.
func (k *timekeeping) cityConditions() []alerts.Alert {
	ahead, known := k.Disagreement()
	if !known || !k.gates.Over(alerts.ClockAhead, "", ahead.Abs().Seconds()) {
		return nil
	}
	kind := alerts.ClockAhead
	if ahead < 0 {
		kind = alerts.ClockBehind
	}
	return []alerts.Alert{kind.Raise(alerts.Values{"off": ahead.Abs().Round(100 * time.Millisecond).String()})}
}
