package roster

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"presence/drivers/card"
)

// Pair says that who shows the badge carries the tag, and what the badge must show.
type Pair struct {
	Badge string `json:"badge"` // the identity, as in events
	Tag   string `json:"tag"`   // as in events, such as "mesh:1c2f13fc"; "" for somebody without one

	// Assurance is the least that the badge must show at the door:
	// card.AssuranceDESFire or card.AssurancePIV; "" where its number will do.
	Assurance card.Assurance `json:"assurance,omitempty"`
}

// Source is where the roster in force comes from.
type Source string

// The sources. A document wins over the file.
const (
	None     Source = "none"
	File     Source = "file"
	Document Source = "topic"
)

// Roster is the roster in force. Its methods may be called from any goroutine,
// and looking something up never waits for a change.
type Roster struct {
	current atomic.Pointer[edition]

	mu       sync.Mutex // held over a change
	file     []Pair     // nil: no good file was seen
	document []Pair     // nil: no document was accepted
}

// edition is a roster that is never changed.
type edition struct {
	source   Source
	pairs    []Pair // by badge
	tagged   []Pair // those of them that have a tag
	badges   map[string]Pair
	replaced chan struct{} // closed when another edition is in force
}

// New makes a roster without pairs.
func New() *Roster {
	r := &Roster{}
	r.current.Store(newEdition(None, nil))
	return r
}

func newEdition(source Source, pairs []Pair) *edition {
	e := &edition{source: source, pairs: pairs, badges: make(map[string]Pair, len(pairs)), replaced: make(chan struct{})}
	for _, p := range pairs {
		e.badges[p.Badge] = p
		if p.Tag != "" {
			e.tagged = append(e.tagged, p)
		}
	}
	return e
}

// TagOf is the tag of a badge's owner, false where the roster has none.
func (r *Roster) TagOf(badge string) (tag string, ok bool) {
	tag = r.current.Load().badges[badge].Tag
	return tag, tag != ""
}

// Least is the least that a badge must show: card.AssuranceDESFire or card.AssurancePIV,
// "" where its number will do.
func (r *Roster) Least(badge string) card.Assurance { return r.current.Load().badges[badge].Assurance }

// Asks reports whether any badge must show just that.
func (r *Roster) Asks(a card.Assurance) bool {
	return slices.ContainsFunc(r.current.Load().pairs, func(p Pair) bool { return p.Assurance == a })
}

// Entries is how many badges the roster in force has.
func (r *Roster) Entries() int { return len(r.current.Load().pairs) }

// Pairs are those of the roster in force that have a tag, by badge, and a channel that is
// closed as soon as another roster is in force. The pairs must not be changed. A badge is
// in one pair, a tag may be in several: spare cards.
func (r *Roster) Pairs() (pairs []Pair, replaced <-chan struct{}) {
	e := r.current.Load()
	return e.tagged, e.replaced
}

// Source is where the roster in force comes from.
func (r *Roster) Source() Source { return r.current.Load().source }

// SetFile puts a file's pairs in force, unless a document is.
func (r *Roster) SetFile(pairs []Pair) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.file = sorted(pairs)
	r.choose()
}

// SetDocument puts a signed document's pairs in force.
func (r *Roster) SetDocument(pairs []Pair) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.document = sorted(pairs)
	r.choose()
}

// sorted is a copy by badge, not nil.
func sorted(pairs []Pair) []Pair {
	list := append([]Pair{}, pairs...)
	slices.SortFunc(list, func(a, b Pair) int { return cmp.Compare(a.Badge, b.Badge) })
	return list
}

// choose puts the best source in force, if that changes anything.
func (r *Roster) choose() {
	source, pairs := None, []Pair(nil)
	switch {
	case r.document != nil:
		source, pairs = Document, r.document
	case r.file != nil:
		source, pairs = File, r.file
	}
	old := r.current.Load()
	if old.source == source && slices.Equal(old.pairs, pairs) {
		return
	}
	r.current.Store(newEdition(source, pairs))
	close(old.replaced)
}
