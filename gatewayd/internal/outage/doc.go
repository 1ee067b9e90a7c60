// Package outage remembers when the gateway could not do its work: a reader
// that was deaf, a receiver that was gone, a journal without room, a clock
// that nobody had set.
//
// It exists for the person who stood at a dead reader. A device failure
// allows an entry by hand, so the failure must be provable weeks later, when
// the alert has long been cleared; and nobody must be able to claim one that
// was not.
//
// # What is claimed
//
// An outage begins when it was first seen and ends when the thing was first
// seen to work again, when the gateway was stopped, or, where the process just
// ended, when it was last known to run. How long the gateway itself was off is
// not in this log: the start events of the journal say so (presence.Start).
//
// What fails over and over is one outage that says how often and for how long
// altogether.
//
// # When that was
//
// A note has readings of the clocks, and what was known of when they were taken.
// Where the clock never knew, or has forgotten the boot before anybody asked, the
// order bounds it: no outage began before the one that is noted before it, and it
// was over by the first instant after it that was known (see dated).
//
// # What it costs
//
// Each outage is a small note of its own in the store. Beginning and end of an
// outage are saved at once as long as there are few of them; what flaps all day
// is saved with what is written anyway, every hour and a half. After a power cut that
// much of it may be missing, and is never invented.
package outage
