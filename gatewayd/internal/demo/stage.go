package demo

import (
	"fmt"
	"io"
	"sync"
	"time"

	"presence/gatewayd/internal/terminal"
)

// stage prints when who did what. Its methods may be called from any goroutine.
type stage struct {
	out     io.Writer
	screen  terminal.Screen
	started time.Time
	mu      sync.Mutex
}

func (s *stage) say(who, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := fmt.Sprintf("%5.1f", time.Since(s.started).Seconds())
	fmt.Fprintf(s.out, "%s  %s %s\n", s.screen.Dim(at), s.screen.Bold(fmt.Sprintf("%-7s", who)), what)
}

func (s *stage) title(text string) { s.text(s.screen.Bold(text)) }

func (s *stage) text(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.out, text)
}
