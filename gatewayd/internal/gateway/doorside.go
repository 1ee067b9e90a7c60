package gateway

import (
	"errors"

	"presence/config"
	"presence/drivers/bus"
	"presence/drivers/lamp"
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/door"
	"presence/gatewayd/internal/health"
	"presence/gatewayd/internal/presence"
)

// doorSide is where people show their badges: the readers' taps, the lamp that
// answers them, and for how long no card came.
type doorSide struct {
	*door.Door
	lamp      *lamp.Lamp
	lampFault error // which of the lamp's pins cannot be opened
	silence   *health.Silence
}

// openDoor makes taps of cards and shows their outcome on the lamp. A lamp that
// cannot be lit does not keep the gateway from recording: it becomes an alert.
func (g *Gateway) openDoor(observe func(presence.Answer)) {
	d := &g.door
	if d.lamp, d.lampFault = openLamp(g.cfg.Feedback, bus.Pin, g.log); d.lampFault != nil {
		g.log.Error("the lamp is not complete", "error", d.lampFault)
	}
	d.silence = health.NewSilence(health.SilenceOptions{
		Open: g.documents.hours.Open, Always: g.documents.hours.Always, Timing: g.time.Timing,
	})
	d.Door = door.New(door.Options{
		RepeatWindow: g.cfg.Badges.RepeatWindow,
		Badges:       configured.Badges(g.cfg),
		Journal:      g.journal,
		Lamp:         signals{d.lamp},
		Trouble:      d.lamp.Trouble,
		Refusing:     g.journal.Refusing,
		Now:          g.time.Now,
		Simulated:    g.cfg.Simulated(),
		Observe: func(a presence.Answer) {
			if g.mocks != nil {
				g.mocks.Observe(a)
			}
			g.watchers.tap(g.time.stamp(), a)
			if observe != nil {
				observe(a)
			}
		},
		RequireAuthenticated: g.cfg.Badges.Require == config.RequireAuthenticated,
		Prover:               g.badges.prover,
		Least:                g.leastOf,
		Revoked:              g.badges.revoked.Has,
		Claims:               claimsOf,
		Check:                g.tagCheck,
		Sights:               g.journal,
		Log:                  g.log,
	}, names(g.cfg.Readers, func(r config.Reader) string { return r.Name })...)
}

// maxRecalled is how many records are looked at for the last card of each reader.
const maxRecalled = 20_000

// recallCards reads from the journal when each reader last saw a card.
func (g *Gateway) recallCards() {
	missing := make(map[string]bool)
	for _, r := range g.cfg.Readers {
		missing[r.Name] = true
	}
	looked := 0
	var last []presence.Entry // of each reader
	err := g.journal.Tail(func(e presence.Entry) bool {
		if e.Badge != nil && missing[e.Badge.Reader] {
			last = append(last, e)
			delete(missing, e.Badge.Reader)
		}
		looked++
		return len(missing) > 0 && looked < maxRecalled
	})
	for _, e := range last {
		revisions, failed := g.journal.Revisions(e.Pos, e.Pos)
		err = errors.Join(err, failed)
		g.door.silence.Recall(e.Badge.Reader, e.At, revisions[e.Pos].Timing)
	}
	if err != nil {
		g.log.Warn("nobody knows when the readers saw their last card", "error", err)
	}
}

// doorConditions are the alerts about the lamp, and about readers that have seen no
// card for too long.
func (g *Gateway) doorConditions() (as []alerts.Alert) {
	if err := g.door.lampFault; err != nil {
		as = append(as, alerts.LampBroken.Raise(withError(err)))
	}
	return append(as, g.door.silence.Alerts(g.time.Now(), g.door.Health())...)
}

// tagCheck tells where the tag was of the person who showed a badge, at that moment;
// nil where the roster names no tag for the badge.
func (g *Gateway) tagCheck(badge string, seen presence.Reading) *presence.TagCheck {
	tag, ok := g.documents.roster.TagOf(badge)
	if !ok {
		return nil
	}
	return g.tags.Check(tag, seen)
}
