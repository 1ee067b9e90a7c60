// Package applets holds the programs of badges that prove who they are, in
// software: PIV cards, DESFire EV2 and EV3, NTAG 424 DNA, and every rogue that we
// know of which a door has to refuse. Each is a cardtest.Applet; package cardtest
// carries its answers over the air.
//
// It exists because a driver that authenticates cards fails at what cards do beside
// the happy path, and because nobody can order a forged card from a shop. The models
// keep the state machines, counters, delays and status words of real cards, and check
// what the reader sends. They are written from SP 800-73-4, NXP's data sheets and
// application notes, and not from the drivers: the cryptography of secure messaging is
// here a second time on purpose, so that one mistake does not hide another.
//
// A model records what it did (Log), so that a test can ask whether the card's key has
// really answered the challenge that a driver says was answered.
//
// Everything that is secret here is made from fixed texts (Authority, CardKey, the keys
// of PIV cards): it is worth nothing outside of tests, and no gateway with real hardware
// may trust it.
package applets
