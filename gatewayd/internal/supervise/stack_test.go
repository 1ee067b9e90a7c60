package supervise_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"presence/gatewayd/internal/supervise"
)

// standsHere is where a task of these tests hangs.
func standsHere(hang <-chan struct{}) { <-hang }

// hung runs a crew with a task that hangs, and returns what is logged of that. before is
// called before it hangs.
func hung(t *testing.T, before func(hang <-chan struct{})) string {
	t.Helper()
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "1000")
	var text bytes.Buffer
	s, err := supervise.NewSystemd(slog.New(slog.NewTextHandler(&text, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	hang, hangs := make(chan struct{}), make(chan struct{})
	crew := supervise.NewCrew(slog.New(slog.DiscardHandler), s)
	pulse := s.Pulse("reader door")
	ended := make(chan error)
	go func() {
		ended <- crew.Run(ctx, seconds,
			supervise.Task{Name: "reader gate", Run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
			supervise.Task{Name: "reader door", Pulse: pulse, Run: func(context.Context) error {
				before(hang)
				close(hangs)
				standsHere(hang)
				return nil
			}})
	}()
	<-hangs
	for s.Lives() { // until the beat is overdue
	}
	for range 3 {
		s.Lives() // what is known already is logged no more
	}
	cancel()
	close(hang)
	<-ended
	return text.String()
}

func TestLogOfATaskThatHangsSaysWhereItStands(t *testing.T) {
	text := hung(t, func(<-chan struct{}) {})
	if n := strings.Count(text, "task hangs"); n != 1 {
		t.Errorf("it is logged %d times: %s", n, text)
	}
	_, stack, _ := strings.Cut(text, `stack="`)
	if !strings.HasPrefix(stack, "presence/gatewayd/internal/supervise_test.standsHere stack_test.go:15 < presence/gatewayd/internal/supervise_test.hung.func") {
		t.Errorf("the log does not say where it stands: %s", text)
	}
	if strings.Contains(stack, " | ") || strings.Contains(stack, "pprof") {
		t.Errorf("the log names other goroutines, or what starts each task: %s", text)
	}
}

func TestStackOfATaskIsBounded(t *testing.T) {
	var all sync.WaitGroup
	defer all.Wait()
	text := hung(t, func(hang <-chan struct{}) {
		// Each waits at another depth, so that no two stacks are equal.
		var there sync.WaitGroup
		there.Add(40)
		var deep func(n int)
		deep = func(n int) {
			if n > 0 {
				deep(n - 1)
				return
			}
			there.Done()
			standsHere(hang)
		}
		for n := range 40 {
			all.Go(func() { deep(n) })
		}
		there.Wait()
	})
	_, stack, _ := strings.Cut(text, `stack="`)
	if len(stack) > 2200 || !strings.Contains(stack, `..."`) {
		t.Errorf("%d bytes: %s", len(stack), stack)
	}
}
