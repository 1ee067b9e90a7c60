// Package badgekeys makes the document by which a gateway gets the keys of its own office's
// DESFire and NTAG 424 badges: diversified keys of these cards, sealed to the gateway's own
// key.
//
// It exists so that the city's master key never leaves the city. Who steals a gateway, and
// can read the key of its line to the broker, gets the keys of the badges of one office and
// can copy those until they are given other keys; of all other badges he knows nothing.
package badgekeys
