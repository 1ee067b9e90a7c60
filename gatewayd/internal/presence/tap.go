package presence

import "time"

// Outcome is the answer of the lamp to one tap.
type Outcome string

// The outcomes, which the lamp shows.
const (
	Accepted Outcome = "accepted" // durable on disk
	Repeat   Outcome = "repeat"   // already recorded within the repeat window
	Refused  Outcome = "refused"  // not recorded: Answer.Reason says why
)

// Why a card is refused, in Answer.Reason; the reasons of a journal that takes no tap are
// the journal's. They are the contract's.
const (
	ReasonDowngrade        = "downgrade"         // it is enrolled as one that proves who it is, and shows its number only
	ReasonNotAuthenticated = "not-authenticated" // it tried to prove who it is and failed, or offers nothing where every badge must
	ReasonHoldLonger       = "hold-longer"       // it was taken away before it could answer
	ReasonRevoked          = "revoked"           // the city has revoked it
)

// Answer is what became of one tap.
type Answer struct {
	Reader    string  `json:"reader"`
	Badge     string  `json:"badge"`
	UID       string  `json:"-"` // upper-case hex, as the card showed it; never leaves the process but towards a simulated tap
	Card      string  `json:"card"`
	Assurance string  `json:"assurance,omitempty"` // what the card has shown, as in the event
	Outcome   Outcome `json:"outcome"`
	Stream    ID      `json:"stream"` // of the event; for a repeat, of the event that it repeats
	Seq       uint64  `json:"seq"`
	Reason    string  `json:"reason,omitempty"`
	// Detail says in one word what was wrong with a card that was refused
	// (Identity.Detail); "" where nothing was.
	Detail string        `json:"detail,omitempty"`
	Took   time.Duration `json:"-"` // from the arrival of the card in the field to the answer
}
