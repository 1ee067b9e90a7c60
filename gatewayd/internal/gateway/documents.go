package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"presence/config"
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/hours"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/roster"
	"presence/gatewayd/internal/signed"
	"presence/gatewayd/internal/tags"
	"presence/gatewayd/internal/uplink"
)

// documents are the rules by which tags are recorded, from files of the configuration
// or signed by the city.
type documents struct {
	fence      *tags.Fence // nil: none is configured, or its file is wrong
	fenceFault error

	roster       *roster.Roster   // who carries which tag, and what each badge must show
	rosterFile   *roster.Follower // nil: none is configured
	rosterKeeper *signed.Keeper   // nil: the city has no key here to sign one with

	hours       *hours.Policy  // when tag data may be recorded
	hoursKeeper *signed.Keeper // nil: as above
}

// topics are the retained topics of the city, and what takes their payloads.
func (d *documents) topics() map[string]uplink.Document {
	topics := make(map[string]uplink.Document)
	if d.rosterKeeper != nil {
		topics[configured.TopicRoster] = d.rosterKeeper
	}
	if d.hoursKeeper != nil {
		topics[configured.TopicHours] = d.hoursKeeper
	}
	return topics
}

// openFence makes the fence around the office. With a wrong one the gateway records
// taps and positions all the same.
func (g *Gateway) openFence() {
	d := &g.documents
	if d.fence, d.fenceFault = configured.Fence(g.cfg.Office); d.fenceFault != nil {
		g.log.Error("there is no fence until its file is right and the gateway is reloaded", "error", d.fenceFault)
	}
}

// openRoster puts the roster in force that comes from the file or was kept from the
// city.
func (g *Gateway) openRoster() {
	g.documents.roster = roster.New()
	badges := configured.Badges(g.cfg)
	if file := g.cfg.Tags.RosterFile; file != "" {
		g.documents.rosterFile = roster.Follow(file, badges, g.documents.roster, g.log)
	}
	if g.cfg.Badges.Key == nil && !g.cfg.Badges.PlainUID {
		return // a badge has no name here, so no roster can mean it
	}
	g.documents.rosterKeeper = g.keeper("roster", "entries", func(d signed.Document) (keep []byte, use func(), err error) {
		pairs, err := roster.ParseEntries(d.Body, badges)
		if err != nil {
			return nil, nil, err
		}
		keep, err = json.Marshal(pairs)
		return keep, func() { g.documents.roster.SetDocument(pairs) }, err
	})
}

// openHours puts the working hours in force that come from the file or were kept from
// the city.
func (g *Gateway) openHours() {
	zone := g.cfg.Gateway.Timezone
	g.documents.hours = hours.NewPolicy(configured.Calendar(zone, g.cfg.Hours))
	g.documents.hoursKeeper = g.keeper("hours", "hours", func(d signed.Document) (keep []byte, use func(), err error) {
		h, err := config.ParseHours("policy", d.Body)
		var wrong config.Problems
		if errors.As(err, &wrong) {
			return nil, nil, fmt.Errorf("%s: %s (%d problems in all)", wrong[0].Key, wrong[0].Text, len(wrong))
		}
		if err != nil {
			return nil, nil, err
		}
		keep, err = json.Marshal(json.RawMessage(d.Body)) // without spaces
		return keep, func() { g.documents.hours.Set(configured.Calendar(zone, h)) }, err
	})
}

// keeper checks and keeps the city's documents of a kind. It is nil where the city has
// no key here to sign them with. The body lies in the field of that name; parse says
// what of it two documents are compared by, and how to put it in force.
func (g *Gateway) keeper(kind, body string, parse func(signed.Document) ([]byte, func(), error)) *signed.Keeper {
	if g.cfg.City.Key == nil {
		return nil
	}
	return signed.New(signed.Options{
		Form: signed.Form{Kind: kind, Body: body, Dinas: g.cfg.Gateway.Dinas, Gateway: g.cfg.Gateway.ID},
		Key:  g.cfg.City.Key,
		Path: filepath.Join(g.cfg.Gateway.StateDir, kind+".json"), Secret: g.documentSecret(kind), Parse: parse, Log: g.log,
	})
}

// documentSecret is the key under which a document is kept on disk, nil for none. The
// city may have written card numbers into a roster or a list of lost badges, so those are
// encrypted under a key that follows from the badge key. Working hours are no secret, and
// keys of badges come sealed.
func (g *Gateway) documentSecret(kind string) *[32]byte {
	if kind != configured.TopicRoster && kind != configured.TopicBadgeRevoked || g.cfg.Badges.Key == nil {
		return nil
	}
	mac := hmac.New(sha256.New, g.cfg.Badges.Key[:])
	mac.Write([]byte("gatewayd kept " + kind + " v2"))
	return (*[32]byte)(mac.Sum(nil))
}

// rosterHealth says which roster is in force.
func (g *Gateway) rosterHealth() presence.RosterHealth {
	h := presence.RosterHealth{Source: string(g.documents.roster.Source()), Entries: g.documents.roster.Entries()}
	if k := g.documents.rosterKeeper; k != nil {
		s := k.State()
		h.Serial, h.Refused = s.Serial, s.Refused
	}
	return h
}

// hoursHealth says which working hours are in force, and whether it is one now: nil
// while the time is not known.
func (g *Gateway) hoursHealth() presence.HoursHealth {
	h := presence.HoursHealth{Source: "file"}
	if k := g.documents.hoursKeeper; k != nil {
		s := k.State()
		h.Serial, h.Refused = s.Serial, s.Refused
		if s.Serial > 0 {
			h.Source = "topic"
		}
	}
	t := g.time.Proven(g.time.Now())
	if open := g.documents.hours.Open(t.Time); t.Within(presence.Roughly) || g.documents.hours.Always() {
		h.Open = &open
	}
	return h
}

// documentConditions are the alerts about fence, roster and working hours. That of a
// refused document stands until a valid one comes: what the topic holds is not what is
// in force.
func (g *Gateway) documentConditions() (as []alerts.Alert) {
	if g.documents.fenceFault != nil {
		as = append(as, alerts.FenceWrong.Raise(withError(g.documents.fenceFault), g.cfg.Office.FenceFile))
	}
	if g.documents.rosterFile != nil {
		if err := g.documents.rosterFile.Problem(); err != nil {
			as = append(as, alerts.RosterFileWrong.Raise(withError(err), g.cfg.Tags.RosterFile))
		}
	}
	for _, doc := range []struct {
		keeper  *signed.Keeper
		refused alerts.Kind
		topic   string
	}{
		{g.documents.rosterKeeper, alerts.RosterRefused, configured.TopicRoster},
		{g.documents.hoursKeeper, alerts.HoursRefused, configured.TopicHours},
	} {
		if doc.keeper == nil {
			continue
		}
		if err := doc.keeper.State().Problem; err != nil {
			as = append(as, doc.refused.Raise(withError(err), doc.topic))
		}
	}
	return as
}
