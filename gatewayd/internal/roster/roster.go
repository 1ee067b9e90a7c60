package roster

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// Pair says that who shows the badge carries the tag.
type Pair struct {
	Badge string `json:"badge"` // the identity, as in events
	Tag   string `json:"tag"`   // as in events, such as "mesh:1c2f13fc"
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
	tags     map[string]string
	replaced chan struct{} // closed when another edition is in force
}

// New makes a roster without pairs.
func New() *Roster {
	r := &Roster{}
	r.current.Store(newEdition(None, nil))
	return r
}

func newEdition(source Source, pairs []Pair) *edition {
	e := &edition{source: source, pairs: pairs, tags: make(map[string]string, len(pairs)), replaced: make(chan struct{})}
	for _, p := range pairs {
		e.tags[p.Badge] = p.Tag
	}
	return e
}

// TagOf is the tag of a badge's owner, false where the roster has none.
func (r *Roster) TagOf(badge string) (tag string, ok bool) {
	tag, ok = r.current.Load().tags[badge]
	return tag, ok
}

// Pairs is the roster in force, by badge, and a channel that is closed as soon
// as another one is. The pairs must not be changed. A badge is in one pair, a
// tag may be in several: spare cards.
func (r *Roster) Pairs() (pairs []Pair, replaced <-chan struct{}) {
	e := r.current.Load()
	return e.pairs, e.replaced
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
