package lightgateway

import (
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	"presence/scripts/city"
	recorder "presence/scripts/city/internal/event"
)

// What a light gateway says is one chain, over lost events and over a new process, and its
// events are as the AsyncAPI document says.
func TestEventsAreAChain(t *testing.T) {
	g, err := New(Options{Dinas: "dinkes", Gateway: "dinkes-01", Brokers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	id := g.Tap(now, "04A1B2C3D4E5F6", false)
	g.Tag(now, "kenwood:100-1001", -7.9778, 112.634, "inside", false)
	g.Presence(now, "04A1B2C3D4E5F6", "kenwood:100-1001", "on_site", -1, []string{id})
	g.Lose(now, 12, "journal-full")
	g.Tap(now, "04A1B2C3D4E5F6", false)
	if err := g.Restart(true); err != nil {
		t.Fatal(err)
	}
	g.Tap(now, "04A1B2C3D4E5F6", false)

	valid, err := city.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	before := make([]byte, 16)
	for i := range g.journal.events {
		e := &g.journal.events[i]
		text := e.appendTo(nil, &g.origin)
		if err := valid.Validate(g.topics[e.kind], text); err != nil {
			t.Error(err)
		}
		var said struct {
			Link     string
			Previous struct{ Link string }
			Ranges   []struct{ Before, Link string }
		}
		if err := json.Unmarshal(text, &said); err != nil {
			t.Fatal(err)
		}
		switch {
		case said.Previous.Link != "" && said.Previous.Link != hex.EncodeToString(before):
			t.Errorf("behind %x: %s", before, text)
		case said.Ranges != nil && said.Ranges[0].Before != hex.EncodeToString(before):
			t.Errorf("behind %x: %s", before, text)
		case said.Ranges != nil:
			if before, err = hex.DecodeString(said.Ranges[0].Link); err != nil {
				t.Fatal(err)
			}
		}
		core, err := recorder.Core(text)
		if err != nil {
			t.Fatal(err)
		}
		if before = recorder.NextLink(before, core); said.Link != hex.EncodeToString(before) {
			t.Errorf("link is not %x: %s", before, text)
		}
	}
}
