package recap

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// ErrSameEvents means that an event is on two sheets: they are of one gateway, or of a
// copy of its file, and its taps would be counted twice.
var ErrSameEvents = errors.New("the same events are in both")

// Merge makes one sheet of several gateways' sheets of the same day or month, at least
// one. A badge that was shown at several of them has one line for each day: its first
// and its last tap wherever they were. That takes gateways that know a card by the same
// id, which they do where plain_uid is set; else it has a line for each gateway. All
// else stands side by side, with the gateway that it is about.
func Merge(sheets ...Sheet) (Sheet, error) {
	all := sheets[0]
	all.Badges = slices.Clone(all.Badges)
	all.Gateways = slices.Clone(all.Gateways)
	for _, s := range sheets[1:] {
		if s.Month != all.Month || !s.From.Equal(all.From) || !s.To.Equal(all.To) {
			return Sheet{}, fmt.Errorf("merge recaps: %s has another day than %s: do their time zones differ?", s.Origin.Gateway, all.Origin.Gateway)
		}
		for _, name := range s.Gateways {
			if !slices.Contains(all.Gateways, name) {
				all.Gateways = append(all.Gateways, name)
			}
		}
		all.Simulated = all.Simulated || s.Simulated
		all.Damaged = all.Damaged || s.Damaged
		for _, b := range s.Badges {
			if err := all.mergeBadge(b); err != nil {
				return Sheet{}, fmt.Errorf("merge recaps of %s: %w", s.Origin.Gateway, err)
			}
		}
		all.Uncertain = slices.Concat(all.Uncertain, s.Uncertain)
		all.Outages = slices.Concat(all.Outages, s.Outages)
		all.Begins = slices.Concat(all.Begins, s.Begins)
		all.Gaps = slices.Concat(all.Gaps, s.Gaps)
		all.Conflicts = slices.Concat(all.Conflicts, s.Conflicts)
	}
	slices.SortStableFunc(all.Outages, func(a, b Outage) int { return a.From.Time.Compare(b.From.Time) })
	slices.SortStableFunc(all.Conflicts, func(a, b Conflict) int { return cmp.Compare(a.Tag, b.Tag) })
	return all, nil
}

// mergeBadge adds what a badge did on a day elsewhere.
func (s *Sheet) mergeBadge(b Badge) error {
	i, known := slices.BinarySearchFunc(s.Badges, b, byBadgeAndDay)
	if !known {
		s.Badges = slices.Insert(s.Badges, i, b)
		return nil
	}
	one := &s.Badges[i]
	if one.First.Event == b.First.Event || one.Last.Event == b.Last.Event {
		return ErrSameEvents
	}
	one.Taps += b.Taps
	if b.First.At.Time.Before(one.First.At.Time) {
		one.First = b.First
	}
	if !b.Last.At.Time.Before(one.Last.At.Time) {
		one.Last = b.Last
	}
	return nil
}
