package backlog

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func health(pending int) []byte {
	return fmt.Appendf(nil, `{"v":1,"journal":{"pending":%d}}`, pending)
}

func TestPending(t *testing.T) {
	b := New()
	b.Health("presence/v1/dinkes/a/health", health(100))
	b.Health("presence/v1/dinkes/b/health", health(50))
	b.Health("presence/v1/dinkes/b/health", health(70)) // instead of what it said before
	for _, payload := range []string{"", "no JSON", `{"journal":{"pending":-5}}`, `{"journal":5}`} {
		b.Health("presence/v1/dinkes/a/health", []byte(payload))
	}
	b.Health("presence/v1/dinkes/a/status", health(1000))
	if n := b.Pending(); n != 170 {
		t.Errorf("%d wait, want 170", n)
	}
	b.Stored("dinkes", "a", 30)
	b.Stored("dinkes", "b", 1000) // among them those since
	b.Stored("dinkes", "c", 5)
	if n := b.Pending(); n != 70 {
		t.Errorf("%d wait, want 70", n)
	}
}

func TestShowsABacklogAndItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		b, s := New(), NewScreen(&out)
		b.Health("presence/v1/dinkes/a/health", health(20_000))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); b.Show(ctx, s, func() int { return 0 }) }()
		for range 3 {
			time.Sleep(time.Second / 2) // not at the instant at which it is shown
			b.Stored("dinkes", "a", 1000)
			time.Sleep(time.Second / 2)
		}
		synctest.Wait()
		shown := out.String()
		if !strings.Contains(shown, "3000 events stored, 1000 a second; 17000 wait, 17s left") {
			t.Errorf("it shows %q", shown)
		}
		out.Reset()
		if _, err := s.Write([]byte("a line\n")); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != "\r\x1b[Ka line\n" {
			t.Errorf("a line of the log is written as %q", got)
		}
		out.Reset()
		b.Stored("dinkes", "a", 17_000)
		time.Sleep(5 * time.Second)
		cancel()
		<-done
		if strings.Contains(out.String(), "stored") {
			t.Errorf("with nothing waiting it shows %q", out.String())
		}
	})
}
