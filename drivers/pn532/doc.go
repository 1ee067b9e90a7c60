// Package pn532 drives NXP's PN532 reader chip over SPI and finds the ISO/IEC 14443
// cards of type A and type B in its field.
//
// It exists because PN532 boards read weak badges better than those with an MFRC522,
// and hear type B. What a door needs of it is the same: every card that lies in the
// field, at every scan, for years, and a clear error when the reader can no longer see
// any. Nothing outside of this package knows which of the two chips a reader has.
//
// The chip has a firmware of its own. The host sends it commands in frames with two
// checksums, polls a status byte until the chip is ready, reads an acknowledgement,
// polls again and reads the reply. All that can go wrong with it is dealt with in one
// place (link.exchange): an acknowledgement that was lost, a reply that was damaged
// (the chip is asked to send it again), a reply to a command that nobody waits for any
// more, a chip that fell asleep. Every wait is bounded, and a command that was given
// up is aborted before the next one.
//
// How a scan finds the cards: InListPassiveTarget selects one card and leaves it
// ACTIVE. An ACTIVE card does not answer the next request, so that a second
// InListPassiveTarget finds another card if there is one, and the same card only if it
// is alone (the chip repeats its request, and the first one has made the card IDLE).
// Where several cards are found each is sent to HALT by HLTA, until nobody answers
// any more. The manual does not say which request the chip sends. REQA, which was
// heard of real chips, does not reach a card in HALT (ISO 6.3), and switching the field
// off to wake it would give phones another random UID. So cards that earlier scans saw
// and that did not answer are called by their UID: WUPA, SELECT with the whole UID,
// HLTA, each as a raw frame (InCommunicateThru, with the registers for 7 bits and CRC).
// A chip that does not allow raw frames has its field switched off and on instead, and
// so is it where noise may have left a card in HALT that nobody knows of.
//
// A UID that was not there before counts once it was read twice (NACK has the chip
// repeat its reply), or once the card has confirmed it: the frame's checksum is a sum of
// 8 bits, and two bits that are spoilt on the bus can cancel each other out. The chip's
// firmware checks BCC and CRC_A.
//
// Type B has no UID but a PUPI, which a card may make up anew whenever it is powered
// (ISO/IEC 14443-3, 7.9.2). So the field is switched off and on before a PUPI counts,
// and only one that is the same afterwards is reported. A card with another one is
// counted as unreadable. Every other scan looks for type B, and every scan while a card
// of type B is there; a phone beside it then shows another random UID each time.
//
// Select holds one card for as long as its user talks to it. Its frames go to the card
// as they are (InCommunicateThru, with auto RATS off, and CRC_A by the chip), so that
// package isodep speaks ISO/IEC 14443-4 over this chip as it does over the other one. A
// frame is sent once: what is lost between host and chip looks like a block that was lost
// on the air, which ISO/IEC 14443-4 mends without a command being carried out twice.
//
// Section numbers are those of the user manual UM0701-02, those with "ISO" of
// ISO/IEC 14443-3.
package pn532
