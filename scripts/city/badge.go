package city

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"github.com/google/uuid"
)

// GatewayBadgeKey is a gateway's own badge key, made from the city's:
// HMAC-SHA256(city, "gatewayd badge key v1", a zero byte, the gateway's id). Who
// steals a gateway learns its key, and not the city's or another gateway's.
func GatewayBadgeKey(city [32]byte, gateway string) (key [32]byte) {
	mac := hmac.New(sha256.New, city[:])
	mac.Write([]byte("gatewayd badge key v1\x00" + gateway))
	copy(key[:], mac.Sum(nil))
	return key
}

// BadgeIdentity is what a gateway calls a card in its events: by the bytes of its UID, or
// of the GUID where it has proven by its certificate who it is.
func BadgeIdentity(key [32]byte, id []byte) string {
	mac := hmac.New(sha256.New, key[:])
	mac.Write(id)
	return "h:" + hex.EncodeToString(mac.Sum(nil))[:32]
}

// GUIDOf is the GUID of a badge whose UID is fixed, as ca.sh badge gives it: the first 16
// bytes of SHA-256 of "gatewayd badge guid v1", a zero byte and the UID, with the bits of
// version 8 and of the variant of RFC 9562. Because it is made of the UID, a gateway that
// sees the UID alone knows whose badge the card claims to be.
func GUIDOf(uid []byte) uuid.UUID {
	sum := sha256.Sum256(append([]byte("gatewayd badge guid v1\x00"), uid...))
	guid := uuid.UUID(sum[:16])
	guid[6] = guid[6]&0x0f | 0x80
	guid[8] = guid[8]&0x3f | 0x80
	return guid
}

// isGUID reports whether what a list names a card by is its GUID. No UID is as long.
func isGUID(id []byte) bool { return len(id) == len(uuid.UUID{}) }

// BadgeKeyFingerprint is what a gateway with this key says in `badge_key` of its
// info.
func BadgeKeyFingerprint(key [32]byte) string {
	sum := sha256.Sum256(key[:])
	return hex.EncodeToString(sum[:])[:16]
}

// ReadBadgeKey reads the city's badge key: a file with 64 hex digits. What it says of a file holds nothing of it.
func ReadBadgeKey(file string) (key [32]byte, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return key, fmt.Errorf("read badge key: %w", err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != len(key) {
		return key, fmt.Errorf("read badge key: %s does not hold 64 hex digits", file)
	}
	copy(key[:], raw)
	return key, nil
}
