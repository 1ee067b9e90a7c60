package door

import (
	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// demands are what is asked of a card, whoever asks it.
type demands struct {
	// least is the highest assurance that anybody is enrolled with under an identity that
	// the card has proven or claims; "" where nobody asks for more than a number.
	least card.Assurance
	// authenticated: every badge has to prove who it is (badges.require).
	authenticated bool
	// revoked: the city has revoked an identity that the card has proven or claims.
	revoked bool
}

// refusal is the reason for which a card is not let through, "" where it is. It decides
// before anybody asks whether the tap is a repeat: a copy that is shown right after its
// original must not be taken for it.
func refusal(id presence.Identity, asked demands) string {
	shown := card.Assurance(id.Assurance)
	enough := shown.AtLeast(asked.least)
	switch {
	case asked.revoked:
		return presence.ReasonRevoked
	case id.Refuse != "":
		return id.Refuse
	case enough && (shown.Authenticated() || !asked.authenticated):
		return ""
	case tried(id.Detail):
		return presence.ReasonNotAuthenticated
	case !enough:
		return presence.ReasonDowngrade
	}
	return presence.ReasonNotAuthenticated
}

// tried reports whether a card has tried to prove who it is, and failed. The others offer
// nothing but their number.
func tried(detail string) bool {
	return detail != "" && detail != presence.DetailAbsent && detail != presence.DetailNoATS
}

// demands are what is asked of a card with this identity.
func (d *Door) demands(id presence.Identity) demands {
	asked := demands{authenticated: d.opt.RequireAuthenticated}
	for i := -1; i < len(id.Claims); i++ {
		identity := id.Bytes
		if i >= 0 {
			identity = id.Claims[i]
		}
		if d.opt.Least != nil {
			if least := d.opt.Least(identity); !asked.least.AtLeast(least) {
				asked.least = least
			}
		}
		if d.opt.Revoked != nil && d.opt.Revoked(identity) {
			asked.revoked = true
		}
	}
	return asked
}
