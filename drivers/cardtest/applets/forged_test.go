package applets_test

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest/applets"
)

// TestForgedCertificatesAreForOtherKeys, so that a reader that remembers the genuine badge's
// certificate does not find that badge's key behind a wrong one. Sound badges keep the key.
func TestForgedCertificatesAreForOtherKeys(t *testing.T) {
	uid, err := card.ParseUID("04A1B2C3D4E5F6")
	if err != nil {
		t.Fatal(err)
	}
	key := func(rogue string) []byte {
		b := applets.Badge{Kind: applets.KindPIV, UID: uid, Rogue: rogue, Now: time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)}
		der, err := b.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		return publicKey(t, der)
	}
	genuine := key("")
	for rogue, same := range map[string]bool{
		"large-certificate": true, "stale-nonce": true, "copied-certificate": true,
		"foreign-ca": false, "expired": false, "wrong-usage": false, "personal": false, "other-certificate": false,
	} {
		if slices.Equal(key(rogue), genuine) != same {
			t.Errorf("%s: the genuine badge's key: %v, want %v", rogue, !same, same)
		}
	}
}

func publicKey(t *testing.T, der []byte) []byte {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c.RawSubjectPublicKeyInfo
}
