package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"presence/scripts/brokertest"
)

// TestSwappedJournals: two gateways have each other's journal. Neither sends a thing of the
// other's, both go on recording and say what is wrong, and nothing is lost.
func TestSwappedJournals(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	ids := []string{"dinkes-01", "dinkes-02"}
	var cities []*headCity
	var gateways []*gateway
	var waiting []answer
	for i, id := range ids {
		c := newHeadCity(t, b, id)
		g := newGateway(t, b.URL(), "receipts = true\n")
		g.configure(strings.Replace(g.text(), `"dinkes-01"`, `"`+id+`"`, 1))
		g.start()
		c.green(g, 0x100*i, 3)
		cities, gateways = append(cities, c), append(gateways, g)
		waiting = append(waiting, g.tap("--uid", "5C000000")[0]) // the city does not confirm this one
	}
	var images []cardImage
	for _, g := range gateways {
		g.kill()
		images = append(images, g.image())
	}
	for i, g := range gateways {
		other := 1 - i
		g.restore(images[other])
		g.start()
		c := cities[i]
		c.accused(g, "journal-rolled-back", 1)
		c.await(g, "the alert about the other's journal", func() bool { return c.alert("journal-foreign") != nil })
		if a := c.alert("journal-foreign"); !slices.Equal(a.About, []string{"dinkes/" + ids[other]}) || a.Level != "fault" {
			t.Errorf("the alert is %+v", a)
		}
		c.green(g, 0x1000, 2)
		c.chains()
		g.kill()
		g.start()
		c.green(g, 0x2000, 2)
		if c.alert("journal-foreign") == nil {
			t.Error("after a restart nobody knows of it any more")
		}
		g.stop()
		for _, m := range c.seen.Messages() {
			if strings.HasPrefix(m.Topic, c.prefix+"event/") && strings.Contains(string(m.Payload), waiting[other].Stream) {
				t.Errorf("%s sends an event of the other one: %s", ids[i], m.Payload)
			}
		}
		aside, err := os.ReadFile(filepath.Join(g.dir, "state", "former", ids[other], "journal.db"))
		if err != nil || !bytes.Equal(aside, images[other]["journal.db"]) {
			t.Errorf("the other's journal was changed (%v)", err)
		}
	}
}
