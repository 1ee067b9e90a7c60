package presence

import "time"

// Whereabouts is where a tag is, as far as its live fixes tell.
type Whereabouts struct {
	// Zone is settled: one fix alone does not change it. It is ZoneOutside only
	// as long as the newest fix is sure of that; ZoneNone without a fence.
	Zone Zone
	// For is for how long the tag has been in Zone, from the first fix that
	// said so, without one that said otherwise and without a silence. For less
	// Age is how long the fixes themselves span.
	For time.Duration
	// Age is that of the newest live fix.
	Age time.Duration
	// Silent is true where the tag was not heard for twice as long as it usually
	// takes. What else is told is of the past then.
	Silent bool
	// Conflict is true where the tag was heard at two places that nobody can be at
	// in turn: somebody else sends with its id. The zone is uncertain then.
	Conflict bool
	// Restless is true where the tag went to and fro between two places lately, as
	// nobody goes to work: its being outside is not to be held against anybody.
	Restless bool
	// Distance from the middle of the office in metres, nil where it is not
	// known or must not be told. It is as coarse as the coordinates are.
	Distance *float64
}
