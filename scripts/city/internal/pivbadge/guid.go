package pivbadge

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/google/uuid"
)

// GUIDOf is the GUID of a badge whose UID is fixed: the first 16 bytes of SHA-256 of
// "gatewayd badge guid v1", a zero byte and the UID, with the bits of version 8 and of the
// variant of RFC 9562. Because it is made of the UID, a gateway that sees the UID alone
// knows whose badge the card claims to be.
func GUIDOf(uid []byte) uuid.UUID {
	sum := sha256.Sum256(append([]byte("gatewayd badge guid v1\x00"), uid...))
	guid := uuid.UUID(sum[:16])
	guid[6] = guid[6]&0x0f | 0x80
	guid[8] = guid[8]&0x3f | 0x80
	return guid
}

var errNoGUID = errors.New("want a GUID: 32 hex digits, with or without hyphens as in a UUID")

// ParseGUID reads a GUID as 32 hex digits or as the text of a UUID.
func ParseGUID(s string) (guid uuid.UUID, err error) {
	digits := s
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		digits = strings.ReplaceAll(s, "-", "")
	}
	if len(digits) != 32 {
		return guid, errNoGUID
	}
	if _, err := hex.Decode(guid[:], []byte(digits)); err != nil {
		return uuid.UUID{}, errNoGUID
	}
	return guid, nil
}
