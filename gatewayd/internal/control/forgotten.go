package control

// Forgotten is how much of a person was removed.
type Forgotten struct {
	Kinds   map[string]int `json:"kinds"`   // events of each kind
	Waiting int            `json:"waiting"` // of them had not been delivered
}
