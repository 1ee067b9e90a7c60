package demo

import (
	"fmt"
	"io"
	"sync"
	"time"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/terminal"
)

// stage prints when who did what. Its methods may be called from any goroutine.
type stage struct {
	out     io.Writer
	screen  terminal.Screen
	started time.Time
	mu      sync.Mutex
}

// say prints what somebody or something did, which has its own column.
func (s *stage) say(who, what language.Text) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := fmt.Sprintf("%5.1f", time.Since(s.started).Seconds())
	name := s.screen.Bold(fmt.Sprintf("%-8s", who.In(s.screen.Language)))
	fmt.Fprintf(s.out, "%s  %s %s\n", s.screen.Dim(at), name, what.In(s.screen.Language))
}

func (s *stage) title(text language.Text) {
	s.text(s.screen.Bold(text.In(s.screen.Language)))
}

func (s *stage) text(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.out, line)
}

// Who is heard in the demonstration.
func door() language.Text   { return language.Text{EN: "door", ID: "pintu"} }
func lamp() language.Text   { return language.Text{EN: "lamp", ID: "lampu"} }
func town() language.Text   { return language.Text{EN: "city", ID: "kota"} }
func line() language.Text   { return language.Text{EN: "line", ID: "jalur"} }
func office() language.Text { return language.Text{EN: "office", ID: "kantor"} }

// plain is a text that is the same in both languages.
func plain(text string) language.Text { return language.Text{EN: text, ID: text} }
