package door

import (
	"context"

	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// Prover finds out what a card can prove.
type Prover interface {
	// Prove talks to a card that lies on a reader, for at most 2 s, and tells who it is
	// and how far that is proven. seen is the reading of the tap's event, which a card's
	// signature covers. Where nothing is configured that a card could be proven with, it
	// returns Plain(c) without touching the air.
	//
	// A card that fails to prove who it is, or has nothing to prove it with, is no error:
	// the Identity says so. An error wraps card.ErrGone, card.ErrTooSlow or
	// card.ErrProtocol where the card was not heard to the end, and the card may be tried
	// anew unless Identity.Detail is DetailPending; any other one is the reader's, as of
	// card.Reader.Poll.
	Prove(ctx context.Context, reader card.Selector, c card.Card, seen presence.Reading) (presence.Identity, error)
}

// The words of Identity.Detail that the door itself decides by. All others name a proof
// that failed.
const (
	DetailAbsent  = "absent"  // the card has nothing to prove itself with
	DetailPending = "pending" // the card's key was asked and the answer was lost: another try might count as a second failure
)

// Plain is the identity of a card that proves nothing: the number that it shows.
func Plain(c card.Card) presence.Identity {
	return presence.Identity{Bytes: c.UID.Bytes(), Assurance: string(c.Assurance())}
}
