package proof

import (
	"slices"
	"testing"

	"presence/drivers/card"
	"presence/drivers/cardtest/applets"
	"presence/gatewayd/internal/presence"
)

// failures are what is said of each rogue: the detail, and whether the door must refuse it
// whatever is enrolled, since it is a badge of ours that fails. One that says "absent" shows
// only its number, and one without a refusal may be a stranger's sound card.
func failures() map[string]struct {
	detail string
	ours   bool
} {
	return map[string]struct {
		detail string
		ours   bool
	}{
		"mute":    {presence.DetailAbsent, false},
		"classic": {"", false},

		"huge-certificate":   {detailMalformed, false},
		"foreign-ca":         {detailForeignCA, false},
		"expired":            {detailExpired, true},
		"not-yet-valid":      {detailNotYetValid, true},
		"copied-certificate": {detailSignature, true},
		"wrong-usage":        {detailBadCertificate, true},
		"key-agreement":      {detailBadCertificate, true},
		"two-usages":         {detailBadCertificate, true},
		"no-usage":           {detailBadCertificate, true},
		"no-name":            {detailBadCertificate, true},
		"two-names":          {detailBadCertificate, true},
		"personal":           {detailBadCertificate, true},
		"long-lived":         {detailBadCertificate, true},
		"authority":          {detailBadCertificate, true},
		"critical":           {detailBadCertificate, true},
		"wrong-guid":         {detailWrongGUID, true},
		"other-certificate":  {detailWrongGUID, true},
		"no-certificate":     {presence.DetailAbsent, false},
		"junk-certificate":   {detailBadCertificate, false},
		"no-key":             {detailAlgorithm, true}, // SP 800-73 has one status for both
		"stale-nonce":        {detailSignature, true},
		"leading-zeros":      {detailSignature, true},
		"zero-s":             {detailSignature, true},
		"raw-signature":      {detailSignature, true},
		"trailing-bytes":     {detailSignature, true},
		"swapped-signature":  {detailSignature, true},
		"unsigned":           {detailSignature, true},
		"broken-chuid":       {detailMalformed, false},
		"broken-object":      {detailMalformed, false},
		"broken-answer":      {detailMalformed, true},
		"no-chuid":           {presence.DetailAbsent, false},
		"short-guid":         {detailMalformed, false},
		"false-gzip":         {detailBadCertificate, false},
		"hash-on-card":       {detailAlgorithm, true},
		"wants-pin":          {detailPIN, true},
		"endless-chain":      {detailMalformed, false},

		"no-application":  {presence.DetailAbsent, false},
		"foreign-key":     {detailWrongKey, true},
		"no-such-key":     {detailNoKey, true},
		"locked":          {detailLocked, true},
		"delaying":        {detailLocked, true},
		"lrp-only":        {detailLocked, true}, // the card does not say why it refuses AES
		"claims-only":     {detailRnd, true},
		"ev1":             {detailMalformed, true},
		"aborts":          {detailMalformed, true},
		"wrong-rnda":      {detailRnd, true},
		"unrotated-rnda":  {detailRnd, true},
		"flipped-ti":      {detailMAC, true},
		"part1-done":      {detailMalformed, true},
		"uid-more":        {detailMalformed, true},
		"part1-short":     {detailMalformed, true},
		"part1-long":      {detailMalformed, true},
		"part1-empty":     {detailMalformed, true},
		"part2-short":     {detailMalformed, true},
		"part2-long":      {detailMalformed, true},
		"part2-empty":     {detailMalformed, true},
		"wrong-mac":       {detailMAC, true},
		"other-uid":       {detailWrongUID, true},
		"uid-empty":       {detailMalformed, true},
		"uid-without-mac": {detailMalformed, true},
		"uid-plain":       {detailMalformed, true},
		"uid-short":       {detailMalformed, true},
		"uid-padding":     {detailMalformed, true},
		"stale-counter":   {detailMAC, true},
		"endless-frames":  {detailMalformed, true},
	}
}

// onTheAir are the rogues that never come to an end of what they say, which takes a real
// reader to find out.
func onTheAir() []string { return []string{"too-slow", "wtx-storm", "endless-blocks", "broken-ats"} }

// TestEveryRogueIsToldByItsReason, and proves nothing.
func TestEveryRogueIsToldByItsReason(t *testing.T) {
	for _, r := range applets.Rogues() {
		if r.Sound || slices.Contains(onTheAir(), r.Name) {
			continue // see TestSoundBadges, TestRoguesOnTheAir
		}
		for _, kind := range r.Kinds {
			t.Run(r.Name+" "+string(kind), func(t *testing.T) {
				want, ok := failures()[r.Name]
				if r.Name == "replay" {
					want.detail, want.ours, ok = detailSignature, true, true
					if kind != applets.KindPIV {
						want.detail = detailRnd
					}
				}
				if !ok {
					t.Fatal("is not in the table")
				}
				o := newOffice(t)
				b := applets.Badge{Kind: kind, UID: uidOf(t, staffUID), Rogue: r.Name}
				if slices.Contains([]applets.Kind{applets.KindEV2, applets.KindEV3, applets.KindNTAG424}, kind) {
					o.give(b)
				}
				a := shown(t, b)
				id := o.tap(a)
				refuse := ""
				if want.ours {
					refuse = presence.ReasonNotAuthenticated
				}
				if id.Assurance != string(card.AssuranceUID) || id.Detail != want.detail || id.Refuse != refuse || id.Proof != nil {
					t.Errorf("%+v, want %+v", id, want)
				}
				if counted := o.Failed()[want.detail]; counted != 1 && want.detail != presence.DetailAbsent && want.detail != "" {
					t.Errorf("counted %d", counted)
				}
			})
		}
	}
}
