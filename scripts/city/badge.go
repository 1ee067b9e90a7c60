package city

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
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

// BadgeIdentity is what a gateway calls the card with these UID bytes in its
// events.
func BadgeIdentity(key [32]byte, uid []byte) string {
	mac := hmac.New(sha256.New, key[:])
	mac.Write(uid)
	return "h:" + hex.EncodeToString(mac.Sum(nil))[:32]
}

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
