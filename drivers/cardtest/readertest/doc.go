// Package readertest is the conformance suite of card readers: one table of scenes,
// of cards that lie, come, go and misbehave before a reader, and of buses that do,
// which every driver passes over its chip in software.
//
// It exists so that door, tracker and lamp need not know which chip it is: what the
// scenes ask of one driver they ask of all. What a chip cannot do is said in the
// Limits of its Subject, with the reason beside it, and nowhere else; a driver's own
// tests hold what is particular to its registers or frames.
//
// A driver's package has two tests of this kind:
//
//	func TestConformance(t *testing.T) { readertest.Run(t, subject()) }
//	func TestNoWrongUIDInNoise(t *testing.T) { readertest.RunRandom(t, subject()) }
//
// The first is the table; the second lets random cards come and go in noise, for
// which only one thing counts: no card may be reported that is not there.
package readertest
