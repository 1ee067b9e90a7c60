// Package mfrc522 drives NXP's MFRC522 reader chip (the RC522 boards) and finds
// the ISO/IEC 14443 type A cards in its field.
//
// It exists because a door needs more of the chip than reading one card once:
// every card that lies in the field, at every look, for years, and a clear word
// when the reader can no longer see any. So each look first reads all registers
// that matter, and a chip that forgot (a dip of its supply, a disturbance) is
// mended on the spot: what looks wrong is read again, a register that is wrong
// is written anew with the field left on, and a chip that has reset itself is
// set up from the start.
//
// How a look finds the cards: WUPA wakes all of them, also those that an
// earlier look put to sleep. Where their answers collide, the anticollision
// loop follows one branch and remembers the other, and WUPA starts the next
// walk down a remembered branch. Waking with REQA alone would not do: a card
// that was woken from HALT and then not selected falls back to HALT, where
// REQA does not reach it (ISO/IEC 14443-3, 6.3), so that of two cards lying
// still one would be missed at every second look. Each walk ends with HLTA. At
// the end the cards of the last looks that did not show are called by their UID,
// several times, because at the edge of the field answers get lost and a card
// whose ATQA was lost takes the next WUPA for an error. Then REQA finds newcomers
// that a stronger card drowned.
//
// A UID is only ever reported after a SELECT that the card confirmed with a SAK
// and a right CRC_A. The field stays on between looks: processor cards need
// time to start, and cards with random UIDs make up a new one at each start.
//
// An exchange takes two transfers on the bus: one that tells the chip everything,
// and one that fetches the answer along with the question whether it is there,
// after a sleep that matches what is on the air. The interrupt pin, where it is
// wired, can only shorten that sleep.
//
// Section numbers are those of the MFRC522 data sheet, revision 3.9.
package mfrc522
