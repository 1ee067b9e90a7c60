package cardtest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// TestExtendsByItself: a card whose program needs 150 ms asks for time until it is ready,
// and never takes longer than it may.
func TestExtendsByItself(t *testing.T) {
	for _, multiplier := range []byte{0, 1, 2} {
		t.Run(fmt.Sprint(multiplier), func(t *testing.T) {
			l := cardtest.JavaCard()
			l.Multiplier = multiplier
			s := newSession(t, l)
			s.talk(t, [2]string{"E050", "0A787771024A434F5034"})
			s.program.delay = 150 * time.Millisecond
			start := s.now
			got, allowed, asked := s.block("02 00"), cardtest.FrameWaiting(7), 0
			for ; strings.HasPrefix(got, "F2"); asked++ {
				if s.delay > allowed {
					t.Errorf("S(WTX) after %v, %v were allowed", s.delay, allowed)
				}
				allowed = cardtest.FrameWaiting(7) * time.Duration(unhex(got)[1])
				got = s.block(got)
			}
			if got != "02009000" || s.delay > allowed {
				t.Errorf("%s after %v, %v were allowed", got, s.delay, allowed)
			}
			if took := s.now.Sub(start); took < 150*time.Millisecond || took > 190*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			if want := []int{1, 3, 2}[multiplier]; asked != want {
				t.Errorf("%d extensions, want %d", asked, want)
			}
			s.executed(t, 1)
			s.obeys(t)
		})
	}
}

// TestStartupGuard: what comes too early after the ATS goes unheard.
func TestStartupGuard(t *testing.T) {
	l := cardtest.DESFire()
	l.SFGI = 8 // 77 ms
	s := newSession(t, l)
	s.talk(t, [2]string{"E050", "067577880280"}, [2]string{"02 00", ""})
	if v := s.card.Violations(); len(v) != 1 || !strings.Contains(v[0], "guard time") {
		t.Errorf("violations %q", v)
	}
	s = newSession(t, l)
	s.talk(t, [2]string{"E050", "067577880280"})
	s.now = s.now.Add(78 * time.Millisecond)
	s.talk(t, [2]string{"02 00", "02 009000"})
	s.obeys(t)
}

// TestImpatience: who sends again before the frame waiting time is over breaks the rules,
// who gives up does not.
func TestImpatience(t *testing.T) {
	for _, tt := range []struct {
		name string
		next string
		wait time.Duration
		want int
	}{
		{"in time", "B2", 80 * time.Millisecond, 0},
		{"too early", "B2", 30 * time.Millisecond, 1},
		{"gives up", "C2", 30 * time.Millisecond, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSession(t, cardtest.DESFire())
			s.fwt = tt.wait
			s.talk(t, [2]string{"E050", "067577810280"})
			s.card.StrikeAt(1, cardtest.RequestLost)
			s.talk(t, [2]string{"02 00", ""})
			s.block(tt.next)
			if v := s.card.Violations(); len(v) != tt.want {
				t.Errorf("violations %q", v)
			}
		})
	}
}

// TestAirFaults: what each fault does, and how a reader gets over it.
func TestAirFaults(t *testing.T) {
	for _, tt := range []struct {
		fault    cardtest.AirFault
		lines    [][2]string // from the second command on
		executed int
	}{
		{cardtest.RequestLost, [][2]string{{"03 01", ""}, {"B3", "A2"}, {"03 01", "03 019000"}}, 2},
		{cardtest.RequestSpoilt, [][2]string{{"03 01", ""}, {"B3", "A2"}, {"03 01", "03 019000"}}, 2},
		{cardtest.AnswerLost, [][2]string{{"03 01", ""}, {"B3", "03 019000"}}, 2},
		{cardtest.AnswerSpoilt, [][2]string{{"03 01", "?"}, {"B3", "03 019000"}}, 2},
		{cardtest.AnswerParity, [][2]string{{"03 01", "?"}, {"B3", "03 019000"}}, 2},
		{cardtest.AnswerCut, [][2]string{{"03 01", "?"}, {"B3", "03 019000"}}, 2},
		{cardtest.AnswerRepeated, [][2]string{{"03 01", "02 009000"}, {"B3", "03 019000"}}, 2},
		{cardtest.WrongNumber, [][2]string{{"03 01", "02 019000"}, {"B3", "03 019000"}}, 2},
		{cardtest.AckForData, [][2]string{{"03 01", "A3"}, {"B3", "03 019000"}}, 2},
		{cardtest.CardLeaves, [][2]string{{"03 01", ""}, {"B3", ""}, {"C2", ""}}, 1},
		{cardtest.CardLeavesMid, [][2]string{{"03 01", "?"}, {"B3", ""}, {"C2", ""}}, 2},
	} {
		t.Run(string(tt.fault), func(t *testing.T) {
			s := newSession(t, cardtest.DESFire())
			s.card.StrikeAt(3, tt.fault)
			s.talk(t, [2]string{"E050", "067577810280"}, [2]string{"02 00", "02 009000"})
			s.talk(t, tt.lines...)
			s.executed(t, tt.executed)
			s.obeys(t)
			gone := len(s.field.Cards()) == 0
			if gone != (tt.fault == cardtest.CardLeaves || tt.fault == cardtest.CardLeavesMid) {
				t.Errorf("gone: %v", gone)
			}
		})
	}
	if len(cardtest.AirFaults()) != 11 {
		t.Errorf("%d faults", len(cardtest.AirFaults()))
	}
}

// TestAstray: what follows from a fault of the card's own is not held against the reader,
// and such a fault has nothing to do with an ATS.
func TestAstray(t *testing.T) {
	s := newSession(t, cardtest.DESFire())
	for _, f := range []cardtest.AirFault{cardtest.WrongNumber, cardtest.AckForData, cardtest.AnswerRepeated} {
		s.card.StrikeAt(1, f)
	}
	s.talk(t, [2]string{"E050", "067577810280"}, [2]string{"02 00", "02 009000"})
	s.card.StrikeAt(1, cardtest.AckForData)
	s.talk(t, [2]string{"03 01", "A3"}, [2]string{"03 01", "02 019000"})
	s.obeys(t)
	s.talk(t, [2]string{"C2", "C2"})
	s.selectCard(t)
	s.talk(t, [2]string{"E050", "067577810280"}, [2]string{"02 00", "02 009000"}, [2]string{"02 00", "03 009000"})
	if len(s.card.Violations()) != 1 {
		t.Errorf("in the next session: %q", s.card.Violations())
	}
}

// TestArrival: a second card is laid down in the middle of a session, and disturbs nobody
// until it is asked for.
func TestArrival(t *testing.T) {
	s := newSession(t, cardtest.DESFire())
	other := mustCard(t, "DEADBEEF", card.MifareClassic1K)
	s.field.PutAt(3, other)
	s.talk(t, [2]string{"E050", "067577810280"}, [2]string{"02 00", "02 009000"})
	if other.State() != cardtest.Off {
		t.Error("it came too early")
	}
	s.talk(t, [2]string{"03 00", "03 009000"}, [2]string{"C2", "C2"})
	if other.State() != cardtest.Idle || len(s.field.Cards()) != 2 {
		t.Errorf("it is in %s", other.State())
	}
	if got := s.say("26/7"); got != "0400" {
		t.Errorf("REQA: %s", got)
	}
	s.obeys(t)
}

// TestLateAnswer: the card sends although the reader has given up waiting, and hears
// nothing while it does.
func TestLateAnswer(t *testing.T) {
	s := newSession(t, cardtest.DESFire())
	s.talk(t, [2]string{"E050", "067577810280"})
	s.card.DelayAt(1, 100*time.Millisecond)
	b := cardtest.AppendCRC(unhex("02 00"))
	if a := s.send(b, 8*len(b)); a.Delay < 100*time.Millisecond || len(a.Bytes) != 6 {
		t.Fatalf("%+v", a)
	}
	s.now = s.now.Add(80 * time.Millisecond) // FWT is 77 ms
	s.talk(t, [2]string{"B2", ""}, [2]string{"B2", "02 009000"})
	s.executed(t, 1)
	s.obeys(t)
}

// TestEndlessChain: each block says that there is more.
func TestEndlessChain(t *testing.T) {
	l := cardtest.DESFire()
	l.EndlessChain, l.Chunk = true, 2
	s := newSession(t, l)
	s.talk(t, [2]string{"E050", "067577810280"}, [2]string{"02 00", "12 0090"}, [2]string{"A3", "13 0000"})
	for i := range 100 {
		ack := []string{"A2", "A3"}[i%2]
		if got := s.block(ack); !strings.HasPrefix(got, []string{"12", "13"}[i%2]) {
			t.Fatalf("%d: %s", i, got)
		}
	}
	s.obeys(t)
}

// TestRefusals are cards that do not want RATS, or know no command.
func TestRefusals(t *testing.T) {
	s := newSession(t, cardtest.DESFire())
	s.card.SetFault(cardtest.RefusesRATS)
	s.talk(t, [2]string{"E050", ""})
	s.card.SetFault(cardtest.NAKsRATS)
	s.selectCard(t)
	if got := s.say("E050+"); got != "00/4" {
		t.Errorf("NAK: %s", got)
	}
	s.card.SetFault(cardtest.NoFault)
	s.card.SetApplet(nil, cardtest.DESFire())
	s.selectCard(t)
	s.talk(t, [2]string{"E050", "067577810280"}, [2]string{"02 00A4040005A000000308", "02 6A82"}, [2]string{"03 9060000000", "03 6D00"})
	classic := mustCard(t, "01020304", card.MifareClassic1K)
	if classic.Info().Layer4() || len(classic.ATS()) != 0 {
		t.Error("a Classic speaks layer 4")
	}
	classic.SetApplet(nil, cardtest.JavaCard())
	if !classic.Info().Layer4() || len(classic.ATS()) != 10 {
		t.Error("a Classic with a program does not")
	}
	s.obeys(t)
}

// TestOnlyAfterSelect: any other frame between SELECT and RATS, and the card wants to be
// selected anew.
func TestOnlyAfterSelect(t *testing.T) {
	s := newSession(t, cardtest.DESFire())
	s.talk(t, [2]string{"30 00", ""}, [2]string{"E050", ""})
	s.selectCard(t)
	s.talk(t, [2]string{"E050", "067577810280"})
	if !slices.Equal(s.field.Cards(), []*cardtest.Card{s.card}) {
		t.Error("the card is gone")
	}
}
