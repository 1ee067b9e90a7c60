package gateway

import (
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
)

// openOutages reads when this gateway could not work so far. Without that it
// works all the same.
func (d *Gateway) openOutages() {
	var err error
	if d.outages, err = outage.Open(d.journal, d.journal.Stream(), d.clock, d.lastAlive); err != nil {
		d.log.Error("not all earlier outages can be read", "error", err)
	}
}

// lastAlive tells when the process of an earlier stream was last known to run,
// false where nobody knows. The zero stream is the one before this.
func (d *Gateway) lastAlive(stream presence.ID) (alive presence.Reading, ok bool) {
	next := false // the next older record is the stream's last
	err := d.journal.Tail(func(e presence.Entry) bool {
		if next {
			alive, ok = e.At, true
			return false
		}
		if e.Start == nil || e.Start.Previous == nil ||
			stream != (presence.ID{}) && stream != e.Start.Previous.Stream {
			return true
		}
		if e.Start.Alive != nil {
			alive, ok = *e.Start.Alive, true
			return false
		}
		next = true // the first versions did not note it
		return true
	})
	if err != nil {
		d.log.Error("the last sign of life cannot be read", "error", err)
	}
	return alive, ok
}

// closeOutages notes that the gateway stops.
func (d *Gateway) closeOutages() {
	if d.outages == nil || d.journal.Refused() != nil {
		return
	}
	if err := d.outages.Close(d.clock.Now()); err != nil {
		d.log.Warn("an outage is not noted on disk", "error", err)
	}
}

// noteOutages keeps what a health document and its alerts say of outages. The
// monitor alone calls it.
func (d *Gateway) noteOutages(doc presence.Health, standing []alerts.Alert) {
	var broken []alerts.Outage
	for _, a := range standing {
		if o, ok := a.Outage(); ok {
			broken = append(broken, o)
		}
	}
	if doc.Clock.Quality == presence.QualityUnsynced {
		broken = append(broken, alerts.Outage{Failure: alerts.ClockUnknown})
	}
	d.journal.Alive()
	err := d.outages.Observe(d.clock.Now(), broken, d.cfg.Journal.Keep)
	if failed := err != nil; failed != d.outagesUnsaved {
		d.outagesUnsaved = failed
		if failed {
			d.log.Warn("an outage is not noted on disk yet", "error", err)
		}
	}
}
