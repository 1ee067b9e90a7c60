// Package person names a person as records do: by the ids of badges and tags, which
// somebody at a terminal says as the events have them, or as they are printed on a card.
//
// It exists because a command that forgets somebody and one that exports somebody's
// events must mean the same records by the same words.
package person

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"presence/drivers/beacon"
	"presence/drivers/card"
	"presence/drivers/cardlist"
	"presence/drivers/piv"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/roster"
)

// Person is a person by the names in the events.
type Person struct {
	Badges []string `json:"badges"`
	Tags   []string `json:"tags"`
}

// Parse reads whom --badge and --tag mean; badges is how the gateway names cards.
func Parse(badge, tag []string, badges presence.Badges) (Person, error) {
	var p Person
	if len(badge)+len(tag) == 0 {
		return p, language.Errorf("whom to forget? say --badge or --tag", "siapa yang dihapus? sebutkan dengan --badge atau --tag")
	}
	var err error
	if p.Badges, err = Badges(badge, badges); err != nil {
		return p, err
	}
	for _, t := range tag {
		name, ok := beacon.TagName(t)
		if !ok {
			return p, language.Errorf(
				"--tag %.60q: want it as in the events: %s", "--tag %.60q: tulis seperti dalam data: %s", t, roster.TagForms())
		}
		p.Tags = append(p.Tags, name)
	}
	return p, nil
}

// Badges are the ids under which events may name some badges, each said as --badge
// says it.
func Badges(badge []string, names presence.Badges) ([]string, error) {
	var all []string
	for _, b := range badge {
		// An identity is taken as it is, whether or not the gateway has a key now: its
		// key may have changed since the events were recorded.
		if presence.IsHashedBadge(b) {
			all = append(all, strings.ToLower(b))
			continue
		}
		numbers, err := numbersOf(b)
		if err != nil {
			return nil, language.Errorf(
				"--badge %.60q: want h: and 32 hex digits, a UID of 4, 7 or 10 bytes in hex, or the GUID of a PIV card",
				"--badge %.60q: tulis h: dan 32 digit heksadesimal, UID 4, 7 atau 10 bita dalam heksadesimal, atau GUID kartu PIV", b)
		}
		for _, number := range numbers {
			all = append(all, names.Identity(number))
			if !names.Plain() {
				all = append(all, presence.PlainBadges().Identity(number))
			}
		}
		if len(numbers[0]) == hashBytes && !names.Plain() {
			all = append(all, "h:"+hex.EncodeToString(numbers[0])) // should it be a hash that has lost its h:
		}
	}
	return all, nil
}

// hashBytes is how many bytes of a hash stand in the identity of a badge, and of a GUID.
const hashBytes = 16

// numbersOf are the numbers by which a card may have been recorded that somebody names by
// one of them: a PIV badge is recorded by its GUID where it has proven who it is, and by
// its UID where nothing was asked of it.
func numbersOf(s string) ([][]byte, error) {
	number, _, err := ParseCard(s)
	if err != nil {
		return nil, err
	}
	numbers := [][]byte{number}
	if uid, err := card.NewUID(number); err == nil {
		guid := piv.GUIDOf(uid)
		numbers = append(numbers, guid[:])
	}
	return numbers, nil
}

// ParseCard reads the UID of a card as people copy it, also a random one, or the GUID of a
// PIV card, and returns its bytes. random is true where the card makes its UID up anew each
// time.
func ParseCard(s string) (number []byte, random bool, err error) {
	if guid, ok := cardlist.ParseGUID(s); ok {
		return guid[:], false, nil
	}
	uid, err := cardlist.ParseHex(s)
	if err != nil && !errors.Is(err, cardlist.ErrRandom) {
		return nil, false, language.Errorf(
			"%.40q is no UID and no GUID: write 4, 7 or 10 bytes in hex, such as 04:A1:B2:C3:D4:E5:F6, or 16 for a PIV card",
			"%.40q bukan UID dan bukan GUID: tulis 4, 7 atau 10 bita dalam heksadesimal, misalnya 04:A1:B2:C3:D4:E5:F6, atau 16 untuk kartu PIV", s)
	}
	return uid.Bytes(), uid.Random(), nil
}

// Names reports whether a record names the person.
func (p Person) Names(r *presence.Record) bool {
	badge := func(name string) bool { return slices.Contains(p.Badges, name) }
	tag := func(name string) bool { return slices.Contains(p.Tags, name) }
	switch {
	case r.Badge != nil:
		return badge(r.Badge.Badge) || r.Badge.Check != nil && tag(r.Badge.Check.Tag)
	case r.Tag != nil:
		return tag(r.Tag.Tag)
	case r.Person != nil:
		return badge(r.Person.Badge) || tag(r.Person.Tag)
	}
	return false
}
