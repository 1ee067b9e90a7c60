package card

import "slices"

// GainResult is how well a card was heard at one gain of a reader chip whose gain
// can be set.
type GainResult struct {
	DB        int `json:"gain_db"`
	Scans     int `json:"looks"`
	Seen      int `json:"seen"`       // scans that saw a card
	BadFrames int `json:"bad_frames"` // attempts at it that failed
}

// BestGain is the gain at which most scans saw a card, and of those the one with
// the fewest failed attempts. Where several next to each other are as good, it
// is the one in their middle: too little gain and too much are both near there.
// It is false where no scan saw any.
func BestGain(results []GainResult) (db int, ok bool) {
	better := func(a, b GainResult) int {
		if a.Seen != b.Seen {
			return a.Seen - b.Seen
		}
		return b.BadFrames - a.BadFrames
	}
	if len(results) == 0 {
		return 0, false
	}
	best := slices.MaxFunc(results, better)
	if best.Seen == 0 {
		return 0, false
	}
	first := slices.IndexFunc(results, func(r GainResult) bool { return better(r, best) == 0 })
	last := first
	for last+1 < len(results) && better(results[last+1], best) == 0 {
		last++
	}
	return results[(first+last)/2].DB, true
}
