// Package journal is the one thing on a gateway's disk, and the only importer
// of bbolt.
//
// It exists so that the lamp can say "durable" and mean it: an event is
// appended with its stream and sequence number in one transaction, and nobody
// is told before that transaction is synced. The journal also remembers how far
// the city has confirmed, and forgets what was confirmed long ago.
//
// # Writing
//
// One goroutine writes. It commits at once whatever waits, answers, and makes
// the next transaction of what arrived during the sync: a tap (Append) never
// waits for a timer, many taps share a sync, and patient tag events (Enqueue)
// ride along or go after CommitInterval. Acknowledgements (Ack) have no
// transaction of their own: they ride too, and what was confirmed but not yet
// noted comes again after a crash, with the same id.
//
// # Layout
//
//	events   position, big-endian u64 -> version, CRC32C, record in CBOR
//	streams  position of a stream's first event -> stream id, how it ended
//	meta     cursor, boots
//
// Positions are dense over all streams and sequence numbers are dense within
// one, so position = first position of the stream + seq - 1.
package journal
