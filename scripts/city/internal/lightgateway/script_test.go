package lightgateway_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/scripts/city"
)

// eventHead is what all events have in common.
type eventHead struct {
	ID, Stream, Kind string
	Seq              uint64
	Rev              int
}

func headOf(t *testing.T, h heard) eventHead {
	t.Helper()
	var e eventHead
	if err := json.Unmarshal(h.payload, &e); err != nil {
		t.Fatalf("an event says %q: %v", h.payload, err)
	}
	return e
}

// seqs is the numbers of the events among what came, in order.
func seqs(t *testing.T, all []heard) (numbers []uint64) {
	t.Helper()
	for _, h := range all {
		if h.isEvent() {
			numbers = append(numbers, headOf(t, h).Seq)
		}
	}
	return numbers
}

func atLeast(t *testing.T, n int) func([]heard) bool {
	return func(all []heard) bool { return len(seqs(t, all)) >= n }
}

// inShort puts runs of numbers into words: "1-3 7".
func inShort(numbers []uint64) string {
	var words []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		words = append(words, fmt.Sprintf("%d-%d", numbers[i], numbers[j]))
		i = j + 1
	}
	return strings.Join(words, " ")
}

// subject is a gateway of either sort, under the id dinkes-01 in dinkes.
type subject struct {
	broker *scriptedBroker
	prefix string
	record func(events int) // has it record events: a tap, and tags for the rest
	stop   func()
}

// How many events a subject records before it is connected, at once when it is, and while
// the line is lost.
const (
	recordedBefore = 400
	burst          = 300
	later          = 20
)

// script has a gateway go through what happens to one, and returns how it behaved, in
// words: one line for each thing that must be the same for all gateways.
func script(t *testing.T, s subject) (story []string) {
	t.Helper()
	b := s.broker
	tell := func(format string, a ...any) { story = append(story, fmt.Sprintf(format, a...)) }

	all := b.await(0, "what was recorded before", atLeast(t, recordedBefore))
	tellGreeting(t, all, tell)
	tell("recorded before: %s", inShort(seqs(t, all)))
	stream := headOf(t, all[slices.IndexFunc(all, heard.isEvent)]).Stream
	tellEvents(t, all, tell)

	// A window of events without a PUBACK.
	b.hold(true)
	place := b.now()
	s.record(burst)
	b.await(place, "a window of events", atLeast(t, 256))
	time.Sleep(300 * time.Millisecond) // nothing tells that no more comes
	tell("in flight without a PUBACK: %s", inShort(seqs(t, b.since(place))))
	b.hold(false)
	all = b.await(place, "the other events", atLeast(t, burst))
	tell("after the PUBACKs: %s", inShort(seqs(t, all)))
	const recorded = recordedBefore + burst

	// Receipts for a part, then the line is lost: all that the city has not confirmed
	// comes again.
	place = b.now()
	b.send(s.prefix+"receipt", fmt.Sprintf(`{"stream":%q,"upto":100}`, stream))
	b.await(place, "PUBACK of a receipt", func(all []heard) bool {
		return slices.ContainsFunc(all, func(h heard) bool { return h.packet == "PUBACK" })
	})
	place = b.now()
	b.hangUp()
	all = b.await(place, "events again", atLeast(t, recorded-100))
	tell("after a receipt for 100 and a lost line: %s", inShort(seqs(t, all)))

	// Everything confirmed, and the line lost: nothing comes again, only what is new.
	b.send(s.prefix+"receipt", fmt.Sprintf(`{"stream":%q,"upto":%d}`, stream, recorded))
	b.await(place, "PUBACK of a receipt", func(all []heard) bool {
		return slices.ContainsFunc(all, func(h heard) bool { return h.packet == "PUBACK" })
	})
	place = b.now()
	b.hangUp()
	s.record(later)
	all = b.await(place, "new events", atLeast(t, later))
	tell("after a receipt for all and a lost line: %s", inShort(seqs(t, all)))

	// Commands.
	place = b.now()
	expires := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
	b.send(s.prefix+"cmd/resync", fmt.Sprintf(`{"tx":"a","expires":%q,"args":{"stream":%q,"seq":%d}}`, expires, stream, recorded-9))
	all = b.await(place, "a resync", atLeast(t, later+10))
	tell("resync: %s", inShort(seqs(t, all)))
	for _, c := range []string{"ping", "identify", "dance"} {
		b.send(s.prefix+"cmd/"+c, fmt.Sprintf(`{"tx":"b","expires":%q}`, expires))
	}
	b.send(s.prefix+"cmd/ping", `{"tx":"c","expires":"2020-01-01T00:00:00Z"}`)
	b.send(s.prefix+"receipt", fmt.Sprintf(`{"stream":%q,"upto":100000}`, stream)) // which was never sent
	all = b.await(place, "replies", func(all []heard) bool { return len(replies(all)) >= 5 })
	story = append(story, replies(all)...)

	place = b.now()
	s.stop()
	all = b.await(place, "a goodbye", func(all []heard) bool {
		return slices.ContainsFunc(all, func(h heard) bool { return h.packet == "DISCONNECT" })
	})
	for _, h := range all {
		switch {
		case h.packet == "PUBLISH" && h.topic == "status":
			tell("goodbye: %s", states(t, h.payload))
		case h.packet == "DISCONNECT":
			tell("DISCONNECT")
		}
	}
	valid(t, s, b.since(0))
	return story
}

// tellGreeting tells what comes before the first event.
func tellGreeting(t *testing.T, all []heard, tell func(string, ...any)) {
	t.Helper()
	var filters, documents []string
	for _, h := range all {
		switch {
		case h.packet == "CONNECT":
			tell("CONNECT %s: %s", h.about, states(t, h.payload))
		case h.packet == "SUBSCRIBE":
			filters = append(filters, h.about)
		case h.packet == "PUBLISH" && h.topic == "status":
			slices.Sort(filters) // their order says nothing
			tell("SUBSCRIBE %s", strings.Join(filters, ", "))
			tell("PUBLISH status, QoS %d, retained %t: %s", h.qos, h.retain, states(t, h.payload))
		case h.packet == "PUBLISH" && (h.topic == "info" || h.topic == "health"):
			documents = append(documents, fmt.Sprintf("%s, QoS %d, retained %t", h.topic, h.qos, h.retain))
		}
	}
	slices.Sort(documents)
	tell("documents: %s", strings.Join(slices.Compact(documents), "; "))
}

// tellEvents tells the form of the events of each kind: topic, and names of the fields.
func tellEvents(t *testing.T, all []heard, tell func(string, ...any)) {
	t.Helper()
	forms := make(map[string]bool)
	for _, h := range all {
		if !h.isEvent() {
			continue
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(h.payload, &fields); err != nil {
			t.Fatal(err)
		}
		names := make([]string, 0, len(fields))
		for name := range fields {
			names = append(names, name)
		}
		slices.Sort(names)
		forms[fmt.Sprintf("%s, QoS %d, retained %t: %s", h.topic, h.qos, h.retain, strings.Join(names, " "))] = true
	}
	sorted := make([]string, 0, len(forms))
	for form := range forms {
		sorted = append(sorted, form)
	}
	slices.Sort(sorted)
	for _, form := range sorted {
		tell("%s", form)
	}
}

// states is a status in words.
func states(t *testing.T, payload []byte) string {
	t.Helper()
	var s struct{ State, Reason string }
	if err := json.Unmarshal(payload, &s); err != nil {
		t.Fatal(err)
	}
	return s.State + ", " + s.Reason
}

// replies is the answers to commands in words, sorted.
func replies(all []heard) (answers []string) {
	for _, h := range all {
		var r struct {
			TX     string
			OK     bool
			Result map[string]any
			Error  string
		}
		if !strings.HasPrefix(h.topic, "reply/") || json.Unmarshal(h.payload, &r) != nil {
			continue
		}
		answers = append(answers, fmt.Sprintf("%s %s: ok %t, result %v, error %q", h.topic, r.TX, r.OK, r.Result, r.Error))
	}
	slices.Sort(answers)
	return answers
}

// valid holds every message against the AsyncAPI document.
func valid(t *testing.T, s subject, all []heard) {
	t.Helper()
	v, err := city.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range all {
		topic := h.topic
		if h.packet == "CONNECT" {
			topic = "status"
		} else if h.packet != "PUBLISH" || len(h.payload) == 0 { // which clears an alert
			continue
		}
		if err := v.Validate(s.prefix+topic, h.payload); err != nil {
			t.Error(err)
		}
	}
}
