package language_test

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
	"time"
	_ "time/tzdata" // for machines without one

	"presence/gatewayd/internal/language"
)

func TestTheLocaleDecides(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want language.Language
	}{
		{nil, language.English},
		{map[string]string{"LANG": "id_ID.UTF-8"}, language.Indonesian},
		{map[string]string{"LANG": "id_ID.UTF-8", "LC_ALL": "C"}, language.English},
		{map[string]string{"LC_MESSAGES": "id"}, language.Indonesian},
		{map[string]string{"LANG": "idx"}, language.English},
		{map[string]string{"LANG": "id.UTF-8", "LC_ALL": ""}, language.Indonesian},
	} {
		if got := language.Of(func(key string) string { return c.env[key] }); got != c.want {
			t.Errorf("%v: %s", c.env, got)
		}
	}
}

func TestDatesAndNumbers(t *testing.T) {
	at := time.Date(2026, 12, 31, 22, 5, 9, 0, time.UTC)
	for zone, want := range map[string]string{
		"Asia/Jakarta": "2027-01-01 05:05:09 WIB", "Asia/Makassar": "2027-01-01 06:05:09 WITA", "Asia/Jayapura": "2027-01-01 07:05:09 WIT",
	} {
		in, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := language.Moment(at, in); got != want {
			t.Errorf("%s: %s", zone, got)
		}
	}
	for d, want := range map[time.Duration]language.Text{
		0:                                {EN: "0 s", ID: "0 detik"},
		59 * time.Second:                 {EN: "59 s", ID: "59 detik"},
		60 * time.Second:                 {EN: "1 min", ID: "1 menit"},
		3*time.Hour + 61*time.Second:     {EN: "3 h 1 min", ID: "3 jam 1 menit"},
		25 * time.Hour:                   {EN: "1 day 1 h", ID: "1 hari 1 jam"},
		74*24*time.Hour + 59*time.Minute: {EN: "74 days", ID: "74 hari"},
	} {
		if got := (language.Text{EN: language.Lasting(d, language.English), ID: language.Lasting(d, language.Indonesian)}); got != want {
			t.Errorf("%v: %+v", d, got)
		}
	}
	if en, id := language.Decimal(12.25, 1, language.English), language.Decimal(12.25, 1, language.Indonesian); en != "12.2" || id != "12,2" {
		t.Errorf("%s %s", en, id)
	}
}

// TestAnErrorIsNeverHalfIndonesian: words that somebody put around an error in English
// stay, and so do all others.
func TestAnErrorIsNeverHalfIndonesian(t *testing.T) {
	inner := language.Errorf("no way in: %v", "tidak bisa masuk: %v", fs.ErrPermission)
	outer := language.Errorf("open it: %v", "buka: %v", inner)
	for err, want := range map[error]string{
		inner:                            "tidak bisa masuk: izin ditolak",
		outer:                            "buka: tidak bisa masuk: izin ditolak",
		fmt.Errorf("read it: %w", inner): "read it: no way in: permission denied",
		fs.ErrPermission:                 "izin ditolak",
		errors.New("odd"):                "odd",
		&fs.PathError{Op: "open", Path: "/x", Err: syscall.ENOENT}: "/x: berkas atau folder tidak ada",
	} {
		if got := language.Explain(err, language.Indonesian); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := language.Explain(err, language.English); got != err.Error() {
			t.Errorf("in English: %q", got)
		}
	}
	if !errors.Is(outer, fs.ErrPermission) {
		t.Error("the cause is lost")
	}
}
