package main_test

import (
	"fmt"
	"strings"
	"testing"

	"presence/scripts/brokertest"
)

// TestBrokerThatTakesNoLargeMessage hangs up over the health document: taps
// arrive all the same, and everybody is told why it is missing.
func TestBrokerThatTakesNoLargeMessage(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, "allow_anonymous true", "max_packet_size 1024")
	seen := b.Subscribe("presence/v1/#")
	g := newGateway(t, b.URL(), strings.Repeat("[[reader]]\nname = \"NAME\"\nbus = \"sim\"\n", 4))
	g.configure(numbered(g.text(), "NAME"))
	why := func() string {
		t.Helper()
		d, levels := g.doctor()
		if levels["topics"] != "fail" {
			t.Errorf("doctor: %+v", d)
		}
		for _, c := range d.Checks {
			if c.Level == "fail" {
				return c.EN + " -> " + c.Mend
			}
		}
		return ""
	}
	if said := why(); !strings.Contains(said, "max_packet_size") || strings.Contains(said, "ACL") {
		t.Errorf("before the start doctor says: %s", said)
	}
	g.start()
	g.tap("--uid", "04A1B200000001", "--count", "5")
	v := validator(t)
	seen.Await("the events", func(m []brokertest.Message) bool { return len(events(t, v, m)) >= 6 })
	seen.Await("the alert", func(m []brokertest.Message) bool {
		for _, one := range m {
			if strings.HasSuffix(one.Topic, "alert/document-refused") && strings.Contains(string(one.Payload), `"about":["health"`) {
				return true
			}
		}
		return false
	})
	g.await("a line that holds", func() bool { return g.health().MQTT.Connected && g.health().Journal.Pending == 0 })
	if said := why(); !strings.Contains(said, "health") || !strings.Contains(said, "max_packet_size") {
		t.Errorf("doctor says: %s", said)
	}
	g.stop()
}

// numbered puts door-1, door-2 and so on in place of a word.
func numbered(text, word string) string {
	for n := 1; strings.Contains(text, word); n++ {
		text = strings.Replace(text, word, fmt.Sprintf("door-%d", n), 1)
	}
	return text
}
