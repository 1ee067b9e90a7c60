// Package cardtest holds contactless cards in software: a radio field, cards
// that are put into it and taken away, and the bits that they answer.
//
// It exists so that a reader chip can be simulated down to the frame: drivers
// fail at what cards do beside the happy path, and nobody can make a real card
// leave the field between two frames on demand. It knows no chip; the chip
// mocks are built on top of it.
//
// The behaviour is that of ISO/IEC 14443-3 type A: short frames, bit-oriented
// anticollision frames and standard frames with CRC_A, the states IDLE, READY,
// ACTIVE, HALT and the starred ones behind HALT, silence where the standard
// asks for silence, and collisions bit by bit where several cards answer at
// once. Cards of type B (NewTypeB) have the states and slots of that type; where
// two of them answer at once the frame is spoilt. Parity bits are not simulated
// one by one: a frame is marked as having wrong ones.
//
// Behind RATS a card of type A is the card's side of ISO/IEC 14443-4: Layer4 says what
// it announces and how it goes about its answers, an Applet (SetApplet) answers the
// commands. StrikeAt lets single frames go wrong. The card keeps account of what a
// reader does: Executed counts the commands that were carried out, Violations lists
// what the standard forbids.
package cardtest
