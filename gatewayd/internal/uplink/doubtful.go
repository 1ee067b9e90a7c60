package uplink

import "presence/gatewayd/internal/interval"

// doubtful is positions of events over one of which a broker may have hung up. Those that
// were sent in their turn are kept apart from the others: they are acknowledged in order,
// and the others may be anywhere, as a resync, a correction, or a tap that is sent ahead
// of a backlog.
type doubtful struct {
	inTurn, others interval.Set[uint64]
}

// add adds the events of some publications, and reports whether some were not there yet.
func (d *doubtful) add(all []sent) (grown bool) {
	for i := range all {
		e := &all[i]
		set := &d.others
		if e.first {
			set = &d.inTurn
		}
		add := func(pos uint64) {
			if !set.Has(pos) {
				*set, grown = set.Add(spanOf(pos, pos)), true
			}
		}
		add(e.pos)
		for _, m := range e.more {
			add(m.pos)
		}
	}
	return grown
}

// acknowledged takes out an event that the broker acknowledged, and those in turn before
// it: they have been acknowledged too, or need no sending any more.
func (d *doubtful) acknowledged(pos uint64, inTurn bool) {
	if inTurn {
		d.inTurn = d.inTurn.Remove(spanOf(0, pos))
	} else {
		d.inTurn = d.inTurn.Remove(spanOf(pos, pos))
	}
	d.others = d.others.Remove(spanOf(pos, pos))
}

func (d *doubtful) has(pos uint64) bool { return d.inTurn.Has(pos) || d.others.Has(pos) }

func (d *doubtful) empty() bool { return len(d.inTurn) == 0 && len(d.others) == 0 }
