package gateway

import (
	"slices"
	"strconv"
	"time"

	"presence/config"
	"presence/drivers/card"
	"presence/drivers/piv"
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/build"
	"presence/gatewayd/internal/certificates"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/proof"
	"presence/gatewayd/internal/signed"
	"presence/gatewayd/internal/uplink"
)

// badgeSide is what badges prove themselves by.
type badgeSide struct {
	prover *proof.Prover

	authority *proof.Authority // nil: none is configured, or its file cannot be used
	fault     error            // of that file

	revoked       *proof.Revoked // lost badges
	revokedKeeper *signed.Keeper // nil: the city has no key here to sign a list with

	keys       *proof.Keys    // of this office's badges
	keysKeeper *signed.Keeper // nil: as above
}

// openBadges puts the badges' authority in force and what the city has said of badges.
// Without them the gateway records taps all the same, but for those of badges that must
// prove themselves.
func (g *Gateway) openBadges() {
	b := &g.badges
	if b.authority, b.fault = configured.BadgeAuthority(g.cfg); b.fault != nil {
		g.log.Error("no PIV badge can prove who it is until the badge CA's file is right and the gateway is reloaded", "error", b.fault)
	}
	b.revoked, b.keys = new(proof.Revoked), new(proof.Keys)
	names := configured.Badges(g.cfg)
	b.revokedKeeper = g.keeper(configured.TopicBadgeRevoked, "revoked", func(d signed.Document) (content []byte, use func(), err error) {
		list, err := proof.ParseLosses(d.Body, names)
		if err != nil {
			return nil, nil, err
		}
		return d.Body, func() { b.revoked.Use(list) }, nil
	})
	b.keysKeeper = g.keeper(configured.TopicBadgeKeys, "sealed", func(d signed.Document) (content []byte, use func(), err error) {
		sealed := proof.KeyDocument{Dinas: d.Dinas, Gateway: d.Gateway, Serial: d.Serial, Body: d.Body}
		ring, content, err := proof.OpenKeys(sealed, g.cfg.MQTT.KeyFile)
		if err != nil {
			return nil, nil, err
		}
		return content, func() { b.keys.Use(ring) }, nil
	})
	b.prover = proof.New(proof.Options{
		Gateway: g.origin.Gateway, Stream: g.journal.Stream, StateDir: g.cfg.Gateway.StateDir, Badges: names,
		Authority: b.authority, NoCA: b.fault != nil, Revoked: b.revoked, Keys: b.keys, Simulated: configured.SimulatedKeys(g.cfg),
		Between: g.between, Log: g.log,
	})
}

// topics are the retained topics of the city, and what takes their payloads.
func (b *badgeSide) topics() map[string]uplink.Document {
	topics := make(map[string]uplink.Document)
	if b.revokedKeeper != nil {
		topics[configured.TopicBadgeRevoked], topics[configured.TopicBadgeKeys] = b.revokedKeeper, b.keysKeeper
	}
	return topics
}

// between is when a reading was taken, for the dates of certificates: latest is zero while
// the time is not known, and earliest what is past for sure.
func (g *Gateway) between(at presence.Reading) (earliest, latest time.Time) {
	if t := g.time.Proven(at); t.Within(presence.Roughly) {
		return t.Time.Add(-t.Error), t.Time.Add(t.Error)
	}
	return certificates.Latest(g.time.NotBefore(), build.Time()), time.Time{}
}

// claimsOf are the identities that a card claims by its number: that of the PIV badge which
// was issued with it.
func claimsOf(uid card.UID) [][]byte {
	guid := piv.GUIDOf(uid)
	return [][]byte{guid[:]}
}

// leastOf is what a badge with this identity must show at least, by the roster and by the
// keys of badges.
func (g *Gateway) leastOf(identity []byte) card.Assurance {
	asked := g.documents.roster.Least(configured.Badges(g.cfg).Identity(identity))
	if keyed := g.badges.prover.Least(identity); keyed.AtLeast(asked) {
		return keyed
	}
	return asked
}

// badgesHealth says how far badges prove who they are, nil where none can or must.
func (g *Gateway) badgesHealth() *presence.BadgesHealth {
	b := &g.badges
	h := g.door.BadgesHealth()
	h.Require, h.Failed = g.cfg.Badges.Require, b.prover.Failed()
	if g.cfg.Badges.CAFile != "" {
		h.CA = &presence.BadgeCAHealth{}
		if b.authority != nil {
			h.CA.Certificates = b.authority.Certificates()
			h.CA.Expires = b.authority.End().In(g.origin.Location).Format(presence.TimeLayout)
		}
	}
	losses, _ := b.revoked.Entries()
	keys, _ := b.keys.Entries()
	h.Revoked, h.Keys = g.badgeDocument(b.revokedKeeper, losses), g.badgeDocument(b.keysKeeper, keys)
	if h.Require == config.RequireUID && h.CA == nil && h.Revoked == nil && h.Keys == nil {
		return nil
	}
	return &h
}

// badgeDocument says which of a keeper's documents is in force, nil where none ever came.
func (g *Gateway) badgeDocument(k *signed.Keeper, entries int) *presence.BadgeDocumentHealth {
	if k == nil {
		return nil
	}
	s := k.State()
	if s.Serial == 0 && s.Refused == 0 {
		return nil
	}
	h := &presence.BadgeDocumentHealth{Serial: s.Serial, Entries: entries, Refused: s.Refused}
	if t := g.time.Proven(g.time.Now()); s.Serial > 0 && t.Within(presence.Roughly) {
		age := max(0, int64(t.Time.Sub(s.Issued).Seconds()))
		h.AgeS = &age
	}
	return h
}

// badgeConditions are the alerts about what badges prove themselves by.
func (g *Gateway) badgeConditions() []alerts.Alert {
	now, _ := g.between(g.time.Now())
	return slices.Concat(g.authorityConditions(now), g.lossConditions(now), g.keyConditions())
}

// authorityConditions are those about the badges' authority.
func (g *Gateway) authorityConditions(now time.Time) []alerts.Alert {
	b, file := &g.badges, g.cfg.Badges.CAFile
	if b.fault != nil {
		return []alerts.Alert{alerts.BadgeCAUnusable.Raise(withError(b.fault), file)}
	}
	if b.authority == nil {
		return nil
	}
	end, limit := b.authority.End(), alerts.BadgeCAExpiring.Limit().Raise
	v := alerts.Values{"end": language.Moment(end, g.origin.Location), "days": days(limit)}
	switch left := end.Sub(now); {
	case left <= 0:
		return []alerts.Alert{alerts.BadgeCAExpired.Raise(v, file)}
	case left.Seconds() <= limit:
		return []alerts.Alert{alerts.BadgeCAExpiring.Raise(v, file)}
	}
	return nil
}

// lossConditions are those about the list of lost badges. It is missed where there is an
// authority, whose certificates count for years.
func (g *Gateway) lossConditions(now time.Time) (as []alerts.Alert) {
	b := &g.badges
	if b.revokedKeeper == nil {
		if g.cfg.Badges.CAFile != "" {
			as = append(as, alerts.BadgeListUnheard.Raise(nil))
		}
		return as
	}
	s := b.revokedKeeper.State()
	if s.Problem != nil {
		as = append(as, alerts.BadgeListRefused.Raise(withError(s.Problem), configured.TopicBadgeRevoked))
	}
	age := now.Sub(s.Issued).Seconds()
	switch {
	case s.Serial == 0 && g.cfg.Badges.CAFile != "":
		as = append(as, alerts.BadgeListMissing.Raise(nil, configured.TopicBadgeRevoked))
	case s.Serial > 0 && age >= alerts.BadgeListOld.Limit().Raise:
		as = append(as, alerts.BadgeListOld.Raise(alerts.Values{"days": days(age)}, configured.TopicBadgeRevoked))
	}
	return as
}

// keyConditions are those about the keys of badges. They are missed where the roster asks
// for them; a simulated gateway has those of simulated cards.
func (g *Gateway) keyConditions() (as []alerts.Alert) {
	b := &g.badges
	if b.keysKeeper != nil {
		if err := b.keysKeeper.State().Problem; err != nil {
			as = append(as, alerts.BadgeKeysRefused.Raise(withError(err), configured.TopicBadgeKeys))
		}
	}
	if _, here := b.keys.Entries(); !here && !g.cfg.Simulated() && g.documents.roster.Asks(card.AssuranceDESFire) {
		as = append(as, alerts.BadgeKeysMissing.Raise(nil, configured.TopicBadgeKeys))
	}
	return as
}

// days prints a number of seconds in whole days.
func days(seconds float64) string {
	return strconv.Itoa(int(seconds / (24 * time.Hour).Seconds()))
}
