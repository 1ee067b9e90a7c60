package roster

import (
	"errors"
	"strings"

	"presence/drivers/beacon"
	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// pair makes a pair of a badge and a tag as somebody wrote them. Its errors repeat
// neither: a raw card number must not reach a log.
func pair(badge, tag string, badges presence.Badges) (Pair, error) {
	identity, err := identify(strings.TrimSpace(badge), badges)
	if err != nil {
		return Pair{}, err
	}
	return withTag(identity, tag)
}

// withTag makes a pair of a badge's identity and a tag as somebody wrote it.
func withTag(identity, tag string) (Pair, error) {
	name, ok := beacon.TagName(strings.TrimSpace(tag))
	if !ok {
		return Pair{}, errors.New(wrongTag())
	}
	return Pair{Badge: identity, Tag: name}, nil
}

// noBadge says that a pair has no badge, with a verb to follow the number of its line.
const noBadge = `has no badge: write "h:" and 32 hex digits, or the UID as 8, 14 or 20 hex digits (a spreadsheet drops leading zeros unless the column is text)`

// identify makes the identity of a badge: an identity stays, a raw number
// becomes one.
func identify(s string, badges presence.Badges) (string, error) {
	if presence.IsHashedBadge(s) {
		if badges.Plain() {
			return "", errors.New("has a hashed badge, but this gateway uses plain UIDs (plain_uid): write the UID")
		}
		return strings.ToLower(s), nil
	}
	uid, err := parseHex(s, false)
	if err != nil {
		return "", err
	}
	return identityOf(uid, badges)
}

// identityOf is the identity of a card, unless it shows a random number.
func identityOf(uid card.UID, badges presence.Badges) (string, error) {
	if uid.Random() {
		return "", errors.New("has the UID of a card that shows a random one each time (4 bytes, beginning with 08): such a card cannot be in a roster")
	}
	return badges.Identity(uid.Bytes()), nil
}

// wrongTag says that a pair has no tag, with a verb to follow the number of its line.
func wrongTag() string {
	return "has no tag: write it as events do, such as " + TagForms()
}

// TagForms shows how tags are named, for messages about a wrong one.
func TagForms() string {
	examples := beacon.TagExamples()
	last := len(examples) - 1
	return strings.Join(examples[:last], ", ") + " or " + examples[last]
}
