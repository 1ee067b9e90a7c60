// Package mfrc522 drives NXP's MFRC522 reader chip (the RC522 boards) and finds
// the ISO/IEC 14443 type A cards in its field.
//
// It exists because a door needs more of the chip than reading one card once:
// every card that lies in the field, at every scan, for years, and a clear error
// when the reader can no longer see any. So each scan first reads all registers
// that matter, and a chip that lost its settings (a dip of its supply, a
// disturbance) is repaired at once: what reads wrong is read again, a register
// that is wrong is written anew with the field left on, and a chip that has reset
// itself is set up from the start.
//
// How a scan finds the cards: WUPA wakes all of them, also those that an earlier
// scan put to sleep. Where their answers collide, the anticollision loop follows
// one branch and remembers the other, and WUPA starts the next walk down a
// remembered branch. Waking with REQA alone would not do: a card that was woken
// from HALT and then not selected falls back to HALT, where REQA does not reach it
// (ISO/IEC 14443-3, 6.3), so that of two cards lying still one would be missed at
// every second scan. Each walk ends with HLTA. At the end the cards of the last
// scans that did not answer are called by their UID, several times: at the edge of
// the field answers get lost, and a card whose ATQA was lost takes the next WUPA
// for an error. Then REQA finds new cards whose answer a stronger card covered.
//
// A UID is only ever reported after a SELECT that the card confirmed with a SAK
// and a right CRC_A. The field stays on between scans: processor cards need
// time to start, and cards with random UIDs make up a new one at each start.
//
// An exchange takes two transfers on the bus: one that tells the chip everything,
// and one that fetches the answer along with the question whether it is there,
// after a sleep that matches what is on the air. The interrupt pin, where it is
// wired, can only shorten that sleep. So a look at an empty field is three transfers of
// 55 bytes together: the registers, WUPA, and whether somebody answered. What a look
// costs is printed by BenchmarkPoll; TestScansAreCheap bounds it.
//
// Select holds one card for frames of its own, such as those of ISO/IEC 14443-4: the chip
// adds and checks CRC_A then, and its timer is set for each frame, for a card may take
// microseconds or seconds. How long an answer is and when it comes nobody knows, so the
// chip is asked again and again, with pauses that grow. Afterwards the registers have the
// values that each scan checks, and the card sleeps; where it does not let itself be put
// to sleep, the field is switched off for 6 ms.
//
// Section numbers are those of the MFRC522 data sheet, revision 3.9.
package mfrc522
