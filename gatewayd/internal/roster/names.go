package roster

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

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
	name, err := TagName(strings.TrimSpace(tag))
	if err != nil {
		return Pair{}, err
	}
	return Pair{Badge: identity, Tag: name}, nil
}

// identify makes the identity of a badge: an identity stays, a raw number
// becomes one.
func identify(s string, badges presence.Badges) (string, error) {
	if presence.IsHashedBadge(s) {
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

var tagForms = regexp.MustCompile(`^(mesh:[0-9a-f]{8}|kenwood:([0-9]{1,9}-[0-9]{1,9}|U?[0-9]{1,9})|reyax:(0|[1-9][0-9]{0,4})|waypoint:\S.*)$`)

// TagForms shows how tags are named, for whoever wrote one that cannot be.
const TagForms = "mesh:1c2f13fc, kenwood:100-1001, kenwood:U00002, reyax:50 or waypoint:NAME"

// TagName is a tag as the receivers name it, or an error for a text that none of
// them can ever send. It takes the digits of a Meshtastic node in either case.
func TagName(s string) (string, error) {
	// Meshtastic's own programs print the number in either case.
	if strings.HasPrefix(s, "mesh:") {
		s = strings.ToLower(s)
	}
	wrong := errors.New("has no tag: write it as events do, such as " + TagForms)
	if len(s) > maxTag || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) || !tagForms.MatchString(s) || strings.TrimSpace(s) != s {
		return "", wrong
	}
	// A LoRa address has 16 bits (RYLR998 AT command guide, AT+ADDRESS).
	if address, ok := strings.CutPrefix(s, "reyax:"); ok {
		if _, err := strconv.ParseUint(address, 10, 16); err != nil {
			return "", wrong
		}
	}
	return s, nil
}
