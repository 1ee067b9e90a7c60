package doctor_test

import (
	"strings"
	"testing"

	"presence/gatewayd/internal/doctor"
	"presence/gatewayd/internal/presence"
)

// TestDoctorSpeaksInWords: states and levels are said as people say them, and not as
// the health document abbreviates them.
func TestDoctorSpeaksInWords(t *testing.T) {
	for state, want := range map[string]struct{ en, id string }{
		"deaf":     {`reader "door" answers, but hears no card`, `pembaca "door" menjawab, tetapi tidak mendengar kartu`},
		"bus-dead": {`reader "door" does not answer`, `pembaca "door" tidak menjawab`},
	} {
		o := newOffice(t, "tls://mqtt.example.go.id:8883")
		o.opt.Health = running(state, true)
		o.opt.Health.Level = presence.LevelFault
		o.opt.Health.Receivers = []presence.ReceiverHealth{{Name: "yard", State: "ok", Frames: 7}}
		said := make(map[string]doctor.Finding)
		for _, f := range doctor.Examine(t.Context(), o.opt) {
			said[f.Code] = f
		}
		if f := said["reader"]; !strings.HasPrefix(f.EN, want.en) || !strings.HasPrefix(f.ID, want.id) {
			t.Errorf("%s: %q %q", state, f.EN, f.ID)
		}
		if f := said["running"]; !strings.Contains(f.EN, "does not work") || !strings.Contains(f.ID, "tidak berfungsi") {
			t.Errorf("level: %q %q", f.EN, f.ID)
		}
		if f := said["receiver"]; !strings.Contains(f.ID, "7 paket data") {
			t.Errorf("receiver: %q", f.ID)
		}
	}
}
