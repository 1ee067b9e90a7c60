package main_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/scripts/brokertest"
	"presence/scripts/city"
)

// revisions are the events among messages by id and rev. Every message must be
// valid, and what comes again under the same id and rev must say the same.
func revisions(t testing.TB, v *city.Validator, messages []brokertest.Message) map[string]map[int]event {
	t.Helper()
	all := make(map[string]map[int]event)
	texts := make(map[string]string)
	for _, m := range messages {
		if err := v.Validate(m.Topic, m.Payload); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(m.Topic, "/event/") {
			continue
		}
		var e event
		if err := json.Unmarshal(m.Payload, &e); err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprint(e.ID, " ", e.Rev)
		if before, again := texts[key]; again && before != string(m.Payload) {
			t.Fatalf("%s and\n%s", before, m.Payload)
		}
		texts[key] = string(m.Payload)
		if all[e.ID] == nil {
			all[e.ID] = make(map[int]event)
		}
		all[e.ID][e.Rev] = e
	}
	return all
}

// TestCorrectionsReachTheCity: what was sent without a time is sent again with
// it, under the same id and rev 1: to the same process, after kill -9, and when
// the line was away. Each export says the same as the city has.
func TestCorrectionsReachTheCity(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, "allow_anonymous true", "persistence true", "persistence_location "+t.TempDir()+"/")
	seen := b.Subscribe("presence/v1/+/+/event/#", func(o *mqtt.ClientOptions) {
		o.SetClientID("city").SetCleanSession(false).SetResumeSubs(true)
	})
	v := validator(t)
	g := simClock(t, b.URL())
	g.start()
	const ahead = 3 * time.Hour
	arrived := func(x timed, rev int, quality string) func([]brokertest.Message) bool {
		return func(m []brokertest.Message) bool {
			e, ok := revisions(t, v, m)[x.id()][rev]
			return ok && (quality == "unsynced" && e.Quality == quality && e.Time == nil || x.right(t, e, quality, ahead))
		}
	}
	first := g.timedTap("5A000001")
	seen.Await("a tap without a time", arrived(first, 0, "unsynced"))
	g.kill()
	g.start()
	second := g.timedTap("5A000002")
	seen.Await("another", arrived(second, 0, "unsynced"))
	b.Stop()
	third := g.timedTap("5A000003") // not sent before its time is known
	if e := g.exported()[second.id()]; e.Rev != 0 || e.Quality != "unsynced" {
		t.Errorf("exported: %+v", e)
	}
	g.must("sim", "clock", "--synced=true", "--offset=3h")
	g.await("the times", func() bool { return first.right(t, g.exported()[first.id()], "corrected", ahead) })
	exported := g.exported()
	g.kill() // what was printed was noted
	b.Restart()
	g.start()
	seen.Await("the first one's time", arrived(first, 1, "corrected"))
	seen.Await("the second one's time", arrived(second, 1, "corrected"))
	fourth := g.timedTap("5A000004") // unsynced again, but of the same boot
	got := seen.Await("the fourth tap", arrived(fourth, 0, "corrected"))
	all := revisions(t, v, got)
	for id, e := range exported {
		there, ok := all[id][e.Rev]
		if id == third.id() && !ok {
			t.Errorf("%+v was exported, and the city has %+v", e, all[id])
		}
		if ok && (there.Quality != e.Quality || there.Time != nil && *there.Time != *e.Time) {
			t.Errorf("%s rev %d is %v to the city and %v in an export", id, e.Rev, there, e)
		}
	}
	g.kill()
	g.start()
	fifth := g.timedTap("5A000005")
	got = seen.Await("the fifth tap", arrived(fifth, 0, "corrected"))
	all = revisions(t, v, got)
	for id, revs := range all {
		if len(revs) > 2 {
			t.Errorf("%s came under %d revs", id, len(revs))
		}
	}
	g.recapAgrees(all)
	g.stop()
	g.recapAgrees(all)
}

// recapAgrees checks that the recap of each day on which the city has taps says
// of each badge what the city was told last.
func (g *gateway) recapAgrees(city map[string]map[int]event) {
	g.t.Helper()
	last := make(map[string]string)
	days := make(map[string]bool)
	for id, revs := range city {
		e := revs[slices.Max(slices.Collect(maps.Keys(revs)))]
		if e.Kind == "badge" && e.Time != nil {
			last[id] = *e.Time
			days[(*e.Time)[:10]] = true
		}
	}
	checked := 0
	for day := range days {
		rows, err := csv.NewReader(strings.NewReader(g.must("export", "--day", day, "--format", "csv"))).ReadAll()
		if err != nil {
			g.t.Fatal(err)
		}
		column := func(row []string, name string) string { return row[slices.Index(rows[0], name)] }
		for _, r := range rows[1:] {
			if r[0] != "badge" {
				continue
			}
			for id, at := range map[string]string{column(r, "event"): column(r, "first"), column(r, "last_event"): column(r, "last")} {
				checked++
				if last[id] != at {
					g.t.Errorf("the city was told %s of %s, the recap says %s", last[id], id, at)
				}
			}
		}
	}
	if checked < 5 {
		g.t.Errorf("%d taps were in the recaps of %v", checked, days)
	}
}
