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

// Answer is what became of one tap.
type Answer struct {
	Reader  string        `json:"reader"`
	Badge   string        `json:"badge"`
	UID     string        `json:"-"` // upper-case hex; never leaves the process but towards a simulated tap
	Card    string        `json:"card"`
	Outcome Outcome       `json:"outcome"`
	Stream  ID            `json:"stream"` // of the event; for a repeat, of the event that it repeats
	Seq     uint64        `json:"seq"`
	Reason  string        `json:"reason,omitempty"`
	Took    time.Duration `json:"-"` // from the arrival of the card in the field to the answer
}
