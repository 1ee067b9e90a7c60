package proof

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"presence/drivers/cardtest/applets"
	"presence/gatewayd/internal/presence"
)

// TestTheSimulatedAuthorityIsRefused where the gateway is real: its key is public.
func TestTheSimulatedAuthorityIsRefused(t *testing.T) {
	simulated, err := applets.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	city, err := applets.NewForeignAuthority()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "badge-ca.pem")
	for _, c := range []struct {
		text    []byte
		refused error
	}{
		{simulated.PEM(), ErrSimulated},
		{append(city.PEM(), simulated.PEM()...), ErrSimulated},
		{city.PEM(), nil},
	} {
		if err := os.WriteFile(path, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadAuthority(path, simulated.PEM()); !errors.Is(err, c.refused) {
			t.Errorf("%v, want %v", err, c.refused)
		}
		if a, err := ReadAuthority(path, nil); err != nil || a.Certificates() == 0 || a.End().Year() != 2049 {
			t.Errorf("a simulated gateway: %v", err)
		}
	}
	for name, path := range map[string]string{"missing": path + ".none", "a folder": filepath.Dir(path)} {
		if _, err := ReadAuthority(path, nil); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

// TestWithoutAClockDatesAreJudgedByWhatIsPast: a certificate that has ended by then is
// refused, one that may not have begun is not.
func TestWithoutAClockDatesAreJudgedByWhatIsPast(t *testing.T) {
	past := now().AddDate(-10, 0, 0)
	for _, c := range []struct {
		rogue  string
		past   time.Time
		detail string
	}{
		{"", past, ""},
		{"not-yet-valid", past, ""},
		{"expired", past, ""},
		{"expired", now(), detailExpired},
		{"", now().AddDate(5, 0, 0), detailExpired},
		{"not-yet-valid", now(), ""},
	} {
		o := newOffice(t)
		o.opt.Between = func(r presence.Reading) (time.Time, time.Time) { return c.past, time.Time{} }
		o.restart()
		id := o.tap(shown(t, applets.Badge{Kind: applets.KindPIV, UID: uidOf(t, staffUID), Rogue: c.rogue}))
		if id.Detail != c.detail {
			t.Errorf("%q, when %v is past: %+v", c.rogue, c.past.Year(), id)
		}
	}
}
