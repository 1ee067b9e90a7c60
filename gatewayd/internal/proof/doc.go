// Package proof finds out what a card can prove of itself, while somebody waits at the
// door and with nothing but what lies on this gateway.
//
// It exists because a card's number can be copied with a phone. Two kinds of badges can do
// better, and a Prover asks them:
//
//   - A PIV card signs a challenge with a private key that never leaves it. The gateway
//     needs the certificate of the badges' authority (badges.ca_file), a list of the lost
//     ones, and no secret.
//   - A DESFire EV2/EV3 or NTAG 424 card answers a challenge with a symmetric key, which the
//     gateway must hold too. It gets those of its own office's badges from the city, sealed
//     to it alone (Keys). Whoever steals the gateway can copy these badges, and no others.
//
// What a Prover returns is what was proven, and what the card claims beside. Whether the
// badge is let in is the door's to decide. The room also keeps what it needs for that over
// a restart: certificates that it has read (Certificates), since reading one takes longer
// than the signature; and which badges have failed at their key, since a card locks itself
// for ever after too many wrong attempts (Pauses).
//
// Nothing here is ever logged or counted by the badge's number.
package proof
