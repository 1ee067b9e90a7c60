// Package outage remembers when the gateway could not do its work: a reader
// that was deaf, a receiver that was gone, a journal without room, a clock
// that nobody had set.
//
// It exists for the person who stood at a dead reader. A device failure
// allows an entry by hand, so the failure must be provable weeks later, when
// the alert has long been cleared.
package outage
