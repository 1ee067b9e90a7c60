package main_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"presence/gatewayd/internal/presence"
	"presence/scripts/brokertest"
	"presence/scripts/city"
)

// headCity is a city that keeps the first event that it hears under each number, as a
// database does, confirms each stream as far as it is whole with the link that it has, and
// answers each start with the newest other stream. It does so when the test asks it to.
type headCity struct {
	t      *testing.T
	seen   *brokertest.City
	prefix string
	check  *city.Validator
	key    ed25519.PrivateKey // nil: it signs nothing

	looked int
	events map[string]chainEvent // by id
	order  []string              // ids as they came first
	whole  map[string]uint64     // by stream
}

// chainEvent is what a checker of the chain needs of an event.
type chainEvent struct {
	ID, Stream, Kind, Link string
	Seq                    uint64
	Previous               *struct {
		Stream string
		Seq    uint64
		Link   string
	}
	Reason string
	Ranges []struct {
		Stream       string
		From         uint64
		To           *uint64
		Before, Link string
	}
	Branch *struct {
		Stream, Link string
		Seq          uint64
	}
	raw []byte
}

func newHeadCity(t *testing.T, b *brokertest.Broker, gateway string) *headCity {
	t.Helper()
	return &headCity{
		t: t, seen: b.Subscribe("presence/v1/#"), prefix: "presence/v1/dinkes/" + gateway + "/", check: validator(t),
		events: make(map[string]chainEvent), whole: make(map[string]uint64),
	}
}

// turn takes what has come since, and answers it.
func (c *headCity) turn() {
	c.t.Helper()
	all := c.seen.Messages()
	var starts []string
	moved := make(map[string]bool)
	for _, m := range all[c.looked:] {
		if !strings.HasPrefix(m.Topic, c.prefix) || strings.HasSuffix(m.Topic, "/receipt") {
			continue
		}
		if err := c.check.Validate(m.Topic, m.Payload); err != nil {
			c.t.Error(err)
		}
		if !strings.HasPrefix(m.Topic, c.prefix+"event/") {
			continue
		}
		e := chainEvent{raw: m.Payload}
		if err := json.Unmarshal(m.Payload, &e); err != nil {
			c.t.Fatal(err)
		}
		moved[e.Stream] = true // also where it has the event: the gateway may have missed the receipt
		if _, again := c.events[e.ID]; !again {
			c.events[e.ID] = e
			c.order = append(c.order, e.ID)
		}
		for c.events[fmt.Sprintf("%s-%d", e.Stream, c.whole[e.Stream]+1)].ID != "" {
			c.whole[e.Stream]++
		}
		if e.Kind == "start" {
			starts = append(starts, e.Stream)
		}
	}
	c.looked = len(all)
	for stream := range moved {
		c.confirm(stream, c.whole[stream])
	}
	for _, stream := range starts {
		if other := c.newestBut(stream); other != "" {
			c.confirm(other, c.whole[other])
		}
	}
}

// newestBut is the newest stream but one, by the time in their ids.
func (c *headCity) newestBut(stream string) (newest string) {
	for other := range c.whole {
		if other != stream && c.whole[other] > 0 {
			newest = max(newest, other)
		}
	}
	return newest
}

// confirm publishes a receipt.
func (c *headCity) confirm(stream string, upto uint64) {
	c.t.Helper()
	if upto > 0 {
		c.seen.Publish(c.prefix+"receipt", false, c.receipt(stream, upto, c.events[fmt.Sprintf("%s-%d", stream, upto)].Link))
	}
}

// receipt is a receipt of the city.
func (c *headCity) receipt(stream string, upto uint64, link string) []byte {
	r := map[string]any{"stream": stream, "upto": upto}
	if link != "" {
		r["link"] = link
	}
	if c.key != nil {
		text := []string{"gatewayd receipt v1", "dinkes", strings.Split(c.prefix, "/")[3], stream, fmt.Sprint(upto)}
		if link != "" {
			text = append(text, link)
		}
		r["sig"] = base64.StdEncoding.EncodeToString(ed25519.Sign(c.key, []byte(strings.Join(text, "\n"))))
	}
	b, err := json.Marshal(r)
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// await waits, and has the city answer meanwhile.
func (c *headCity) await(g *gateway, what string, ok func() bool) {
	c.t.Helper()
	g.await(what, func() bool {
		c.turn()
		return ok()
	})
}

// alert is what the broker would give somebody who asks now; nil: it stands not.
func (c *headCity) alert(code string) *presence.Alert {
	c.t.Helper()
	var a *presence.Alert
	for _, m := range c.seen.Messages() {
		if m.Topic != c.prefix+"alert/"+code {
			continue
		}
		if a = nil; len(m.Payload) > 0 {
			a = new(presence.Alert)
			if err := json.Unmarshal(m.Payload, a); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	return a
}

// gaps are the gaps of a reason that came, each once.
func (c *headCity) gaps(reason string) (gaps []chainEvent) {
	for _, id := range c.order {
		if e := c.events[id]; e.Kind == "gap" && e.Reason == reason {
			gaps = append(gaps, e)
		}
	}
	return gaps
}

// starts are the starts that came, each once.
func (c *headCity) starts() (starts []chainEvent) {
	for _, id := range c.order {
		if e := c.events[id]; e.Kind == "start" {
			starts = append(starts, e)
		}
	}
	return starts
}

// chains checks that each event follows the one that it says it follows.
func (c *headCity) chains() {
	c.t.Helper()
	for _, id := range c.order {
		e := c.events[id]
		before := c.events[fmt.Sprintf("%s-%d", e.Stream, e.Seq-1)].Link
		if e.Kind == "start" {
			before = strings.Repeat("0", 32)
			if p := e.Previous; p != nil {
				before = p.Link
				if at, there := c.events[fmt.Sprintf("%s-%d", p.Stream, p.Seq)]; there && at.Link != before {
					c.t.Errorf("%s says that the link of %s-%d is %s, and it is %s", id, p.Stream, p.Seq, before, at.Link)
				}
			}
		}
		if got := linkOf(c.t, e.raw, before); got != e.Link {
			c.t.Errorf("%s has the link %s, and after %s it should be %s", id, e.Link, before, got)
		}
	}
}

// linkOf is the link of an event behind another one, from its JSON alone.
func linkOf(t *testing.T, raw []byte, before string) string {
	t.Helper()
	var fields map[string]jsontext.Value
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "rev", "time", "time_quality", "time_error_ms", "time_min", "time_max"} {
		delete(fields, name)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	core := jsontext.Value(text)
	if err := core.Canonicalize(); err != nil {
		t.Fatal(err)
	}
	link, err := presence.ParseLink(before)
	if err != nil {
		t.Fatal(err)
	}
	return link.Next(core).String()
}

// cardImage is a copy of a gateway's journal.
type cardImage map[string][]byte

func (g *gateway) image() cardImage {
	g.t.Helper()
	image := make(cardImage)
	for _, name := range []string{"journal.db", "journal.mark"} {
		b, err := os.ReadFile(filepath.Join(g.dir, "state", name))
		if err != nil {
			g.t.Fatal(err)
		}
		image[name] = b
	}
	return image
}

func (g *gateway) restore(image cardImage) {
	g.t.Helper()
	for name, b := range image {
		if err := os.WriteFile(filepath.Join(g.dir, "state", name), b, 0o600); err != nil {
			g.t.Fatal(err)
		}
	}
}

// green taps so many cards, and waits until the city has confirmed them.
func (c *headCity) green(g *gateway, first, n int) (all []answer) {
	c.t.Helper()
	all = g.tap("--uid", fmt.Sprintf("5A%06X", first), "--count", fmt.Sprint(n))
	for _, a := range all {
		if a.Outcome != "accepted" {
			c.t.Fatalf("%+v", a)
		}
	}
	c.await(g, "the city's receipts", func() bool {
		h := g.health()
		return h.Journal.Pending == 0 && c.events[all[n-1].id()].ID != ""
	})
	return all
}

// accused waits for the alert and for the stream that begins with the gap.
func (c *headCity) accused(g *gateway, code string, gaps int) chainEvent {
	c.t.Helper()
	c.await(g, "the alert "+code, func() bool { return c.alert(code) != nil })
	if a := c.alert(code); a.Level != "fault" || a.ID == "" || a.EN == "" {
		c.t.Errorf("the alert is %+v", a)
	}
	c.await(g, "the gap "+code, func() bool { return len(c.gaps(code)) >= gaps })
	found := c.gaps(code)
	if len(found) != gaps {
		c.t.Fatalf("%d gaps %s, want %d", len(found), code, gaps)
	}
	return found[gaps-1]
}
