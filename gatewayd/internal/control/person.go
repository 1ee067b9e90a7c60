package control

import (
	"slices"

	"presence/gatewayd/internal/presence"
)

// Person is whom to forget, by the names in the events.
type Person struct {
	Badges []string `json:"badges"`
	Tags   []string `json:"tags"`
}

// Names reports whether a record names the person.
func (p Person) Names(r *presence.Record) bool {
	badge := func(name string) bool { return slices.Contains(p.Badges, name) }
	tag := func(name string) bool { return slices.Contains(p.Tags, name) }
	switch {
	case r.Badge != nil:
		return badge(r.Badge.Badge) || r.Badge.Check != nil && tag(r.Badge.Check.Tag)
	case r.Tag != nil:
		return tag(r.Tag.Tag)
	case r.Person != nil:
		return badge(r.Person.Badge) || tag(r.Person.Tag)
	}
	return false
}

// Forgotten is how much was removed.
type Forgotten struct {
	Kinds   map[string]int `json:"kinds"`   // events of each kind
	Waiting int            `json:"waiting"` // of them had not been delivered
}
