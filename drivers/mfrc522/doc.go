// Package mfrc522 drives NXP's MFRC522 reader chip (the RC522 boards) and finds
// the ISO/IEC 14443 type A cards in its field.
//
// It exists because a door needs more of the chip than reading one card once:
// every card that lies in the field, at every look, for years, and a clear word
// when the reader can no longer see any. So each look first asks the chip
// whether it is still set up and its field still on, and a chip that forgot (a
// dip of its supply, a disturbance) is reset on the spot.
//
// How a look finds the cards: WUPA wakes all of them, also those that an
// earlier look put to sleep. Where their answers collide, the anticollision
// loop follows one branch and remembers the other, and WUPA starts the next
// walk down a remembered branch. Waking with REQA alone would not do: a card
// that was woken from HALT and then not selected falls back to HALT, where
// REQA does not reach it (ISO/IEC 14443-3, 6.3), so that of two cards lying
// still one would be missed at every second look. Each walk ends with HLTA. At
// the end the cards of the look before that did not show are called by their
// UID, and REQA finds newcomers that a stronger card drowned.
//
// A UID is only ever reported after a SELECT that the card confirmed with a SAK
// and a right CRC_A. The field stays on between looks: processor cards need
// time to start, and cards with random UIDs make up a new one at each start.
//
// The interrupt pin is not used: the chip is asked, with a sleep that matches
// what is on the air.
//
// Section numbers are those of the MFRC522 data sheet, revision 3.9.
package mfrc522
