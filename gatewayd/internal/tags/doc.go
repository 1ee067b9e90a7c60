// Package tags turns position fixes into sightings: those fixes that are worth
// recording, and may be recorded.
//
// It exists because a tag sends the same position again and again, through several
// receivers, and also on Sundays. A fix outside the working hours is dropped before
// it touches the disk; one that was heard before is a duplicate; one that tells
// nothing new is thinned out; and of the position only as much is kept as the
// configuration allows.
//
// It also knows where each tag is now, which is asked at a tap. Fixes under a roof
// jump, so that this is decided over several of them: see track.go. Anybody can send
// with a tag's id: see rivals.go for how that is noticed.
package tags
