package applets_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/cardtest/applets"
	"presence/drivers/desfire"
	"presence/drivers/isodep"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
	"presence/drivers/piv"
	"presence/drivers/pn532"
	"presence/drivers/pn532/pn532test"
)

// The tests of this file hold our drivers against the badges, over the air.

// open makes a reader over a field.
type open func(*cardtest.Field) (card.Reader, error)

func readers() map[string]open {
	log := slog.New(slog.DiscardHandler)
	return map[string]open{
		"mfrc522": func(f *cardtest.Field) (card.Reader, error) {
			return mfrc522.New(mfrc522test.New(f).Port(), mfrc522.Options{Log: log})
		},
		"pn532": func(f *cardtest.Field) (card.Reader, error) {
			return pn532.New(pn532test.New(f).Port(), pn532.Options{Log: log})
		},
	}
}

// What is wrong where it is for the drivers' caller to see.
var (
	errNoLayer4 = errors.New("no layer 4")
	errGUID     = errors.New("another GUID")
	errUID      = errors.New("another UID")
)

// tapped is a badge that lies on a reader.
type tapped struct {
	applets.Badge
	program applets.Program
	reader  card.Reader
	found   card.Card
}

// tap lays a badge on a reader, and waits until the reader has found it.
func tap(t *testing.T, reader open, b applets.Badge) *tapped {
	t.Helper()
	program, err := b.Program()
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Card(program)
	if err != nil {
		t.Fatal(err)
	}
	field := cardtest.NewField()
	r, err := reader(field)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	field.Put(c)
	for range 5 {
		time.Sleep(50 * time.Millisecond) // the card starts up
		cards, err := r.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(cards) == 1 {
			return &tapped{b, program, r, cards[0]}
		}
	}
	t.Fatalf("%s %s was not found", b.Kind, b.Rogue)
	return nil
}

// link gives the badge's link to use, for at most 2 s.
func (b *tapped) link(ctx context.Context, use func(card.Link) error) error {
	return b.reader.(card.Selector).Select(ctx, b.found, func(frames card.Frames) error {
		return isodep.Run(ctx, frames, isodep.Options{}, func(l *isodep.Link) error { return use(l) })
	})
}

// prove has our drivers decide who the badge is, and the badge say whether its key has
// answered.
func (b *tapped) prove(ctx context.Context) (answered bool, err error) {
	if !b.found.Layer4() {
		return false, errNoLayer4
	}
	err = b.link(ctx, func(l card.Link) error {
		switch b.Kind {
		case applets.KindPIV, applets.KindClone:
			answered, err = b.provePIV(ctx, l)
		default:
			answered, err = b.proveDESFire(ctx, l)
		}
		return err
	})
	return answered, err
}

func (b *tapped) provePIV(ctx context.Context, l card.Link) (bool, error) {
	authority, err := applets.NewAuthority()
	if err != nil {
		return false, err
	}
	authorities, err := piv.ParseAuthorities(authority.PEM())
	if err != nil {
		return false, err
	}
	c, err := piv.Select(ctx, l)
	if err != nil {
		return false, err
	}
	guid, err := c.GUID(ctx)
	if err != nil {
		return false, err
	}
	der, err := c.Certificate(ctx)
	if err != nil {
		return false, err
	}
	certificate, err := authorities.Verify(der, b.Now, b.Now)
	if err != nil {
		return false, err
	}
	if certificate.GUID != guid || guid != b.GUID() {
		return false, errGUID
	}
	hash := make([]byte, certificate.Algorithm.Hash().Size())
	_, _ = rand.Read(hash)
	signature, err := c.Sign(ctx, certificate.Algorithm, hash)
	if err != nil {
		return false, err
	}
	return b.program.Signed(hash), certificate.Verify(hash, signature)
}

func (b *tapped) proveDESFire(ctx context.Context, l card.Link) (bool, error) {
	var err error
	if b.Kind == applets.KindNTAG424 {
		err = desfire.SelectNTAG424(ctx, l)
	} else {
		err = desfire.SelectApplication(ctx, l, applets.Application())
	}
	if err != nil {
		return false, err
	}
	key := applets.CardKey(applets.RealUID(b.UID))
	if (b.Drawn || b.UID.Random()) && b.Kind != applets.KindNTAG424 {
		number, err := desfire.ReadNumber(ctx, l)
		if err != nil {
			return false, err
		}
		key = applets.NumberKey(number)
	}
	random := &remembering{}
	s, err := desfire.Authenticate(ctx, l, applets.KeyNumber, key, random)
	if err != nil {
		return false, err
	}
	uid, err := s.UID(ctx)
	if err != nil {
		return false, err
	}
	if fixed := applets.RealUID(b.UID); string(uid.Bytes()) != string(fixed[:]) {
		return false, errUID
	}
	a, ok := b.program.Authentication(random.last)
	return ok && a.Answered && a.UIDRead == 1, nil
}

// remembering draws random numbers and knows the last ones.
type remembering struct{ last [16]byte }

func (r *remembering) Read(p []byte) (int, error) {
	n, err := rand.Read(p)
	copy(r.last[:], p)
	return n, err
}

func uidOf(t *testing.T, s string) card.UID {
	t.Helper()
	uid, err := card.ParseUID(s)
	if err != nil {
		t.Fatal(err)
	}
	return uid
}

// why is what a reader says of each rogue that it has heard to the end.
func why() map[string][]error {
	protocol, late := []error{card.ErrProtocol}, []error{card.ErrTooSlow}
	absent := []error{piv.ErrAbsent, desfire.ErrAbsent}
	signature, form := []error{piv.ErrSignature}, []error{piv.ErrMalformed}
	certificate, algorithm := []error{piv.ErrBadCertificate}, []error{piv.ErrAlgorithm}
	answer, rnd, mac := []error{desfire.ErrMalformed}, []error{desfire.ErrRnd}, []error{desfire.ErrMAC}
	locked := []error{desfire.ErrLocked}
	return map[string][]error{
		"": absent, "mute": absent, "no-application": absent, "ev1": absent, "no-certificate": absent, "no-chuid": absent,
		"classic": {errNoLayer4}, "replay": {piv.ErrSignature, desfire.ErrRnd},
		"wtx-storm": late, "too-slow": late, "endless-blocks": protocol, "broken-ats": protocol,

		"huge-certificate": form, "junk-certificate": certificate, "wrong-usage": certificate, "key-agreement": certificate, "two-usages": certificate, "no-usage": certificate,
		"no-name": certificate, "two-names": certificate, "personal": certificate, "long-lived": certificate, "authority": certificate, "critical": certificate, "false-gzip": certificate,
		"foreign-ca": {piv.ErrForeignCA}, "expired": {piv.ErrExpired}, "not-yet-valid": {piv.ErrNotYetValid},
		"wrong-guid": {errGUID}, "other-certificate": {errGUID},
		"no-key": algorithm, "hash-on-card": algorithm, "wants-pin": {piv.ErrPIN},
		"copied-certificate": signature, "stale-nonce": signature, "leading-zeros": signature, "zero-s": signature,
		"raw-signature": signature, "trailing-bytes": signature, "swapped-signature": signature, "unsigned": signature,
		"broken-chuid": form, "broken-object": form, "broken-answer": form, "short-guid": form, "endless-chain": form,

		"foreign-key": {desfire.ErrWrongKey}, "no-such-key": {desfire.ErrNoKey},
		"locked": locked, "delaying": locked, "lrp-only": locked,
		"claims-only": rnd, "wrong-rnda": rnd, "unrotated-rnda": rnd,
		"aborts": answer, "part1-short": answer, "part1-long": answer, "part1-empty": answer, "part1-done": answer,
		"part2-short": answer, "part2-long": answer, "part2-empty": answer,
		"flipped-ti": mac, "wrong-mac": mac, "stale-counter": mac, "other-uid": {errUID},
		"uid-empty": answer, "uid-without-mac": answer, "uid-plain": answer, "uid-short": answer, "uid-padding": answer, "uid-more": answer, "endless-frames": answer,
	}
}

// TestDriversKnowEveryRogue: over each chip, genuine badges prove who they are within a
// second, and no rogue does: each is refused for what is wrong with it, within the 2 s
// that a card may take.
func TestDriversKnowEveryRogue(t *testing.T) {
	reasons := why()
	for chip, reader := range readers() {
		for _, r := range append([]applets.Rogue{{Sound: true, Kinds: applets.Kinds()}}, applets.Rogues()...) {
			for _, kind := range r.Kinds {
				for _, shown := range []string{"04A1B2C3D4E5F6", "08112233"} {
					t.Run(fmt.Sprintf("%s/%s/%s/%s", chip, kind, r.Name, shown), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							b := tap(t, reader, applets.Badge{Kind: kind, UID: uidOf(t, shown), Rogue: r.Name, Now: time.Now(), Seed: 7})
							started := time.Now()
							answered, err := b.prove(t.Context())
							took := time.Since(started)
							sound := r.Sound && kind != applets.KindClone
							matches := slices.ContainsFunc(reasons[r.Name], func(reason error) bool { return errors.Is(err, reason) })
							switch {
							case sound && (err != nil || !answered):
								t.Errorf("refused: %v (the key answered: %v)", err, answered)
							case !sound && err == nil:
								t.Error("taken for genuine")
							case !sound && !matches:
								t.Errorf("refused for another reason: %v", err)
							case sound && took > time.Second, took > 2*time.Second:
								t.Errorf("it took %v", took)
							}
						})
					})
				}
			}
		}
	}
}

// TestRandomUIDsStayWhileACardIsHeld: a DESFire that shows another UID whenever it gets
// power still has the one that was found, and its number says which key is its own.
func TestRandomUIDsStayWhileACardIsHeld(t *testing.T) {
	for chip, reader := range readers() {
		t.Run(chip, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := tap(t, reader, applets.Badge{Kind: applets.KindEV3, UID: uidOf(t, "04A1B2C3D4E5F6"), Drawn: true, Now: time.Now(), Seed: 7})
				if !b.found.UID.Random() {
					t.Fatalf("it shows %s", b.found.UID)
				}
				if answered, err := b.prove(t.Context()); err != nil || !answered {
					t.Errorf("%v (the key answered: %v)", err, answered)
				}
			})
		})
	}
}
