// Package sealkey is the key with which a gateway seals its journal: read from the disk
// with care, and held against its certificate.
//
// It exists because a seal is worth as much as the secrecy of its key, and because
// nothing that is wrong with the key may keep a gateway from recording. So a key that
// somebody else can read is not used, and every fault has a name of its own (Fault), from
// which the wiring makes an alert.
//
// The key is Ed25519 (RFC 8032) in a PKCS#8 file (RFC 8410), made on the gateway when it
// is provisioned. The city's certificate of it, which others check seals by, may come
// later: until then the gateway seals, and Check says that the certificate is missing.
package sealkey
