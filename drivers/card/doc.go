// Package card says what a badge reader sees, independent of the reader chip.
//
// It exists so that the door can be driven by any reader: a driver reports the
// cards in its field as values of this package, and nothing about registers,
// frames or buses crosses this line.
//
// The terms are those of ISO/IEC 14443-3 type A: a card answers a request with
// its ATQA, gives its UID in one, two or three cascade levels of four bytes,
// and ends the selection with a SAK that tells which protocol it speaks.
package card
