package uplink

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// usual is a patience of the length that gateways have.
var usual = patience{first: time.Minute, longest: time.Hour}

// due takes all that is to go again now, and counts how often each event went.
func due(l *ledger, count map[uint64]int) (all []span) {
	for {
		s, _ := l.due(time.Now(), 20)
		if s.Empty() {
			return all
		}
		for pos := s.From; pos <= s.To; pos++ {
			count[pos]++
		}
		if n := len(all); n > 0 && all[n-1].To+1 == s.From {
			all[n-1].To = s.To
		} else {
			all = append(all, s)
		}
	}
}

// outstanding is a ledger that has sent events of a stream, which the broker has.
func outstanding(n uint64) *ledger {
	l := newLedger(usual, earlier{})
	l.begin(0)
	l.enter(entriesOf(streamA, 1, n))
	l.noteSending(n)
	l.awaitReceipt(1, n, time.Now())
	return l
}

func TestSlowCityIsNotSentEverythingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := outstanding(1000)
		for pos := uint64(10); pos <= 1000; pos += 10 {
			time.Sleep(50 * time.Second) // of the bubble: over an hour in all
			if again := due(l, map[uint64]int{}); again != nil {
				t.Fatalf("at position %d events %v went again", pos, again)
			}
			l.receive(streamA, pos, true)
		}
	})
}

// TestAbsentCityIsAskedLaterAndLater: the oldest few go again, after a minute,
// and then after a time that doubles up to an hour.
func TestAbsentCityIsAskedLaterAndLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := outstanding(1000)
		start := time.Now()
		var at []time.Duration
		count := make(map[uint64]int)
		for len(at) < 9 {
			if again := due(l, count); again != nil {
				if !slices.Equal(again, []span{spanOf(1, firstRepeats)}) {
					t.Fatalf("%v went again", again)
				}
				at = append(at, time.Since(start).Round(time.Second)/time.Minute)
			}
			if time.Since(start) < 10*time.Minute {
				for pos, n := range count {
					if n > 2 {
						t.Fatalf("event %d was published %d times in %v", pos, n+1, time.Since(start))
					}
				}
			}
			_, next := l.due(time.Now(), 1)
			time.Sleep(time.Until(next))
		}
		if want := []time.Duration{1, 5, 13, 29, 61, 121, 181, 241, 301}; !slices.Equal(at, want) {
			t.Errorf("the oldest went again after %v minutes, want %v", at, want)
		}
	})
}

// TestBrokerKeepsLittleForACityThatIsAway: a broker keeps for the city what comes while
// that is away, so what goes again fills its memory. In a day those are 28 times the
// oldest few of each gateway, however many wait.
func TestBrokerKeepsLittleForACityThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mostInADay = 28 * firstRepeats
		l := outstanding(10_000)
		count := make(map[uint64]int)
		for end := time.Now().Add(24 * time.Hour); time.Now().Before(end); {
			due(l, count)
			_, next := l.due(time.Now(), 1)
			time.Sleep(time.Until(next))
		}
		again := 0
		for _, n := range count {
			again += n
		}
		if again > mostInADay || again < mostInADay/2 {
			t.Errorf("%d events went again in a day, want at most %d", again, mostInADay)
		}
	})
}

// TestConnectionHasTheCityAskedSoonAgain: it was away for a day, and comes back together
// with the broker. It does not have to wait for the hour that the pause has grown to.
func TestConnectionHasTheCityAskedSoonAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := outstanding(1000)
		count := make(map[uint64]int)
		for range 12 {
			_, next := l.due(time.Now(), 1)
			time.Sleep(time.Until(next))
			due(l, count)
		}
		time.Sleep(5 * time.Minute)
		if again := due(l, count); again != nil {
			t.Fatalf("without a new connection %v went again", again)
		}
		l.begin(0)
		l.enter(entriesOf(streamA, 1, 1000))
		if again := due(l, count); !slices.Equal(again, []span{spanOf(1, firstRepeats)}) {
			t.Errorf("at a new connection %v went again", again)
		}
	})
}

// TestReceiptOfAnyKindEndsTheWaiting: whoever sends a receipt is there.
func TestReceiptOfAnyKindEndsTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, retained := range []bool{false, true} {
			l := outstanding(100)
			l.receive(streamA, 10, true)
			for range 5 {
				_, next := l.due(time.Now(), 1)
				time.Sleep(time.Until(next))
				due(l, map[uint64]int{})
			}
			time.Sleep(2 * time.Minute)
			l.receive(streamA, 10, !retained) // it says nothing new
			if again := due(l, map[uint64]int{}); (again == nil) != retained {
				t.Errorf("retained %t: %v went again", retained, again)
			}
		}
	})
}

// TestCityThatComesBackGetsWhatItLacksAtFullSpeed: it has lost all that the
// broker acknowledged, and answers to each part.
func TestCityThatComesBackGetsWhatItLacksAtFullSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		l := outstanding(n)
		count := make(map[uint64]int)
		time.Sleep(10 * time.Minute) // nobody looked meanwhile
		parts := 0
		for l.cursor < n {
			again := due(l, count)
			if len(again) != 1 || again[0].From != l.cursor+1 {
				t.Fatalf("behind %d %v went again", l.cursor, again)
			}
			parts++
			l.awaitReceipt(again[0].From, again[0].To, time.Now())
			l.receive(streamA, again[0].To, true)
		}
		for pos := uint64(1); pos <= n; pos++ {
			if count[pos] != 1 {
				t.Fatalf("event %d went %d times again", pos, count[pos])
			}
		}
		if parts > 10 {
			t.Errorf("it took %d answers", parts)
		}
	})
}

// TestCityThatKeptEverythingGetsLittleTwice: what waited for it at the broker
// comes before what went again.
func TestCityThatKeptEverythingGetsLittleTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		l := outstanding(n)
		count := make(map[uint64]int)
		time.Sleep(time.Minute)
		due(l, count)
		for pos := uint64(500); pos <= n; pos += 500 {
			l.receive(streamA, pos, true)
			due(l, count)
		}
		if len(count) > n/10 {
			t.Errorf("%d of %d events went again", len(count), n)
		}
	})
}

// TestLineThatBreaksOftenHasEverythingSentOnceMoreOnly while the city is away.
func TestLineThatBreaksOftenHasEverythingSentOnceMoreOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := outstanding(1000)
		count := make(map[uint64]int)
		connect := func(l *ledger) {
			l.begin(0)
			rest, _, _ := l.enter(entriesOf(streamA, 1, 1000))
			for _, e := range rest {
				count[e.Pos]++
				l.awaitReceipt(e.Pos, e.Pos, time.Now())
			}
		}
		for range 30 { // for ten minutes
			time.Sleep(20 * time.Second)
			connect(l)
			due(l, count)
		}
		for pos := uint64(1); pos <= 1000; pos++ {
			most := 1
			if pos <= firstRepeats {
				most += 10/4 + 1 // each 4 minutes
			}
			if count[pos] == 0 || count[pos] > most {
				t.Fatalf("event %d was published %d times", pos, count[pos]+1)
			}
		}
		// Nor does a process that is started anew send it all once more. It asks
		// with a few at once, for nobody knows how long it was off.
		clear(count)
		l = newLedger(usual, earlier{sent: 1000, unanswered: l.unanswered()})
		connect(l)
		if len(count) > 0 {
			t.Fatalf("after a restart %d went again", len(count))
		}
		if again := due(l, count); !slices.Equal(again, []span{spanOf(1, firstRepeats)}) {
			t.Fatalf("after a restart %v went again", again)
		}
		if again := due(l, count); len(again) > 0 {
			t.Fatalf("without an answer %v went again", again)
		}
		// A line that breaks does not have it ask again.
		connect(l)
		if again := due(l, count); len(again) > 0 {
			t.Fatalf("at the next connection %v went again", again)
		}
		l.receive(streamA, 1000, true)
		if l.cursor != 1000 || l.unanswered() != 0 {
			t.Errorf("the cursor is at %d, %d unanswered", l.cursor, l.unanswered())
		}
	})
}

// TestBrokerThatIsStartedAnewGetsEverythingAtOnce while the city answers: it has
// lost what it acknowledged.
func TestBrokerThatIsStartedAnewGetsEverythingAtOnce(t *testing.T) {
	l := outstanding(100)
	l.receive(streamA, 40, true)
	l.begin(0)
	if rest, _, _ := l.enter(entriesOf(streamA, 41, 100)); len(rest) != 60 || rest[0].Pos != 41 {
		t.Errorf("%d events go again", len(rest))
	}
}
