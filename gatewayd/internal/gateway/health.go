package gateway

import (
	"slices"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/health"
)

// openMonitor makes what gathers the health of all rooms for the city.
func (g *Gateway) openMonitor() {
	j := g.journal.Stats()
	g.monitor = health.New(health.Options{
		Interval: g.cfg.Health.Interval, QuietInterval: g.cfg.Health.QuietInterval, Simulated: g.cfg.Simulated(),
		Boot: g.time.Now().Boot, Boots: j.Boots, Unclean: j.UncleanBoots,
		Time: g.time.stamp, Now: g.time.Now, Timing: g.time.Timing, Location: g.origin.Location,
		Retain: g.retain,
		Beat:   g.process.systemd.Pulse("health").Beat, Watch: g.noteOutages,
		Sources: health.Sources{
			Clock:      g.clockHealth,
			Journal:    g.journalHealth,
			MQTT:       g.line.Stats,
			Readers:    g.door.Health,
			Receivers:  g.tags.Health,
			Batteries:  g.tags.Batteries,
			Roster:     g.rosterHealth,
			Hours:      g.hoursHealth,
			Badges:     g.badgesHealth,
			Pi:         g.piHealth,
			Conditions: g.conditions,
		},
	})
}

// retain hands a document of the monitor on to the line. When the alert about a rollback
// comes or goes, what the gateway says of its version changes as well.
func (g *Gateway) retain(topic string, payload []byte) {
	g.line.Retain(topic, payload)
	if topic == "alert/"+alerts.RolledBack.Code() {
		g.line.Retain("info", g.info())
	}
}

// conditions are the alerts that do not follow from the health document itself. Each
// part returns those about itself, none while all is well.
func (g *Gateway) conditions() []alerts.Alert {
	return slices.Concat(
		g.process.conditions(),
		g.doorConditions(),
		g.journalConditions(),
		g.foreignConditions(),
		g.waiting.conditions(),
		g.heads.conditions(g.time.Age),
		g.line.conditions(g.origin.Gateway),
		g.time.conditions(),
		g.tags.conditions(),
		g.renamedTags(),
		g.certificateConditions(),
		g.boardConditions(),
		g.documentConditions(),
		g.badgeConditions(),
		g.sealConditions(),
	)
}

// withError puts an error into the texts of an alert.
func withError(err error) alerts.Values { return alerts.Values{"error": err.Error()} }
