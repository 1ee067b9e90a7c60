package door

import (
	"testing"

	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// TestRules: what is let through, and in which word it is refused otherwise.
func TestRules(t *testing.T) {
	const (
		none, uid, random = card.Assurance(""), card.AssuranceUID, card.AssuranceRandom
		desfire, piv      = card.AssuranceDESFire, card.AssurancePIV
		through           = ""
		downgrade, failed = presence.ReasonDowngrade, presence.ReasonNotAuthenticated
		revoked, longer   = presence.ReasonRevoked, presence.ReasonHoldLonger
	)
	for _, tc := range []struct {
		name   string
		shows  card.Assurance
		detail string
		refuse string
		asked  demands
		want   string
	}{
		{"a number where one will do", uid, "", "", demands{}, through},
		{"a number, asked for one", uid, "", "", demands{least: uid}, through},
		{"a phone's number where one will do", random, "", "", demands{}, through},
		{"a phone's number for somebody's", random, "", "", demands{least: uid}, downgrade},
		{"nothing to prove, where nobody asks", uid, "absent", "", demands{}, through},
		{"the card of another company, where nobody asks", uid, "foreign-ca", "", demands{}, through},
		{"no layer 4, where nobody asks", uid, "no-ats", "", demands{}, through},

		{"PIV for PIV", piv, "", "", demands{least: piv}, through},
		{"PIV for DESFire", piv, "", "", demands{least: desfire}, through},
		{"DESFire for DESFire", desfire, "", "", demands{least: desfire}, through},
		{"DESFire for PIV", desfire, "", "", demands{least: piv}, downgrade},
		{"a copied number for PIV", uid, "", "", demands{least: piv}, downgrade},
		{"a copied number for DESFire", uid, "absent", "", demands{least: desfire}, downgrade},
		{"a copied number on a card without layer 4", uid, "no-ats", "", demands{least: desfire}, downgrade},
		{"a copied GUID behind a random number", random, "absent", "", demands{least: piv}, downgrade},
		{"a forged signature", uid, "signature", "", demands{least: piv}, failed},
		{"another authority's certificate", uid, "foreign-ca", "", demands{least: piv}, failed},
		{"no protocol", uid, "protocol", "", demands{least: piv}, failed},

		{"all must prove: PIV", piv, "", "", demands{authenticated: true}, through},
		{"all must prove: DESFire", desfire, "", "", demands{authenticated: true}, through},
		{"all must prove: DESFire for PIV", desfire, "", "", demands{authenticated: true, least: piv}, downgrade},
		{"all must prove: a number", uid, "", "", demands{authenticated: true}, failed},
		{"all must prove: a plain badge of the roster", uid, "absent", "", demands{authenticated: true, least: uid}, failed},
		{"all must prove: a phone", random, "", "", demands{authenticated: true}, failed},
		{"all must prove: a copied number", uid, "absent", "", demands{authenticated: true, least: piv}, downgrade},
		{"all must prove: a wrong MAC", uid, "mac", "", demands{authenticated: true, least: desfire}, failed},

		{"refused whatever is asked", uid, "signature", failed, demands{}, failed},
		{"refused although it is proven", piv, "", revoked, demands{least: piv}, revoked},
		{"taken away", uid, "gone", longer, demands{least: piv}, longer},
		{"revoked", piv, "", "", demands{least: piv, revoked: true}, revoked},
		{"a revoked number", uid, "", "", demands{revoked: true}, revoked},
		{"a copy of a revoked badge", uid, "absent", "", demands{least: piv, authenticated: true, revoked: true}, revoked},
		{"a forged copy of a revoked badge", uid, "signature", failed, demands{revoked: true}, revoked},
	} {
		id := presence.Identity{Assurance: string(tc.shows), Detail: tc.detail, Refuse: tc.refuse}
		if got := refusal(id, tc.asked); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	if none.AtLeast(uid) {
		t.Error("no assurance is worth a number")
	}
}

// TestDemands: the highest that anybody asks for under any identity, proven or claimed.
func TestDemands(t *testing.T) {
	rows := map[string]card.Assurance{"uid": card.AssuranceUID, "desfire": card.AssuranceDESFire, "piv": card.AssurancePIV}
	d := New(Options{
		RequireAuthenticated: true,
		Least:                func(identity []byte) card.Assurance { return rows[string(identity)] },
		Revoked:              func(identity []byte) bool { return string(identity) == "lost" },
	})
	claims := func(names ...string) (all [][]byte) {
		for _, n := range names {
			all = append(all, []byte(n))
		}
		return all
	}
	for _, tc := range []struct {
		id   presence.Identity
		want demands
	}{
		{presence.Identity{Bytes: []byte("nobody")}, demands{}},
		{presence.Identity{Bytes: []byte("uid")}, demands{least: card.AssuranceUID}},
		{presence.Identity{Bytes: []byte("piv"), Claims: claims("uid", "desfire")}, demands{least: card.AssurancePIV}},
		{presence.Identity{Bytes: []byte("uid"), Claims: claims("desfire", "piv", "uid")}, demands{least: card.AssurancePIV}},
		{presence.Identity{Bytes: []byte("nobody"), Claims: claims("desfire")}, demands{least: card.AssuranceDESFire}},
		{presence.Identity{Bytes: []byte("lost")}, demands{revoked: true}},
		{presence.Identity{Bytes: []byte("nobody"), Claims: claims("uid", "lost")}, demands{least: card.AssuranceUID, revoked: true}},
	} {
		tc.want.authenticated = true
		if got := d.demands(tc.id); got != tc.want {
			t.Errorf("%s with %s: %+v, want %+v", tc.id.Bytes, tc.id.Claims, got, tc.want)
		}
	}
	if got := New(Options{}).demands(presence.Identity{Bytes: []byte("piv")}); got != (demands{}) {
		t.Errorf("a door that nobody told anything asks for %+v", got)
	}
}

// TestTheLogNamesABadgeInBrief: enough to find it in an export, and nothing of a UID.
func TestTheLogNamesABadgeInBrief(t *testing.T) {
	for badge, want := range map[string]string{
		"h:0123456789abcdef0123456789abcdef": "h:01234567", "04A1B2C3D4E5F6": "", "3D2A7C5E90B14F8E8A61F0B2C4D6E8FA": "", "h:0123": "",
	} {
		if got, ok := brief(badge); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", badge, got, ok)
		}
	}
}
