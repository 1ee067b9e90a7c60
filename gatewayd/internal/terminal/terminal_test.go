package terminal_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/terminal"
)

func TestLinesOfWhatHappens(t *testing.T) {
	var p terminal.Palette
	at := "2026-11-23T07:12:03.250+07:00"
	badge := "h:0123456789abcdef0123456789abcdef"
	for want, got := range map[string]string{
		"07:12:03  text\n": p.Line(&at, "text"),
		"--:--:--  text\n": p.Line(nil, "text"),
		"door  accepted  h:01234567 ntag21x  #7 in 12 ms":                  p.Tap(presence.Answer{Outcome: presence.Accepted, Reader: "door", Badge: badge, Card: "ntag21x", Seq: 7}, 12.3),
		"door  repeat    h:01234567 ntag21x  already recorded as #7":       p.Tap(presence.Answer{Outcome: presence.Repeat, Reader: "door", Badge: badge, Card: "ntag21x", Seq: 7}, 12.3),
		"door  refused   h:01234567 ntag21x  journal":                      p.Tap(presence.Answer{Outcome: presence.Refused, Reader: "door", Badge: badge, Card: "ntag21x", Reason: "journal"}, 12.3),
		"yard  tag       kenwood:100-1001  -7.97780 112.63400 in  new  #9": p.Event([]byte(`{"kind":"tag","seq":9,"receiver":"yard","tag":"kenwood:100-1001","lat":-7.9778,"lon":112.634,"fix":"new","zone":"in"}`)),
		"yard  tag       kenwood:100-1001  no position sent  none  #9":     p.Event([]byte(`{"kind":"tag","seq":9,"receiver":"yard","tag":"kenwood:100-1001","fix":"none"}`)),
		"journal  gap  disk_full  #9":                                      p.Event([]byte(`{"kind":"gap","seq":9,"reason":"disk_full"}`)),
		"":                                                                 p.Event([]byte(`{"kind":"badge","seq":9}`)),
		"badge h:01234567 ntag21x  #9":                                     p.Arrived([]byte(`{"kind":"badge","seq":9,"badge":"` + badge + `","card":"ntag21x"}`)),
	} {
		if got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

// TestColourIsForTerminals: what goes into a file holds no escape sequence, also
// where the writer hides that it is one.
func TestColourIsForTerminals(t *testing.T) {
	var file bytes.Buffer
	if terminal.PaletteFor(&file) || terminal.PaletteFor(wrapped{&file}) {
		t.Error("a buffer is taken for a terminal")
	}
	if got := terminal.Palette(true).Green("ok"); got != "\x1b[32mok\x1b[0m" {
		t.Errorf("green is %q", got)
	}
	if got := terminal.Palette(false).Green("ok"); got != "ok" {
		t.Errorf("plain is %q", got)
	}
}

// wrapped hides what it writes to, but tells who asks.
type wrapped struct{ *bytes.Buffer }

// Unwrap is what it writes to.
func (w wrapped) Unwrap() io.Writer { return w.Buffer }

func TestHealthSpeaksBothLanguages(t *testing.T) {
	h := presence.Health{AlertTexts: []presence.Alert{{Code: "line_down", Level: presence.LevelWarn, EN: "The line is down.", ID: "Jalur putus."}}}
	for indonesian, want := range map[bool]string{false: "The line is down.", true: "Jalur putus."} {
		var out strings.Builder
		if err := terminal.PrintHealth(&out, h, indonesian); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q in\n%s", want, out.String())
		}
	}
	for _, c := range []struct {
		env        map[string]string
		indonesian bool
	}{
		{nil, false},
		{map[string]string{"LANG": "id_ID.UTF-8"}, true},
		{map[string]string{"LANG": "id_ID.UTF-8", "LC_ALL": "C"}, false},
		{map[string]string{"LC_MESSAGES": "id"}, true},
		{map[string]string{"LANG": "idx"}, false},
	} {
		if got := terminal.SpeaksIndonesian(func(key string) string { return c.env[key] }); got != c.indonesian {
			t.Errorf("%v: %t", c.env, got)
		}
	}
}
