package uplink_test

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// inbox is a document of the city that keeps what was handed over.
type inbox struct {
	takes time.Duration // how long it takes to put a document in force

	mu  sync.Mutex
	all []string
}

// Receive implements uplink.Document.
func (i *inbox) Receive(payload []byte) {
	<-time.After(i.takes)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.all = append(i.all, string(payload))
}

// Serial implements uplink.Document: a document that is a number has that serial.
func (i *inbox) Serial() (highest uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, text := range i.all {
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			highest = max(highest, n)
		}
	}
	return highest
}

func (i *inbox) has(n int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.all) >= n
}

func TestDocumentsAreHandedOverInOrder(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "reply/#")
	var roster, hours inbox
	o := options(b.Address(), newMemory(1))
	o.Documents = map[string]uplink.Document{"roster": &roster, "policy/hours": &hours}
	large := strings.Repeat("x", 500_000)
	city.Publish(prefix+"roster", true, []byte(large))
	u := uplink.New(o)
	run(t, u)
	await(t, "the retained roster", func() bool { return roster.has(1) })
	for _, text := range []string{"1", "2", "3", "4", "5"} {
		city.Publish(prefix+"policy/hours", text == "5", []byte(text))
	}
	await(t, "the hours", func() bool { return hours.has(5) })
	b.Kill() // without persistence, the broker forgets what was retained
	b.Restart()
	city.Publish(prefix+"policy/hours", true, []byte("6"))
	await(t, "the hours of another connection", func() bool { return hours.has(6) })
	if got := strings.Join(hours.all, ""); got != "123456" {
		t.Errorf("in the order %s", got)
	}
	if roster.all[0] != large {
		t.Errorf("a roster of %d bytes came as %d", len(large), len(roster.all[0]))
	}
	if n := u.Stats().Refused; n != 0 {
		t.Errorf("%d were refused", n)
	}
}

// TestDocumentThatIsTooLargeStopsNothing: it is retained, and comes at every
// connection.
func TestDocumentThatIsTooLargeStopsNothing(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "reply/#")
	city.Publish(prefix+"roster", true, bytes.Repeat([]byte("x"), 3<<20))
	var roster inbox
	o := options(b.Address(), newMemory(100))
	o.Documents = map[string]uplink.Document{"roster": &roster}
	u := uplink.New(o)
	run(t, u)
	await(t, "the refusal", func() bool { return u.Stats().Refused == 1 })
	await(t, "the events", func() bool { return o.Journal.Cursor() == 100 })
	city.Publish(prefix+"roster", true, []byte("small"))
	await(t, "a smaller one", func() bool { return roster.has(1) })
	if s := u.Stats(); s.Reconnects != 0 || roster.all[0] != "small" {
		t.Errorf("%d reconnects, and %.20q was handed over", s.Reconnects, roster.all)
	}
}
