// Package presence is the gateway's vocabulary: what it records, what it says
// to the city, and in which form.
//
// It exists so that every room speaks of the same things without knowing each
// other. A Draft is what a room wants recorded; the journal gives it a stream
// and a sequence number and it becomes a Record, which never changes again;
// at the moment of sending, what is then known of time turns it into an event
// in JSON.
//
// The package depends on the standard library alone.
package presence
