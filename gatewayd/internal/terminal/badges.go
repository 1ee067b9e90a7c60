package terminal

import (
	"time"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// badgeWords are the texts about badges in the health document.
type badgeWords struct {
	Badges, BadgesSay, NumberWillDo, AllMustProve   language.Text
	Authority, AuthoritySays, NoAuthority           language.Text
	RevokedList, KeyList, DocumentSays, DocumentAge language.Text
}

func inBadgeWords() badgeWords {
	return badgeWords{
		Badges: language.Text{EN: "badges", ID: "kartu"},
		BadgesSay: language.Text{
			EN: "%s; %d proven by a certificate, %d by a key; refused %s, failed proofs %s",
			ID: "%s; %d terbukti dengan sertifikat, %d dengan kunci; ditolak %s, bukti gagal %s",
		},
		NumberWillDo:  language.Text{EN: "the number will do where the roster asks for no more", ID: "nomor cukup bila roster tidak meminta lebih"},
		AllMustProve:  language.Text{EN: "each has to prove who it is", ID: "setiap kartu harus membuktikan keasliannya"},
		Authority:     language.Text{EN: "badge authority", ID: "otoritas kartu"},
		AuthoritySays: language.Text{EN: "%d certificates, the first until %s", ID: "%d sertifikat, yang pertama sampai %s"},
		NoAuthority:   language.Text{EN: "cannot be used", ID: "tidak dapat dipakai"},
		RevokedList:   language.Text{EN: "revoked badges", ID: "kartu yang dicabut"},
		KeyList:       language.Text{EN: "badge keys", ID: "kunci kartu"},
		DocumentSays:  language.Text{EN: "%d entries", ID: "%d entri"},
		DocumentAge:   language.Text{EN: ", %s old", ID: ", berumur %s"},
	}
}

// refusedCard is why the door refused a card; false where the reason is another one.
func refusedCard(reason string) (text language.Text, ok bool) {
	switch reason {
	case presence.ReasonDowngrade:
		return language.Text{
			EN: "perhaps a copy: this badge has to prove who it is, and the card shows its number only",
			ID: "mungkin salinan kartu: kartu ini harus membuktikan keasliannya, tetapi hanya menunjukkan nomornya",
		}, true
	case presence.ReasonNotAuthenticated:
		return language.Text{EN: "the card could not prove who it is", ID: "kartu tidak dapat membuktikan keasliannya"}, true
	case presence.ReasonHoldLonger:
		return language.Text{EN: "hold the card there longer", ID: "tempelkan kartu lebih lama"}, true
	case presence.ReasonRevoked:
		return language.Text{EN: "the city has revoked this card", ID: "kartu ini sudah dicabut oleh kota"}, true
	}
	return language.Text{}, false
}

// proofDetail is what was wrong with a card's proof, for who looks for the reason.
func proofDetail(detail string) language.Text {
	switch detail {
	case "absent":
		return language.Text{EN: "it has nothing to prove itself with", ID: "tidak memuat bukti apa pun"}
	case "no-ca":
		return language.Text{EN: "the gateway cannot use its badge CA: see alert badge-ca", ID: "gateway tidak dapat memakai CA kartunya: lihat peringatan badge-ca"}
	case "no-ats", "protocol":
		return language.Text{EN: "it does not speak as a processor card", ID: "tidak berbicara seperti kartu prosesor"}
	case "gone":
		return language.Text{EN: "taken away too early, or too far away", ID: "diangkat terlalu cepat, atau terlalu jauh"}
	case "too-slow":
		return language.Text{EN: "it took too long", ID: "terlalu lama"}
	case "pending":
		return language.Text{EN: "taken away while it was answering", ID: "diangkat saat sedang menjawab"}
	case "foreign-ca":
		return language.Text{EN: "its certificate is from another authority", ID: "sertifikatnya dari otoritas lain"}
	case "expired":
		return language.Text{EN: "its certificate has expired", ID: "sertifikatnya sudah kedaluwarsa"}
	case "not-yet-valid":
		return language.Text{EN: "its certificate is not valid yet", ID: "sertifikatnya belum berlaku"}
	case "bad-certificate", "algorithm":
		return language.Text{EN: "its certificate is none of a badge", ID: "sertifikatnya bukan sertifikat kartu"}
	case "wrong-guid":
		return language.Text{EN: "its certificate is another card's", ID: "sertifikatnya milik kartu lain"}
	case "signature":
		return language.Text{EN: "its signature is wrong", ID: "tanda tangannya salah"}
	case "mac", "rnd":
		return language.Text{EN: "its answer is wrong", ID: "jawabannya salah"}
	case "wrong-uid":
		return language.Text{EN: "its key is another card's", ID: "kuncinya milik kartu lain"}
	case "wrong-key":
		return language.Text{EN: "it has another key than the city says", ID: "kuncinya berbeda dari yang ada di kota"}
	case "no-key":
		return language.Text{EN: "it has no key of the city", ID: "tidak memuat kunci dari kota"}
	case "locked":
		return language.Text{EN: "it has locked itself after wrong keys", ID: "terkunci karena kunci yang salah"}
	case "paused":
		return language.Text{EN: "it is not tried for a while after a wrong key", ID: "tidak dicoba dahulu setelah kunci yang salah"}
	case "lrp":
		return language.Text{EN: "it is set to a mode that is not supported (LRP)", ID: "disetel ke mode yang tidak didukung (LRP)"}
	}
	return language.Text{EN: detail, ID: detail}
}

// whyRefused is why the lamp refused a tap, and what was wrong with the card where that
// says more.
func (s Screen) whyRefused(a presence.Answer) string {
	text := refusal(a.Reason).In(s.Language)
	if a.Detail == "" || a.Detail == "absent" || a.Reason == presence.ReasonHoldLonger {
		return text
	}
	return text + " (" + proofDetail(a.Detail).In(s.Language) + ")"
}

// printBadges prints how badges are made to prove who they are, a line for each part.
func (s Screen) printBadges(b *presence.BadgesHealth, zone *time.Location, line func(what, text string)) {
	if b == nil {
		return
	}
	w := inBadgeWords()
	asked := w.NumberWillDo
	if b.Require == "authenticated" {
		asked = w.AllMustProve
	}
	line(s.say(w.Badges), s.say(w.BadgesSay, s.say(asked), b.AuthenticatedPIV, b.AuthenticatedDESFire, countBad(b.Refused), countBad(b.Failed)))
	if b.CA != nil {
		text := s.say(w.NoAuthority)
		if b.CA.Certificates > 0 {
			text = s.say(w.AuthoritySays, b.CA.Certificates, moment(b.CA.Expires, zone))
		}
		line(s.say(w.Authority), text)
	}
	document := func(what language.Text, d *presence.BadgeDocumentHealth) {
		if d == nil {
			return
		}
		text := s.say(w.DocumentSays, d.Entries) + s.bySerial(d.Serial)
		if d.AgeS != nil {
			text += s.say(w.DocumentAge, s.seconds(*d.AgeS))
		}
		line(s.say(what), text)
	}
	document(w.RevokedList, b.Revoked)
	document(w.KeyList, b.Keys)
}

// proven says how a card has proven who it is, with a comma before it; nothing of a card
// that only shows its number.
func proven(assurance string) language.Text {
	switch assurance {
	case "authenticated-piv":
		return language.Text{EN: ", proven by its signature (PIV)", ID: ", terbukti dengan tanda tangannya (PIV)"}
	case "authenticated-desfire":
		return language.Text{EN: ", proven by its key (DESFire)", ID: ", terbukti dengan kuncinya (DESFire)"}
	}
	return language.Text{}
}
