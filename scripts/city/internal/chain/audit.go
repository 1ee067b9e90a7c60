package chain

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Audit collects the events of files, and says then what holds. Its methods belong to one
// goroutine.
type Audit struct {
	keys     *Keys
	captured bool
	head     *Head
	// indonesian is the language of what is said.
	indonesian bool

	parser   *parser // one for all files: hashes of two compare
	files    []*file
	streams  map[string]*stream
	names    []string // of gateways and boots
	nameOf   map[string]uint32
	findings int
}

// Options is what an audit is told beside the files.
type Options struct {
	Keys *Keys
	// Captured files hold messages as a broker delivered them: in any order, and some
	// twice.
	Captured bool
	Head     *Head // nil: how far the chain has to reach is not known
	// Indonesian is the language of the report; else it is English.
	Indonesian bool
}

// New begins an audit.
func New(opt Options) *Audit {
	return &Audit{
		keys: opt.Keys, captured: opt.Captured, head: opt.Head, indonesian: opt.Indonesian, parser: newParser(),
		streams: map[string]*stream{}, nameOf: map[string]uint32{},
	}
}

// Head is an event that the chain has to reach, and its link: what the city had confirmed,
// or what somebody wrote down.
type Head struct {
	stream string
	seq    uint64
	link   link
}

// ParseHead reads STREAM-SEQ:LINK.
func ParseHead(s string) (*Head, error) {
	id, l, _ := strings.Cut(s, ":")
	dash := strings.LastIndexByte(id, '-')
	h := &Head{}
	var ok bool
	if h.link, ok = parseLink(l); ok && dash > 0 {
		h.stream = id[:dash]
		h.seq = seqOf([]byte(id[dash+1:]))
	}
	if h.seq == 0 {
		return nil, fmt.Errorf("head %q: want STREAM-SEQ:LINK, the link 32 lower-case hexadecimal digits", s)
	}
	return h, nil
}

// stream is all that the files say of one stream.
type stream struct {
	name string
	all  []said // by number, the same one as it was read, once seen
	// anyLink is whether any of its events has a link.
	anyLink bool
	order   int // among the streams of its gateway
}

func (a *Audit) keep(l line) {
	s := a.streams[l.stream]
	if s == nil {
		s = &stream{name: l.stream}
		a.streams[s.name] = s
	}
	l.said.gateway, l.said.boot = a.intern(l.gateway), a.intern(l.boot)
	s.all = append(s.all, l.said)
	s.anyLink = s.anyLink || l.linked
}

func (a *Audit) intern(name string) uint32 {
	n, there := a.nameOf[name]
	if !there {
		n = uint32(len(a.names))
		a.names = append(a.names, name)
		a.nameOf[name] = n
	}
	return n
}

// label is the gateway of a stream: the one that most of its events name.
func (s *stream) label() uint32 {
	count := map[uint32]int{}
	best := s.all[0].gateway
	for i := range s.all {
		count[s.all[i].gateway]++
	}
	for i := range s.all { // of several, the one that was read first
		if g := s.all[i].gateway; count[g] > count[best] {
			best = g
		}
		if len(count) == 1 {
			break
		}
	}
	return best
}

// seen sorts the events of a stream by number, and leaves those of a number in the order
// in which they were read.
func (s *stream) seen() {
	bySeq := func(x, y said) int { return cmp.Compare(x.seq, y.seq) }
	if !slices.IsSortedFunc(s.all, bySeq) {
		slices.SortStableFunc(s.all, bySeq)
	}
}

// events is how many lines of all files were events.
func (a *Audit) events() (n uint64) {
	for _, f := range a.files {
		n += f.events
	}
	return n
}

// byGateway are the streams of each gateway.
func (a *Audit) byGateway() map[string][]*stream {
	gateways := map[string][]*stream{}
	for _, s := range a.streams {
		name := a.names[s.label()]
		gateways[name] = append(gateways[name], s)
	}
	return gateways
}

// Check says what holds and what does not, on a line each, and returns how many findings
// there are. An error means that it cannot be told.
func (a *Audit) Check(r *Report) (findings int, err error) {
	if a.events() == 0 {
		return 0, errNothing
	}
	a.sayInputs(r)
	gateways := a.byGateway()
	for _, name := range slices.Sorted(maps.Keys(gateways)) {
		public, err := a.keys.of(name)
		if err != nil {
			return 0, err
		}
		g := newGateway(a, name, public, gateways[name])
		if err := g.check(); err != nil {
			return 0, err
		}
		g.print(r)
		a.findings += g.findings
		for _, s := range g.streams {
			s.all = nil // its memory serves for the next
		}
	}
	a.sayHead(r)
	r.verdict(a.findings)
	return a.findings, r.err
}

var errNothing = errors.New("there is no event in these files")
