// Package replay writes down what came over a receiver's line, and shows what the
// gateway makes of it.
//
// It exists for the day on which a tag is heard and not recorded, or recorded at the
// wrong place: the bytes from the field go through the decoder and the same decisions
// as in a running gateway, on any machine and at any time, as often as it takes to
// understand them.
package replay
