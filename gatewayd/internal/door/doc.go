// Package door turns looks at a card field into taps: one person, one tap, one
// answer of the lamp.
//
// It exists because a badge lies on a reader for as many looks as its owner
// likes, is shown twice by those in doubt, and is read by two readers at once
// where they hang close together: all of that is one tap, and the lamp answers
// it once the journal has it on the disk, not before.
package door
