// Package door turns scans of a card field into taps: one person, one tap, one
// answer of the lamp.
//
// It exists because a badge lies on a reader for as many scans as its owner likes,
// is shown twice by people in doubt, and is read by two readers at once where they
// are mounted close together: all of that is one tap, and the lamp answers it once
// the journal has it on the disk, not before.
package door
