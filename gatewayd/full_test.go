package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/drivers/beacon/beacontest"
	"presence/scripts/brokertest"
)

// TestWhatAFullJournalDoesNotTakeIsNamed: with a journal that holds a fraction of
// what is heard, taps go on, and after a kill as after a stop every tag is either
// delivered or named in a gap.
func TestWhatAFullJournalDoesNotTakeIsNamed(t *testing.T) {
	t.Parallel()
	const tags, taps = 9_000, 40
	for name, end := range map[string]func(*gateway){"kill": (*gateway).kill, "stop": (*gateway).stop} {
		t.Run(name, func(t *testing.T) {
			b := brokertest.Start(t)
			b.Stop()
			radio, port := openTTY(t)
			g := newGateway(t, b.URL(), everyTag+receiver(port)+"[journal]\nmax_mb = 1\n")
			g.start()
			now := time.Now()
			for i := range tags {
				if _, err := io.WriteString(radio, beacontest.PKLDS(100, 1000+i, -7.9, 112.6, now)); err != nil {
					t.Fatal(err)
				}
			}
			var heard time.Time
			g.await("all tags to be heard, and counted", func() bool {
				if heard.IsZero() && g.health().Receivers[0].Frames >= tags {
					heard = time.Now()
				}
				return !heard.IsZero() && time.Since(heard) > 3*time.Second
			})
			for i := range taps {
				if a := g.tap("--uid", fmt.Sprintf("5A%06X", i+1))[0]; a.Outcome != "accepted" {
					t.Fatalf("tap %d: %+v", i, a)
				}
			}
			warns := func() bool {
				h := g.health()
				return h.Level == "warn" && slices.Contains(h.Alerts, "tags-dropped")
			}
			g.await("the alert that tags are dropped", warns)
			end(g)
			g.start()
			g.await("the alert that tags were dropped before the restart", warns)
			end(g)
			b.Restart()
			seen := b.Subscribe("presence/v1/+/+/event/#")
			g.start()
			v := validator(t)
			messages := seen.AwaitFor(time.Minute, "all to be delivered or named", func(m []brokertest.Message) bool {
				there, named, badges := tagsAndTaps(t, m)
				return there+named >= tags && badges >= taps
			})
			there, named, badges := tagsAndTaps(t, messages)
			if there+named != tags || badges != taps {
				t.Errorf("%d tags are there and %d named, of %d; %d taps of %d", there, named, tags, badges, taps)
			}
			t.Logf("%d tags are there and %d named", there, named)
			for _, m := range messages {
				if err := v.Validate(m.Topic, m.Payload); err != nil {
					t.Fatal(err)
				}
			}
			g.stop()
		})
	}
}

// tagsAndTaps counts, each once, the tag events that the city has, those that gaps
// name, and the badge events.
func tagsAndTaps(t *testing.T, messages []brokertest.Message) (there, named, badges int) {
	ids := make(map[string]bool)
	for _, m := range messages {
		var e struct {
			ID    string
			Kinds map[string]int
		}
		if err := json.Unmarshal(m.Payload, &e); err != nil {
			t.Fatal(err)
		}
		if ids[e.ID] {
			continue
		}
		ids[e.ID] = true
		switch {
		case strings.HasSuffix(m.Topic, "/tag"):
			there++
		case strings.HasSuffix(m.Topic, "/badge"):
			badges++
		}
		named += e.Kinds["tag"]
	}
	return there, named, badges
}
