package recorder

import (
	"sync"

	"presence/scripts/city/internal/intake"
)

// State is how a recorder is now.
type State struct {
	Leading   bool
	Connected []bool // at each broker
}

// state is what a recorder knows of itself, for who asks from beside.
type state struct {
	mu  sync.Mutex
	now term
}

// term is the parts of a term that can be asked.
type term struct {
	leading  bool
	queue    *intake.Queue
	sessions []*intake.Session
}

func (s *state) set(t term) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = t
}

func (s *state) get() term {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// State is how the recorder is now.
func (r *Recorder) State() State {
	now := r.state.get()
	connected := make([]bool, len(r.set.Brokers))
	for i, s := range now.sessions {
		connected[i] = s.Connected()
	}
	return State{Leading: now.leading, Connected: connected}
}

// Works reports whether it leads and has a session at each broker.
func (s State) Works() bool {
	for _, c := range s.Connected {
		if !c {
			return false
		}
	}
	return s.Leading
}
