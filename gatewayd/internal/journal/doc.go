// Package journal is the gateway's memory: the one thing on disk, and the only
// importer of bbolt.
//
// It exists so that an event which was accepted once is never lost, whatever
// happens to the power, the line or the process, and so that what is lost
// nevertheless (a full or damaged disk) is named.
//
// # How it writes
//
// One goroutine writes. It takes everything that waits, commits it, and
// answers; what arrives during a sync makes the next commit. Append is for what
// a person waits for and commits at once. Enqueue is for what may wait: it rides
// along with the next commit, or gets its own after Options.CommitInterval.
// Acknowledgements ride along too, since losing one only means that an event is
// sent again.
//
// # How it lies on disk
//
// One bbolt file with pages of 4 KiB (whatever the kernel's page size: a Pi 5
// would quadruple every write) and a synced list of free pages. Buckets:
//
//	events   position (big endian) -> record
//	tail     the same, for the newest few records
//	streams  stream id -> where it starts, and whether it ended on purpose
//	holes    position -> position: records that were lost, both ends included
//	meta     cursor and counters, and whose events these are (whose.go)
//	notes    name -> what other rooms keep here
//	said     position -> the latest revision of that event's time
//
// Beside it lies journal.mark (see mark.go).
//
// The tail is there for the life of an SD card. bbolt keeps a bucket of at most
// a quarter page inside the page of its parent, which every commit writes
// anyway; so a lone tap costs three pages, and only when the tail is full does
// one commit move it to the tree of events. Positions in the tail are always
// above those in events.
//
// A record carries a CRC over itself and its key, and its stream and number, so
// that it can be recognised in the ruins of a file (see record.go).
//
// Positions rise over all streams and are never used twice; the numbers of a
// stream are dense, so a record's position tells its number and the other way
// round.
//
// # When there is no room
//
// Delivered events go first, however young. Then waiting tag events are thinned,
// oldest first: window by window, the newest event of each tag stays. For a tap
// all that is left of them goes, and then presence events (evict). Each
// commit that removes some also appends the gap that names them. Taps stay: when
// nothing else is left, the next tap is refused.
//
// How many taps were refused, and how many other events found no room, is kept
// count of in the file itself, in a commit that lives off a reserve of pages, and
// named in a gap as soon as there is room, at the latest by the next start
// (lost.go). Neither a stop nor a kill loses the count. Only a disk that does not
// even write to blocks which the file has already can do that.
//
// The file is never larger than Options.MaxBytes: bbolt refuses the commit that would
// make it so, and nothing has happened then. The writer tries again with less of what
// may wait, and a part of the reserve is for commits that make room and for the
// revisions without which the next events cannot be delivered. bbolt writes every
// page anew of which something goes before the old one is free, so what lies scattered
// goes a few pages at a time, and leaves room only where half of a page goes: tags that
// lie one by one between many taps do not help a tap.
//
// Should not even the start of a stream or an acknowledgement have room any more, which
// takes hundreds of starts of a full gateway, the file exceeds its size by what that
// needs, and the log says so. A file that is larger from the start, because max_mb was
// lowered, does not grow, and does not become smaller either.
//
// Whether there is room again is tried every second, so that the red door and
// the alert end with their cause (probe).
//
// # When events are old
//
// Delivered events go once they are surely older than Options.Keep, by what the
// clock knows. Those that nobody can date go with what comes after them and is
// surely too old: positions rise with time (age.go).
//
// # When a person is forgotten
//
// Removing records leaves their bytes in free pages. Forget therefore writes the
// file anew, without them, while the old one stays in use (forget.go), and
// exchanges the two as a damaged one is replaced: whole and durable first. Gaps
// with the reason "forgotten" name the numbers, and nobody.
//
// # When the disk fails
//
// What failed cleanly (no room, read-only) can be tried again. After a failed
// sync nobody knows what the disk holds: the journal refuses everything from then
// on and says so on Failed, and the daemon leaves, to be restarted on a fresh
// handle.
//
// Where Open fails, there is a journal that refuses everything (refuse.go), so
// that the door is red with a reason until the disk can be written.
// What keeps a file from being opened or read and says nothing of what is in it
// (permission, a disk that does not answer, too little memory) makes Open fail;
// it is never taken for damage.
//
// # When the file is damaged
//
// bbolt trusts its file, so the file is first read without it (survey.go, package
// boltfile). One that is not sound is put aside under a dated name. Every record
// whose checksum holds moves to a new file (salvage.go, damage.go), with its
// stream and number, and gaps name what is missing. Damage that shows only while
// the journal is in use makes it fail; a mark beside the file then sees to it that
// the next start looks through all of it.
//
// # Where to find it
//
// The way of a record, from Append to the day on which it goes:
//
//	record.go     a draft becomes an item, and an item a record with a checksum
//	queue.go      items wait for the writer: urgent ones and patient ones
//	writer.go     the one goroutine that writes: what is next, and who is answered what
//	room.go       whether there is room, and how to make some
//	thin.go       which waiting events go for want of room, and the gap that names them
//	links.go      the links with which a gap ties the chain together over what is gone
//	lost.go       the count of what never found room
//	seal.go       when the stream is sealed, and what a seal is made of
//	commit.go     one transaction, with what rides along and what has to wait
//	records.go    records go into the tail, or into the tree of events
//	state.go      the other buckets: cursor, counters, streams, holes
//	notes.go      what rooms keep beside the events
//	revisions.go  the times of events as they were last published
//	read.go       the uplink reads it (Next), the others too (Range, Scan, Tail)
//	find.go       which position a stream's number has
//	heads.go      what the city says is its newest event, against what is here
//	delivery.go   how far it was sent, and acknowledged (Ack)
//	retain.go     delivered events go when they are old or in the way
//	age.go        how old they surely are
//	forget.go     a person's records go for good
//
// The way of a file, from Open to its replacement:
//
//	open.go       opened, looked through, and handed to bbolt; closed
//	file.go       locked, created and put in place; which errors say what of it
//	mark.go       the mark beside it
//	alive.go      when the process before was last alive
//	survey.go     looked through without bbolt (boltfile/: the pages)
//	errors.go     fails, and why
//	refuse.go     there is none
//	damage.go     put aside, and a new one in its place
//	salvage.go    every record that can be found in a damaged one
//	progress.go   how far that is
//
// Beside both: copy.go for a medium that cannot be written, stats.go for health, and
// verify.go and revisions_offline.go for commands that read the journal without a
// daemon.
package journal
