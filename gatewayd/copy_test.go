package main_test

import (
	"strings"
	"testing"

	"presence/drivers/piv"
)

// TestACopyIsSeenByWhoLooks: in status, in the log without anybody's number, and in no
// export. Its original is still on its visit afterwards.
func TestACopyIsSeenByWhoLooks(t *testing.T) {
	t.Parallel()
	const byKey, byCertificate = "04A1B2C3D4E5F6", "04112233445566"
	g := badgeGateway(t, "tcp://127.0.0.1:1", "mfrc522", "", rosterFile)
	g.write("roster.csv", "badge,tag,assurance\n"+byKey+",,authenticated-desfire\n"+piv.GUIDOf(mustUID(t, byCertificate)).String()+",,authenticated-piv\n")
	g.start()
	for _, tc := range []struct {
		args []string
		want answer
	}{
		{[]string{"--card", "piv", "--uid", byCertificate}, answer{Outcome: "accepted"}},
		{[]string{"--card", "clone-of:" + byCertificate}, answer{Outcome: "refused", Reason: "downgrade"}},
		{[]string{"--card", "mifare-ultralight", "--uid", byCertificate}, answer{Outcome: "refused", Reason: "downgrade"}},
		{[]string{"--uid", byKey}, answer{Outcome: "refused", Reason: "downgrade"}},
		{[]string{"--card", "piv", "--uid", byCertificate}, answer{Outcome: "repeat"}},
		{[]string{"--card", "desfire-ev2", "--uid", byKey}, answer{Outcome: "accepted"}},
	} {
		if a := g.show(tc.args...); a.Outcome != tc.want.Outcome || a.Reason != tc.want.Reason {
			t.Errorf("%v: %+v", tc.args, a)
		}
	}
	h := g.health()
	if r := h.Readers[0]; r.Refused != 3 || r.Taps != 2 || r.Repeats != 1 {
		t.Errorf("health %+v", r)
	}
	if out := g.must("status"); !strings.Contains(out, "1 proven by a certificate, 1 by a key; refused 3 (downgrade 3)") {
		t.Errorf("status says\n%s", out)
	}
	if out := g.must("export"); strings.Count(out, `"kind":"badge"`) != 2 || strings.Count(out, `"boot_ms":`) != strings.Count(out, "\n") {
		t.Errorf("recorded\n%s", out)
	}
	if log := g.log.String(); !strings.Contains(log, "a badge was refused") || strings.Contains(log, byKey) || strings.Contains(log, byCertificate) {
		t.Errorf("the log says\n%s", log)
	}
}
