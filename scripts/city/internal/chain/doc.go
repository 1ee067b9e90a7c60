// Package chain checks, long afterwards and with nothing but events and public keys, that
// nobody has changed what gateways have recorded.
//
// Each event carries a link, which is made of the link before it and of all of the event
// that no correction may change; and every quarter of an hour a gateway signs the newest
// link (a seal). Whoever has the events and the gateway's public key can see that nothing
// was changed, taken out, put in or moved, and needs to believe neither the gateway nor the
// broker nor the database in that. The package shares no code with the gateway: who checks
// must not err as who is checked does. What is checked is written down in
// scripts/city/AUDIT.md.
//
// # What cannot be found
//
// In the files alone, because nothing that is signed depends on it:
//
//   - rev, time_quality and time_error_ms of an event, and its time within what time_error_ms
//     and the anchors of its boot allow (250 ppm of the distance and a second more); of an
//     event of a boot without any anchor, the time at all.
//   - That the files end sooner than the gateway's chain does, if they end directly behind a
//     seal: for that there is the head. Nor that they begin later, if they begin with a start
//     or with a seal.
//   - What the last seal says beside upto, link, key and sig (its boot_ms, its anchors): a
//     seal is held by what follows it. Its anchors count only for a boot that has no others.
//   - The link of the very last event, if it alone is written differently and no seal comes
//     behind it, cannot be told from a change of its content: that something was changed is
//     found.
//
// And in principle: a gateway that was broken into can record what never happened, and
// seal that. With the key in a TPM or secure element it could at least not be copied.
//
// # Memory
//
// Some 180 bytes for each line that is an event, whatever its length (BenchmarkMonth): 18
// MB for a month of 100,000 events of one gateway, and as much again for each further file
// that has them too. Gateways are checked one after the other, and what was kept of one is
// given back then. Files are read once; lines whose copies differ are read again where they
// stand.
package chain
