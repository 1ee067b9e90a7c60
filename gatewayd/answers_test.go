package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"presence/gatewayd/internal/presence"
	"presence/scripts/brokertest"
	"presence/scripts/city"
)

// answer is a line of `gatewayd sim tap`.
type answer struct {
	UID     string
	Outcome string
	Stream  string
	Seq     uint64
	Reason  string
	Detail  string
}

func (a answer) id() string { return fmt.Sprintf("%s-%d", a.Stream, a.Seq) }

// tap taps and returns the answers.
func (g *gateway) tap(args ...string) []answer {
	g.t.Helper()
	out, _ := g.try(append([]string{"sim", "tap", "--reader", "door", "--hold", "0s", "--every", "0s"}, args...)...)
	var answers []answer
	for dec := json.NewDecoder(strings.NewReader(out)); ; {
		var a answer
		if err := dec.Decode(&a); err == io.EOF {
			return answers
		} else if err != nil {
			g.t.Fatalf("sim tap said: %s", out)
		}
		answers = append(answers, a)
	}
}

func (g *gateway) health() presence.Health {
	g.t.Helper()
	var h presence.Health
	if err := json.Unmarshal([]byte(g.must("status", "--json")), &h); err != nil {
		g.t.Fatal(err)
	}
	return h
}

// event is what the tests look at.
type event struct {
	ID        string
	Kind      string
	Stream    string
	Seq       uint64
	Badge     string
	Assurance string
	Tag       string
	Simulated bool
	Time      *string
	Quality   string   `json:"time_quality"`
	ErrorMS   *float64 `json:"time_error_ms"`
	Min       *string  `json:"time_min"`
	Max       *string  `json:"time_max"`
	Rev       int
}

// events are the events among messages, each id once. Every message must be
// valid, and first deliveries must be in order within each stream, but for a tap that
// comes early while a backlog drains.
func events(t testing.TB, v *city.Validator, messages []brokertest.Message) map[string]event {
	t.Helper()
	all := make(map[string]event)
	last := make(map[string]uint64) // up to which a stream has come whole
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
		if _, again := all[e.ID]; again {
			continue
		}
		if e.Seq != last[e.Stream]+1 && e.Kind != "badge" {
			t.Fatalf("stream %s: seq %d came first after %d", e.Stream, e.Seq, last[e.Stream])
		}
		all[e.ID] = e
		for inTurn := true; inTurn; {
			if _, inTurn = all[fmt.Sprintf("%s-%d", e.Stream, last[e.Stream]+1)]; inTurn {
				last[e.Stream]++
			}
		}
	}
	return all
}

func validator(t testing.TB) *city.Validator {
	t.Helper()
	v, err := city.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// count counts the messages of a kind of event.
func count(messages []brokertest.Message, kind string) int {
	n := 0
	for _, m := range messages {
		if strings.HasSuffix(m.Topic, "/event/"+kind) {
			n++
		}
	}
	return n
}
