// Package beacon turns the bytes of a tag receiver into position fixes.
//
// It exists so that every radio looks alike to the rest of the gateway. A
// decoder reads a stream that may begin in the middle of a frame, hold garbage
// of any length, or come one byte at a time; it returns one Fix after the
// other and names a reason for every frame that it refused.
package beacon
