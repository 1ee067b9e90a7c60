package presence

import "time"

// Whereabouts is where a tag is, according to its live fixes.
type Whereabouts struct {
	// Zone is the settled zone: a single fix does not change it. It is ZoneOutside only
	// while the newest fix is certainly outside, and ZoneNone without a fence.
	Zone Zone
	// For is how long the tag has been in Zone: since the first fix there, if no fix
	// elsewhere and no silence came after it. For less Age is the time between the
	// first and the last of those fixes.
	For time.Duration
	// Age is how long ago the newest live fix was.
	Age time.Duration
	// Silent is true if the tag was not heard for twice its usual interval. Then
	// everything else is about the past.
	Silent bool
	// Conflict is true if the tag was heard in turn at two places between which nobody
	// can move so fast: another sender uses its id. The zone is uncertain then.
	Conflict bool
	// Restless is true if the tag lately moved back and forth between two places as
	// nobody does on the way to work: that it is outside is then no evidence.
	Restless bool
	// Distance is from the middle of the office in metres, nil if it is not known or
	// must not be kept. It is as coarse as the coordinates are.
	Distance *float64
}
