package main_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/drivers/beacon/beacontest"
	"presence/scripts/brokertest"
)

// person is what the city reads of a presence event.
type person struct {
	ID       string
	Badge    string
	Tag      string
	State    string
	Distance *float64 `json:"distance_m"`
	Events   []string
}

// persons are the presence events that the city got, each once.
func persons(t *testing.T, m []brokertest.Message) (all []person) {
	for _, one := range m {
		if one.Topic == prefix+"event/presence" {
			var p person
			if err := json.Unmarshal(one.Payload, &p); err != nil {
				t.Fatal(err)
			}
			again := slices.ContainsFunc(all, func(o person) bool { return o.ID == p.ID })
			if !again { // after a kill some come again
				all = append(all, p)
			}
		}
	}
	return all
}

// exportHasOnSite counts the rows of an export that say that somebody is on site.
func exportHasOnSite(t *testing.T, g *gateway, want int) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(g.must("export", "--format", "csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	onSite := 0
	for _, row := range rows[1:] {
		if row[slices.Index(rows[0], "detail")] == "on_site" && row[slices.Index(rows[0], "state")] == "on_site" {
			onSite++
		}
	}
	if onSite != want {
		t.Errorf("export prints %q", rows)
	}
}

// TestWhoIsWhere: a badge is shown and the tag is heard, or not, and the city is
// told what that means, once, also through kill -9.
func TestWhoIsWhere(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe("presence/v1/#")
	radio, port := openTTY(t)
	g := newGateway(t, b.URL(), receiver(port)+`
[hours]
always = true
[office]
lat = -7.9778
lon = 112.6340
radius_m = 100
[tags]
roster_file = "roster.csv"
`)
	uids := []string{"04A1B2C3D4E501", "04A1B2C3D4E502", "04A1B2C3D4E503"}
	var pairs strings.Builder
	for i, uid := range uids {
		fmt.Fprintf(&pairs, "%s,kenwood:100-100%d\n", uid, i+1)
	}
	if err := os.WriteFile(filepath.Join(g.dir, "roster.csv"), []byte(pairs.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	g.start()
	hear := func(unit int, of int) {
		t.Helper()
		if _, err := io.WriteString(radio, beacontest.PKLDS(100, unit, -7.9777, 112.6341, time.Now())); err != nil {
			t.Fatal(err)
		}
		g.await("the tag", func() bool { return g.health().Receivers[0].Frames >= int64(of) })
	}
	said := func(n int) func([]brokertest.Message) bool {
		return func(m []brokertest.Message) bool { return len(persons(t, m)) >= n }
	}

	hear(1001, 1)
	there := g.tap("--uid", uids[0])[0]
	city.Await("who is on site", said(1))
	silent := g.tap("--uid", uids[1])[0]
	city.Await("who showed the badge only", said(2))
	g.kill()
	g.start()
	hear(1003, 1)
	last := g.tap("--uid", uids[2])[0]
	city.Await("who is on site after kill -9", said(3))
	g.stop()

	messages := city.Await("goodbye", func(m []brokertest.Message) bool {
		return strings.Contains(string(lastOn(m, "status")), `"reason":"stop"`)
	})
	all := events(t, validator(t), messages)
	var tags []string
	for id, e := range all {
		if e.Kind == "tag" {
			tags = append(tags, e.Tag+" "+id)
		}
	}
	slices.Sort(tags)
	sighting := func(i int) string { _, id, _ := strings.Cut(tags[i], " "); return id }
	for i, want := range []person{
		{Tag: "kenwood:100-1001", State: "on_site", Events: []string{there.id(), sighting(0)}},
		{Tag: "kenwood:100-1002", State: "badge_only", Events: []string{silent.id()}},
		{Tag: "kenwood:100-1003", State: "on_site", Events: []string{last.id(), sighting(1)}},
	} {
		got := persons(t, messages)
		if len(got) != 3 || len(tags) != 2 {
			t.Fatalf("%d presence and %d tag events, want 3 and 2: %+v", len(got), len(tags), got)
		}
		p := got[i]
		if p.Tag != want.Tag || p.State != want.State || p.Distance != nil || !slices.Equal(p.Events, want.Events) || p.Badge != all[p.Events[0]].Badge {
			t.Errorf("%+v\nwant %+v", p, want)
		}
	}
	exportHasOnSite(t, g, 2)
}

// TestNothingRestsOnWhatWasForgotten: who was forgotten has not shown the badge
// today. What is said of the person afterwards rests on what came afterwards.
func TestNothingRestsOnWhatWasForgotten(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/presence")
	radio, port := openTTY(t)
	g := newGateway(t, b.URL(), receiver(port)+`
[hours]
always = true
[office]
lat = -7.9778
lon = 112.6340
radius_m = 100
[tags]
min_interval = "0s"
heartbeat = "1s"
roster_file = "roster.csv"
`)
	text, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	g.configure(strings.Replace(string(text), "[badges]", "[badges]\nrepeat_window = \"0s\"", 1))
	const uid = "04A1B2C3D4E501"
	if err := os.WriteFile(filepath.Join(g.dir, "roster.csv"), []byte(uid+",kenwood:100-1001\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.start()
	forgotten := g.tap("--uid", uid)[0]
	city.Await("badge_only", func(m []brokertest.Message) bool { return len(m) == 1 })
	if out := g.must("forget", "--badge", uid); !strings.Contains(out, "1 badge, 1 presence events") {
		t.Fatalf("forget said %s", out)
	}
	if _, err := io.WriteString(radio, beacontest.PKLDS(100, 1001, -7.9777, 112.6341, time.Now())); err != nil {
		t.Fatal(err)
	}
	g.await("the tag", func() bool { return g.health().Receivers[0].Frames == 1 })
	again := g.tap("--uid", uid)[0]
	messages := city.Await("what is said afterwards", func(m []brokertest.Message) bool { return len(m) >= 2 })
	for _, m := range messages[1:] {
		if strings.Contains(string(m.Payload), forgotten.id()) || !strings.Contains(string(m.Payload), again.id()) {
			t.Errorf("after %s was forgotten and %s was tapped: %s", forgotten.id(), again.id(), m.Payload)
		}
	}
}

// TestACopiedTagAccusesNobody: a second transmitter says that the tag is a kilometre
// away, and the tag itself that it is in the office.
func TestACopiedTagAccusesNobody(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe("presence/v1/#")
	radio, port := openTTY(t)
	g := newGateway(t, b.URL(), receiver(port)+`
[hours]
always = true
[office]
lat = -7.9778
lon = 112.6340
radius_m = 100
[tags]
roster_file = "roster.csv"
`)
	const tag = "kenwood:100-1001"
	if err := os.WriteFile(filepath.Join(g.dir, "roster.csv"), []byte(ownUID+","+tag+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.start()
	at := time.Now()
	for i, lat := range []float64{-7.9777, -7.9677, -7.9777, -7.9677, -7.9777, -7.9677} {
		if _, err := io.WriteString(radio, beacontest.PKLDS(100, 1001, lat, 112.6341, at.Add(time.Duration(i)*time.Second))); err != nil {
			t.Fatal(err)
		}
	}
	g.await("all six", func() bool { return g.health().Receivers[0].Frames >= 6 })
	g.tap("--uid", ownUID)
	city.Await("the tap with its check", func(m []brokertest.Message) bool {
		return strings.Contains(string(lastOn(m, "event/badge")), `"tag_check":{"tag":"`+tag+`","state":"conflict","distance_m":null`)
	})
	city.Await("a tag event that says so", func(m []brokertest.Message) bool {
		last := string(lastOn(m, "event/tag"))
		return strings.Contains(last, `"zone":"uncertain"`) && strings.Contains(last, `"conflict":true`)
	})
	city.Await("the alert that names the tag", func(m []brokertest.Message) bool {
		return strings.Contains(string(lastOn(m, "alert/tag-conflict")), `"about":["`+tag+`"]`)
	})
	g.kill()
	g.start()
	g.await("the alert after kill -9", func() bool { return strings.Contains(g.must("status"), "tag-conflict") })
	day := at.In(jakarta(t)).Format(time.DateOnly)
	if sheet := g.must("export", "--day", day, "--format", "csv"); !strings.Contains(sheet, "\ntag-conflict,") || !strings.Contains(sheet, ","+tag+",") {
		t.Errorf("the recap:\n%s", sheet)
	}
	if sheet := g.must("export", "--day", day, "--format", "html"); !strings.Contains(sheet, "Tag yang disalin") || !strings.Contains(sheet, tag) {
		t.Errorf("the recap does not show it:\n%s", sheet)
	}
	g.stop()
	events(t, validator(t), city.Messages()) // each is valid
	for _, m := range city.Messages() {
		if m.Topic == prefix+"event/presence" && !strings.Contains(string(m.Payload), `"badge_only"`) {
			t.Errorf("said of the person: %s", m.Payload)
		}
	}
}
