package sim_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522"
	"presence/drivers/mfrc522/mfrc522test"
	"presence/gatewayd/internal/door"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sim"
)

// journal records everything at once.
type journal struct{ seq uint64 }

func (j *journal) Append(_ context.Context, d presence.Draft) (presence.Entry, error) {
	j.seq++
	return presence.Entry{Pos: j.seq, Record: presence.Record{Stream: presence.ID{7: 1}, Seq: j.seq, Draft: d}}, nil
}

type dark struct{}

func (dark) Show(presence.Outcome) {}

// office runs hardware with a reader "door" that the real driver and the real
// door poll, in virtual time.
func office(t *testing.T, play func(t *testing.T, h *sim.Hardware)) {
	slowOffice(t, 50*time.Millisecond, play)
}

// slowOffice is an office whose door polls at another interval than the hardware
// believes, as on a machine that is busy.
func slowOffice(t *testing.T, poll time.Duration, play func(t *testing.T, h *sim.Hardware)) {
	synctest.Test(t, func(t *testing.T) {
		h := sim.New()
		mocked := h.Add("door", 50*time.Millisecond, func(f *cardtest.Field) sim.Chip { return mfrc522test.New(f) })
		started := time.Now()
		d := door.New(door.Options{
			RepeatWindow: 30 * time.Second, Badges: presence.PlainBadges(), Journal: &journal{}, Lamp: dark{},
			Now:     func() presence.Reading { return presence.Reading{Boottime: time.Since(started)} },
			Observe: h.Observe, Log: slog.New(slog.DiscardHandler),
		}, "door")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- d.Run(ctx, door.Reader{Name: "door", Poll: poll, Open: func(context.Context) (card.Reader, error) {
				reader, err := mfrc522.New(mocked.Chip.Port(), mfrc522.Options{Log: slog.New(slog.DiscardHandler)})
				return telling{reader, mocked.Scanned}, err
			}})
		}()
		play(t, h)
		cancel()
		<-done
	})
}

// telling tells of each scan, as the wiring does.
type telling struct {
	card.Reader
	scanned func()
}

func (r telling) Poll(ctx context.Context) ([]card.Card, error) {
	cards, err := r.Reader.Poll(ctx)
	if err == nil {
		r.scanned()
	}
	return cards, err
}

func outcomes(t *testing.T, h *sim.Hardware, tap sim.Tap) (list []string) {
	t.Helper()
	tap.Reader, tap.Card = "door", string(card.MifareClassic1K)
	if err := h.Run(t.Context(), tap, func(r sim.Result) { list = append(list, r.UID+" "+r.Outcome) }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func TestTapsAreAnsweredOneByOneAndTogether(t *testing.T) {
	office(t, func(t *testing.T, h *sim.Hardware) {
		for _, tc := range []struct {
			tap  sim.Tap
			want []string
		}{
			{sim.Tap{UIDs: []string{"04a1b2c3d4e5f6"}}, []string{"04A1B2C3D4E5F6 accepted"}},
			{sim.Tap{UIDs: []string{"04A1B2C3D4E5F6"}}, []string{"04A1B2C3D4E5F6 repeat"}},
			{sim.Tap{UIDs: []string{"010203FE"}, Count: 3, Every: time.Second}, []string{"010203FE accepted", "010203FF accepted", "01020400 accepted"}},
			{sim.Tap{UIDs: []string{"11121314", "01020304050607080910"}, Hold: time.Second}, []string{"01020304050607080910 accepted", "11121314 accepted"}},
		} {
			if got := outcomes(t, h, tc.tap); !slices.Equal(got, tc.want) {
				t.Errorf("%+v: %v", tc.tap, got)
			}
		}
	})
}

// TestACardIsAwayUntilTheDoorHasSeenIt: a door that scans more slowly than it should
// takes a card that comes back for one that never left, and gives no answer, unless the
// card waits for its scans.
func TestACardIsAwayUntilTheDoorHasSeenIt(t *testing.T) {
	slowOffice(t, 300*time.Millisecond, func(t *testing.T, h *sim.Hardware) {
		for round, want := range []string{"04A1B2C3D4E5F6 accepted", "04A1B2C3D4E5F6 repeat", "04A1B2C3D4E5F6 repeat"} {
			if got := outcomes(t, h, sim.Tap{UIDs: []string{"04A1B2C3D4E5F6"}}); !slices.Equal(got, []string{want}) {
				t.Errorf("round %d: %v", round, got)
			}
		}
	})
}

func TestDeafReaderGivesNoAnswerAndHeals(t *testing.T) {
	office(t, func(t *testing.T, h *sim.Hardware) {
		r, err := h.Reader("door")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Break("deaf"); err != nil {
			t.Fatal(err)
		}
		if got := outcomes(t, h, sim.Tap{UIDs: []string{"01020304"}}); !slices.Equal(got, []string{"01020304 none"}) {
			t.Errorf("deaf: %v", got)
		}
		if err := r.Break("none"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // virtual: the longest wait before the next attempt
		if got := outcomes(t, h, sim.Tap{UIDs: []string{"01020304"}}); !slices.Equal(got, []string{"01020304 accepted"}) {
			t.Errorf("healed: %v", got)
		}
	})
}

// What is left of a tap, done bit by bit by gateways that go away, is what one
// gateway would have done, in the same order.
func TestRestOfATapThatWasCutOff(t *testing.T) {
	all := func(tap sim.Tap) (uids []string) {
		for rest := []sim.Tap{tap}; len(rest) > 0; {
			left, err := rest[0].Rest(nil)
			if err != nil || len(left) != 1 {
				t.Fatalf("%+v, %v", left, err)
			}
			uids = append(uids, left[0].UIDs[0]) // one card at a time
			if left, err = rest[0].Rest([]sim.Result{{UID: left[0].UIDs[0]}}); err != nil {
				t.Fatal(err)
			}
			rest = append(left, rest[1:]...)
		}
		return uids
	}
	for _, tc := range []struct {
		tap  sim.Tap
		want []string
	}{
		{sim.Tap{UIDs: []string{"010203FE"}, Count: 1}, []string{"010203FE"}},
		{sim.Tap{UIDs: []string{"010203fe"}, Count: 3}, []string{"010203FE", "010203FF", "01020400"}},
		{sim.Tap{UIDs: []string{"01020304", "11020304"}, Count: 2}, []string{"01020304", "11020304", "01020305", "11020305"}},
	} {
		if got := all(tc.tap); !slices.Equal(got, tc.want) {
			t.Errorf("%+v: %v", tc.tap, got)
		}
	}
	// The cards of one round need not be answered in their order.
	tap := sim.Tap{Reader: "door", UIDs: []string{"01020304", "11020304"}, Count: 2, Hold: time.Second}
	rest, err := tap.Rest([]sim.Result{{UID: "11020304"}})
	if err != nil || len(rest) != 2 || !slices.Equal(rest[0].UIDs, []string{"01020304"}) || rest[0].Count != 1 ||
		!slices.Equal(rest[1].UIDs, []string{"01020305", "11020305"}) || rest[1].Count != 1 || rest[1].Hold != time.Second {
		t.Errorf("%+v, %v", rest, err)
	}
	if rest, err := tap.Rest(make([]sim.Result, 4)); err != nil || len(rest) != 0 {
		t.Errorf("%+v, %v", rest, err)
	}
}
