package gateway

import (
	"slices"
	"strings"

	"presence/config"
	"presence/drivers/beacon"
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/roster"
	"presence/gatewayd/internal/staff"
	"presence/gatewayd/internal/tags"
)

// tagSide is where tags are heard, and where badges and tags are put together.
type tagSide struct {
	*tags.Tags
	staff *staff.Staff // nil: this gateway cannot tell who is where
}

// openTags makes sightings of the positions that tags send.
func (g *Gateway) openTags() {
	t := g.cfg.Tags
	g.tags.Tags = tags.New(tags.Options{
		MinInterval: t.MinInterval, MinMove: t.MinMoveM, Heartbeat: t.Heartbeat,
		Coordinates: tags.Coordinates(t.Coordinates),
		Fence:       g.documents.fence,
		Always:      g.documents.hours.Always,
		Open:        g.documents.hours.Open,
		Now:         g.time.Now,
		Timing:      g.time.Proven,
		Journal:     g.journal,
		Simulated:   g.cfg.Simulated(),
		Log:         g.log,
	}, names(g.cfg.Receivers, func(r config.Receiver) string { return r.Name })...)
}

// conditions name the tags that somebody has copied, those that call for help, and the
// receivers whose tags send what they are not configured for.
func (t *tagSide) conditions() (all []alerts.Alert) {
	if names := t.Conflicts(); len(names) > 0 {
		all = append(all, alerts.TagConflict.Raise(nil, names...))
	}
	if names := t.Emergencies(); len(names) > 0 {
		all = append(all, alerts.TagEmergency.Raise(nil, names...))
	}
	if names := t.LowBatteries(); len(names) > 0 {
		all = append(all, alerts.TagBattery.Raise(nil, names...))
	}
	for _, r := range []struct {
		why  beacon.Reason
		kind alerts.Kind
	}{
		{beacon.BadPayload, alerts.ReceiverPayload},
		{beacon.BadKey, alerts.ReceiverKey},
		{beacon.BadLocked, alerts.ReceiverLocked},
		{beacon.BadRegion, alerts.ReceiverRegion},
	} {
		for _, name := range t.Rejecting(r.why) {
			all = append(all, r.kind.Raise(nil, name))
		}
	}
	return all
}

// renamedTags names the tags that call themselves by another name than before: those
// whose old name the roster still has, or all where there is no roster.
func (g *Gateway) renamedTags() []alerts.Alert {
	pairs, _ := g.documents.roster.Pairs()
	var about, changes []string
	for _, r := range g.tags.Renamed() {
		enrolled := slices.ContainsFunc(pairs, func(p roster.Pair) bool { return p.Tag == r.Formerly })
		if len(pairs) == 0 || enrolled {
			about = append(about, r.Formerly, r.Now)
			changes = append(changes, r.Formerly+" -> "+r.Now)
		}
	}
	if len(about) == 0 {
		return nil
	}
	return []alerts.Alert{alerts.TagRenamed.Raise(alerts.Values{"changes": strings.Join(changes, ", ")}, about...)}
}

// openStaff makes what says who is on site. There is none where that cannot be known:
// without a fence, or with a wrong one, nobody is inside, and a gateway without
// readers or without receivers knows only tags or only badges.
func (g *Gateway) openStaff() {
	if g.cfg.Office == nil || g.documents.fenceFault != nil || len(g.cfg.Readers) == 0 || len(g.cfg.Receivers) == 0 {
		return
	}
	g.tags.staff = staff.New(staff.Options{
		Roster:    g.carriers,
		Where:     g.tags.Where,
		Open:      g.documents.hours.Open,
		Location:  g.origin.Location,
		Now:       g.time.Now,
		Timing:    g.time.Proven,
		Journal:   g.journal,
		Simulated: g.cfg.Simulated(),
	})
}

// carriers is the tag of each badge in the roster. The channel is closed when
// another roster replaces this one.
func (g *Gateway) carriers() (tags map[string]string, replaced <-chan struct{}) {
	pairs, replaced := g.documents.roster.Pairs()
	tags = make(map[string]string, len(pairs))
	for _, p := range pairs {
		tags[p.Badge] = p.Tag
	}
	return tags, replaced
}
