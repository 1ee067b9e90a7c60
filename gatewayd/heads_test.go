package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"presence/scripts/brokertest"
)

// journalCase is one way to put another journal in a gateway's place.
type journalCase struct {
	name  string
	more  string                                      // of the configuration
	spoil func(c *headCity, g *gateway) (from uint64) // stops it, and leaves another journal
}

func putBack() []journalCase {
	return []journalCase{
		{"an old image of the card", "receipts = true\n", func(c *headCity, g *gateway) uint64 {
			c.green(g, 0, 3)
			g.stop()
			image := g.image()
			g.start()
			c.green(g, 100, 3)
			g.kill()
			g.restore(image)
			return 1
		}},
		{"the newest tap cut off", "receipts = true\n", func(c *headCity, g *gateway) uint64 {
			c.green(g, 0, 2)
			image := g.image()
			last := c.green(g, 100, 1)[0]
			g.kill()
			g.restore(image)
			return last.Seq
		}},
		{"a new card", "receipts = true\n", func(c *headCity, g *gateway) uint64 {
			c.green(g, 0, 3)
			g.kill()
			if err := os.RemoveAll(filepath.Join(g.dir, "state")); err != nil {
				c.t.Fatal(err)
			}
			return 1
		}},
		{"without asking for receipts", "", func(c *headCity, g *gateway) uint64 {
			c.green(g, 0, 3)
			g.stop()
			image := g.image()
			g.start()
			c.green(g, 100, 3)
			g.kill()
			g.restore(image)
			return 1
		}},
	}
}

// TestAJournalThatWasPutBackIsFoundOut over a broker: by the receipt with which the city
// answers the start, whatever was done to the card. What comes afterwards follows what the
// city has, and is recorded all the while, over restarts and kills.
func TestAJournalThatWasPutBackIsFoundOut(t *testing.T) {
	t.Parallel()
	for _, tc := range putBack() {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t)
			c := newHeadCity(t, b, "dinkes-01")
			g := newGateway(t, b.URL(), tc.more)
			g.start()
			from := tc.spoil(c, g)
			newest := c.newestBut("")
			head := c.events[fmt.Sprintf("%s-%d", newest, c.whole[newest])]
			if c.alert("journal-rolled-back") != nil {
				t.Fatal("it is accused before anything was done")
			}
			g.start()
			during := g.tap("--uid", "5B000000", "--count", "5")
			gap := c.accused(g, "journal-rolled-back", 1)
			r := gap.Ranges[0]
			if len(gap.Ranges) != 1 || r.Stream != head.Stream || r.From != from || r.To == nil || *r.To != head.Seq || r.Link != head.Link {
				t.Errorf("the gap names %+v, want from %d to %s", gap.Ranges, from, head.ID)
			}
			start := c.events[gap.Stream+"-1"]
			if p := start.Previous; p == nil || p.Stream != head.Stream || p.Seq != head.Seq || p.Link != head.Link {
				t.Errorf("the stream follows %+v, want %s", p, head.ID)
			}
			if gap.Branch == nil || gap.Branch.Link != c.events[fmt.Sprintf("%s-%d", gap.Branch.Stream, gap.Branch.Seq)].Link {
				t.Errorf("the branch is %+v", gap.Branch)
			}
			if !slices.ContainsFunc(c.seen.Messages(), func(m brokertest.Message) bool {
				return m.Topic == prefix+"status" && strings.Contains(string(m.Payload), `"reason":"reload"`)
			}) {
				t.Error("nothing says that it started over")
			}
			for i := range 3 { // nothing of it happens again
				c.green(g, 0x1000*(i+1), 2)
				if i == 1 {
					g.stop()
				} else {
					g.kill()
				}
				g.start()
			}
			last := c.green(g, 0x9000, 1)
			c.accused(g, "journal-rolled-back", 1)
			for _, a := range slices.Concat(during, last) {
				if a.Outcome != "accepted" || c.events[a.id()].ID == "" {
					t.Errorf("of the taps meanwhile the city does not have %+v", a)
				}
			}
			c.chains()
			g.stop()
			if out := g.must("verify"); !strings.Contains(out, "journal: ok") {
				t.Errorf("verify says %s", out)
			}
		})
	}
}

// TestAKillAtEachStepOfAFinding loses nothing of it, and repeats nothing.
func TestAKillAtEachStepOfAFinding(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"before the city has answered", "once it is noted", "in the new stream"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t)
			c := newHeadCity(t, b, "dinkes-01")
			g := newGateway(t, b.URL(), "receipts = true\n")
			g.start()
			c.green(g, 0, 2)
			image := g.image()
			c.green(g, 100, 2)
			g.kill()
			g.restore(image)
			g.start()
			switch step {
			case "before the city has answered":
				c.seen.Await("the start", func(m []brokertest.Message) bool { return startedStreams(m) == 2 })
			case "once it is noted":
				c.await(g, "the alert", func() bool { return c.alert("journal-rolled-back") != nil })
				if len(c.gaps("journal-rolled-back")) > 0 {
					t.Log("it was too fast for this step")
				}
			case "in the new stream":
				c.accused(g, "journal-rolled-back", 1)
			}
			g.kill()
			g.start()
			c.accused(g, "journal-rolled-back", 1)
			g.kill()
			g.start()
			c.green(g, 200, 2)
			c.accused(g, "journal-rolled-back", 1)
			c.chains()
		})
	}
}

// startedStreams is how many streams have begun.
func startedStreams(messages []brokertest.Message) int {
	streams := make(map[string]bool)
	for _, m := range messages {
		var e event
		if m.Topic == prefix+"event/start" && json.Unmarshal(m.Payload, &e) == nil {
			streams[e.Stream] = true
		}
	}
	return len(streams)
}

// TestAnInventedEventIsFoundOut: somebody publishes an event in the gateway's name before
// the gateway does.
func TestAnInventedEventIsFoundOut(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c := newHeadCity(t, b, "dinkes-01")
	g := newGateway(t, b.URL(), "receipts = true\n")
	g.start()
	tap := c.green(g, 0, 2)[1]
	invented := bytes.ReplaceAll(c.events[tap.id()].raw, []byte(fmt.Sprintf(`-%d"`, tap.Seq)), []byte(fmt.Sprintf(`-%d"`, tap.Seq+1)))
	invented = bytes.ReplaceAll(invented, []byte(fmt.Sprintf(`"seq":%d,`, tap.Seq)), []byte(fmt.Sprintf(`"seq":%d,`, tap.Seq+1)))
	invented = bytes.ReplaceAll(invented, []byte(c.events[tap.id()].Link), []byte("00112233445566778899aabbccddeeff"))
	c.seen.Publish(prefix+"event/badge", false, invented)
	id := fmt.Sprintf("%s-%d", tap.Stream, tap.Seq+1)
	c.await(g, "the city to believe it", func() bool { return c.events[id].ID != "" })
	if c.alert("journal-forked") != nil {
		t.Error("the gateway is accused of an event that it is yet to send")
	}
	ours := g.tap("--uid", "5A001000")
	if ours[0].id() != id {
		t.Fatalf("%+v", ours)
	}
	gap := c.accused(g, "journal-forked", 1)
	r := gap.Ranges[0]
	if r.Stream != tap.Stream || r.From < tap.Seq+1 || *r.To != r.From || gap.Branch != nil {
		t.Errorf("the gap names %+v, branch %+v", r, gap.Branch)
	}
	start := c.events[gap.Stream+"-1"]
	var own chainEvent
	for _, m := range c.seen.Messages() {
		if m.Topic == prefix+"event/badge" && bytes.Contains(m.Payload, []byte(id)) && !bytes.Equal(m.Payload, invented) {
			if err := json.Unmarshal(m.Payload, &own); err != nil {
				t.Fatal(err)
			}
		}
	}
	if p := start.Previous; p == nil || p.Stream != tap.Stream || p.Seq != own.Seq || p.Link != own.Link {
		t.Errorf("the stream follows %+v, want the gateway's own %s", p, own.raw)
	}
	c.green(g, 0x2000, 2)
	g.kill()
	g.start()
	c.green(g, 0x3000, 2)
	c.accused(g, "journal-forked", 1)
	g.stop()
}

// TestNobodyIsAccusedByWhatTheCityDidNotSign, or by what it signed long ago.
func TestNobodyIsAccusedByWhatTheCityDidNotSign(t *testing.T) {
	t.Parallel()
	cityKey, forger := newSigner(t), newSigner(t)
	b := brokertest.Start(t)
	c := newHeadCity(t, b, "dinkes-01")
	c.key = cityKey.private()
	g := newGateway(t, b.URL(), "receipts = true\n")
	g.withCityKey(cityKey)
	g.start()
	first := c.green(g, 0, 3)[2]
	old := c.receipt(first.Stream, first.Seq, c.events[first.id()].Link)
	g.kill()
	g.start()
	last := c.green(g, 100, 3)[2]
	stream := last.Stream
	link := c.events[last.id()].Link
	forged := *c
	forged.key = forger.private()
	unsigned := *c
	unsigned.key = nil
	const wrong = "00112233445566778899aabbccddeeff"
	unknown := "019ab2c3-0000-7000-8000-000000000001"
	genuine := string(c.receipt(stream, last.Seq, link))
	for name, message := range map[string][]byte{
		"an unsigned fork":        unsigned.receipt(stream, last.Seq, wrong),
		"an unsigned head":        unsigned.receipt(unknown, 5, wrong),
		"a forged fork":           forged.receipt(stream, last.Seq, wrong),
		"a forged head":           forged.receipt(first.Stream, first.Seq+9, wrong),
		"another link":            []byte(strings.Replace(genuine, link, wrong, 1)),
		"the link left out":       []byte(strings.Replace(genuine, `"link":"`+link+`",`, "", 1)),
		"beyond what was sent":    c.receipt(stream, last.Seq+99, wrong),
		"a link in capitals":      c.receipt(stream, last.Seq, strings.ToUpper(wrong)),
		"a link of 31 digits":     c.receipt(stream, last.Seq, wrong[1:]),
		"a link of 33 digits":     c.receipt(stream, last.Seq, wrong+"0"),
		"a link of no digits":     c.receipt(stream, last.Seq, strings.Repeat("g", 32)),
		"a link of zeros":         c.receipt(stream, last.Seq, strings.Repeat("0", 32)),
		"an empty link":           []byte(strings.Replace(genuine, link, "", 1)),
		"a link that is null":     []byte(strings.Replace(genuine, `"`+link+`"`, "null", 1)),
		"a link that is a number": []byte(strings.Replace(genuine, `"`+link+`"`, "12", 1)),
		"two links":               []byte(strings.Replace(genuine, `"link":"`+link+`"`, `"link":"`+link+`","link":"`+wrong+`"`, 1)),
	} {
		refused := g.health().MQTT.Refused
		c.seen.Publish(prefix+"receipt", false, message)
		g.await(name+" to be refused", func() bool { return g.health().MQTT.Refused == refused+1 })
	}
	for range 20 { // somebody repeats what was right
		c.seen.Publish(prefix+"receipt", false, old)
	}
	c.seen.Publish(prefix+"receipt", true, old)
	now := c.green(g, 200, 1)[0]
	g.kill()
	g.start()
	c.green(g, 300, 1)
	for _, code := range []string{"journal-rolled-back", "journal-forked"} {
		if c.alert(code) != nil || len(c.gaps(code)) > 0 {
			t.Errorf("%s is raised", code)
		}
	}
	if now.Stream != stream {
		t.Error("a new stream has begun for what the city did not sign")
	}
	if n := len(c.starts()); n != 3 {
		t.Errorf("%d streams have begun, want 3", n)
	}
	c.chains()
}
