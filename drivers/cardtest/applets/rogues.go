package applets

import (
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"

	"presence/drivers/cardtest"
)

// Rogue is a badge that is not what it should be, or an unusual one.
type Rogue struct {
	Name  string
	About string // what it does, in a few words
	// Sound says that it is a genuine badge all the same, which a door lets in.
	Sound bool
	Kinds []Kind // in which there is such a one
}

// variant is a Rogue and how it is made.
type variant struct {
	Rogue
	piv     func(*pivBadge)
	desfire func(*DESFireOptions)
	mute    bool // answers 6D00 to everything
	layer3  bool // does not even say that it speaks ISO/IEC 14443-4
	replay  bool
	forged  bool // has another certificate than the genuine badge, for a key of its own
	// protocol is what is wrong in ISO/IEC 14443-4.
	protocol func(*cardtest.Layer4)
}

// Rogues are all rogues and unusual badges, by name, in a lasting order.
func Rogues() []Rogue {
	var list []Rogue
	for _, v := range variants() {
		list = append(list, v.Rogue)
	}
	return list
}

func variants() []variant {
	all := []variant{
		{Rogue: Rogue{Name: "mute", About: "shows the UID and knows no command", Kinds: Kinds()}, mute: true},
		{Rogue: Rogue{Name: "classic", About: "shows the UID on a card that cannot prove anything", Kinds: []Kind{KindClone}}, mute: true, layer3: true},
		{Rogue: Rogue{Name: "replay", About: "plays back a session that it heard", Kinds: []Kind{KindPIV, KindEV2, KindEV3, KindNTAG424}}, replay: true},
	}
	all = append(all, pivCertificates()...)
	all = append(all, pivPrograms()...)
	all = append(all, onTheAir()...)
	return append(all, desfires()...)
}

// pivCertificates are PIV cards with which something is wrong that is in the certificate
// or the CHUID.
func pivCertificates() []variant {
	year := func(m *pivBadge, from, to int) {
		m.profile.NotAfter = m.profile.NotBefore.AddDate(to, 0, 0).Add(-time.Second)
		m.profile.NotBefore = m.profile.NotBefore.AddDate(from, 0, 0)
	}
	other := func(guid [16]byte) [16]byte { guid[15] ^= 0x01; return guid }
	list := []variant{
		{Rogue: Rogue{Name: "p384", About: "has a key on P-384", Sound: true}, piv: func(m *pivBadge) { m.curve = elliptic.P384() }},
		{Rogue: Rogue{Name: "large-certificate", About: "its certificate fills 4 KiB", Sound: true}, piv: func(m *pivBadge) { m.profile.Size = 4096 - 13 }},
		{Rogue: Rogue{Name: "huge-certificate", About: "its certificate has more than 4 KiB"}, piv: func(m *pivBadge) { m.profile.Size = 5000 }},
		{Rogue: Rogue{Name: "foreign-ca", About: "its certificate is signed by an authority that only has the name of ours"}, piv: func(m *pivBadge) { m.foreignCA = true }},
		{Rogue: Rogue{Name: "expired", About: "its certificate has ended"}, piv: func(m *pivBadge) { year(m, -1, 1) }},
		{Rogue: Rogue{Name: "not-yet-valid", About: "its certificate has not begun"}, piv: func(m *pivBadge) { year(m, 3, 4) }},
		{Rogue: Rogue{Name: "copied-certificate", About: "shows somebody's certificate and signs with a key of its own"}, piv: func(m *pivBadge) { m.thief = true }},
		{Rogue: Rogue{Name: "wrong-usage", About: "its certificate is ours, and for something else"}, piv: func(m *pivBadge) {
			m.profile.Usage = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2} // TLS client
		}},
		{Rogue: Rogue{Name: "wrong-guid", About: "its CHUID names another badge than its certificate"}, piv: func(m *pivBadge) { m.chuid = other(m.guid) }},
		{Rogue: Rogue{Name: "other-certificate", About: "its certificate and key are those of another genuine badge"}, piv: func(m *pivBadge) { m.profile.GUID = other(m.guid) }},
		{Rogue: Rogue{Name: "no-certificate", About: "has none"}, piv: func(m *pivBadge) { m.options.Certificate = []byte{} }},
		{Rogue: Rogue{Name: "junk-certificate", About: "has 300 bytes in place of one"}, piv: func(m *pivBadge) {
			m.options.Certificate = append([]byte{0x30, 0x82, 0x01, 0x28}, make([]byte, 296)...)
		}},
		{Rogue: Rogue{Name: "no-key", About: "shows somebody's certificate and has no key"}, piv: func(m *pivBadge) { m.keyless = true }},
	}
	list = append(list, pivForms()...)
	for i := range list {
		list[i].Kinds, list[i].forged = []Kind{KindPIV}, !list[i].Sound
	}
	return list
}

// pivForms are PIV cards whose certificate is ours, and has a form that no badge's has.
func pivForms() []variant {
	var list []variant
	for _, form := range []struct {
		name, about string
		change      func(*x509.Certificate)
	}{
		{"key-agreement", "its certificate is for another key usage", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }},
		{"two-usages", "its certificate is for TLS as well", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}},
		{"no-usage", "its certificate has no extended key usage", func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil }},
		{"no-name", "its certificate has no GUID", func(c *x509.Certificate) { c.URIs = nil }},
		{"two-names", "its certificate has two GUIDs", func(c *x509.Certificate) {
			other := *c.URIs[0]
			other.Opaque = "uuid:00112233-4455-8677-8899-aabbccddeeff"
			c.URIs = append(c.URIs, &other)
		}},
		{"personal", "its certificate names a person", func(c *x509.Certificate) { c.Subject.Organization = []string{"Siti Rahayu"} }},
		{"long-lived", "its certificate is valid for four years", func(c *x509.Certificate) { c.NotAfter = c.NotBefore.AddDate(4, 0, 0) }},
		{"authority", "its certificate is one of an authority", func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }},
		{"critical", "its certificate has a critical extension that nobody knows", func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 999, 2}, Critical: true, Value: []byte{0x05, 0x00}}}
		}},
	} {
		list = append(list, variant{
			Rogue: Rogue{Name: form.name, About: form.about, Kinds: []Kind{KindPIV}},
			piv:   func(m *pivBadge) { m.profile.Change = form.change },
		})
	}
	return list
}

// pivPrograms are PIV cards whose program does something wrong.
func pivPrograms() []variant {
	type row struct {
		name, about string
		fault       PIVFault
	}
	list := []variant{
		{Rogue: Rogue{Name: "short-apdus", About: "takes no APDUs of extended length", Sound: true}, piv: func(m *pivBadge) { m.options.Short = true }},
		{Rogue: Rogue{Name: "slow", About: "needs 300 ms for a signature", Sound: true}, piv: func(m *pivBadge) { m.options.Delay = 300 * time.Millisecond }},
		{Rogue: Rogue{Name: "too-slow", About: "needs 10 s for a signature"}, piv: func(m *pivBadge) { m.options.Delay = 10 * time.Second }},
	}
	for _, r := range []row{
		{"stale-nonce", "signs the challenge before this one", StaleChallenge},
		{"leading-zeros", "its signature is no DER: zeros before the numbers", LeadingZeros},
		{"zero-s", "its signature has s = 0", ZeroS},
		{"raw-signature", "its signature is r and s without DER", RawSignature},
		{"trailing-bytes", "there are bytes after its signature", TrailingBytes},
		{"swapped-signature", "its signature has s before r", SwappedRS},
		{"unsigned", "its signature is empty", Unsigned},
		{"broken-chuid", "its CHUID has a length beyond its end", BrokenCHUID},
		{"broken-object", "its certificate's object has a length beyond its end", BrokenObject},
		{"broken-answer", "its signature's object has a length beyond its end", BrokenTemplate},
		{"no-chuid", "has none", NoCHUID},
		{"short-guid", "its GUID has 15 bytes", ShortGUID},
		{"false-gzip", "says that its certificate is packed, and it is not", Compressed},
		{"hash-on-card", "signs no hash that it is given, as PivApplet on old Java cards", HashOnCard},
		{"wants-pin", "wants a PIN", WantsPIN},
		{"endless-chain", "there is always more to fetch", EndlessChain},
	} {
		list = append(list, variant{Rogue: Rogue{Name: r.name, About: r.about}, piv: func(m *pivBadge) {
			m.options.Fault = r.fault
		}})
	}
	for i := range list {
		list[i].Kinds = []Kind{KindPIV}
	}
	return list
}

// desfires are DESFire and NTAG cards with which something is wrong.
func desfires() []variant {
	type row struct {
		name, about string
		fault       DESFireFault
		change      func(*DESFireOptions)
	}
	symmetric := []Kind{KindEV2, KindEV3, KindNTAG424}
	list := []variant{{
		Rogue:   Rogue{Name: "no-application", About: "a DESFire of somebody else's", Kinds: []Kind{KindEV2, KindEV3}},
		desfire: func(o *DESFireOptions) { o.Application = [3]byte{0x12, 0x34, 0x56} },
	}, {
		Rogue:   Rogue{Name: "unknown-capabilities", About: "has capabilities that nobody knows", Sound: true, Kinds: symmetric},
		desfire: func(o *DESFireOptions) { o.Fault = UnknownCapabilities },
	}}
	for _, r := range []row{
		{name: "foreign-key", about: "has another key", change: func(o *DESFireOptions) { o.Keys[KeyNumber] = madeOf("a foreign key", o.UID[:]) }},
		{name: "no-such-key", about: "has no key with the number", change: func(o *DESFireOptions) { delete(o.Keys, KeyNumber) }},
		{name: "locked", about: "was tried in vain 1,000 times", change: func(o *DESFireOptions) { o.Failures = failuresToLock }},
		{name: "delaying", about: "was tried in vain 60 times in a row", change: func(o *DESFireOptions) { o.Failures, o.Consecutive = 60, 60 }},
		{name: "lrp-only", about: "is set to LRP", change: func(o *DESFireOptions) { o.LRP = true }},
		{name: "claims-only", about: "says what it is and knows no key", fault: NoKey},
		{name: "ev1", about: "knows no EV2First, as a DESFire EV1", fault: UnknownAuthentication},
		{name: "aborts", about: "aborts the second part of the authentication", fault: AbortsPart2},
		{name: "wrong-rnda", about: "one bit of RndA' is wrong", fault: WrongRndA},
		{name: "unrotated-rnda", about: "sends RndA back as it came", fault: UnrotatedRndA},
		{name: "flipped-ti", about: "tells another TI than it goes by", fault: FlippedTI},
		{name: "part1-short", about: "answers part 1 with 15 bytes", fault: Part1Short},
		{name: "part1-long", about: "answers part 1 with 17 bytes", fault: Part1Long},
		{name: "part1-empty", about: "answers part 1 with 9100 alone", fault: Part1Empty},
		{name: "part1-done", about: "answers part 1 with 9100 and no need of part 2", fault: Part1Done},
		{name: "part2-short", about: "answers part 2 with 31 bytes", fault: Part2Short},
		{name: "part2-long", about: "answers part 2 with 33 bytes", fault: Part2Long},
		{name: "part2-empty", about: "answers part 2 with 9100 alone", fault: Part2Empty},
		{name: "wrong-mac", about: "one bit of the MAC over its UID is wrong", fault: WrongMAC},
		{name: "other-uid", about: "tells another UID under authentication than it shows", fault: OtherUID},
		{name: "uid-empty", about: "tells its UID with 9100 alone", fault: UIDEmpty},
		{name: "uid-without-mac", about: "tells its UID without a MAC", fault: UIDWithoutMAC},
		{name: "uid-plain", about: "tells its UID unencrypted", fault: UIDPlain},
		{name: "uid-short", about: "tells its UID in 15 bytes", fault: UIDShort},
		{name: "uid-padding", about: "tells its UID with a wrong padding", fault: UIDPadding},
		{name: "uid-more", about: "tells its UID and says that there is more", fault: UIDMore},
		{name: "stale-counter", about: "does not count commands", fault: StaleCounter},
		{name: "endless-frames", about: "always wants another frame", fault: EndlessFrames},
	} {
		change := r.change
		if change == nil {
			change = func(o *DESFireOptions) { o.Fault = r.fault }
		}
		list = append(list, variant{Rogue: Rogue{Name: r.name, About: r.about, Kinds: symmetric}, desfire: change})
	}
	return list
}
