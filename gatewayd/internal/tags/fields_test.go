package tags_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
)

// TestEveryFieldOfAFixReachesTheRecord: a fix that differs in one field is recorded
// differently. A field that is not recorded says below where it goes.
func TestEveryFieldOfAFixReachesTheRecord(t *testing.T) {
	fence, err := tags.NewCircle(officeLat, officeLon, 100)
	if err != nil {
		t.Fatal(err)
	}
	record := func(change func(*beacon.Fix)) *presence.Tag {
		t.Helper()
		y := open(tuesday, tags.Options{Fence: fence, Coordinates: tags.Full})
		fix := at(80, y.time) // so far inside that only a good fix is certain to be there
		change(&fix)
		if got := y.hear(t, "yard", fix); got != "recorded" {
			t.Fatalf("%+v was %s", fix, got)
		}
		return y.last()
	}
	changes := map[string]func(*beacon.Fix){
		"Tag":      func(f *beacon.Fix) { f.Tag = "kenwood:U00002" },
		"Lat":      func(f *beacon.Fix) { f.Lat += 0.001 },
		"Lon":      func(f *beacon.Fix) { f.Lon += 0.001 },
		"Accuracy": func(f *beacon.Fix) { f.Accuracy = 12 },
		"Time":     func(f *beacon.Fix) { f.Time = f.Time.Add(-1e9) },
		"TimeOfDay": func(f *beacon.Fix) {
			f.Time, f.TimeOfDay = ofDay(f.Time.Add(-2e9)).Time, true
		},
		"Unverified": func(f *beacon.Fix) { f.Unverified = true }, // by its zone
		"RSSI":       func(f *beacon.Fix) { f.RSSI = new(int) },
		"Status":     func(f *beacon.Fix) { f.Status = new(int) },
		"SNR":        func(f *beacon.Fix) { f.SNR = new(float64) },

		"Replay": func(f *beacon.Fix) { f.Replay = true },
		"Signed": func(f *beacon.Fix) { f.Signed = true },

		"Packet":      nil, // duplicates are found by it: TestOnePacketIsOneFix
		"Rollover":    nil, // Time is corrected already
		"OddChecksum": nil, // counted: TestOddChecksumIsCountedThoughAccepted
	}
	plain := record(func(*beacon.Fix) {})
	for f := range reflect.TypeFor[beacon.Fix]().Fields() {
		change, known := changes[f.Name]
		if !known {
			t.Errorf("beacon.Fix has a new field %s: record it (see \"Add an event field\" in gatewayd/HOUSE.md), and add it here", f.Name)
		}
		if change != nil && cmp.Equal(plain, record(change)) {
			t.Errorf("what is recorded is the same with another %s: %+v", f.Name, plain)
		}
	}
}
