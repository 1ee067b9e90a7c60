package alerts_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/alerts"
)

// Every kind has all that it needs, and its texts say the same in both
// languages.
func TestTheCatalogueIsComplete(t *testing.T) {
	place := regexp.MustCompile(`\{[a-z]+\}`)
	names := kindNames(t)
	if len(names) != len(alerts.Kinds()) {
		t.Fatalf("%d names of %d kinds were found", len(names), len(alerts.Kinds()))
	}
	for _, k := range alerts.Kinds() {
		a := k.Raise(nil, "x")
		code := regexp.MustCompile(`^[a-z0-9-]+$`)
		if !code.MatchString(a.Code()) || a.ID() == "" || a.EN() == "" || a.ID() == a.EN() {
			t.Errorf("the row of %s is not complete: %q %q %q", names[k], a.Code(), a.ID(), a.EN())
		}
		if !slices.Contains([]alerts.Level{alerts.Hint, alerts.Warn, alerts.Fault}, a.Level()) {
			t.Errorf("%s has the level %q", k.Code(), a.Level())
		}
		// Each value that one language shows, the other shows too.
		values := make(alerts.Values)
		for _, v := range []string{"error", "bad", "all", "problem", "salvaged", "lost", "file", "pending", "minutes", "hours", "off", "end", "days", "shows", "passed", "version", "back", "changes", "event"} {
			values[v] = "<" + v + ">"
		}
		full := k.Raise(values, "<name>")
		shown := func(text string) string {
			found := regexp.MustCompile(`<[a-z]+>`).FindAllString(text, -1)
			slices.Sort(found)
			return strings.Join(found, " ")
		}
		if id, en := shown(full.ID()), shown(full.EN()); id != en {
			t.Errorf("%s shows %q in Indonesian and %q in English", k.Code(), id, en)
		}
		if place.MatchString(full.ID()+full.EN()) || strings.Contains(full.ID(), "(-)") {
			t.Errorf("%s has a place that nothing fills: %q", k.Code(), full.ID())
		}
		if l := k.Limit(); l.Window < 0 || l.Newest > 0 && l.Least > l.Newest {
			t.Errorf("%s has the limit %+v", k.Code(), l)
		}
		if o, ok := a.Outage(); ok && !slices.Contains(alerts.Failures(), o.Failure) {
			t.Errorf("%s is an outage of %q, which no sheet can name", k.Code(), o.Failure)
		}
	}
	for _, f := range alerts.Failures() {
		o := alerts.Outage{Failure: f, Name: "x"}
		if id, en := o.Texts(); id == o.Code() || en == o.Code() || id == en {
			t.Errorf("the failure %s reads %q and %q", f, id, en)
		}
	}
}

// kindNames are the kinds as the source calls them, in their order.
func kindNames(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile("catalogue.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "\nconst (\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for line := range strings.Lines(list) {
		names = append(names, strings.Fields(line)[0])
	}
	return names
}

// TestEveryKindIsRaised: the gateway mentions each outside of the catalogue.
func TestEveryKindIsRaised(t *testing.T) {
	var source strings.Builder
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "alerts":
			return fs.SkipDir
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		source.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	raised := regexp.MustCompile(`\balerts\.\w+`).FindAllString(source.String(), -1)
	for _, name := range kindNames(t) {
		if !slices.Contains(raised, "alerts."+name) {
			t.Errorf("nothing raises %s: see step 3 of \"Add an alert\" in gatewayd/HOUSE.md", name)
		}
	}
}

// Every code that can be raised is where the city looks it up.
func TestEveryCodeIsDocumented(t *testing.T) {
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	asyncapi := read("../../../scripts/city/asyncapi.yaml")
	_, list, _ := strings.Cut(asyncapi, "\n    alertCode:")
	list, _, ok := strings.Cut(list, "\n\n")
	if !ok {
		t.Fatal("the AsyncAPI document does not list the codes")
	}
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^ +- \{ (?:const: ([a-z-]+)|type: string, pattern: '\^([a-z-]+)\[)`).FindAllStringSubmatch(list, -1) {
		if m[2] != "" {
			m[1] = m[2] + "<name>"
		}
		listed = append(listed, m[1])
	}
	slices.Sort(listed)
	if !slices.Equal(listed, alerts.Codes()) {
		t.Errorf("AsyncAPI lists\n%v\nthe catalogue\n%v", listed, alerts.Codes())
	}
	guide := read("../../../scripts/INSTALL.md")
	for _, code := range alerts.Codes() {
		if !strings.Contains(guide, "`alert/"+code+"`") {
			t.Errorf("scripts/INSTALL.md does not say when alert/%s is raised", code)
		}
	}
	// What the documents name can be raised.
	named := regexp.MustCompile("`alert/([a-z-]+(<name>)?)`")
	for _, m := range named.FindAllStringSubmatch(guide+read("../../../scripts/city/MESSAGES.md")+read("../../../scripts/city/BROKER.md")+asyncapi, -1) {
		if !slices.Contains(alerts.Codes(), m[1]) {
			t.Errorf("alert/%s is documented and not in the catalogue", m[1])
		}
	}
}

func TestAlertsNameWhatTheyAreAbout(t *testing.T) {
	a := alerts.ReaderDead.Raise(alerts.Values{"error": "EIO"}, "door")
	if a.Code() != "reader-door" || !slices.Equal(a.About(), []string{"door"}) ||
		a.EN() != `Badge reader "door" does not answer. Check wiring, power and SPI. (EIO)` {
		t.Errorf("%s about %v: %s", a.Code(), a.About(), a.EN())
	}
	if o, ok := a.Outage(); !ok || o != (alerts.Outage{Failure: alerts.ReaderBroken, Name: "door"}) || o.Code() != "reader-door" {
		t.Errorf("outage %+v, %v", o, ok)
	}
	if a := alerts.TopicsUnread.Raise(nil, "cmd/+", "receipt"); !strings.Contains(a.EN(), "cmd/+, receipt") || len(a.About()) != 2 {
		t.Errorf("about two topics: %v, %s", a.About(), a.EN())
	}
	// The name of a task is no word of a topic.
	if a := alerts.ReceiverGone.Raise(nil, "held Tags/2"); a.Code() != "receiver-held-tags-2" {
		t.Errorf("code %q", a.Code())
	}
	// A receiver's name cannot turn one complaint into another.
	gone, _ := alerts.ReceiverGone.Raise(nil, "noisy-yard").Outage()
	if _, outage := alerts.ReceiverNoisy.Raise(nil, "yard").Outage(); outage || gone.Name != "noisy-yard" {
		t.Errorf("a noisy receiver is an outage: %v; the lost one is %q", outage, gone.Name)
	}
}

func TestLimitsHaveHysteresis(t *testing.T) {
	var g alerts.Gates
	for i, step := range []struct {
		kind  alerts.Kind
		value float64
		want  bool
	}{
		{alerts.DeliveryUnconfirmed, 299, false},
		{alerts.DeliveryUnconfirmed, 300, true},
		{alerts.DeliveryUnconfirmed, 299, true},
		{alerts.DeliveryUnconfirmed, 60, true},
		{alerts.DeliveryUnconfirmed, 59, false},
		{alerts.DeliveryUnconfirmed, 299, false},
		{alerts.DiskFull, 64 << 20, false},
		{alerts.DiskFull, 64<<20 - 1, true},
		{alerts.DiskFull, 72<<20 - 1, true},
		{alerts.DiskFull, 72 << 20, false},
	} {
		if got := g.Over(step.kind, "", step.value); got != step.want {
			t.Errorf("step %d: %s at %v stands: %v", i, step.kind.Code(), step.value, got)
		}
	}
	g.Over(alerts.DiskFull, "a", 0)
	if g.Over(alerts.DiskFull, "b", 70<<20) {
		t.Error("the alert about one thing raises that about another")
	}
	g.Clear(alerts.DiskFull, "a")
	if g.Over(alerts.DiskFull, "a", 70<<20) {
		t.Error("a number that went is remembered")
	}
}

// However often somebody looks, the memory of a share is bounded and its count
// right to a part in a hundred.
func TestSharesAreCountedOverTheWindow(t *testing.T) {
	var g alerts.Gates
	k, now := alerts.ReceiverNoisy, time.Now()
	var bad, all int64
	for range 100_000 {
		now = now.Add(100 * time.Millisecond)
		all++
		if all%2 == 0 {
			bad++
		}
		g.Share(k, "yard", now, bad, all)
	}
	b, a, _ := g.Share(k, "yard", now, bad, all)
	if a < 200 || a > 202 || b < 99 || b > 102 {
		t.Errorf("%d bad of %d, want half of the newest 200", b, a)
	}
}

// TestTextsUseTheTechniciansWords: a clock feels nothing, and a frame of a radio is
// called a packet of data.
func TestTextsUseTheTechniciansWords(t *testing.T) {
	for _, k := range alerts.Kinds() {
		for _, word := range []string{"merasa", "bingkai", "tidak dapat dicapai"} {
			if text := k.Raise(nil, "x").ID(); strings.Contains(text, word) {
				t.Errorf("%s says %q: %s", k.Code(), word, text)
			}
		}
	}
}
