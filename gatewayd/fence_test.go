package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const goodFence = `{"type":"Polygon","coordinates":[[[112.633,-7.979],[112.635,-7.979],[112.635,-7.977],[112.633,-7.977],[112.633,-7.979]]]}`

// TestCheckNamesWhatIsWrongWithAFence: file and reason, in check and in doctor,
// and a reload with such a fence changes nothing.
func TestCheckNamesWhatIsWrongWithAFence(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "[office]\nfence_file = \"office.geojson\"\n")
	file := filepath.Join(g.dir, "office.geojson")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("\xef\xbb\xbf" + goodFence)
	if out, code := g.try("check"); code != 0 || strings.Contains(out, "warning") {
		t.Errorf("with Windows' mark: exit %d, %s", code, out)
	}
	g.start()
	zone := func(when string) {
		t.Helper()
		if a := g.tap("--uid", "04A1B2C3D4E5F6"); len(a) != 1 || a[0].Outcome != "accepted" && a[0].Outcome != "repeat" {
			t.Errorf("%s: %+v", when, a)
		}
	}
	zone("at first")
	session := func() string { return g.must("export")[:60] } // the first start's id
	first := session()
	for name, tc := range map[string]struct{ text, en, id string }{
		"empty":   {`{"type":"Polygon","coordinates":[]}`, "a polygon has no ring", "tidak mempunyai cincin"},
		"UTM":     {`{"type":"Polygon","coordinates":[[[679972,9117673],[680072,9117673],[680072,9117773],[679972,9117673]]]}`, "these look like metres", "dalam meter"},
		"swapped": {`{"type":"Polygon","coordinates":[[[-7.979,112.633],[-7.979,112.635],[-7.977,112.635],[-7.979,112.633]]]}`, "latitude and longitude look swapped", "tertukar"},
		"line":    {`{"type":"Feature","geometry":{"type":"LineString","coordinates":[[112.633,-7.979],[112.635,-7.977]]}}`, `a fence cannot be a "LineString"`, "tidak bisa berupa"},
		"bow tie": {`{"type":"Polygon","coordinates":[[[112.633,-7.979],[112.635,-7.977],[112.635,-7.979],[112.633,-7.977],[112.633,-7.979]]]}`, "crosses or touches itself", "memotong"},
		"words":   {`{"type":"Polygon","coordinates":[[["112.633","-7.979"],["112.635","-7.979"],["112.635","-7.977"],["112.633","-7.979"]]]}`, "write numbers without quotes", "tanpa tanda kutip"},
		"point":   {`{"type":"FeatureCollection","features":[{"type":"Feature","geometry":` + goodFence + `},{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]}}]}`, "feature 2 of 2", "fitur 2 dari 2"},
	} {
		write(tc.text)
		t.Setenv("LC_ALL", "C")
		if out, code := g.try("check"); code != 2 || !strings.HasPrefix(out, file+": ") || !strings.Contains(out, tc.en) {
			t.Errorf("%s: check exits %d, %s", name, code, out)
		}
		if out, code := g.try("doctor"); code != 1 || !strings.Contains(inOneLine(out), tc.en) || !strings.Contains(out, "-> sudoedit "+file) {
			t.Errorf("%s: doctor exits %d, %s", name, code, out)
		}
		t.Setenv("LC_ALL", "id_ID.UTF-8")
		for _, command := range []string{"check", "doctor"} {
			if out, _ := g.try(command); !strings.Contains(inOneLine(out), tc.id) {
				t.Errorf("%s: %s says in Indonesian %s", name, command, out)
			}
		}
		g.configure(strings.ReplaceAll(g.text(), "fence_file", " fence_file")) // so that it is another one
		if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		g.await("the reload of "+name+" to be refused", func() bool { return strings.Contains(g.log.String(), strings.ReplaceAll(tc.en, `"`, `\"`)) })
		zone("after a reload with " + name)
	}
	if now := session(); now != first {
		t.Errorf("the gateway started over: %s", now)
	}
	t.Setenv("LC_ALL", "C")
	write(`{"type":"Polygon","coordinates":[[[112.5,-8.1],[112.7,-8.1],[112.7,-7.9],[112.5,-7.9]]]}`) // open, and 22 km wide
	if out, code := g.try("check"); code != 0 || !strings.Contains(out, file+": warning: the fence encloses 491 km2") {
		t.Errorf("a large fence: exit %d, %s", code, out)
	}
	write(`{"type":"Polygon","coordinates":[[[112.5,-8.1],[112.50005,-8.1],[112.50005,-8.09995],[112.5,-8.1]]]}`)
	if out, code := g.try("check"); code != 0 || !strings.Contains(out, "warning: the fence encloses 15 m2") {
		t.Errorf("a small fence: exit %d, %s", code, out)
	}
	if out, _ := g.try("doctor"); !strings.Contains(out, "15 m2") {
		t.Errorf("doctor says %s", out)
	}
}

// inOneLine takes the line breaks out of a text that was folded for a screen.
func inOneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
