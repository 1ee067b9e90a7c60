// Package interval calculates with runs of whole numbers: positions in the
// journal, sequence numbers of a stream, nanoseconds of true time.
//
// It exists so that this arithmetic, in which it is easy to be off by one, is
// written and tested once.
//
// All intervals are closed: both ends belong to them. Positions and ranges of
// lost events are written down like that, in the journal and in the gap events
// that the city reads, and an instant that is known exactly is an interval of one
// number. Where From lies above To an interval is empty. The zero value is not
// empty: it holds 0.
//
// No sum in this package overflows: the smallest and the greatest number of a
// type are numbers like any other.
//
// The package knows nothing of the gateway's other rooms.
package interval
