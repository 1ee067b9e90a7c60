package roster

import (
	"encoding/hex"
	"errors"
	"strings"

	"presence/drivers/beacon"
	"presence/drivers/cardlist"
	"presence/gatewayd/internal/presence"
)

// namer makes the identity of a card from the bytes of its UID, as presence.Badges does.
type namer interface {
	Identity(uid []byte) string
	Plain() bool // identities are the UIDs themselves, and no hash can be one
}

// asWritten leaves hashes and UIDs as they are, the latter in upper-case hex. For the
// city, which signs a roster for gateways that have the keys.
type asWritten struct{}

func (asWritten) Identity(uid []byte) string { return strings.ToUpper(hex.EncodeToString(uid)) }
func (asWritten) Plain() bool                { return false }

// pair makes a pair of a badge and a tag as somebody wrote them. Its errors repeat
// neither: a raw card number must not reach a log.
func pair(badge, tag string, badges namer) (Pair, error) {
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

// identify makes the identity of a badge: an identity stays, a raw number becomes one.
func identify(s string, badges namer) (string, error) {
	if presence.IsHashedBadge(s) {
		if badges.Plain() {
			return "", errors.New("has a hashed badge, but this gateway uses plain UIDs (plain_uid): write the UID")
		}
		return strings.ToLower(s), nil
	}
	uid, err := cardlist.ParseHex(s)
	if err != nil {
		return "", err
	}
	return badges.Identity(uid.Bytes()), nil
}

// identifyCell is the same for a cell of a file, in which card numbers are written in a
// notation of their own.
func identifyCell(n cardlist.Notation, c cardlist.Cell, badges namer) (string, error) {
	if presence.IsHashedBadge(c.Text) {
		return identify(c.Text, badges)
	}
	uid, err := n.Parse(c)
	if err != nil {
		return "", err
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
