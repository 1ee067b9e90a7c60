package card

// Tracker turns looks at a field into arrivals and departures. A card at the
// edge of the field is missed now and then, so one that was there has left
// only after a number of looks in a row that did not see it.
type Tracker struct {
	misses  int
	present map[UID]int // looks in a row that missed it
}

// NewTracker makes a tracker that takes a card as gone after so many misses in
// a row; 1 believes the first.
func NewTracker(misses int) *Tracker {
	return &Tracker{misses: max(misses, 1), present: make(map[UID]int)}
}

// Look takes the cards of one successful poll and returns those that were not
// there before, in the order seen, and the identifiers of those that left.
// A poll that failed must not be passed: it saw nothing because it could not
// look.
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
