// Package signed checks what the city has signed: documents, which are the roster, the
// working hours, and the keys and losses of badges, and statements, which are receipts
// and the time (City).
//
// It exists because the broker is not the city. Whoever may publish below a
// gateway's prefix could otherwise open the hours of tag recording or exchange
// who carries which tag. A document counts only if the city's Ed25519 key signed
// it, for this kind of document and for this gateway, and with a higher serial
// than the one in force. That one is kept on the disk, so that neither a restart
// nor a broker that lost it, or repeats an old one, changes anything. It is kept
// with its signature and checked again when it is read: who can write to the disk
// is not the city either.
//
// On the wire a document is an envelope around the exact bytes that were signed:
//
//	{"v":1,"payload":"<base64>","signature":"<base64>"}
//
// and the payload is JSON with a header and one body:
//
//	{"kind":"roster","dinas":"dinkes","gateway":"dinkes-01","serial":7,
//	 "issued":"2026-11-23T08:00:00+07:00","entries":[...]}
//
// "*" stands for any gateway, or for any department and gateway. The signature
// is Ed25519 over the payload's bytes (RFC 8032), as
// "openssl pkeyutl -sign -rawin" makes it.
package signed
