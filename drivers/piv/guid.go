package piv

import (
	"crypto/sha256"

	"github.com/google/uuid"

	"presence/drivers/card"
)

// GUIDOf is the GUID of a badge whose card has this fixed UID. It is made of the UID so
// that a gateway to which a copy shows the UID alone knows whose badge that would be:
// SHA-256("gatewayd badge guid v1" || 00 || UID), cut to 16 bytes, as a UUID of version 8
// (RFC 9562, 5.8).
func GUIDOf(uid card.UID) uuid.UUID {
	sum := sha256.Sum256(append([]byte("gatewayd badge guid v1\x00"), uid.Bytes()...))
	guid := uuid.UUID(sum[:16])
	guid[6] = guid[6]&0x0F | 0x80 // version 8
	guid[8] = guid[8]&0x3F | 0x80 // variant of RFC 9562
	return guid
}
