// Package mfrc522test is an MFRC522 in software, behind the same SPI port and
// reset pin that a driver has on a real board.
//
// It exists so that the driver under test and the driver in the demonstration
// is the real one: nothing is mocked above the wire. It is written from the
// data sheet ("MFRC522 Standard performance MIFARE and NTAG frontend", NXP,
// Rev. 3.9) and not from the driver, so that it can prove the driver wrong. A
// register that is set up wrongly does not raise an error here; the cards
// stay silent, as they would.
//
// The chip has its own clock: the wall clock plus the time that its SPI
// transfers would have taken. So a transfer returns at once, a driver that
// polls a register still sees time pass, and in a testing/synctest bubble
// everything is exact. What should have happened since the last transfer is
// worked out at the next one, in order; the chip has no goroutine. So cards are
// heard as they lie when the driver next looks, and a card that is taken away
// while the driver sleeps over its answer has never answered.
//
// Bytes leave the FIFO for the antenna, and come into it, one by one: a frame that is
// longer than the FIFO can be fed and fetched while it is on the air, and breaks where
// the driver is too slow for that.
package mfrc522test
