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
)

// The retained topics of the city's documents.
const (
	topicRoster = "roster"
	topicHours  = "policy/hours"
)

// documents are what the city signs for a gateway; nil where no key is
// configured to check them by.
type documents struct {
	roster *signed.Keeper
	hours  *signed.Keeper
}

// topics says who reads which retained topic of the city.
func (d documents) topics() map[string]func([]byte) {
	topics := make(map[string]func([]byte))
	if d.roster != nil {
		topics[topicRoster] = d.roster.Receive
	}
	if d.hours != nil {
		topics[topicHours] = d.hours.Receive
	}
	return topics
}

// openRoster puts the roster in force that the file or the city gives.
func (d *Gateway) openRoster() {
	d.roster = roster.New()
	badges := configured.Badges(d.cfg)
	if file := d.cfg.Tags.RosterFile; file != "" {
		d.rosterFile = roster.Follow(file, badges, d.roster, d.log)
	}
	if d.cfg.Badges.Key == nil && !d.cfg.Badges.PlainUID {
		return // nobody knows here what badges are called
	}
	d.signed.roster = d.keeper("roster", "entries", func(body []byte) (keep []byte, use func(), err error) {
		pairs, err := roster.ParseEntries(body, badges)
		if err != nil {
			return nil, nil, err
		}
		keep, err = json.Marshal(pairs)
		return keep, func() { d.roster.SetDocument(pairs) }, err
	})
}

// openHours puts the working hours in force that the file or the city gives.
func (d *Gateway) openHours() {
	zone := d.cfg.Gateway.Timezone
	d.hours = hours.NewPolicy(configured.Calendar(zone, d.cfg.Hours))
	d.signed.hours = d.keeper("hours", "hours", func(body []byte) (keep []byte, use func(), err error) {
		h, err := config.ParseHours("policy", body)
		var wrong config.Problems
		if errors.As(err, &wrong) {
			return nil, nil, fmt.Errorf("%s: %s (%d problems in all)", wrong[0].Key, wrong[0].Text, len(wrong))
		}
		if err != nil {
			return nil, nil, err
		}
		keep, err = json.Marshal(json.RawMessage(body)) // without spaces
		return keep, func() { d.hours.Set(configured.Calendar(zone, h)) }, err
	})
}

// keeper keeps a kind of document, nil where there is no key.
func (d *Gateway) keeper(kind, body string, judge func([]byte) ([]byte, func(), error)) *signed.Keeper {
	if d.cfg.City.Key == nil {
		return nil
	}
	return signed.New(signed.Options{
		Form: signed.Form{Kind: kind, Body: body, Dinas: d.cfg.Gateway.Dinas, Gateway: d.cfg.Gateway.ID},
		Key:  d.cfg.City.Key,
		Path: filepath.Join(d.cfg.Gateway.StateDir, kind+".json"), Secret: d.documentSecret(kind), Judge: judge, Log: d.log,
	})
}

// documentSecret seals a kept roster: the city may have written card numbers into
// it, which only the badge key turns into badges. Working hours are no secret.
func (d *Gateway) documentSecret(kind string) *[32]byte {
	if kind != "roster" || d.cfg.Badges.Key == nil {
		return nil
	}
	mac := hmac.New(sha256.New, d.cfg.Badges.Key[:])
	mac.Write([]byte("gatewayd kept roster v2"))
	return (*[32]byte)(mac.Sum(nil))
}

func (d *Gateway) rosterHealth() presence.RosterHealth {
	pairs, _ := d.roster.Pairs()
	h := presence.RosterHealth{Source: string(d.roster.Source()), Entries: len(pairs)}
	if k := d.signed.roster; k != nil {
		s := k.State()
		h.Serial, h.Refused = s.Serial, s.Refused
	}
	return h
}

func (d *Gateway) hoursHealth() presence.HoursHealth {
	h := presence.HoursHealth{Source: "file"}
	if k := d.signed.hours; k != nil {
		s := k.State()
		h.Serial, h.Refused = s.Serial, s.Refused
		if s.Serial > 0 {
			h.Source = "topic"
		}
	}
	t := d.clock.Proven(d.clock.Now())
	if open := d.hours.Open(t.Time); t.Within(presence.Roughly) || d.hours.Always() {
		h.Open = &open
	}
	return h
}

// documentConditions are what is wrong with fence, roster and working hours. A refused
// document stands until a valid one comes: what the topic said last is not what
// is in force.
func (d *Gateway) documentConditions() (as []alerts.Alert) {
	if d.fenceFault != nil {
		as = append(as, alerts.FenceWrong.Raise(withError(d.fenceFault), d.cfg.Office.FenceFile))
	}
	if d.rosterFile != nil {
		if err := d.rosterFile.Problem(); err != nil {
			as = append(as, alerts.RosterFileWrong.Raise(withError(err), d.cfg.Tags.RosterFile))
		}
	}
	for _, doc := range []struct {
		keeper  *signed.Keeper
		refused alerts.Kind
		topic   string
	}{
		{d.signed.roster, alerts.RosterRefused, topicRoster},
		{d.signed.hours, alerts.HoursRefused, topicHours},
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
