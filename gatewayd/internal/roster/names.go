package roster

import (
	"encoding/hex"
	"errors"
	"strings"

	"presence/drivers/beacon"
	"presence/drivers/card"
	"presence/drivers/cardlist"
	"presence/gatewayd/internal/presence"
)

// namer makes the identity of a card from the bytes of its UID or GUID, as presence.Badges does.
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
func pair(badge, tag, assurance string, badges namer) (Pair, error) {
	identity, err := identify(strings.TrimSpace(badge), badges)
	if err != nil {
		return Pair{}, err
	}
	return withTag(identity, tag, assurance)
}

// errAssurance is what is wrong with an assurance, with a verb to follow the number of its
// line.
var errAssurance = errors.New("has an assurance that there is not: write uid, authenticated-piv or authenticated-desfire, and no names")

// withTag makes a pair of a badge's identity, and a tag and an assurance as somebody wrote
// them. Only one that asks for an assurance may go without a tag.
func withTag(identity, tag, assurance string) (Pair, error) {
	p := Pair{Badge: identity, Assurance: card.Assurance(strings.ToLower(strings.TrimSpace(assurance)))}
	switch p.Assurance {
	case card.AssuranceUID:
		p.Assurance = "" // the same as none
	case "", card.AssurancePIV, card.AssuranceDESFire:
	default:
		return Pair{}, errAssurance
	}
	tag = strings.TrimSpace(tag)
	if tag == "" && p.Assurance != "" {
		return p, nil
	}
	name, ok := beacon.TagName(tag)
	if !ok {
		return Pair{}, errors.New(wrongTag())
	}
	p.Tag = name
	return p, nil
}

// identify makes the identity of a badge: an identity stays, a raw number becomes one.
func identify(s string, badges namer) (string, error) {
	if presence.IsHashedBadge(s) {
		if badges.Plain() {
			return "", errors.New("has a hashed badge, but this gateway uses plain UIDs (plain_uid): write the UID")
		}
		return strings.ToLower(s), nil
	}
	if guid, ok := cardlist.ParseGUID(s); ok {
		return badges.Identity(guid[:]), nil
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
	if guid, ok := c.GUID(); ok {
		return badges.Identity(guid[:]), nil
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
