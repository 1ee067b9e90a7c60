package scripts_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"presence/scripts/deb/debtest"
)

// A stick goes round several offices: both certificates of each lie beside its request, and a
// gateway takes its own only.
func TestStickOfSeveralOfficesBringsTheirSealCertificates(t *testing.T) {
	t.Parallel()
	const list = columns + "dinkes-01,dinkes,,,,,,,\ndinkes-02,dinkes,,,,,,,\ndinkes-03,dinkes,,,,,,,\n"
	h := newHall(t, list)
	h.offices(true)
	stick := t.TempDir()
	ids := []string{"dinkes-01", "dinkes-02", "dinkes-03"}
	pis := map[string]*hall{}
	visit := func(id, says string) {
		t.Helper()
		passphrase := strings.TrimSpace(debtest.Read(t, h.office(id, "passphrase")))
		out, ok := run(t, []string{"BADGE_PASSPHRASE=" + passphrase, "CITY_FINGERPRINT=" + h.paper}, "./provision.sh", "--root", pis[id].Dir, "usb", stick, id, "dinkes")
		if !ok || !strings.Contains(out, says) {
			t.Fatalf("%s: it says %s", id, out)
		}
	}
	for _, id := range ids {
		if err := os.CopyFS(filepath.Join(stick, id), os.DirFS(h.office(id, "stick"))); err != nil {
			t.Fatal(err)
		}
		pis[id] = &hall{desk: newDesk(t)}
		visit(id, "take the stick to the city")
	}
	if out, _ := h.offices(true, stick); !strings.Contains(out, "signed=3 refused=0") {
		t.Errorf("it says %s", out)
	}
	// The second seals with another key by the time that the stick comes round again.
	if err := os.Remove(pis["dinkes-02"].tls("seal.key")); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		want := map[bool]string{true: "So is that of its seal key", false: "Only its seal key has no certificate yet"}[id != "dinkes-02"]
		visit(id, want)
		if got := h.sealKeys(id); len(got) != 1 || got[0].Equal(pis[id].sealKey().Public()) == (id == "dinkes-02") {
			t.Errorf("%s: the city knows %d keys", id, len(got))
		}
	}
	// Nobody can be asked, so it is told and not signed; the others go on.
	if out, _ := h.offices(false, stick); !strings.Contains(out, "signed=0 refused=1") || !strings.Contains(out, "nobody can be asked whether dinkes-02 has lost its seal key") {
		t.Errorf("it says %s", out)
	}
	h.withEnv("NEW_SEAL_KEY=dinkes-02", true, "sign", filepath.Join(stick, "dinkes-02/requests/dinkes-02.csr"))
	visit("dinkes-02", "So is that of its seal key")
	if out, _ := h.offices(true, stick); !strings.Contains(out, "signed=0 refused=0") {
		t.Errorf("it says %s", out)
	}
}

// Two sticks that come with different seal keys of one gateway: neither is taken for the other.
func TestOfficesTakesNoRequestForAnotherSealKeyForTheSame(t *testing.T) {
	t.Parallel()
	h := newHall(t, columns+"dinkes-01,dinkes,,,,,,,\n")
	var sticks []string
	for range 2 {
		stick := t.TempDir()
		sticks = append(sticks, stick)
		h.provision("The request is", "request", "dinkes-01", filepath.Join(stick, "requests"))
		if err := os.Remove(h.tls("seal.key")); err != nil {
			t.Fatal(err)
		}
	}
	if out, _ := h.offices(false, sticks...); !strings.Contains(out, "for another key than") || !strings.Contains(out, "signed=1 refused=1") || len(h.sealKeys("dinkes-01")) != 1 {
		t.Errorf("it says %s", out)
	}
}
