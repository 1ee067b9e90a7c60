package hours

import (
	"sync"
	"testing"
	"time"
)

func TestPolicyTakesEffectAtOnce(t *testing.T) {
	loc := malang(t)
	p := NewPolicy(national(loc))
	monday := time.Date(2026, 11, 23, 12, 30, 0, 0, loc)
	if !p.Open(monday) || p.Always() {
		t.Error("the national week is closed on Monday at noon, or always open")
	}
	lunch := national(loc)
	lunch.Week[time.Monday] = []Span{span(730, 1200), span(1300, 1600)}
	p.Set(lunch)
	for at, want := range map[time.Time]bool{
		monday:                        false,
		monday.Add(-30 * time.Minute): false, // 12:00 belongs to the break
		monday.Add(-30*time.Minute - time.Nanosecond): true,
		monday.Add(30 * time.Minute):                  true, // 13:00 does not
		monday.Add(30*time.Minute - time.Nanosecond):  false,
	} {
		if got := p.Open(at); got != want {
			t.Errorf("open at %v is %v", at, got)
		}
	}
	p.Set(Calendar{Always: true})
	if !p.Open(monday) || !p.Always() {
		t.Error("always is not")
	}
}

// TestPolicyIsAskedWhileItChanges is for the race detector.
func TestPolicyIsAskedWhileItChanges(t *testing.T) {
	p := NewPolicy(national(malang(t)))
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for range 1000 {
				p.Open(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
				p.Always()
			}
		})
	}
	for i := range 1000 {
		p.Set(Calendar{Always: i%2 == 0})
	}
	asking.Wait()
}
