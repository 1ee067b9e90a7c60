package piv_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest/applets"
	"presence/drivers/piv"
)

// errGUID is what a door has to find by itself: a card whose certificate is another badge's
// than its CHUID says.
var errGUID = errors.New("the certificate is another badge's")

// direct is a link to a card's program, without anything on the air. It lasts 1.8 s.
type direct struct {
	program applets.Program
	spent   time.Duration
}

func (*direct) ATS() []byte { return nil }

func (d *direct) Exchange(_ context.Context, command []byte) ([]byte, error) {
	answer, delay := d.program.Command(command)
	if d.spent += delay; d.spent > 1800*time.Millisecond {
		return nil, fmt.Errorf("exchange: %w", card.ErrTooSlow)
	}
	return answer, nil
}

// prove has a card prove which badge it is, as a door does, and returns what its key has
// signed.
func prove(ctx context.Context, link card.Link, ours *piv.Authorities, now time.Time) (*piv.Certificate, []byte, error) {
	c, err := piv.Select(ctx, link)
	if err != nil {
		return nil, nil, err
	}
	guid, err := c.GUID(ctx)
	if err != nil {
		return nil, nil, err
	}
	der, err := c.Certificate(ctx)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := ours.Verify(der, now, now)
	if err != nil {
		return nil, nil, err
	}
	if certificate.GUID != guid {
		return nil, nil, errGUID
	}
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return nil, nil, err
	}
	h := certificate.Algorithm.Hash().New()
	h.Write(nonce)
	hash := h.Sum(nil)
	signature, err := c.Sign(ctx, certificate.Algorithm, hash)
	if err != nil {
		return nil, nil, err
	}
	err = certificate.Verify(hash, signature)
	return certificate, hash, err
}

// simulated is the authority of simulated badges.
func simulated(t *testing.T) *piv.Authorities {
	t.Helper()
	ca, err := applets.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := piv.ParseAuthorities(ca.PEM())
	if err != nil {
		t.Fatal(err)
	}
	return ours
}

// rogues are all rogues that show themselves as PIV cards, and the error by which each is
// refused. What they do wrong on the air is not for this package to find.
func rogues() map[string]error {
	return map[string]error{
		"":                  nil,
		"p384":              nil,
		"large-certificate": nil,
		"short-apdus":       nil,
		"slow":              nil,
		"wtx-storm":         nil,
		"endless-blocks":    nil,
		"broken-ats":        nil,

		"mute":               piv.ErrAbsent,
		"no-chuid":           piv.ErrAbsent,
		"no-certificate":     piv.ErrAbsent,
		"broken-chuid":       piv.ErrMalformed,
		"short-guid":         piv.ErrMalformed,
		"broken-object":      piv.ErrMalformed,
		"huge-certificate":   piv.ErrMalformed,
		"endless-chain":      piv.ErrMalformed,
		"false-gzip":         piv.ErrBadCertificate,
		"junk-certificate":   piv.ErrBadCertificate,
		"wrong-usage":        piv.ErrBadCertificate,
		"key-agreement":      piv.ErrBadCertificate,
		"two-usages":         piv.ErrBadCertificate,
		"no-usage":           piv.ErrBadCertificate,
		"no-name":            piv.ErrBadCertificate,
		"two-names":          piv.ErrBadCertificate,
		"personal":           piv.ErrBadCertificate,
		"long-lived":         piv.ErrBadCertificate,
		"authority":          piv.ErrBadCertificate,
		"critical":           piv.ErrBadCertificate,
		"foreign-ca":         piv.ErrForeignCA,
		"expired":            piv.ErrExpired,
		"not-yet-valid":      piv.ErrNotYetValid,
		"wrong-guid":         errGUID,
		"other-certificate":  errGUID,
		"no-key":             piv.ErrAlgorithm, // lists RSA alone
		"hash-on-card":       piv.ErrAlgorithm,
		"wants-pin":          piv.ErrPIN,
		"broken-answer":      piv.ErrMalformed,
		"replay":             piv.ErrSignature,
		"copied-certificate": piv.ErrSignature,
		"stale-nonce":        piv.ErrSignature,
		"leading-zeros":      piv.ErrSignature,
		"zero-s":             piv.ErrSignature,
		"raw-signature":      piv.ErrSignature,
		"trailing-bytes":     piv.ErrSignature,
		"swapped-signature":  piv.ErrSignature,
		"unsigned":           piv.ErrSignature,
		"too-slow":           card.ErrTooSlow,
	}
}

// TestRogues runs against the cards in software, which somebody else has written. A rogue
// that is not in the list is a failure; no card proves anything whose key has not signed
// this very challenge.
func TestRogues(t *testing.T) {
	uid, err := card.ParseUID("04DE5F1EACC040")
	if err != nil {
		t.Fatal(err)
	}
	ours, now, want := simulated(t), time.Now(), rogues()
	names := []string{""}
	for _, r := range applets.Rogues() {
		for _, kind := range r.Kinds {
			if kind == applets.KindPIV {
				names = append(names, r.Name)
			}
		}
	}
	if len(names) != len(want) {
		t.Errorf("%d rogues, and %d in the list", len(names), len(want))
	}
	for _, name := range names {
		t.Run("rogue "+name, func(t *testing.T) {
			for seed := range uint64(3) {
				badge := applets.Badge{Kind: applets.KindPIV, UID: uid, Rogue: name, Now: now, Seed: seed}
				program, err := badge.Program()
				if err != nil {
					t.Fatal(err)
				}
				for range 2 { // a rogue may answer otherwise when it is asked again
					expected, known := want[name]
					certificate, hash, err := prove(t.Context(), &direct{program: program}, ours, now)
					if !known || !errors.Is(err, expected) {
						t.Errorf("error is %v, want %v", err, expected)
					}
					if err == nil && (!program.Signed(hash) || certificate.GUID != piv.GUIDOf(uid)) {
						t.Errorf("proven as %v, and the key has signed this: %v", certificate.GUID, program.Signed(hash))
					}
					program.Reset()
				}
				if n := program.Commands(); n > 2*40 {
					t.Errorf("%d commands", n)
				}
			}
		})
	}
}

// flipping is a card's link on which one bit of what it sends is wrong.
type flipping struct {
	direct
	bit int // counted over all answers
	now int // bits so far
}

func (f *flipping) Exchange(ctx context.Context, command []byte) ([]byte, error) {
	b, err := f.direct.Exchange(ctx, command)
	if at := f.bit - f.now; at >= 0 && at < 8*len(b) {
		b[at/8] ^= 1 << (at % 8)
	}
	f.now += 8 * len(b)
	return b, err
}

// TestEveryBit changes each bit of each answer of a genuine card in turn. It proves who it
// is all the same where the bit means nothing, as in the label of the application, and
// then its key has signed this very challenge and the name is right.
func TestEveryBit(t *testing.T) {
	uid, err := card.ParseUID("04DE5F1EACC040")
	if err != nil {
		t.Fatal(err)
	}
	ours, now := simulated(t), time.Now()
	proven, step := 0, 1
	if testing.Short() {
		step = 7
	}
	for bit := 0; ; bit += step {
		program, err := applets.Badge{Kind: applets.KindPIV, UID: uid, Now: now}.Program()
		if err != nil {
			t.Fatal(err)
		}
		f := &flipping{direct: direct{program: program}, bit: bit}
		certificate, hash, err := prove(t.Context(), f, ours, now)
		if bit >= f.now && err == nil { // beyond the last bit
			break
		}
		if err != nil {
			continue
		}
		proven++
		if !program.Signed(hash) || certificate.GUID != piv.GUIDOf(uid) {
			t.Fatalf("bit %d: proven as %v, and the key has signed this: %v", bit, certificate.GUID, program.Signed(hash))
		}
	}
	t.Logf("%d changed bits meant nothing", proven)
	if proven == 0 {
		t.Error("not even the label may change")
	}
}

// TestOtherKinds: cards of other kinds have no PIV application.
func TestOtherKinds(t *testing.T) {
	uid, err := card.ParseUID("04DE5F1EACC040")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range applets.Kinds() {
		if kind == applets.KindPIV {
			continue
		}
		program, err := applets.Badge{Kind: kind, UID: uid, Now: time.Now()}.Program()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := piv.Select(t.Context(), &direct{program: program}); !errors.Is(err, piv.ErrAbsent) {
			t.Errorf("%s: error is %v", kind, err)
		}
	}
}

// TestSecondAuthor: driver and model agree on GUIDs, each by its own code.
func TestSecondAuthor(t *testing.T) {
	for _, hex := range []string{"04DE5F1EACC040", "DEADBEEF", "0102030405060708090A"} {
		uid, err := card.ParseUID(hex)
		if err != nil {
			t.Fatal(err)
		}
		if mine, theirs := piv.GUIDOf(uid), applets.GUIDOf(uid); mine != theirs {
			t.Errorf("%s: GUID %X and %X", hex, mine, theirs)
		}
	}
}

// BenchmarkVerify is what a gateway computes at a tap: the chain, and one signature.
func BenchmarkVerify(b *testing.B) {
	ca, err := applets.NewAuthority()
	if err != nil {
		b.Fatal(err)
	}
	ours, err := piv.ParseAuthorities(ca.PEM())
	if err != nil {
		b.Fatal(err)
	}
	uid, err := card.ParseUID("04DE5F1EACC040")
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	program, err := applets.Badge{Kind: applets.KindPIV, UID: uid, Now: now}.Program()
	if err != nil {
		b.Fatal(err)
	}
	c, err := piv.Select(b.Context(), &direct{program: program})
	if err != nil {
		b.Fatal(err)
	}
	der, err := c.Certificate(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	hash := sha256.Sum256(nil)
	signature, err := c.Sign(b.Context(), piv.P256, hash[:])
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		certificate, err := ours.Verify(der, now, now)
		if err != nil {
			b.Fatal(err)
		}
		if err := certificate.Verify(hash[:], signature); err != nil {
			b.Fatal(err)
		}
	}
}
