package main

import (
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
)

// openOutages reads when this gateway could not work so far. Without that it
// works all the same.
func (d *daemon) openOutages() {
	// The last sign of life before this process: the newest record that is not
	// of its own stream.
	var alive presence.Reading
	err := d.journal.Tail(func(e presence.Entry) bool {
		alive = e.At
		return e.Stream == d.journal.Stream()
	})
	if err != nil {
		d.log.Error("the last sign of life cannot be read", "error", err)
	}
	if d.outages, err = outage.Open(d.journal, alive); err != nil {
		d.log.Error("earlier outages cannot be read", "error", err)
	}
}

// noteOutages keeps what a health document and its alerts say of outages. The
// monitor alone calls it.
func (d *daemon) noteOutages(doc presence.Health, standing []alerts.Alert) {
	var broken []alerts.Outage
	for _, a := range standing {
		if o, ok := a.Outage(); ok {
			broken = append(broken, o)
		}
	}
	if doc.Clock.Quality == presence.QualityUnsynced {
		broken = append(broken, alerts.Outage{Failure: alerts.ClockUnknown})
	}
	err := d.outages.Look(d.clock.Now(), broken, d.cfg.Journal.Keep)
	if failed := err != nil; failed != d.outagesUnsaved {
		d.outagesUnsaved = failed
		if failed {
			d.log.Warn("an outage is not noted on disk yet", "error", err)
		}
	}
}
