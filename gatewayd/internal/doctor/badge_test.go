package doctor_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/config"
	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/cardtest/applets"
	"presence/drivers/piv"
	"presence/drivers/pn532"
	"presence/drivers/pn532/pn532test"
	"presence/gatewayd/internal/doctor"
)

// laid is a badge in software.
func laid(t *testing.T, b applets.Badge) *cardtest.Card {
	t.Helper()
	b.Now = time.Now()
	c, err := b.NewCard()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// examined is what the doctor finds of badges on a reader, a line each: its level, its code
// and what it says.
func examined(t *testing.T, foreign bool, cards ...*cardtest.Card) []string {
	t.Helper()
	newAuthority := applets.NewAuthority
	if foreign {
		newAuthority = applets.NewForeignAuthority
	}
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	authorities, err := piv.ParseAuthorities(ca.PEM())
	if err != nil {
		t.Fatal(err)
	}
	field := cardtest.NewField()
	chip := pn532test.New(field)
	field.Put(cards...)
	found, err := doctor.Badges(t.Context(), config.Reader{Name: "door"}, doctor.BadgeOptions{Authorities: authorities, Latest: time.Now()}, func() (doctor.Chip, error) {
		return pn532.New(chip.Port(), pn532.Options{})
	})
	if err != nil {
		t.Fatal(err)
	}
	if field.RF() {
		t.Error("the chip was left open")
	}
	var lines []string
	for _, f := range found {
		if f.ID == "" || f.Item == "" {
			t.Errorf("incomplete: %+v", f)
		}
		lines = append(lines, string(f.Level)+" "+f.Code+" "+f.EN)
	}
	return lines
}

// TestBadgesAreExamined: what each kind is said to be, and what it lacks.
func TestBadgesAreExamined(t *testing.T) {
	uid, err := card.ParseUID("04A1B2C3D4E5F6")
	if err != nil {
		t.Fatal(err)
	}
	random, err := card.ParseUID("08A1B2C3")
	if err != nil {
		t.Fatal(err)
	}
	guid := piv.GUIDOf(uid).String()
	for name, tt := range map[string]struct {
		badge   applets.Badge
		foreign bool
		want    []string
	}{
		"PIV": {badge: applets.Badge{Kind: applets.KindPIV, UID: uid}, want: []string{
			"ok badge reader sees 04A1B2C3D4E5F6, ATQA", "ok badge-link it answers with ATS", "ok badge-piv it has the PIV application",
			"ok badge-certificate certificate of GUID " + guid + ", P-256, until 2001-12-31", "ok badge-ca the city's badge CA has signed it", "ok badge-worth it proves itself by its certificate",
		}},
		"PIV of somebody else": {badge: applets.Badge{Kind: applets.KindPIV, UID: uid}, foreign: true, want: []string{
			"fail badge-ca none of the authorities", "warn badge-worth it can prove nothing here",
		}},
		"expired":        {badge: applets.Badge{Kind: applets.KindPIV, UID: uid, Rogue: "expired"}, want: []string{"fail badge-ca its certificate has expired", "warn badge-worth"}},
		"copied":         {badge: applets.Badge{Kind: applets.KindPIV, UID: uid, Rogue: "copied-certificate"}, want: []string{"fail badge-certificate its key does not sign", "warn badge-worth"}},
		"no certificate": {badge: applets.Badge{Kind: applets.KindPIV, UID: uid, Rogue: "no-certificate"}, want: []string{"fail badge-certificate it has no certificate for slot 9E", "warn badge-worth"}},
		"wants a PIN":    {badge: applets.Badge{Kind: applets.KindPIV, UID: uid, Rogue: "wants-pin"}, want: []string{"fail badge-certificate its key does not sign", "warn badge-worth"}},
		"wrong GUID":     {badge: applets.Badge{Kind: applets.KindPIV, UID: uid, Rogue: "wrong-guid"}, want: []string{"fail badge-certificate it calls itself", "warn badge-worth"}},
		"EV3": {badge: applets.Badge{Kind: applets.KindEV3, UID: uid}, want: []string{
			"ok badge-family it is a MIFARE DESFire EV3", "ok badge-worth it can prove itself by a key",
		}},
		"EV2 with a random UID": {badge: applets.Badge{Kind: applets.KindEV2, UID: random}, want: []string{
			"which the card makes up anew each time", "ok badge-family it is a MIFARE DESFire EV2", "ok badge-worth it can prove itself by a key",
		}},
		"empty DESFire": {badge: applets.Badge{Kind: applets.KindEV2, UID: uid, Rogue: "no-application"}, want: []string{
			"warn badge-family it has no application F54230", "warn badge-worth it can prove nothing here",
		}},
		"NTAG": {badge: applets.Badge{Kind: applets.KindNTAG424, UID: uid}, want: []string{"ok badge-family it is a NTAG 424 DNA", "ok badge-worth it can prove itself by a key"}},
		"mute": {badge: applets.Badge{Kind: applets.KindClone, UID: uid}, want: []string{"ok badge-link", "warn badge-worth it can prove nothing here"}},
		"Classic": {badge: applets.Badge{Kind: applets.KindClone, UID: uid, Rogue: "classic"}, want: []string{
			"warn badge-worth it has no processor",
		}},
		"endless": {badge: applets.Badge{Kind: applets.KindPIV, UID: uid, Rogue: "too-slow"}, want: []string{"fail badge-link it stopped to answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lines := examined(t, tt.foreign, laid(t, tt.badge))
				for _, want := range tt.want {
					if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, want) }) {
						t.Errorf("nothing says %q in\n%s", want, strings.Join(lines, "\n"))
					}
				}
			})
		})
	}
}

// TestBadgesOnOneReader: each of several is examined, and where none is, that is said in
// time. What the reader itself suffers is an error.
func TestBadgesOnOneReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := card.ParseUID("04A1B2C3D4E5F6")
		if err != nil {
			t.Fatal(err)
		}
		b, err := card.ParseUID("04112233445566")
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(examined(t, false, laid(t, applets.Badge{Kind: applets.KindPIV, UID: a}), laid(t, applets.Badge{Kind: applets.KindEV3, UID: b})), "\n")
		if !strings.Contains(text, "proves itself by its certificate") || !strings.Contains(text, "MIFARE DESFire EV3") {
			t.Error(text)
		}
		start := time.Now()
		if text := strings.Join(examined(t, false), "\n"); !strings.Contains(text, "fail badge no badge was seen") || time.Since(start) > 25*time.Second {
			t.Errorf("%s after %v", text, time.Since(start))
		}
		chip := pn532test.New(cardtest.NewField())
		open := func() (doctor.Chip, error) { return pn532.New(chip.Port(), pn532.Options{}) }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := doctor.Badges(ctx, config.Reader{Name: "door"}, doctor.BadgeOptions{}, open); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("interrupted: %v", err)
		}
	})
}

// TestSimulatedAuthorityIsNone: the doctor reads the badges' authority as the gateway does,
// which refuses the one that anybody can be.
func TestSimulatedAuthorityIsNone(t *testing.T) {
	ca, err := applets.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "badge-ca.pem")
	if err := os.WriteFile(file, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = doctor.ExamineBadges(t.Context(), &config.Config{
		Gateway: config.Gateway{StateDir: dir},
		Badges:  config.Badges{CAFile: file},
		Readers: []config.Reader{{Name: "door", Bus: "/dev/spidev0.0"}},
	})
	if err == nil || !strings.Contains(err.Error(), "simulated badges") {
		t.Errorf("%v", err)
	}
}
