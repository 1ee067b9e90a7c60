package card

// Tracker turns scans of a field into arrivals and departures. A card at the edge
// of the field is missed now and then, so one that was there counts as gone only
// after a number of scans in a row that did not see it.
type Tracker struct {
	misses  int
	present map[UID]int // scans in a row that missed it
}

// NewTracker makes a tracker for which a card is gone after so many misses in a
// row.
func NewTracker(misses int) *Tracker {
	return &Tracker{misses: max(misses, 1), present: make(map[UID]int)}
}

// Observe takes the cards of one successful scan and returns those that were not
// there before, in the order seen, and the UIDs of those that left. A scan that
// failed must not be passed: it says nothing of the cards.
func (t *Tracker) Observe(seen []Card) (arrived []Card, left []UID) {
	for uid := range t.present {
		t.present[uid]++
	}
	for _, c := range seen {
		if _, known := t.present[c.UID]; !known {
			arrived = append(arrived, c)
		}
		t.present[c.UID] = 0
	}
	for uid, missed := range t.present {
		if missed >= t.misses {
			delete(t.present, uid)
			left = append(left, uid)
		}
	}
	return arrived, left
}
