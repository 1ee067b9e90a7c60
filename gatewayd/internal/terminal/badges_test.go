package terminal_test

import (
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/terminal"
)

// TestARefusedCardSaysWhy: the person at the door reads it in words, and so does who looks
// for the reason.
func TestARefusedCardSaysWhy(t *testing.T) {
	for _, tc := range []struct{ reason, detail, en, id string }{
		{"downgrade", "", "perhaps a copy: this badge has to prove who it is, and the card shows its number only", "mungkin salinan kartu: kartu ini harus membuktikan keasliannya, tetapi hanya menunjukkan nomornya"},
		{"downgrade", "absent", "shows its number only", "hanya menunjukkan nomornya"},
		{"not-authenticated", "signature", "the card could not prove who it is (its signature is wrong)", "kartu tidak dapat membuktikan keasliannya (tanda tangannya salah)"},
		{"not-authenticated", "later", "(later)", "(later)"},
		{"hold-longer", "gone", "hold the card there longer", "tempelkan kartu lebih lama"},
		{"revoked", "", "the city has revoked this card", "kartu ini sudah dicabut oleh kota"},
	} {
		a := presence.Answer{Reader: "door", Badge: "h:00112233445566778899aabbccddeeff", Card: "iso14443-4", Outcome: presence.Refused, Reason: tc.reason, Detail: tc.detail}
		for l, want := range map[language.Language]string{language.English: tc.en, language.Indonesian: tc.id} {
			if got := (terminal.Screen{Language: l}).Tap(a, 1); !strings.HasSuffix(got, want) || !strings.Contains(got, "h:00112233 iso14443-4") {
				t.Errorf("%s, %s: %s", tc.reason, tc.detail, got)
			}
		}
	}
}

// TestStatusSaysWhatBadgesProve, where they can prove anything.
func TestStatusSaysWhatBadgesProve(t *testing.T) {
	age := int64(86400)
	h := presence.Health{Badges: &presence.BadgesHealth{
		Require: "authenticated", AuthenticatedPIV: 12, AuthenticatedDESFire: 3,
		Refused: map[string]int64{"downgrade": 2, "hold-longer": 1}, Failed: map[string]int64{"foreign-ca": 1},
		CA:      &presence.BadgeCAHealth{Certificates: 1, Expires: "2031-12-25T00:00:00Z"},
		Revoked: &presence.BadgeDocumentHealth{Serial: 7, AgeS: &age, Entries: 4},
		Keys:    &presence.BadgeDocumentHealth{Serial: 8, Entries: 40},
	}}
	printed := func(l language.Language) string {
		var out strings.Builder
		if err := (terminal.Screen{Language: l}).PrintHealth(&out, h, time.UTC); err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(out.String()), " ")
	}
	for l, lines := range map[language.Language][]string{
		language.English: {
			"badges each has to prove who it is; 12 proven by a certificate, 3 by a key; refused 3 (downgrade 2, hold-longer 1), failed proofs 1 (foreign-ca 1)",
			"badge authority 1 certificates, the first until 2031-12-25 00:00:00 UTC",
			"revoked badges 4 entries (serial 7), 1 day old", "badge keys 40 entries (serial 8)",
		},
		language.Indonesian: {
			"kartu setiap kartu harus membuktikan keasliannya; 12 terbukti dengan sertifikat, 3 dengan kunci; ditolak 3 (downgrade 2, hold-longer 1), bukti gagal 1 (foreign-ca 1)",
			"kartu yang dicabut 4 entri (nomor 7), berumur 1 hari",
		},
	} {
		for _, want := range lines {
			if got := printed(l); !strings.Contains(got, want) {
				t.Errorf("%q is not in\n%s", want, got)
			}
		}
	}
	h.Badges.Require, h.Badges.CA = "uid", &presence.BadgeCAHealth{}
	if got := printed(language.English); !strings.Contains(got, "the number will do where the roster asks for no more") || !strings.Contains(got, "badge authority cannot be used") {
		t.Error(got)
	}
	if h.Badges = nil; strings.Contains(printed(language.English), "proven") {
		t.Error("it speaks of badges that can prove nothing")
	}
}
