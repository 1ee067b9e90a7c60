package gateway

import (
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
)

// outages is the record of the times in which the gateway could not work.
type outages struct {
	log     *outage.Log
	unsaved bool // the last try to save failed, which the log has said
}

// openOutages reads the outages so far. A gateway that cannot read them works all
// the same.
func (g *Gateway) openOutages() {
	var err error
	if g.outages.log, err = outage.Open(g.journal, g.journal.Stream(), g.time.Clock, g.lastAlive); err != nil {
		g.log.Error("not all earlier outages can be read", "error", err)
	}
}

// lastAlive tells when the process of an earlier stream was last known to run, false
// where nobody knows. The zero stream is the one before this.
func (g *Gateway) lastAlive(stream presence.ID) (presence.Reading, bool) {
	alive, ok, err := outage.LastAlive(g.journal.Tail, stream)
	if err != nil {
		g.log.Error("the last sign of life cannot be read", "error", err)
	}
	return alive, ok
}

// noteOutages records what a health document and its alerts say of outages. Only the
// monitor calls it, from one goroutine.
func (g *Gateway) noteOutages(doc presence.Health, standing []alerts.Alert) {
	var broken []alerts.Outage
	for _, a := range standing {
		if o, ok := a.Outage(); ok {
			broken = append(broken, o)
		}
	}
	if doc.Clock.Quality == presence.QualityUnsynced {
		broken = append(broken, alerts.Outage{Failure: alerts.ClockUnknown})
	}
	g.journal.Alive()
	err := g.outages.log.Observe(g.time.Now(), broken, g.cfg.Journal.Keep)
	if failed := err != nil; failed != g.outages.unsaved {
		g.outages.unsaved = failed
		if failed {
			g.log.Warn("an outage is not noted on disk yet", "error", err)
		}
	}
}

// closeOutages records that the gateway stops.
func (g *Gateway) closeOutages() {
	if g.outages.log == nil || g.journal.Refused() != nil {
		return
	}
	if err := g.outages.log.Close(g.time.Now()); err != nil {
		g.log.Warn("an outage is not noted on disk", "error", err)
	}
}
