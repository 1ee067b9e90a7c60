// Package beacontest writes the frames that tags and their receivers send.
//
// It exists for tests and for the demonstration, which feed a decoder through
// a pseudo terminal. It shares no code with the decoders, so that a mistake in
// one is not repeated by the other.
package beacontest
