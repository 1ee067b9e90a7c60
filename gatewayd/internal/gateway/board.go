package gateway

import (
	"presence/drivers/pi"
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/build"
	"presence/gatewayd/internal/presence"
)

// board is the computer that the gateway runs on.
type board struct {
	pi.Board
	power *pi.Power    // watches the supply
	gates alerts.Gates // of the alert about heat
}

// piHealth says what the board tells about itself. What it does not tell is left
// out.
func (g *Gateway) piHealth() presence.PiHealth {
	var h presence.PiHealth
	if v, ok := g.board.TempC(); ok {
		h.TempC = &v
	}
	if v, ok := g.board.power.Undervoltage(); ok {
		h.Undervoltage = &v
	}
	if v, ok := g.board.Throttled(); ok {
		h.Throttled = &v
	}
	if v, ok := pi.DiskFree(g.cfg.Gateway.StateDir); ok {
		h.DiskFreeBytes = &v
	}
	if v, ok := g.board.RootReadonly(); ok {
		h.RootReadonly = &v
	}
	if v, ok := g.board.StorageErrors(); ok {
		h.SDErrors = &v
	}
	return h
}

// boardConditions are the alerts about power, heat, a missing clock chip, and a
// version of gatewayd that did not get ready on this board.
func (g *Gateway) boardConditions() (as []alerts.Alert) {
	printed, _ := g.board.Throttled()
	bits, _ := pi.ThrottledBits(printed) // 0 where unknown
	if g.board.power.LowWithin(alerts.PowerWeak.Limit().Window) || bits&pi.UndervoltageNow != 0 {
		as = append(as, alerts.PowerWeak.Raise(nil))
	}
	temp, _ := g.board.TempC()
	hot := g.board.gates.Over(alerts.TooHot, "", temp)
	if slow := bits & (pi.CappedNow | pi.ThrottledNow | pi.HotNow); hot || slow != 0 && bits&pi.UndervoltageNow == 0 {
		as = append(as, alerts.TooHot.Raise(nil))
	}
	if g.cfg.Clock.Source == "kernel" && !g.time.Now().Known() && !g.board.HasRTC() {
		as = append(as, alerts.NoClockChip.Raise(nil))
	}
	if r, ok := build.RolledBack(g.board.ReadFile); ok {
		as = append(as, alerts.RolledBack.Raise(alerts.Values{"version": r.Bad, "back": r.Back}))
	}
	return as
}
