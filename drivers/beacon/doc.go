// Package beacon turns the bytes of a tag receiver into position fixes.
//
// It exists so that every radio looks alike to the rest of the gateway. A
// decoder reads a stream that may begin in the middle of a frame, hold garbage
// of any length, or come one byte at a time; it returns one Fix after the
// other and names a reason for every frame that it rejected.
//
// # What counts as rejected
//
// A frame begins where one of the protocol's own openings stands ("$PKNDS,",
// "+RCV=") and ends before the next opening or at the end of the line. Each
// frame that yields no Fix is counted once. So is each stretch of bytes between
// frames that means nothing (BadFraming, or BadLength where it is longer than
// any line may be; the excess is skipped and never kept).
//
// What a healthy receiver says beside its reports is no fault and is not
// counted: blank lines, any other NMEA 0183 sentence whose checksum is right
// (the radio's own $GPRMC has no identity and is attributed to nobody), a
// caller ID between STX and ETX, and a modem's +OK, +ERR=, +READY.
//
// The result does not depend on how the stream is cut into reads. A decoder
// keeps a fixed buffer of 4 KiB, whatever arrives.
//
// # NMEA 0183
//
// The checksum is the last "*" that two hex digits follow, in either case;
// what follows it is ignored. A sentence that was cut short can still have a
// right checksum by chance, so the number of fields, their digits and their
// ranges are checked after it. The position 0,0 is taken as no fix whatever the
// status says.
package beacon
