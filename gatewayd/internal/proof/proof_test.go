package proof

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest/applets"
	"presence/gatewayd/internal/presence"
)

// now is the time of all taps in these tests.
func now() time.Time { return time.Date(2026, 11, 24, 7, 30, 0, 0, time.UTC) }

func uidOf(t testing.TB, s string) card.UID {
	t.Helper()
	uid, err := card.ParseUID(s)
	if err != nil {
		t.Fatal(err)
	}
	return uid
}

// office is a gateway's prover and what it lives on.
type office struct {
	*Prover
	t       testing.TB
	opt     Options
	seen    presence.Reading
	log     bytes.Buffer
	revoked Revoked
	keys    Keys
}

func (o *office) KeyOf(uid card.UID) CardKey {
	return CardKey{No: applets.KeyNumber, Key: applets.CardKey([7]byte(uid.Bytes()))}
}

func (o *office) KeyOfNumber(number [16]byte) CardKey {
	return CardKey{No: applets.KeyNumber, Key: applets.NumberKey(number)}
}

// newOffice is an office that knows the simulated authority, and no keys.
func newOffice(t testing.TB) *office {
	t.Helper()
	o := &office{t: t, seen: presence.Reading{Boot: presence.ID{9}, Boottime: 90*time.Second + 123456*time.Microsecond, Wall: now().UnixNano(), State: presence.ClockSynced}}
	o.opt = Options{
		Gateway: "dinkes-01", Stream: func() presence.ID { return presence.ID{7, 7} }, StateDir: t.TempDir(), Badges: presence.PlainBadges(),
		Authority: authority(t), Revoked: &o.revoked, Keys: &o.keys,
		Between: func(r presence.Reading) (time.Time, time.Time) {
			return r.WallTime().Add(-time.Second), r.WallTime().Add(time.Second)
		},
		Log: slog.New(slog.NewTextHandler(&o.log, nil)),
	}
	o.restart()
	return o
}

// restart begins anew with what is on the disk.
func (o *office) restart() { o.Prover = New(o.opt) }

func authority(t testing.TB) *Authority {
	t.Helper()
	ca, err := applets.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	a, err := ParseAuthority(ca.PEM(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// give puts the keys of badges in force, as a document would.
func (o *office) give(badges ...applets.Badge) {
	r := &Keyring{application: applets.Application(), byUID: make(map[card.UID]CardKey), byNumber: make(map[[16]byte]CardKey)}
	for _, b := range badges {
		uid := applets.RealUID(b.UID)
		if b.UID.Random() {
			number := applets.Number(uid)
			r.byNumber[number] = o.KeyOfNumber(number)
			continue
		}
		k := o.KeyOf(b.UID)
		k.NTAG424 = b.Kind == applets.KindNTAG424
		r.byUID[b.UID] = k
	}
	o.keys.Use(r)
}

// shown is a badge in the field.
func shown(t testing.TB, b applets.Badge) *air {
	t.Helper()
	if b.Now.IsZero() {
		b.Now = now()
	}
	program, err := b.Program()
	if err != nil {
		t.Fatal(err)
	}
	c := card.Card{UID: b.UID, ATQA: [2]byte{0x44, 0x03}, SAK: 0x20}
	if b.Rogue == "classic" {
		c.SAK = 0x08
	}
	return &air{card: c, applet: program}
}

// tap shows a badge, and has no error.
func (o *office) tap(a *air) presence.Identity {
	o.t.Helper()
	id, err := o.Prove(o.t.Context(), a, a.card, o.seen)
	if err != nil {
		o.t.Fatalf("%v (%+v)", err, id)
	}
	return id
}

const (
	staffUID = "04A1B2C3D4E5F6"
	otherUID = "04112233445566"
)

// TestSoundBadges: what a genuine badge proves, and the evidence of it.
func TestSoundBadges(t *testing.T) {
	for _, c := range []struct {
		badge  applets.Badge
		worth  card.Assurance
		random bool
	}{
		{applets.Badge{Kind: applets.KindPIV}, card.AssurancePIV, false},
		{applets.Badge{Kind: applets.KindPIV, Rogue: "p384"}, card.AssurancePIV, false},
		{applets.Badge{Kind: applets.KindPIV, Rogue: "large-certificate"}, card.AssurancePIV, false},
		{applets.Badge{Kind: applets.KindPIV, Rogue: "short-apdus"}, card.AssurancePIV, false},
		{applets.Badge{Kind: applets.KindPIV, Rogue: "slow"}, card.AssurancePIV, false},
		{applets.Badge{Kind: applets.KindEV2}, card.AssuranceDESFire, false},
		{applets.Badge{Kind: applets.KindEV3}, card.AssuranceDESFire, false},
		{applets.Badge{Kind: applets.KindNTAG424}, card.AssuranceDESFire, false},
		{applets.Badge{Kind: applets.KindEV2, Rogue: "unknown-capabilities"}, card.AssuranceDESFire, false},
		{applets.Badge{Kind: applets.KindEV3}, card.AssuranceDESFire, true},
	} {
		c.badge.UID = uidOf(t, staffUID)
		if c.random {
			c.badge.UID = uidOf(t, "08A1B2C3")
		}
		t.Run(string(c.badge.Kind)+" "+c.badge.Rogue, func(t *testing.T) {
			o := newOffice(t)
			if c.worth == card.AssuranceDESFire {
				o.give(c.badge)
			}
			var before [16]byte
			for range 2 { // without and with what was kept of the first time
				a := shown(t, c.badge)
				id := o.tap(a)
				if id.Assurance != string(c.worth) || id.Refuse != "" || id.Detail != "" {
					t.Fatalf("%+v", id)
				}
				uid := applets.RealUID(c.badge.UID)
				guid := c.badge.GUID()
				if c.worth == card.AssuranceDESFire {
					if !bytes.Equal(id.Bytes, uid[:]) || id.Proof != nil {
						t.Errorf("proven was %X, with %v", id.Bytes, id.Proof)
					}
					if n := a.applet.(applets.Program).Authentications(); n != 1 {
						t.Errorf("%d authentications", n)
					}
					continue
				}
				if !bytes.Equal(id.Bytes, guid[:]) || !contains(id.Claims, c.badge.UID.Bytes()) {
					t.Errorf("proven was %X, claims %X", id.Bytes, id.Claims)
				}
				o.checkEvidence(c.badge, id.Proof, a.applet.(applets.Program))
				if id.Proof.Random == before {
					t.Error("the challenge could be foreseen")
				}
				before = id.Proof.Random
			}
		})
	}
}

// checkEvidence checks a proof as the city would, with the event's own data.
func (o *office) checkEvidence(b applets.Badge, p *presence.Proof, did applets.Program) {
	o.t.Helper()
	b.Now = now()
	der, err := b.Certificate()
	if err != nil {
		o.t.Fatal(err)
	}
	if p == nil || p.Random == [16]byte{} || p.Certificate != sha256.Sum256(der) {
		o.t.Fatalf("evidence is %+v", p)
	}
	stream := o.opt.Stream()
	nonce := append(append(p.Random[:len(p.Random):len(p.Random)], "dinkes-01"...), stream[:]...)
	nonce = binary.BigEndian.AppendUint64(nonce, 90_123)
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		o.t.Fatal(err)
	}
	key := certificate.PublicKey.(*ecdsa.PublicKey)
	sum := sha256.Sum256(nonce)
	hash := sum[:]
	if key.Params().BitSize == 384 {
		long := sha512.Sum384(nonce)
		hash = long[:]
	}
	if !ecdsa.VerifyASN1(key, hash, p.Signature) || !did.Signed(hash) {
		o.t.Error("the signature is not over this gateway, stream and instant")
	}
}
