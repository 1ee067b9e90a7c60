package recorder

import (
	"sync"
	"time"

	"presence/scripts/city/internal/intake"
)

// State is how a recorder is now.
type State struct {
	Leading    bool   `json:"leading"`
	StandingBy bool   `json:"standing_by"` // another recorder leads
	Storing    bool   `json:"storing"`     // the database takes what comes, as far as is known
	Connected  []bool `json:"connected"`   // at each broker
	Queued     int    `json:"queued"`      // events that wait in memory
	Pending    int    `json:"pending"`     // events that wait at gateways, by what those said last
	// Problem is why it does not lead, stand by or store; "" where it does.
	Problem string `json:"problem,omitempty"`
}

// Works reports whether the recorder does all that it should: it leads, has a session at
// each broker and stores, or stands by for one that leads.
func (s State) Works() bool {
	if s.StandingBy {
		return true
	}
	for _, connected := range s.Connected {
		if !connected {
			return false
		}
	}
	return s.Leading && s.Storing
}

// state is what a recorder knows of itself, for who asks from beside.
type state struct {
	mu         sync.Mutex
	now        *parts // of the term; nil: it does not lead
	standingBy bool
	problem    string
}

// parts are those of a term that can be asked.
type parts struct {
	queue    *intake.Queue
	sessions []*intake.Session
}

func (s *state) lead(p *parts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.standingBy, s.problem = p, false, ""
}

func (s *state) standBy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.standingBy, s.problem = true, ""
}

// end notes the end of a term, or of waiting for one.
func (s *state) end(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.standingBy, s.problem = nil, false, why.Error()
}

// stores notes that the database stores, or why it does not.
func (s *state) stores(problem error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problem = ""
	if problem != nil {
		s.problem = problem.Error()
	}
}

func (s *state) get() (now *parts, standingBy bool, problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now, s.standingBy, s.problem
}

// State is how the recorder is now.
func (r *Recorder) State() State {
	now, standingBy, problem := r.state.get()
	s := State{
		Leading: now != nil, StandingBy: standingBy, Storing: now != nil && problem == "",
		Connected: make([]bool, len(r.set.Brokers)), Pending: r.backlog.Pending(), Problem: problem,
	}
	if now != nil {
		s.Queued, _, _ = now.queue.Length()
		for i, session := range now.sessions {
			s.Connected[i] = session.Connected()
		}
	}
	return s
}

// Leads reports whether the recorder leads.
func (r *Recorder) Leads() bool { return r.State().Leading }

// DatabaseConnected reports whether the recorder has a session at the database.
func (r *Recorder) DatabaseConnected() bool {
	s := r.State()
	return s.Leading || s.StandingBy
}

// BrokerConnected reports whether the recorder has a session at a broker.
func (r *Recorder) BrokerConnected(broker int) bool { return r.State().Connected[broker] }

// Queue is what waits in memory to be stored, and since when; zero: nothing does.
func (r *Recorder) Queue() (events, bytes int, since time.Time) {
	now, _, _ := r.state.get()
	if now == nil {
		return 0, 0, time.Time{}
	}
	return now.queue.Length()
}

// Pending is how many events wait at gateways, by what those said last.
func (r *Recorder) Pending() int { return r.backlog.Pending() }
