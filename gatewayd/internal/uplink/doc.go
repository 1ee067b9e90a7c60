// Package uplink is the gateway's line to the city, and the only importer of
// paho.
//
// It exists because "published" is not "delivered": it sends the journal's
// events in order, a window of them at a time, and moves the journal's cursor
// only over an unbroken run of confirmed ones. It trusts no state of a
// connection beyond that connection: each has a client of its own with a clean
// session, and after a loss the next begins at the cursor. What a broker gets
// twice by that has the same id.
package uplink
