package gateway

import (
	"presence/gatewayd/internal/staff"
)

// newStaff says who is where, nil where nobody can tell: without a fence, and with
// one that is wrong, nothing is inside, and who hears no tags or reads no badges knows only half of it.
func (d *Gateway) newStaff() *staff.Staff {
	if d.cfg.Office == nil || d.fenceFault != nil || len(d.cfg.Readers) == 0 || len(d.cfg.Receivers) == 0 {
		return nil
	}
	return staff.New(staff.Options{
		Roster:    d.carriers,
		Where:     d.tags.Where,
		Open:      d.hours.Open,
		Location:  d.origin.Location,
		Now:       d.clock.Now,
		Timing:    d.clock.Proven,
		Journal:   d.journal,
		Simulated: d.cfg.Simulated(),
	})
}

// carriers is the tag of each badge in the roster, until that changes.
func (d *Gateway) carriers() (tags map[string]string, replaced <-chan struct{}) {
	pairs, replaced := d.roster.Pairs()
	tags = make(map[string]string, len(pairs))
	for _, p := range pairs {
		tags[p.Badge] = p.Tag
	}
	return tags, replaced
}
