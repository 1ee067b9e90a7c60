package roster

import (
	"errors"
	"regexp"
	"strings"
	"unicode"

	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// maxTag is the longest tag name, in bytes.
const maxTag = 128

// pair makes a pair of what somebody wrote. Its errors name neither: a raw card
// number must not reach a log.
func pair(badge, tag string, badges presence.Badges) (Pair, error) {
	identity, err := identify(strings.TrimSpace(badge), badges)
	if err != nil {
		return Pair{}, err
	}
	name, err := tagName(strings.TrimSpace(tag))
	if err != nil {
		return Pair{}, err
	}
	return Pair{Badge: identity, Tag: name}, nil
}

var hashed = regexp.MustCompile(`^[hH]:[0-9a-fA-F]{32}$`)

// identify makes the identity of a badge: an identity stays, a raw number
// becomes one.
func identify(s string, badges presence.Badges) (string, error) {
	if hashed.MatchString(s) {
		if badges.Plain() {
			return "", errors.New("has a hashed badge, but this gateway uses plain UIDs (plain_uid): write the UID")
		}
		return strings.ToLower(s), nil
	}
	uid, err := card.ParseUID(strings.NewReplacer(":", "", " ", "", "-", "").Replace(s))
	if err != nil {
		return "", errors.New(`has no badge: write "h:" and 32 hex digits, or the UID as 8, 14 or 20 hex digits (a spreadsheet drops leading zeros unless the column is text)`)
	}
	if uid.Random() {
		return "", errors.New("has the UID of a card that shows a random one each time (4 bytes, beginning with 08): such a card cannot be in a roster")
	}
	return badges.Identity(uid.Bytes()), nil
}

var tagForms = regexp.MustCompile(`^(mesh:[0-9a-f]{8}|kenwood:([0-9]{1,10}-[0-9]{1,10}|U?[0-9]{1,10})|reyax:(0|[1-9][0-9]{0,4})|waypoint:.+)$`)

// tagName is a tag as the receivers name it.
func tagName(s string) (string, error) {
	// Meshtastic's own programs print the number in either case.
	if strings.HasPrefix(s, "mesh:") {
		s = strings.ToLower(s)
	}
	if len(s) > maxTag || strings.ContainsFunc(s, unicode.IsControl) || !tagForms.MatchString(s) {
		return "", errors.New("has no tag: write it as events do, such as mesh:1c2f13fc, kenwood:100-1001, kenwood:U00002, reyax:50 or waypoint:NAME")
	}
	return s, nil
}
