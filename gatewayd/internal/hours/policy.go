package hours

import (
	"sync/atomic"
	"time"
)

// Policy is the calendar in force. Another one may be put in force at any time,
// and all its methods may be called from any goroutine.
type Policy struct {
	current atomic.Pointer[Calendar]
}

// NewPolicy puts a calendar in force.
func NewPolicy(c Calendar) *Policy {
	p := &Policy{}
	p.Set(c)
	return p
}

// Set puts another calendar in force.
func (p *Policy) Set(c Calendar) { p.current.Store(&c) }

// Open reports whether the office is open at an instant, by the calendar in
// force now.
func (p *Policy) Open(t time.Time) bool { return p.current.Load().Open(t) }

// Always reports whether the office is open at any time, so that the time need not be
// known.
func (p *Policy) Always() bool { return p.current.Load().Always }
