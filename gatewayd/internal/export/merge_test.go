package export

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

// says is an export that consists of a text.
func says(text string, err error) Writer {
	return func(w io.Writer, _ Request) error {
		for part := range strings.SplitSeq(text, " ") { // in pieces that end anywhere
			if _, err := io.WriteString(w, part); err != nil {
				return err
			}
		}
		return err
	}
}

// TestMergedEventsAreInOrder: by their times, and those of one gateway as it has them.
func TestMergedEventsAreInOrder(t *testing.T) {
	at := func(id, clock string) string {
		return `{"id":"` + id + `", "time":"2026-11-23T` + clock + `+07:00"}` + "\n"
	}
	never := func(id string) string { return `{"id":"` + id + `","ti me":null}` + "\n" }
	a := at("a1", "07:00:00.000") + never("a2") + at("a3", "09:00:00.000") + at("a4", "06:00:00.000") + at("a5", "12:00:00.000")
	b := never("b1") + at("b2", "08:00:00.000") + at("b3", "10:00:00.000")
	var out bytes.Buffer
	if err := Merge(&out, Request{Format: JSONLines}, []Writer{says(a, nil), says(b, nil), says("", nil)}); err != nil {
		t.Fatal(err)
	}
	var order []string
	for line := range strings.Lines(out.String()) {
		order = append(order, line[7:9])
	}
	if got, want := strings.Join(order, " "), "b1 a1 a2 b2 a3 a4 b3 a5"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// Of a damaged journal there is what can be read.
	out.Reset()
	err := Merge(&out, Request{Format: JSONLines}, []Writer{says(a, ErrDamaged), says(b, nil)})
	if !errors.Is(err, ErrDamaged) || strings.Count(out.String(), "\n") != 8 {
		t.Errorf("%v\n%s", err, out.String())
	}
	// Behind one that breaks off nothing is waited for.
	gone := errors.New("gatewayd does not answer")
	unasked := func(io.Writer, Request) error {
		t.Error("the next gateway is asked")
		return nil
	}
	if err := Merge(&out, Request{Format: JSONLines}, []Writer{says("", gone), unasked}); !errors.Is(err, gone) {
		t.Error(err)
	}
	if err := Merge(&out, Request{Format: JSONLines}, []Writer{says(b, gone), says(a, nil)}); !errors.Is(err, gone) {
		t.Error(err)
	}
	if err := Merge(failing{}, Request{Format: JSONLines}, []Writer{says(strings.Repeat(a, 1000), nil), says(b, nil)}); err == nil {
		t.Error("nobody is told that the output failed")
	}
	if err := Merge(&out, Request{Format: CSV}, []Writer{says(a, nil), says(b, nil)}); err == nil {
		t.Error("tables of events were merged")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no room") }

// TestPlaces: how a folder is named, and whose it is then.
func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	own := Place{StateDir: filepath.Join(dir, "own"), Origin: presence.Origin{Dinas: "dinkes", Gateway: "dinkes-01", Location: time.UTC}, Own: true}
	card := filepath.Join(dir, "card", "var", "lib", "gatewayd")
	for _, folder := range []string{own.StateDir, filepath.Join(dir, "other"), card, filepath.Join(dir, "card", "etc", "gatewayd")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	text := "[gateway]\nid = \"dishub-07\"\ndinas = \"dishub\"\ntimezone = \"Asia/Jayapura\"\n"
	if err := os.WriteFile(filepath.Join(dir, "card", "etc", "gatewayd", "gatewayd.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, tc := range []struct {
		text, whose, zone string
		own               bool
	}{
		{"own", "dinkes/dinkes-01", "UTC", true},
		{own.StateDir, "dinkes/dinkes-01", "UTC", true},
		{"dinkes-01=own", "dinkes/dinkes-01", "UTC", true},
		{"dinkes-02=other", "dinkes/dinkes-02", "UTC", false},
		{"dishub/dishub-02=other", "dishub/dishub-02", "UTC", false},
		{"other", "/", "UTC", false},
		{card, "dishub/dishub-07", "Asia/Jayapura", false},
	} {
		places, err := ParsePlaces([]string{tc.text}, own)
		if err != nil {
			t.Errorf("%s: %v", tc.text, err)
			continue
		}
		p := places[0]
		if got := p.Origin.Dinas + "/" + p.Origin.Gateway; got != tc.whose || p.Own != tc.own || p.Origin.Location.String() != tc.zone {
			t.Errorf("%s is of %s in %s (own: %v), want %s in %s", tc.text, got, p.Origin.Location, p.Own, tc.whose, tc.zone)
		}
		if unknown := p.Whose() != nil; unknown != (tc.whose == "/") {
			t.Errorf("%s: %v", tc.text, p.Whose())
		}
	}
	holds := presence.Origin{Dinas: "dinkop", Gateway: "dinkop-03", Location: time.UTC}
	for text, want := range map[string]string{
		"own": "dinkop-03", "other": "dinkop-03", "dinkop/dinkop-03=other": "dinkop-03", "dinkes-02=other": "", "dinkes/dinkop-03=other": "",
	} {
		places, err := ParsePlaces([]string{text}, own)
		if err != nil {
			t.Fatal(err)
		}
		p, err := places[0].Holding(holds)
		if (err == nil) != (want != "") || err == nil && p.Origin != holds || err != nil && !errors.Is(err, ErrWhose) {
			t.Errorf("%s, whose journal is that of dinkop-03, is of %v (%v)", text, p.Origin, err)
		}
		if p, err := places[0].Holding(presence.Origin{}); (err == nil) != (text != "other") || err == nil && p.Origin != places[0].Origin {
			t.Errorf("%s, whose journal is of an earlier version, is of %v (%v)", text, p.Origin, err)
		}
	}
	for _, wrong := range [][]string{{"nowhere"}, {"own", "./own"}, {"a/b/c=own"}} {
		if _, err := ParsePlaces(wrong, own); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
	if _, err := ParsePlaces([]string{"dinkes-02=other"}, Place{}); err == nil || !strings.Contains(err.Error(), "DINAS/dinkes-02=other") {
		t.Errorf("of no department: %v", err)
	}
	if places, err := ParsePlaces(nil, own); err != nil || len(places) != 1 || !places[0].Own {
		t.Errorf("none: %v, %v", places, err)
	}
}
