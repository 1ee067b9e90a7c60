package gateway

import (
	"strconv"
	"strings"
	"time"

	"presence/drivers/pi"
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/uplink"
)

// conditions are the alerts that do not follow from the health document itself. Each
// function looks at one room and returns what a person should know of it,
// nothing while all is well.
func (d *Gateway) conditions() []alerts.Alert {
	var as []alerts.Alert
	for _, of := range []func() []alerts.Alert{
		d.taskConditions,
		d.lampConditions,
		d.silentReaders,
		d.journalConditions,
		d.lineConditions,
		d.cityTimeConditions,
		d.clockConditions,
		d.tagConditions,
		d.certificateConditions,
		d.boardConditions,
		d.documentConditions,
	} {
		as = append(as, of()...)
	}
	return as
}

func (d *Gateway) lampConditions() []alerts.Alert {
	if d.lampFault == nil {
		return nil
	}
	return []alerts.Alert{alerts.LampBroken.Raise(withError(d.lampFault))}
}

// withError is an error for the texts of an alert.
func withError(err error) alerts.Values { return alerts.Values{"error": err.Error()} }

func (d *Gateway) journalConditions() (as []alerts.Alert) {
	if w := d.journal.Damage(); w != nil {
		as = append(as, alerts.JournalDamaged.Raise(alerts.Values{
			"problem": w.Problem, "salvaged": strconv.Itoa(w.Salvaged), "lost": strconv.Itoa(w.Lost), "file": w.Quarantine,
		}))
	}
	if err := d.journal.Refused(); err != nil {
		return []alerts.Alert{alerts.JournalClosed.Raise(withError(err))}
	}
	if d.journal.Stats().Refusing {
		as = append(as, alerts.JournalFull.Raise(nil))
	}
	if ago, ever := d.journal.Yielded(); ever && ago < alerts.TagsDropped.Limit().Window {
		as = append(as, alerts.TagsDropped.Raise(nil))
	}
	return as
}

func (d *Gateway) lineConditions() (as []alerts.Alert) {
	if d.uplink.Rival() {
		as = append(as, alerts.IDConflict.Raise(nil, d.origin.Gateway))
	}
	documents, events := d.uplink.Refused()
	as = append(as, refused(alerts.DocumentRefused, documents)...)
	as = append(as, refused(alerts.EventRefused, events)...)
	if d.uplink.Unheard() {
		return append(as, alerts.TopicsUnheard.Raise(nil))
	}
	if denied := d.uplink.Denied(); len(denied) > 0 {
		as = append(as, alerts.TopicsUnread.Raise(nil, denied...))
	}
	return as
}

// refused is the alert about publications over which the broker hangs up.
func refused(kind alerts.Kind, all []uplink.Refusal) []alerts.Alert {
	if len(all) == 0 {
		return nil
	}
	var about, sizes []string
	for _, r := range all {
		about, sizes = append(about, r.Name), append(sizes, strconv.Itoa(r.Size))
	}
	return []alerts.Alert{kind.Raise(alerts.Values{"bytes": strings.Join(sizes, ", ")}, about...)}
}

// cityTimeConditions holds the system's clock, while it claims to be right,
// against the city's.
func (d *Gateway) cityTimeConditions() []alerts.Alert {
	ahead, known := d.clock.Disagreement()
	if !known || !d.gates.Over(alerts.ClockAhead, "", ahead.Abs().Seconds()) {
		return nil
	}
	kind := alerts.ClockAhead
	if ahead < 0 {
		kind = alerts.ClockBehind
	}
	return []alerts.Alert{kind.Raise(alerts.Values{"off": ahead.Abs().Round(100 * time.Millisecond).String()})}
}

// tagConditions name the tags that somebody copied.
func (d *Gateway) tagConditions() []alerts.Alert {
	names := d.tags.Conflicts()
	if len(names) == 0 {
		return nil
	}
	return []alerts.Alert{alerts.TagConflict.Raise(nil, names...)}
}

// clockConditions tell that the clock contradicts what was known before.
func (d *Gateway) clockConditions() []alerts.Alert {
	jump, is := d.clock.Jump()
	if !is {
		return nil
	}
	if jump.Decided {
		return []alerts.Alert{alerts.ClockJumpedBack.Raise(nil)}
	}
	v := alerts.Values{"shows": jump.Shows.In(d.origin.Location).Format(time.DateTime)}
	if !jump.Passed.IsZero() {
		v["passed"] = jump.Passed.In(d.origin.Location).Format(time.DateTime)
	}
	return []alerts.Alert{alerts.ClockJumped.Raise(v)}
}

func (d *Gateway) boardConditions() (as []alerts.Alert) {
	printed, _ := d.board.Throttled()
	bits, _ := pi.ThrottledBits(printed) // 0 where unknown
	if d.power.LowWithin(alerts.PowerWeak.Limit().Window) || bits&pi.UndervoltageNow != 0 {
		as = append(as, alerts.PowerWeak.Raise(nil))
	}
	temp, _ := d.board.TempC()
	hot := d.gates.Over(alerts.TooHot, "", temp)
	if slow := bits & (pi.CappedNow | pi.ThrottledNow | pi.HotNow); hot || slow != 0 && bits&pi.UndervoltageNow == 0 {
		as = append(as, alerts.TooHot.Raise(nil))
	}
	if d.cfg.Clock.Source == "kernel" && !d.clock.Now().Known() && !d.board.HasRTC() {
		as = append(as, alerts.NoClockChip.Raise(nil))
	}
	return as
}
