package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"presence/config"
	"presence/drivers/card"
	"presence/drivers/cardtest/applets"
	"presence/drivers/piv"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sim"
	"presence/scripts/brokertest"
)

// badgeGateway is a gateway that knows the simulated badge CA, at a reader with this chip.
// Further lines go into [badges].
func badgeGateway(t *testing.T, broker, chip, badges, more string) *gateway {
	t.Helper()
	g := newGateway(t, broker, more)
	ca := filepath.Join(g.dir, "badge-ca.pem")
	if err := os.WriteFile(ca, []byte(g.must("sim", "badge-ca")), 0o600); err != nil {
		t.Fatal(err)
	}
	g.configure(strings.NewReplacer(
		`bus = "sim"`, fmt.Sprintf("bus = \"sim\"\nchip = %q", chip),
		`key_file = "badge.key"`, "key_file = \"badge.key\"\nca_file = \"badge-ca.pem\"\n"+badges,
	).Replace(g.text()))
	return g
}

// show taps one badge, which stays until it is answered.
func (g *gateway) show(args ...string) answer {
	g.t.Helper()
	out, _ := g.try(append([]string{"sim", "tap", "--reader", "door"}, args...)...)
	var a answer
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&a); err != nil {
		g.t.Fatalf("sim tap %s said: %s", args, out)
	}
	return a
}

// enrol writes the roster's file, a line for each badge, and waits until it is in force.
func (g *gateway) enrol(lines ...string) {
	g.t.Helper()
	text := "badge,tag,assurance\n" + strings.Join(lines, "\n") + "\n"
	g.write("roster.csv", text)
	g.await("the roster", func() bool { return g.health().Roster.Entries == len(lines) })
}

const rosterFile = "[tags]\nroster_file = \"roster.csv\"\n"

func mustUID(t testing.TB, s string) card.UID {
	t.Helper()
	uid, err := card.ParseUID(s)
	if err != nil {
		t.Fatal(err)
	}
	return uid
}

// guidOf is the GUID of the badge whose card has this UID, as a roster has it.
func guidOf(t testing.TB, uid string) string {
	guid := piv.GUIDOf(mustUID(t, uid))
	return strings.ReplaceAll(guid.String(), "-", "")
}

// cityProgram builds a program of the city.
func cityProgram(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", path, "../scripts/city/"+name).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return path
}

// TestBadgesProveWhoTheyAre at both chips, and the city can check what they proved long
// afterwards.
func TestBadgesProveWhoTheyAre(t *testing.T) {
	t.Parallel()
	for _, chip := range config.Chips() {
		t.Run(chip, func(t *testing.T) {
			t.Parallel()
			badgesProve(t, chip)
		})
	}
}

func badgesProve(t *testing.T, chip string) {
	b := brokertest.Start(t)
	city := b.Subscribe("presence/v1/#")
	g := badgeGateway(t, b.URL(), chip, "", "")
	g.start()
	want := make(map[string]string) // assurance by event
	for i, c := range []struct{ card, uid, rogue, assurance string }{
		{"piv", "04A1B2C3D4E501", "", "authenticated-piv"},
		{"piv", "04A1B2C3D4E502", "p384", "authenticated-piv"},
		{"piv", "04A1B2C3D4E503", "large-certificate", "authenticated-piv"},
		{"piv", "04A1B2C3D4E504", "slow", "authenticated-piv"},
		{"piv", "08A1B2C3", "", "authenticated-piv"},
		{"desfire-ev2", "04A1B2C3D4E505", "", "authenticated-desfire"},
		{"desfire-ev3", "04A1B2C3D4E506", "", "authenticated-desfire"},
		{"desfire-ev3", "08112233", "", "authenticated-desfire"},
		{"ntag424", "04A1B2C3D4E507", "", "authenticated-desfire"},
		{"clone-of:04A1B2C3D4E508", "04A1B2C3D4E508", "", "uid"}, // nobody is enrolled here
		{"mifare-classic-1k", "5A000001", "", "uid"},
	} {
		args := []string{"--card", c.card, "--uid", c.uid}
		if c.rogue != "" {
			args = append(args, "--rogue", c.rogue)
		}
		a := g.show(args...)
		if a.Outcome != "accepted" || a.Detail != "" && c.assurance != "uid" {
			t.Errorf("%d: %s of %s: %+v", i, c.card, c.uid, a)
		}
		want[a.id()] = c.assurance
	}
	messages := city.Await("the events", func(m []brokertest.Message) bool { return count(m, "badge") >= len(want) })
	got := make(map[string]string)
	for id, e := range events(t, validator(t), messages) {
		if e.Kind == "badge" {
			got[id] = e.Assurance
		}
	}
	for id, assurance := range want {
		if got[id] != assurance {
			t.Errorf("event %s says %q, want %q", id, got[id], assurance)
		}
	}
	h := g.health().Badges
	if h == nil || h.AuthenticatedPIV != 5 || h.AuthenticatedDESFire != 4 || h.CA == nil || h.CA.Certificates != 1 || h.Require != "uid" {
		t.Errorf("health says %+v", h)
	}
	g.stop()

	certificates := filepath.Join(g.dir, "state", "badge-certificates")
	file := filepath.Join(g.dir, "events.jsonl")
	if err := os.WriteFile(file, []byte(g.must("export", "--format", "jsonl")), 0o600); err != nil {
		t.Fatal(err)
	}
	pems := filepath.Join(g.dir, "certificates.pem")
	var text strings.Builder
	files, err := os.ReadDir(certificates)
	if err != nil || len(files) != 5 {
		t.Fatalf("%d certificates are kept: %v", len(files), err)
	}
	for _, f := range files {
		der, err := os.ReadFile(filepath.Join(certificates, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		text.Write(applets.PEM(der))
	}
	if err := os.WriteFile(pems, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(g.dir, "badge-ca.pem")
	out, err := exec.Command(cityProgram(t, "prove"), "-ca", key, "-certificates", pems, file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "5") {
		t.Errorf("prove: %v\n%s", err, out)
	}
}

// TestRoguesAreRefused at both chips, each with its reason, where the badge is enrolled as
// one that proves who it is. Half of them are enrolled by the UID, half by the GUID.
func TestRoguesAreRefused(t *testing.T) {
	t.Parallel()
	for _, chip := range config.Chips() {
		t.Run(chip, func(t *testing.T) {
			t.Parallel()
			roguesAreRefused(t, chip)
		})
	}
}

// rogueTap is one tap of a rogue, of a badge that is nobody else's.
type rogueTap struct {
	applets.Rogue
	kind applets.Kind
	uid  string
	row  string // in the roster
}

func rogueTaps(t *testing.T) (all []rogueTap) {
	for i, r := range applets.Rogues() {
		for _, kind := range r.Kinds {
			symmetric := []applets.Kind{applets.KindEV2, applets.KindEV3, applets.KindNTAG424}
			if slices.Contains(symmetric, kind) && kind != symmetric[i%len(symmetric)] {
				continue // package proof shows all of each
			}
			tap := rogueTap{Rogue: r, kind: kind, uid: fmt.Sprintf("04A1B2C3D4%04X", len(all))}
			assurance := "authenticated-piv"
			if kind != applets.KindPIV && kind != applets.KindClone {
				assurance = "authenticated-desfire"
			}
			tap.row = tap.uid + ",," + assurance
			if len(all)%2 == 1 {
				tap.row = guidOf(t, tap.uid) + ",," + assurance
			}
			all = append(all, tap)
		}
	}
	return all
}

func roguesAreRefused(t *testing.T, chip string) {
	g := badgeGateway(t, "tcp://127.0.0.1:1", chip, "", rosterFile)
	g.start()
	taps := rogueTaps(t)
	var rows []string
	for _, tap := range taps {
		rows = append(rows, tap.row)
	}
	g.enrol(rows...)
	for _, tap := range taps {
		args := []string{"--card", string(tap.kind), "--uid", tap.uid, "--rogue", tap.Name}
		if tap.kind == applets.KindClone {
			args = []string{"--card", "clone-of:" + tap.uid, "--rogue", tap.Name}
		}
		a := g.show(args...)
		ok := a.Outcome == "refused"
		switch a.Detail {
		case "absent", "no-ats", "":
			ok = ok && a.Reason == presence.ReasonDowngrade
		case "too-slow", "gone":
			ok = ok && a.Reason == presence.ReasonHoldLonger
		default:
			ok = ok && a.Reason == presence.ReasonNotAuthenticated
		}
		if tap.Sound {
			ok = a.Outcome == "accepted"
		}
		if !ok {
			t.Errorf("%s, %s: %+v", tap.kind, tap.Name, a)
		}
	}
	h := g.health().Badges
	if h == nil || h.Refused[presence.ReasonNotAuthenticated] == 0 || h.Refused[presence.ReasonDowngrade] == 0 || h.Failed["foreign-ca"] == 0 || h.Failed["wrong-key"] == 0 {
		t.Errorf("health says %+v", h)
	}
	accepted := 0
	for _, tap := range taps {
		if tap.Sound {
			accepted++
		}
	}
	if n := strings.Count(g.must("export"), `"kind":"badge"`); n != accepted {
		t.Errorf("%d taps are recorded, want those of the %d sound badges", n, accepted)
	}
	g.stop()
	for _, tap := range taps {
		if strings.Contains(g.log.String(), tap.uid) {
			t.Errorf("the log names %s", tap.uid)
		}
	}
}

// TestADowngradeIsRefused: who is enrolled as a badge that proves who it is, is not let in
// by its number, whatever kind of card shows it, and also right after the genuine badge.
func TestADowngradeIsRefused(t *testing.T) {
	t.Parallel()
	const byUID, byGUID, plain = "04A1B2C3D4E501", "04A1B2C3D4E502", "04A1B2C3D4E503"
	g := badgeGateway(t, "tcp://127.0.0.1:1", "mfrc522", "", rosterFile)
	g.start()
	g.enrol(byUID+",,authenticated-piv", guidOf(t, byGUID)+",,authenticated-piv", plain+",reyax:1,uid")
	for _, uid := range []string{byUID, byGUID} {
		for _, args := range [][]string{
			{"--card", "clone-of:" + uid},
			{"--card", "clone-of:" + uid, "--rogue", "classic"},
			{"--card", "mifare-classic-1k", "--uid", uid},
			{"--card", "desfire-ev2", "--uid", uid}, // which proves less than is asked
		} {
			if a := g.show(args...); a.Outcome != "refused" || a.Reason != presence.ReasonDowngrade {
				t.Errorf("%s: %+v", args, a)
			}
		}
		if a := g.show("--card", "piv", "--uid", uid); a.Outcome != "accepted" {
			t.Errorf("the badge itself: %+v", a)
		}
		if a := g.show("--card", "clone-of:"+uid); a.Outcome != "refused" || a.Reason != presence.ReasonDowngrade {
			t.Errorf("right after the badge: %+v", a)
		}
		if a := g.show("--card", "piv", "--uid", uid); a.Outcome != "repeat" {
			t.Errorf("the badge itself again: %+v", a)
		}
	}
	for _, args := range [][]string{{"--card", "mifare-classic-1k", "--uid", plain}, {"--card", "clone-of:04A1B2C3D4E504"}} {
		if a := g.show(args...); a.Outcome != "accepted" {
			t.Errorf("%s: %+v", args, a)
		}
	}
}

// TestEveryBadgeMustProveItself with require = "authenticated".
func TestEveryBadgeMustProveItself(t *testing.T) {
	t.Parallel()
	g := badgeGateway(t, "tcp://127.0.0.1:1", "pn532", "require = \"authenticated\"", "")
	g.start()
	for _, c := range []struct{ card, outcome, reason string }{
		{"piv", "accepted", ""},
		{"ntag424", "accepted", ""},
		{"mifare-classic-1k", "refused", presence.ReasonNotAuthenticated},
		{"iso14443-4", "refused", presence.ReasonNotAuthenticated},
	} {
		uid := "04A1B2C3D4E50" + fmt.Sprint(len(c.card)%10)
		if a := g.show("--card", c.card, "--uid", uid); a.Outcome != c.outcome || a.Reason != c.reason {
			t.Errorf("%s: %+v", c.card, a)
		}
	}
	if a := g.show("--card", "piv", "--uid", "04A1B2C3D4E5FF", "--rogue", "too-slow", "--hold", "900ms"); a.Outcome != "refused" || a.Reason != presence.ReasonHoldLonger {
		t.Errorf("taken away too early: %+v", a)
	}
}

// TestForgottenBadgesLeaveNoCertificate, whether the gateway runs or not.
func TestForgottenBadgesLeaveNoCertificate(t *testing.T) {
	t.Parallel()
	g := badgeGateway(t, "tcp://127.0.0.1:1", "mfrc522", "", "")
	g.start()
	kept := func() int {
		t.Helper()
		files, err := os.ReadDir(filepath.Join(g.dir, "state", "badge-certificates"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	const first, second, third = "04A1B2C3D4E501", "04A1B2C3D4E502", "04A1B2C3D4E503"
	for _, uid := range []string{first, second, third} {
		g.show("--card", "piv", "--uid", uid)
	}
	if n := kept(); n != 3 {
		t.Fatalf("%d certificates are kept", n)
	}
	forget := func(uid string, left int) {
		t.Helper()
		out := g.must("forget", "--badge", strings.Fields(g.must("badge", guidOf(t, uid)))[0])
		if n := kept(); n != left || !strings.Contains(out, "1 badge") {
			t.Errorf("%d certificates are left, forget said %s", n, out)
		}
	}
	forget(first, 2)
	g.stop()
	forget(second, 1)
}

// TestABadgeCAThatIsMissingOrNew: taps go on without it and it is told; a reload takes a new
// one; and a gateway with real hardware takes none that is simulated.
func TestABadgeCAThatIsMissingOrNew(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe("presence/v1/#")
	g := badgeGateway(t, b.URL(), "mfrc522", "", "")
	ca := filepath.Join(g.dir, "badge-ca.pem")
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	if out, code := g.try("check"); code != 2 || !strings.Contains(out, "badges.ca_file") {
		t.Errorf("check without the file: exit %d\n%s", code, out)
	}
	g.start()
	city.Await("the alert", raised("badge-ca"))
	if level := g.health().Level; level != presence.LevelFault {
		t.Errorf("level %s", level)
	}
	if a := g.show("--card", "piv", "--uid", "04A1B2C3D4E501"); a.Outcome != "accepted" || g.health().Badges.Failed["no-ca"] != 1 {
		t.Errorf("without the CA: %+v", a)
	}
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	g.reload("starting over")
	g.await("the CA", func() bool { h := g.health().Badges; return h != nil && h.CA != nil && h.CA.Certificates == 1 })
	if a := g.show("--card", "piv", "--uid", "04A1B2C3D4E502"); a.Outcome != "accepted" || g.health().Badges.AuthenticatedPIV != 1 {
		t.Errorf("with the CA: %+v", a)
	}
	foreign, err := applets.NewForeignAuthority()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, foreign.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	g.reload("starting over")
	g.await("the new CA", func() bool { return g.health().Badges.AuthenticatedPIV == 0 })
	if a := g.show("--card", "piv", "--uid", "04A1B2C3D4E502"); a.Detail != "" && a.Detail != "foreign-ca" || g.health().Badges.Failed["foreign-ca"] != 1 {
		t.Errorf("with another CA: %+v", a)
	}
	_, badge, err := sim.BadgeCertificate(mustUID(t, "04A1B2C3D4E501"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"no certificate": []byte("x"), "a badge's": badge} {
		if err := os.WriteFile(ca, text, 0o600); err != nil {
			t.Fatal(err)
		}
		g.reload("stays in force")
		if h := g.health().Badges; h.CA.Certificates != 1 {
			t.Errorf("%s in the file: %+v", name, h)
		}
	}
	g.stop()

	if err := os.WriteFile(ca, sim.BadgeCA(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := g.try("check"); code != 0 {
		t.Errorf("a simulated gateway: exit %d, %s", code, out)
	}
	g.configure(strings.Replace(g.text(), `bus = "sim"`, `bus = "/dev/spidev0.0"`, 1))
	if out, code := g.try("check"); code != 2 || !strings.Contains(out, "simulated") {
		t.Errorf("a real gateway: exit %d, %s", code, out)
	}
	for _, m := range city.Messages() {
		if err := validator(t).Validate(m.Topic, m.Payload); err != nil {
			t.Error(err)
		}
	}
}

// reload asks the gateway to read its configuration again, and waits until its log says so.
func (g *gateway) reload(says string) {
	g.t.Helper()
	before := strings.Count(g.log.String(), says)
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		g.t.Fatal(err)
	}
	g.await("the reload", func() bool { return strings.Count(g.log.String(), says) > before })
	g.await("gatewayd to answer", func() bool { _, code := g.try("status", "--json"); return code == 0 })
}
