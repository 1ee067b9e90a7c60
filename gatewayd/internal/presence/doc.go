// Package presence is the gateway's vocabulary: what it records, what it sends to the
// city, and in which form.
//
// It exists so that the other packages can speak of the same things without knowing each
// other. A Draft is what one of them wants recorded. The journal gives it a stream and a
// sequence number, and it becomes a Record, which never changes again. When it is sent,
// it becomes an event in JSON, together with what is known by then of its time (Timing).
//
// The package depends on the standard library alone.
package presence
