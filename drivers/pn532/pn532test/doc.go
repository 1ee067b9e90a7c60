// Package pn532test is a PN532 in software, behind the same SPI port, reset pin and
// interrupt pin that a driver has on a real board.
//
// It exists so that the driver under test and the driver in the demonstration is the
// real one: nothing is mocked above the wire. It is written from NXP's user manual
// (UM0701-02, "PN532 User Manual", Rev. 02, firmware 1.6), the data sheet PN532/C1
// and transcripts of real boards, and not from the driver, so that it can prove the
// driver wrong.
//
// # The wire
//
// The chip speaks SPI mode 0 with the least significant bit first, at 5 MHz at most.
// The first byte after chip select falls is the operation: 01 writes a frame, 02
// reads the status, 03 reads a frame. Bit 0 of the status says that there is
// something to read: the acknowledgement of a command first, then its response.
// Without power, asleep or set to another interface the chip drives nothing.
//
// # Sleep
//
// After power-up and after a reset the chip is in its low battery mode: it sleeps
// until chip select has been low for some time, and falls asleep again when nobody
// talks to it, until SAMConfiguration ends that mode. What is clocked while it sleeps
// is lost.
//
// # Time
//
// The chip has its own clock: the wall clock plus the time that its SPI transfers
// would have taken. So a transfer returns at once, a driver that polls the status
// still sees time pass, and in a testing/synctest bubble everything is exact. What
// should have happened since the last transfer is worked out at the next one, in
// order; the chip has no goroutine. So cards are heard as they lie when the driver
// next looks.
//
// # What nobody knows
//
// The manual leaves much open, and boards differ. Where a board has shown what it
// does, the chip does the same; the rest are the Interpretations, and a driver must
// work with each of them.
//
// # What a driver did wrong
//
// Violations lists what a host must not do, such as reading before the chip is
// ready. Most of it works now and then on a real board, which is why it has to be
// caught here.
package pn532test
