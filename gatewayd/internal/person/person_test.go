package person_test

import (
	"encoding/hex"
	"slices"
	"testing"

	"presence/drivers/card"
	"presence/drivers/piv"
	"presence/gatewayd/internal/person"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/presence/presencetest"
)

// TestAPIVBadgeIsNamedByItsNumberToo: who forgets somebody by the number on the card must
// not leave behind what the same card has proven.
func TestAPIVBadgeIsNamedByItsNumberToo(t *testing.T) {
	names := presence.HashedBadges([32]byte{1})
	uid, err := card.ParseUID("04A1B2C3D4E5F6")
	if err != nil {
		t.Fatal(err)
	}
	guid := piv.GUIDOf(uid)
	byNumber, err := person.Badges([]string{"04:A1:B2:C3:D4:E5:F6"}, names)
	if err != nil {
		t.Fatal(err)
	}
	byGUID, err := person.Badges([]string{guid.String()}, names)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{names.Identity(uid.Bytes()), names.Identity(guid[:])} {
		if !slices.Contains(byNumber, want) {
			t.Errorf("%s is not among %v", want, byNumber)
		}
	}
	if want := []string{names.Identity(guid[:]), presence.PlainBadges().Identity(guid[:]), "h:" + hex.EncodeToString(guid[:])}; !slices.Equal(byGUID, want) {
		t.Errorf("by its GUID it is %v, want %v", byGUID, want)
	}
	for _, wrong := range []string{"04A1B2C3D4", "00112233445506778899aabbccddeeff", "00112233445566770899aabbccddeeff"} { // no UUIDs
		if all, err := person.Badges([]string{wrong}, names); err == nil {
			t.Errorf("%s is taken as %v", wrong, all)
		}
	}
}

// TestOnlyWhatNamesAPersonIsHers: of each kind of event with all its fields set, those that
// name somebody are found by that name. A seal, which signs what is there of everybody, is
// nobody's, and so neither forgotten with a person nor exported for one.
func TestOnlyWhatNamesAPersonIsHers(t *testing.T) {
	somebody := person.Person{Badges: []string{"x"}, Tags: []string{"x"}} // as presencetest names all
	for _, r := range presencetest.Records() {
		names := r.Kind == presence.KindBadge || r.Kind == presence.KindTag || r.Kind == presence.KindPresence
		if got := somebody.Names(&r); got != names {
			t.Errorf("%s: names somebody: %v", r.Kind, got)
		}
	}
}
