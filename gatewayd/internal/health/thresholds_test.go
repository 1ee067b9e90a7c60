package health_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/health"
	"presence/gatewayd/internal/presence"
)

func TestWhatTheNumbersOfADocumentRaise(t *testing.T) {
	reader := func(state string) presence.Health {
		return presence.Health{Readers: []presence.ReaderHealth{{Name: "door", State: state}}}
	}
	receiver := func(r presence.ReceiverHealth) presence.Health {
		r.Name = "yard"
		return presence.Health{Receivers: []presence.ReceiverHealth{r}}
	}
	board := func(p presence.PiHealth) presence.Health {
		return presence.Health{Pi: p, MQTT: presence.MQTTHealth{Connected: true}}
	}
	num := func(n int64) *int64 { return &n }
	days := func(n float64) *float64 { return &n }
	yes := true
	for name, tc := range map[string]struct {
		doc  presence.Health
		want []string
	}{
		"line down a moment": {presence.Health{MQTT: presence.MQTTHealth{DisconnectedS: 200}}, nil},
		"line down":          {presence.Health{MQTT: presence.MQTTHealth{DisconnectedS: 300}}, []string{"broker-away"}},
		"line back":          {presence.Health{MQTT: presence.MQTTHealth{Connected: true}}, nil},
		"room enough":        {board(presence.PiHealth{DiskFreeBytes: num(65 << 20), DiskDaysLeft: days(8)}), nil},
		"disk almost full":   {board(presence.PiHealth{DiskFreeBytes: num(63 << 20)}), []string{"disk-low"}},
		"disk full soon":     {board(presence.PiHealth{DiskFreeBytes: num(10 << 30), DiskDaysLeft: days(6)}), []string{"disk-low"}},
		"no card errors":     {board(presence.PiHealth{SDErrors: num(0), RootReadonly: &yes}), nil},
		"card errors":        {board(presence.PiHealth{SDErrors: num(1)}), []string{"sd-errors"}},
		"card dead":          {board(presence.PiHealth{SDErrors: num(1), RootReadonly: &yes}), []string{"sd-errors"}},

		"all well":         {reader("ok"), nil},
		"bus dead":         {reader("bus-dead"), []string{"reader-door"}},
		"deaf":             {reader("deaf"), []string{"reader-door"}},
		"quiet tags":       {receiver(presence.ReceiverHealth{State: "silent"}), nil},
		"unplugged":        {receiver(presence.ReceiverHealth{State: "gone"}), []string{"receiver-yard"}},
		"few bad frames":   {receiver(presence.ReceiverHealth{State: "ok", Bad: map[string]int64{"checksum": 99}}), nil},
		"mostly bad":       {receiver(presence.ReceiverHealth{State: "ok", Frames: 90, Bad: map[string]int64{"checksum": 60, "range": 40}}), []string{"receiver-noisy-yard"}},
		"broker restarted": {presence.Health{Journal: presence.JournalHealth{Pending: 5, OldestPendingS: 20}}, nil},
		"broker gone":      {presence.Health{Journal: presence.JournalHealth{Pending: 5, OldestPendingS: 400}}, []string{"delivery-late"}},
		"late sync":        {presence.Health{Clock: presence.ClockHealth{UnsyncedS: 4*3600 - 1}}, nil},
		"no sync":          {presence.Health{Clock: presence.ClockHealth{UnsyncedS: 4 * 3600}}, []string{"clock-unsynced"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range health.Evaluate(tc.doc, time.Now(), new(alerts.Gates)) {
				got = append(got, c.Code())
				if c.ID() == "" || c.EN() == "" || c.Level() == "" {
					t.Errorf("%s lacks a text or a level", c.Code())
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// Who waits for receipts where nobody sends any keeps everything for ever, and is told why.
func TestLateDeliveryNamesWhoOwesTheConfirmation(t *testing.T) {
	for says, line := range map[string]presence.MQTTHealth{
		"network and broker": {Connected: true}, "not connected": {Receipts: true}, "receipts = false": {Connected: true, Receipts: true},
	} {
		cs := health.Evaluate(presence.Health{MQTT: line, Journal: presence.JournalHealth{Pending: 5, OldestPendingS: 400}}, time.Now(), new(alerts.Gates))
		if len(cs) != 1 || cs[0].Code() != "delivery-late" || !strings.Contains(cs[0].EN(), says) {
			t.Errorf("%s: %+v", says, cs)
		}
	}
}

// A clock that nobody sets is a matter for the level only while the time is not
// known otherwise; that there is no clock chip is worth saying there.
func TestUnsyncedClock(t *testing.T) {
	for _, tc := range []struct {
		known float64 // within so many ms; 0: unknown
		rtc   bool
		level presence.Level
		says  string
	}{
		{0, true, presence.LevelWarn, "corrected later"},
		{0, false, presence.LevelWarn, "RTC"},
		{30_000, true, presence.LevelWarn, "corrected later"},
		{80, true, presence.LevelOK, "from the broker"},
	} {
		doc := presence.Health{Clock: presence.ClockHealth{UnsyncedS: 5 * 3600, RTC: tc.rtc}}
		if tc.known > 0 {
			doc.Clock.ErrorMS = &tc.known
		}
		cs := health.Evaluate(doc, time.Now(), new(alerts.Gates))
		if len(cs) != 1 || cs[0].Level() != alerts.Level(tc.level) || !strings.Contains(cs[0].EN(), tc.says) ||
			strings.Contains(cs[0].EN(), "RTC") == tc.rtc || strings.Contains(cs[0].ID(), "RTC") == tc.rtc {
			t.Errorf("%+v: %+v", tc, cs)
		}
	}
}

// A receiver that hears noise says so, and not that it is gone; and it says so
// no longer than it is so.
func TestNoiseCountsByWhatWasHeardLast(t *testing.T) {
	gates, now := new(alerts.Gates), time.Now()
	r := presence.ReceiverHealth{Name: "yard", State: "ok", Bad: map[string]int64{}}
	hear := func(good, bad int64, passed time.Duration) string {
		t.Helper()
		r.Frames += good
		r.Bad["checksum"] += bad
		now = now.Add(passed)
		found := ""
		for _, a := range health.Evaluate(presence.Health{Receivers: []presence.ReceiverHealth{r}}, now, gates) {
			if _, outage := a.Outage(); outage != (a.Code() == "receiver-yard") {
				t.Errorf("%s is an outage: %v", a.Code(), outage)
			}
			found += a.Code()
		}
		return found
	}
	const noisy = "receiver-noisy-yard"
	for i, step := range []struct {
		good, bad int64
		passed    time.Duration
		want      string
	}{
		{100_000, 0, time.Hour, ""}, // a quiet month
		{0, 99, time.Minute, ""},
		{0, 60, time.Minute, noisy}, // however much was well before
		{60, 0, time.Minute, noisy}, // not yet well
		{150, 0, time.Minute, ""},
		{30, 30, time.Minute, ""}, // half is not most
		{0, 150, time.Minute, noisy},
		{0, 0, 11 * time.Minute, ""}, // silent: nothing is known of its noise
		{10, 0, time.Minute, ""},
	} {
		if got := hear(step.good, step.bad, step.passed); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	hear(0, 200, time.Second)
	r.State = "gone"
	if got := hear(0, 0, time.Second); got != "receiver-yard" {
		t.Errorf("unplugged while noisy: %q", got)
	}
}

// A reader that loses the cards that lie there is weak; one whose cards come and
// go is not.
func TestAReaderThatLosesCardsIsWeak(t *testing.T) {
	gates, now := new(alerts.Gates), time.Now()
	r := presence.ReaderHealth{Name: "door", State: "ok"}
	look := func(seen, misses int64, passed time.Duration) bool {
		r.Seen += seen
		r.Misses += misses
		now = now.Add(passed)
		as := health.Evaluate(presence.Health{Readers: []presence.ReaderHealth{r}}, now, gates)
		return len(as) == 1 && as[0].Code() == "reader-weak-door" && as[0].Level() == alerts.Warn
	}
	for i, step := range []struct {
		seen, misses int64
		passed       time.Duration
		want         bool
	}{
		{0, 0, 0, false},
		{3000, 40, 30 * time.Minute, false}, // a busy morning: a look at the edge now and then
		{10, 5, 31 * time.Minute, false},    // few looks prove nothing
		{400, 60, 40 * time.Minute, true},
		{400, 4, 30 * time.Minute, true},    // the hour is still bad
		{4000, 20, 61 * time.Minute, false}, // and is over
		{0, 0, 2 * time.Hour, false},
	} {
		if got := look(step.seen, step.misses, step.passed); got != step.want {
			t.Errorf("step %d: weak %v", i, got)
		}
	}
}
