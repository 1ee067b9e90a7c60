package citylog

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/presence"
)

func TestCityLogIsRateLimitedAndCountsWhatItHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent []presence.LogLine
		var local bytes.Buffer // not slog.DiscardHandler, which is enabled for no level
		handler := New(slog.NewTextHandler(&local, nil))
		log := slog.New(handler)
		log.Error("nobody is there yet")
		handler.Attach(func() *string { return nil }, func(raw []byte) {
			var line presence.LogLine
			if err := json.Unmarshal(raw, &line); err != nil {
				t.Error(err)
			}
			sent = append(sent, line)
		})
		room := log.With("reader", "door")
		room.Info("nothing that the city need know")
		for range 500 {
			room.Warn("flood", "error", errors.New("broken"))
		}
		if len(sent) != burst {
			t.Fatalf("%d lines at once, want %d", len(sent), burst)
		}
		if l := sent[0]; l.Level != "WARN" || l.Text != "flood" || l.Details["reader"] != "door" || l.Details["error"] != "broken" {
			t.Errorf("the line is %+v", l)
		}
		time.Sleep(interval)
		log.Error("after a while")
		log.Error("and at once")
		if last := sent[len(sent)-1]; len(sent) != burst+1 || last.Text != "after a while" || last.Dropped != 500-burst {
			t.Errorf("%d lines, the last is %+v", len(sent), last)
		}
		// An hour of trouble, ten lines a second.
		before := len(sent)
		for range 36_000 {
			time.Sleep(100 * time.Millisecond)
			log.Warn("trouble")
		}
		if n := len(sent) - before; n > 730 {
			t.Errorf("%d lines in an hour", n)
		}
	})
}
