package proof

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"presence/drivers/card"
	"presence/drivers/cardtest/applets"
	"presence/gatewayd/internal/presence"
)

// read reports whether a card's certificate was read (GET DATA 5FC101).
func read(a *air) bool {
	return slices.ContainsFunc(a.applet.(applets.Program).Last(), func(e applets.Exchange) bool {
		return strings.Contains(string(e.Command), "\x5F\xC1\x01")
	})
}

func kept(t *testing.T, o *office) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(o.opt.StateDir, "badge-certificates", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestACertificateIsReadOnce, also over a restart, and once more where the file is damaged.
func TestACertificateIsReadOnce(t *testing.T) {
	o := newOffice(t)
	b := applets.Badge{Kind: applets.KindPIV, UID: uidOf(t, staffUID)}
	tap := func(want bool, when string) {
		t.Helper()
		a := shown(t, b)
		if id := o.tap(a); id.Assurance != string(card.AssurancePIV) || read(a) != want {
			t.Errorf("%s: read %v, %+v", when, read(a), id)
		}
	}
	tap(true, "at first")
	tap(false, "at the second tap")
	o.restart()
	tap(false, "after a restart")
	files := kept(t, o)
	if len(files) != 1 {
		t.Fatalf("kept %v", files)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	text[100] ^= 1
	if err := os.WriteFile(files[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	tap(true, "of a damaged file")
	tap(false, "after that")
}

// TestOnlyProvenCertificatesAreKept: a copied one would be a name on this disk for nothing.
func TestOnlyProvenCertificatesAreKept(t *testing.T) {
	o := newOffice(t)
	for _, rogue := range []string{"copied-certificate", "foreign-ca", "expired", "wrong-guid", "stale-nonce"} {
		o.tap(shown(t, applets.Badge{Kind: applets.KindPIV, UID: uidOf(t, staffUID), Rogue: rogue}))
	}
	if files := kept(t, o); len(files) != 0 {
		t.Errorf("kept %v", files)
	}
}

// TestAKeptCertificateIsCheckedAtEachTap: against the authorities, the dates and the list
// of losses; and it lets no copy in.
func TestAKeptCertificateIsCheckedAtEachTap(t *testing.T) {
	b := applets.Badge{Kind: applets.KindPIV, UID: uidOf(t, staffUID)}
	for name, c := range map[string]struct {
		change func(*office)
		rogue  string
		detail string
		refuse string
	}{
		"expired meanwhile": {change: func(o *office) { o.seen.Wall += (3 * 365 * 24 * time.Hour).Nanoseconds() }, detail: detailExpired, refuse: presence.ReasonNotAuthenticated},
		"another authority": {change: func(o *office) {
			ca, err := applets.NewForeignAuthority()
			if err != nil {
				t.Fatal(err)
			}
			if o.opt.Authority, err = ParseAuthority(ca.PEM(), nil); err != nil {
				t.Fatal(err)
			}
			o.restart()
		}, detail: detailForeignCA},
		"lost meanwhile": {change: func(o *office) {
			certificate := o.certificates.of(b.GUID())
			o.lose(`[{"serial":"` + serialOf(t, certificate) + `"}]`)
		}, detail: detailRevoked, refuse: presence.ReasonRevoked},
		"a copy":        {rogue: "copied-certificate", detail: detailSignature, refuse: presence.ReasonNotAuthenticated},
		"a stale nonce": {rogue: "stale-nonce", detail: detailSignature, refuse: presence.ReasonNotAuthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			o.tap(shown(t, b))
			if c.change != nil {
				c.change(o)
			}
			rogue := b
			rogue.Rogue = c.rogue
			a := shown(t, rogue)
			id := o.tap(a)
			signatures := 0
			for _, e := range a.applet.(applets.Program).Last() {
				if e.Command[1] == 0x87 { // GENERAL AUTHENTICATE
					signatures++
				}
			}
			if signatures > 1 {
				t.Errorf("the card was asked for %d signatures", signatures)
			}
			if id.Assurance != string(card.AssuranceUID) || id.Detail != c.detail || id.Refuse != c.refuse {
				t.Errorf("%+v", id)
			}
		})
	}
}

// TestANewCertificateTakesThePlaceOfTheOld: a badge that was issued anew, with another key,
// is let in at its first tap, and only its new certificate is kept.
func TestANewCertificateTakesThePlaceOfTheOld(t *testing.T) {
	o := newOffice(t)
	b := applets.Badge{Kind: applets.KindPIV, UID: uidOf(t, staffUID)}
	o.tap(shown(t, b))
	before := kept(t, o)
	b.Rogue = "p384"
	for range 2 {
		if id := o.tap(shown(t, b)); id.Assurance != string(card.AssurancePIV) {
			t.Fatalf("%+v", id)
		}
	}
	if after := kept(t, o); len(after) != 1 || after[0] == before[0] {
		t.Errorf("kept %v, and then %v", before, after)
	}
}

// TestCertificatesAreBounded: those go that were not used for the longest.
func TestCertificatesAreBounded(t *testing.T) {
	o := newOffice(t)
	c := o.certificates
	guid := func(n int) (g uuid.UUID) { binary.BigEndian.PutUint64(g[:], uint64(n)); return g }
	for n := range maxCertificates {
		c.byGUID[guid(n)] = []string{certificateName(guid(n), []byte{1})}
		c.order = append(c.order, guid(n))
	}
	c.keep(guid(0), []byte{2}) // used again
	c.keep(guid(maxCertificates), []byte{1})
	if _, ok := c.byGUID[guid(1)]; ok || len(c.byGUID) != maxCertificates || c.of(guid(0)) == nil || c.of(guid(maxCertificates)) == nil {
		t.Errorf("%d are kept", len(c.byGUID))
	}
}

// TestForget removes a badge's certificate and pause, and nobody else's.
func TestForget(t *testing.T) {
	o := newOffice(t)
	staff := applets.Badge{Kind: applets.KindPIV, UID: uidOf(t, staffUID)}
	o.tap(shown(t, staff))
	o.tap(shown(t, applets.Badge{Kind: applets.KindPIV, UID: uidOf(t, otherUID)}))
	guid := staff.GUID()
	badge := o.opt.Badges.Identity(guid[:])
	o.pauses.failed(badge, "key", o.seen)
	o.Forget(badge)
	o.restart()
	if o.certificates.of(guid) != nil || len(kept(t, o)) != 1 || len(o.pauses.all) != 0 {
		t.Errorf("kept %v and %v", kept(t, o), o.pauses.all)
	}
}
