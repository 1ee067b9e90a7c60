package proof

import (
	"crypto/x509"
	"strings"
	"testing"

	"presence/drivers/card"
	"presence/drivers/cardtest/applets"
	"presence/gatewayd/internal/presence"
)

// lose puts a list of losses in force.
func (o *office) lose(list string) {
	o.t.Helper()
	l, err := ParseLosses([]byte(list), o.opt.Badges)
	if err != nil {
		o.t.Fatal(err)
	}
	o.revoked.Use(l)
}

func serialOf(t testing.TB, der []byte) string {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ToUpper("00" + c.SerialNumber.Text(16))
}

// TestLostBadges are refused by each of their names: whatever they prove, and also the
// copies of them that show their number alone.
func TestLostBadges(t *testing.T) {
	piv := applets.Badge{Kind: applets.KindPIV, UID: uidOf(t, staffUID), Now: now()}
	desfire := applets.Badge{Kind: applets.KindEV2, UID: uidOf(t, staffUID)}
	random := applets.Badge{Kind: applets.KindEV2, UID: uidOf(t, "08A1B2C3")}
	clone := applets.Badge{Kind: applets.KindClone, UID: uidOf(t, staffUID)}
	der, err := piv.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	guid := card.UID{}.Bytes()
	id := piv.GUID()
	guid = append(guid, id[:]...)
	uid := applets.RealUID(random.UID)
	key := [32]byte{5}
	badges := presence.HashedBadges(key)
	for _, c := range []struct {
		list  string
		badge applets.Badge
		lost  bool
	}{
		{`[]`, piv, false},
		{`[{"guid":"` + hexOf(guid) + `"}]`, piv, true},
		{`[{"guid":"` + strings.ToUpper(uuidOf(id)) + `","since":"2026-11-20T08:00:00+07:00","why":"lost"}]`, piv, true},
		{`[{"guid":"` + uuidOf(id) + `"}]`, clone, true},
		{`[{"guid":"` + uuidOf(id) + `"}]`, desfire, true},
		{`[{"serial":"` + serialOf(t, der) + `"}]`, piv, true},
		{`[{"serial":"` + serialOf(t, der) + `"}]`, clone, false},
		{`[{"uid":"04a1b2c3d4e5f6"}]`, clone, true},
		{`[{"uid":"` + staffUID + `"}]`, desfire, true},
		{`[{"uid":"` + staffUID + `"}]`, piv, true},
		{`[{"uid":"` + hexOf(uid[:]) + `"}]`, random, true},
		{`[{"badge":"` + badges.Identity(guid) + `"}]`, piv, true},
		{`[{"badge":"` + strings.ToUpper(badges.Identity(uidOf(t, staffUID).Bytes())) + `"}]`, clone, true},
		{`[{"uid":"` + otherUID + `"}]`, clone, false},
		{`[{"uid":"` + otherUID + `"}]`, piv, false},
	} {
		o := newOffice(t)
		o.opt.Badges = badges
		o.restart()
		o.give(desfire, random)
		o.lose(c.list)
		if got := o.tap(shown(t, c.badge)); (got.Refuse == presence.ReasonRevoked) != c.lost || !c.lost && got.Refuse != "" {
			t.Errorf("%s, %s: %+v", c.list, c.badge.Kind, got)
		}
	}
}

// TestWrongLists are refused as a whole, and nothing of them is repeated.
func TestWrongLists(t *testing.T) {
	for _, list := range []string{
		``, `null`, `{}`, `[{}]`, `[{"guid":"5"}]`, `[{"guid":""}]`, `[{"serial":"xyz"}]`, `[{"serial":"-7"}]`, `[{"serial":"00"}]`,
		`[{"uid":"0411"}]`, `[{"badge":"04112233445566"}]`, `[{"uid":"04112233445566","guid":"00112233445566778899aabbccddeeff"}]`,
		`[{"name":"Sari"}]`, `[{"uid":"04112233445566","since":"yesterday"}]`, `[] []`, `[{"uid":4}]`,
	} {
		_, err := ParseLosses([]byte(list), presence.PlainBadges())
		if err == nil || strings.Contains(err.Error(), "Sari") || strings.Contains(err.Error(), "0411") {
			t.Errorf("%s: %v", list, err)
		}
	}
	var none Revoked
	if _, ok := none.Entries(); ok || none.Has([]byte{1}) {
		t.Error("no list is one")
	}
}
