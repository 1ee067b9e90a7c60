package desfire_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest/applets"
	"presence/drivers/desfire"
)

// errUID is what a door has to find by itself: a card that shows another UID than it proves.
var errUID = errors.New("the card shows another UID")

// direct is a link to a card's program, without anything on the air.
type direct struct{ program applets.Program }

func (*direct) ATS() []byte { return nil }

func (d *direct) Exchange(_ context.Context, command []byte) ([]byte, error) {
	answer, _ := d.program.Command(command)
	return answer, nil
}

// prove has a card prove which badge it is, as a door does that has the keys of cards.
func prove(ctx context.Context, link card.Link, kind applets.Kind, shown card.UID, rndA [16]byte) (card.UID, error) {
	var err error
	if kind == applets.KindNTAG424 {
		err = desfire.SelectNTAG424(ctx, link)
	} else {
		err = desfire.SelectApplication(ctx, link, applets.Application())
	}
	if err != nil {
		return card.UID{}, err
	}
	key := applets.CardKey(applets.RealUID(shown))
	if shown.Random() && kind != applets.KindNTAG424 {
		number, err := desfire.ReadNumber(ctx, link)
		if err != nil {
			return card.UID{}, err
		}
		key = applets.NumberKey(number)
	}
	s, err := desfire.Authenticate(ctx, link, applets.KeyNumber, key, bytes.NewReader(rndA[:]))
	if err != nil {
		return card.UID{}, err
	}
	defer s.Close()
	uid, err := s.UID(ctx)
	if err == nil && !shown.Random() && uid != shown {
		err = errUID
	}
	return uid, err
}

// rogues are all rogues of the family, and the error by which each is refused. What they do
// wrong on the air is not for this package to find.
func rogues() map[string]error {
	return map[string]error{
		"":                     nil,
		"unknown-capabilities": nil,
		"wtx-storm":            nil,
		"endless-blocks":       nil,
		"broken-ats":           nil,

		"mute":            desfire.ErrAbsent,
		"no-application":  desfire.ErrAbsent,
		"ev1":             desfire.ErrAbsent,
		"no-such-key":     desfire.ErrNoKey,
		"foreign-key":     desfire.ErrWrongKey,
		"locked":          desfire.ErrLocked,
		"delaying":        desfire.ErrLocked,
		"lrp-only":        desfire.ErrLocked, // 919D, as a locked key
		"aborts":          desfire.ErrMalformed,
		"part1-short":     desfire.ErrMalformed,
		"part1-long":      desfire.ErrMalformed,
		"part1-empty":     desfire.ErrMalformed,
		"part1-done":      desfire.ErrMalformed,
		"part2-short":     desfire.ErrMalformed,
		"part2-long":      desfire.ErrMalformed,
		"part2-empty":     desfire.ErrMalformed,
		"uid-empty":       desfire.ErrMalformed,
		"uid-without-mac": desfire.ErrMalformed,
		"uid-plain":       desfire.ErrMalformed,
		"uid-short":       desfire.ErrMalformed,
		"uid-padding":     desfire.ErrMalformed,
		"uid-more":        desfire.ErrMalformed,
		"endless-frames":  desfire.ErrMalformed,
		"claims-only":     desfire.ErrRnd,
		"replay":          desfire.ErrRnd,
		"wrong-rnda":      desfire.ErrRnd,
		"unrotated-rnda":  desfire.ErrRnd,
		"wrong-mac":       desfire.ErrMAC,
		"flipped-ti":      desfire.ErrMAC,
		"stale-counter":   desfire.ErrMAC,
		"other-uid":       errUID,
	}
}

// TestModels runs against the cards in software, which somebody else has written, with a
// fixed UID and a random one. A rogue that is not in the list is a failure; no card proves
// anything whose key has not answered this very challenge and whose UID was not read in that
// session.
func TestModels(t *testing.T) {
	for _, kind := range []applets.Kind{applets.KindEV2, applets.KindEV3, applets.KindNTAG424} {
		names := []string{""}
		for _, r := range applets.Rogues() {
			for _, k := range r.Kinds {
				if k == kind {
					names = append(names, r.Name)
				}
			}
		}
		for _, name := range names {
			for _, shown := range []string{"04DE5F1EACC040", "08A1B2C3"} {
				t.Run(fmt.Sprintf("%s %s %s", kind, name, shown), func(t *testing.T) { meet(t, kind, name, shown) })
			}
		}
	}
}

// meet lets a card that shows a UID prove itself several times.
func meet(t *testing.T, kind applets.Kind, rogue, shown string) {
	uid, err := card.ParseUID(shown)
	if err != nil {
		t.Fatal(err)
	}
	want, known := rogues()[rogue]
	if rogue == "other-uid" && uid.Random() {
		want = nil // nothing to compare with: the UID is the card's own word
	}
	for seed := range uint64(5) {
		program, err := applets.Badge{Kind: kind, UID: uid, Rogue: rogue, Now: time.Now(), Seed: seed}.Program()
		if err != nil {
			t.Fatal(err)
		}
		var rndA [16]byte
		if _, err := rand.Read(rndA[:]); err != nil {
			t.Fatal(err)
		}
		got, err := prove(t.Context(), &direct{program}, kind, uid, rndA)
		if !known || !errors.Is(err, want) {
			t.Errorf("error is %v, want %v", err, want)
		}
		seen, ok := program.Authentication(rndA)
		if err == nil && rogue != "other-uid" {
			if got.Bytes()[0] != 0x04 || [7]byte(got.Bytes()) != applets.RealUID(uid) {
				t.Errorf("proven as %v", got)
			}
			if !ok || !seen.Answered || seen.UIDRead != 1 || !seen.First || seen.KeyNo != applets.KeyNumber {
				t.Errorf("proven, and the card knows of it: %+v, %v", seen, ok)
			}
		}
		if program.Repeats() != 0 || program.Authentications() > 1 {
			t.Errorf("%d challenges were repeated, %d authentications", program.Repeats(), program.Authentications())
		}
		if n := firstHalves(program); n > 1 {
			t.Errorf("%d authentications were begun", n)
		}
	}
}

// firstHalves is how often a reader has begun an authentication.
func firstHalves(program applets.Program) (n int) {
	for _, e := range program.Last() {
		if len(e.Command) > 1 && e.Command[0] == 0x90 && e.Command[1] == 0x71 {
			n++
		}
	}
	return n
}

// TestFailuresAreCounted: a card with another key counts one failure for each attempt, and
// one that is taken away before it has answered may have counted one.
func TestFailuresAreCounted(t *testing.T) {
	model := func() *applets.DESFire {
		return applets.NewDESFire(applets.DESFireOptions{
			Family: applets.EV3, UID: [7]byte{4, 1, 2, 3, 4, 5, 6},
			Application: applets.Application(), Keys: map[byte][16]byte{1: {1}},
		})
	}
	d := model()
	for n := range 3 {
		if err := desfire.SelectApplication(t.Context(), &direct{d}, applets.Application()); err != nil {
			t.Fatal(err)
		}
		if _, err := desfire.Authenticate(t.Context(), &direct{d}, 1, desfire.Key{2}, rand.Reader); !errors.Is(err, desfire.ErrWrongKey) {
			t.Fatal(err)
		}
		if d.Failures(1) != n+1 {
			t.Errorf("%d failures after %d attempts", d.Failures(1), n+1)
		}
	}
	if _, err := desfire.Authenticate(t.Context(), &direct{d}, 1, desfire.Key{1}, rand.Reader); err != nil || d.Failures(1) != 0 {
		t.Errorf("with the right key: %v, %d failures", err, d.Failures(1))
	}
	left := &leaving{direct: direct{model()}, after: 2}
	if err := desfire.SelectApplication(t.Context(), left, applets.Application()); err != nil {
		t.Fatal(err)
	}
	_, err := desfire.Authenticate(t.Context(), left, 1, desfire.Key{2}, rand.Reader)
	if !errors.Is(err, desfire.ErrPending) || !errors.Is(err, card.ErrGone) {
		t.Errorf("taken away: %v", err)
	}
}

// leaving is a card that is taken away after so many exchanges.
type leaving struct {
	direct
	after int
}

func (l *leaving) Exchange(ctx context.Context, command []byte) ([]byte, error) {
	if l.after == 0 {
		return nil, fmt.Errorf("exchange: %w", card.ErrGone)
	}
	l.after--
	return l.direct.Exchange(ctx, command)
}

// TestVersionOfModels: the models say what they are, and keep a random UID to themselves.
func TestVersionOfModels(t *testing.T) {
	for kind, want := range map[applets.Kind]string{
		applets.KindEV2: "MIFARE DESFire EV2", applets.KindEV3: "MIFARE DESFire EV3", applets.KindNTAG424: "NTAG 424 DNA",
	} {
		for _, shown := range []string{"04DE5F1EACC040", "08A1B2C3"} {
			uid, err := card.ParseUID(shown)
			if err != nil {
				t.Fatal(err)
			}
			program, err := applets.Badge{Kind: kind, UID: uid, Now: time.Now()}.Program()
			if err != nil {
				t.Fatal(err)
			}
			v, err := desfire.GetVersion(t.Context(), &direct{program})
			if err != nil || v.Family() != want || (v.UID == card.UID{}) != uid.Random() {
				t.Errorf("%s %s: %+v, %v", kind, shown, v, err)
			}
		}
	}
	if _, err := desfire.GetVersion(t.Context(), &direct{&applets.Mute{}}); !errors.Is(err, desfire.ErrAbsent) {
		t.Errorf("a mute card: %v", err)
	}
}

// TestSecondAuthor: driver and models diversify alike, each by its own code.
func TestSecondAuthor(t *testing.T) {
	uid, application := [7]byte{0x04, 0xDE, 0x5F, 0x1E, 0xAC, 0xC0, 0x40}, applets.Application()
	master := sha256.Sum256([]byte("gatewayd sim badge master key\x00"))
	m := slices.Concat(uid[:], application[:], []byte("gatewayd"))
	mine, err := desfire.Diversify(desfire.Key(master[:16]), m)
	if theirs := applets.CardKey(uid); err != nil || mine != theirs {
		t.Errorf("%X and %X, %v", [16]byte(mine), theirs, err)
	}
}

// flipping is a card's link on which one bit of one answer is wrong.
type flipping struct {
	direct
	answer, bit int // which answer, counted from 0, and which of its bits
	now         int
	beyond      bool // there is no such answer, or no such bit
}

func (f *flipping) Exchange(ctx context.Context, command []byte) ([]byte, error) {
	b, err := f.direct.Exchange(ctx, command)
	if f.now++; f.now-1 != f.answer {
		return b, err
	}
	if f.bit/8 >= len(b) {
		f.beyond = true
		return b, err
	}
	b[f.bit/8] ^= 1 << (f.bit % 8)
	return b, err
}

// TestEveryBit changes each bit of each answer of a genuine card in turn. Not one of them
// may be wrong in a proof.
func TestEveryBit(t *testing.T) {
	uid, err := card.ParseUID("04DE5F1EACC040")
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for answer := range 4 { // selection, both halves, UID
		for bit := 0; ; bit++ {
			program, err := applets.Badge{Kind: applets.KindEV3, UID: uid, Now: time.Now()}.Program()
			if err != nil {
				t.Fatal(err)
			}
			f := &flipping{direct: direct{program}, answer: answer, bit: bit}
			got, err := prove(t.Context(), f, applets.KindEV3, uid, [16]byte{byte(bit), byte(answer), 1})
			if f.beyond {
				break
			}
			changed++
			if err == nil {
				t.Errorf("bit %d of answer %d: proven as %v", bit, answer, got)
			}
		}
	}
	if want := 8 * (2 + 18 + 34 + 26); changed != want {
		t.Errorf("%d bits were changed, want %d", changed, want)
	}
}
