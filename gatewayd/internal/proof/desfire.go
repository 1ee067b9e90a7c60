package proof

import (
	"context"
	"crypto/rand"
	"errors"

	"presence/drivers/card"
	"presence/drivers/desfire"
	"presence/gatewayd/internal/presence"
)

// knows reports whether a card with this UID may be one of those whose keys are here. One
// with a random UID may be, if there is a key of any such card.
func (k *Keys) knows(uid card.UID) bool {
	r := k.current.Load()
	if r == nil {
		return false
	}
	if uid.Random() {
		return len(r.byNumber) > 0
	}
	_, ok := r.byUID[uid]
	return ok
}

// desfire has the card show that it knows the key that the city has sent for it.
func (a *attempt) desfire(ctx context.Context, link card.Link, keys *Keys) (verdict, error) {
	ring := keys.current.Load()
	if !a.card.UID.Random() {
		return a.authenticate(ctx, link, ring.application, a.card.UID.Bytes(), ring.byUID[a.card.UID])
	}
	if err := desfire.SelectApplication(ctx, link, ring.application); err != nil {
		return ofDESFire(err)
	}
	number, err := desfire.ReadNumber(ctx, link)
	if err != nil {
		return ofDESFire(err)
	}
	key, ok := ring.byNumber[number]
	if !ok { // a badge of another office, perhaps
		return failure(presence.DetailAbsent), nil
	}
	return a.authenticateSelected(ctx, link, number[:], key)
}

// simulatedApplication is where simulated DESFire cards have their key.
func simulatedApplication() desfire.AID { return desfire.AID{0xF5, 0x42, 0x30} }

// shows reports whether the card shows its own UID, as all of these have: one of 7 bytes.
func (a *attempt) shows() bool { return a.card.UID.Len() == 7 }

// simulated is desfire for a simulated card, of which it is not known whether it is a
// DESFire or an NTAG 424.
func (a *attempt) simulated(ctx context.Context, link card.Link) (verdict, error) {
	if !a.shows() {
		if err := desfire.SelectApplication(ctx, link, simulatedApplication()); err != nil {
			return ofDESFire(err)
		}
		number, err := desfire.ReadNumber(ctx, link)
		if err != nil {
			return ofDESFire(err)
		}
		return a.authenticateSelected(ctx, link, number[:], a.opt.Simulated.KeyOfNumber(number))
	}
	key := a.opt.Simulated.KeyOf(a.card.UID)
	v, err := a.authenticate(ctx, link, simulatedApplication(), a.card.UID.Bytes(), key)
	if err == nil && v.detail == presence.DetailAbsent {
		key.NTAG424 = true
		return a.authenticate(ctx, link, simulatedApplication(), a.card.UID.Bytes(), key)
	}
	return v, err
}

// authenticate selects where the card has its key, and tries it.
func (a *attempt) authenticate(ctx context.Context, link card.Link, application desfire.AID, name []byte, key CardKey) (verdict, error) {
	var err error
	if key.NTAG424 {
		err = desfire.SelectNTAG424(ctx, link)
	} else {
		err = desfire.SelectApplication(ctx, link, application)
	}
	if err != nil {
		return ofDESFire(err)
	}
	return a.authenticateSelected(ctx, link, name, key)
}

// authenticateSelected tries a key once, unless it was wrong a short while ago. The badge
// is remembered by name, a UID or a number, where the card takes the key for a wrong one:
// it counts that.
func (a *attempt) authenticateSelected(ctx context.Context, link card.Link, name []byte, key CardKey) (verdict, error) {
	badge, keyName := a.opt.Badges.Identity(name), key.fingerprint()
	if a.pauses.active(badge, keyName, a.seen) {
		return refusal(detailPaused), nil
	}
	session, err := desfire.Authenticate(ctx, link, key.No, key.Key, rand.Reader)
	switch {
	case errors.Is(err, desfire.ErrPending):
		a.pauses.lost(badge, keyName, a.seen)
		return failure(presence.DetailPending), err
	case errors.Is(err, desfire.ErrWrongKey):
		a.pauses.failed(badge, keyName, a.seen)
	}
	if err != nil {
		return ours(ofDESFire(err))
	}
	defer session.Close()
	uid, err := session.UID(ctx)
	if ofLink(err) { // the key is right, and yet it is not asked a second time at this visit
		return failure(presence.DetailPending), err
	}
	if err != nil {
		return ours(ofDESFire(err))
	}
	if a.shows() && uid != a.card.UID {
		return refusal(detailWrongUID), nil
	}
	a.pauses.forget(badge)
	return verdict{identity: uid.Bytes(), worth: card.AssuranceDESFire}, nil
}

// ours makes the failure of a badge of ours a refusal. Where the link has ended there is
// no verdict.
func ours(v verdict, err error) (verdict, error) {
	if err != nil {
		return verdict{}, err
	}
	if v.detail == presence.DetailAbsent { // it let the application be selected, and does not know the command
		v.detail = detailMalformed
	}
	v.refuse = presence.ReasonNotAuthenticated
	return v, nil
}

// ofDESFire is the verdict where such a card refuses something or answers nonsense. An
// error is the link's.
func ofDESFire(err error) (verdict, error) {
	if ofLink(err) {
		return verdict{}, err
	}
	for _, known := range []struct {
		err    error
		detail string
	}{
		{desfire.ErrAbsent, presence.DetailAbsent},
		{desfire.ErrNoKey, detailNoKey},
		{desfire.ErrWrongKey, detailWrongKey},
		{desfire.ErrLocked, detailLocked},
		{desfire.ErrLRP, detailLRP},
		{desfire.ErrRnd, detailRnd},
		{desfire.ErrMAC, detailMAC},
		{desfire.ErrDenied, detailNoKey},
		{desfire.ErrMalformed, detailMalformed},
	} {
		if errors.Is(err, known.err) {
			return failure(known.detail), nil
		}
	}
	return verdict{}, err
}
