package presence

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Badges makes the identity under which a card is known to the city.
type Badges struct {
	key   []byte
	plain bool
}

// HashedBadges makes identities that only the holder of the key can link to a
// card: "h:" and the first 32 hex digits of HMAC-SHA256(key, UID). Each gateway has a
// key of its own, which the city derives from one: whoever steals a gateway learns
// the badges of one office, and the others' identities stay what they are.
func HashedBadges(key [32]byte) Badges {
	return Badges{key: key[:]}
}

// PlainBadges uses the UID itself, in upper-case hex.
func PlainBadges() Badges { return Badges{plain: true} }

// Plain reports whether identities are the UIDs themselves.
func (b Badges) Plain() bool { return b.plain }

// Fingerprint tells keys apart and gives none away: the first 16 hex digits of the
// SHA-256 of the key, "" without one.
func (b Badges) Fingerprint() string {
	if b.plain {
		return ""
	}
	sum := sha256.Sum256(b.key)
	return hex.EncodeToString(sum[:])[:16]
}

// IsHashedBadge reports whether a text can be an identity that HashedBadges made,
// in whatever case somebody typed it.
func IsHashedBadge(s string) bool {
	digits, ok := strings.CutPrefix(strings.ToLower(s), "h:")
	raw, err := hex.DecodeString(digits)
	return ok && err == nil && len(raw) == 16
}

// Identity is the identity of the card with these UID bytes.
func (b Badges) Identity(uid []byte) string {
	if b.plain {
		return strings.ToUpper(hex.EncodeToString(uid))
	}
	mac := hmac.New(sha256.New, b.key)
	mac.Write(uid)
	return "h:" + hex.EncodeToString(mac.Sum(nil))[:32]
}
