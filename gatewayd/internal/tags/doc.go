// Package tags turns position fixes into sightings: what of all that tags say
// is worth recording, and may be.
//
// It exists because a tag says the same thing again and again, through several
// receivers, and also on Sundays. A fix outside the working hours is dropped
// before it touches the disk; one that was heard before is a duplicate; one
// that tells nothing new is thinned out; and of the position only as much is
// kept as the configuration allows.
//
// It also knows where each tag is now, for who asks at a tap. Fixes under a roof
// jump, so that is settled over several of them: see track.go for how. Anybody can
// send with a tag's id: see rivals.go for how that shows.
package tags
