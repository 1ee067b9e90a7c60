// Package desfire lets a MIFARE DESFire EV2 or EV3, or an NTAG 424 DNA, prove who it is.
//
// It exists because offices have such badges already. They know an AES key, and so must the
// gateway: whoever steals it can copy that badge. A gateway should hold the diversified keys
// of its own staff only (Diversify makes them, where the master key is).
//
// The road is: SelectApplication or SelectNTAG424; ReadNumber where the card shows a random
// UID; Authenticate, once; (*Session).UID. Only when UID has returned has the card proven
// who it is: the key has answered a fresh challenge, and the UID has come under the session's
// message authentication code.
//
// A card counts failed authentications and locks a key for ever after 1,000 of them. So
// Authenticate tries once and says by its error whether the card may have counted a failure:
// ErrWrongKey, or ErrPending where the answer was lost. The caller must not try again at once.
//
// Every answer of a card is taken for hostile: each has one length that is right, and no
// command goes on for longer than its answer can be. Sources are the data sheets of NTAG 424
// DNA (NT4H2421Gx) and of MIFARE DESFire Light (MF2DL(H)x0), which share this protocol, and
// the application notes AN12343 and AN10922.
package desfire
