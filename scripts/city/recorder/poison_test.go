package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"presence/scripts/brokertest"
)

// poison is messages that cannot be stored, by name.
func poison(t *testing.T, s stream) map[string]brokertest.Message {
	t.Helper()
	seq := 1000
	next := func(more string) string { seq++; return s.event("tag", seq, more) }
	change := func(from, to string) string {
		e := next("")
		if !strings.Contains(e, from) {
			t.Fatalf("%s is not in an event", from)
		}
		return strings.Replace(e, from, to, 1)
	}
	tag := func(payload string) brokertest.Message {
		return brokertest.Message{Topic: s.topic("tag"), Payload: []byte(payload)}
	}
	batch := func(frame []byte) brokertest.Message {
		return brokertest.Message{Topic: s.topic("batch"), Payload: frame}
	}
	retained := tag(next(""))
	retained.Retained = true
	return map[string]brokertest.Message{
		"empty":                 {Topic: s.topic("tag")},
		"retained":              retained,
		"1 MB":                  tag(next(`,"x":"` + strings.Repeat("x", 1_000_000) + `"`)),
		"bad UTF-8":             tag(next(",\"x\":\"\xff\xfe\"")),
		"half a surrogate":      tag(next(`,"x":"\ud800"`)),
		"U+0000":                tag(next(`,"tag":"mesh:\u0000"`)),
		"U+0000 within more":    tag(next(`,"x":{"y":["\u0000"]}`)),
		"a huge number":         tag(next(`,"x":1e999999`)),
		"many digits":           tag(next(`,"x":` + strings.Repeat("9", 5000))),
		"NaN":                   tag(next(`,"lat":NaN`)),
		"deep":                  tag(next(`,"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000))),
		"a name twice":          tag(next(`,"tag":"mesh:1","tag":"mesh:2"`)),
		"another gateway":       tag(change(`"gateway":"`+s.gateway+`"`, `"gateway":"elsewhere"`)),
		"another dinas":         tag(change(`"dinas":"dinkes"`, `"dinas":"dishub"`)),
		"another kind":          tag(change(`"kind":"tag"`, `"kind":"badge"`)),
		"seq 0":                 tag(s.event("tag", 0, "")),
		"seq below 0":           tag(s.event("tag", -5, "")),
		"seq beyond int64":      tag(change(`"seq":`, `"seq":99999999999999999999`)),
		"stream no UUID":        tag(change(`"stream":"`+s.id, `"stream":"`+strings.Repeat("x", 36))),
		"a time of nowhere":     tag(change(`"2026-11-29T08:15:30.123+07:00"`, `"+294277-01-01T00:00:00Z"`)),
		"truncated":             tag(next("")[:200]),
		"no JSON":               tag("\x00\x01\x02"),
		"an array":              tag("[]"),
		"zip bomb":              batch(pack(t, strings.Repeat("0", 256<<20))),
		"a truncated frame":     batch(pack(t, next("")+"\n"+next("")+"\n")[:100]),
		"no frame":              batch([]byte(next(""))),
		"a range backwards":     {Topic: s.topic("gap"), Payload: []byte(s.event("gap", 2000, `,"ranges":[{"stream":"`+s.id+`","from":9,"to":3}]`))},
		"only PostgreSQL knows": tag(next(`,"badge":"` + longText() + `"`)),
		"a topic of nobody":     {Topic: "presence/v1/Dinkes/x/event/tag", Payload: []byte(next(""))},
	}
}

// longText is more than an entry of an index may have, and does not compress.
func longText() string {
	var b strings.Builder
	for i := uint64(1); b.Len() < 20_000; i++ {
		b.WriteString(strconv.FormatUint(i*0x9E3779B97F4A7C15, 36))
	}
	return b.String()
}

// pack makes a frame as gateways make them.
func pack(t *testing.T, text string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true), zstd.WithZeroFrames(true))
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll([]byte(text), nil)
}

// TestPoison publishes messages that cannot be stored between those that can. Each of the
// first is in refused, with topic, reason and its first 4 KiB, and all of the others are
// stored: a poison message stops nothing, and takes no memory.
func TestPoison(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	sender := c.brokers[0].Subscribe("presence/v1/+/+/receipt")
	p := c.record()
	bad, good := newStream("bad-01"), newStream("good-01")
	all := poison(t, bad)
	sent := 0
	for _, m := range all {
		sender.Publish(m.Topic, m.Retained, m.Payload)
		sent++
		sender.Publish(good.topic("badge"), false, []byte(good.badge(sent)))
	}
	// A gateway's question whether batches get through is no event and no poison.
	sender.Publish(good.topic("batch"), false, pack(t, ""))
	// Of a batch only what is bad is refused; kinds and fields that nobody knows are stored.
	sender.Publish(good.topic("batch"), false, pack(t, good.badge(sent+1)+"\n{}\n"+good.event("parking", sent+2, `,"bay":{"n":7}`)+"\n"))
	sender.Await("a receipt for all that is good", c.upto(good, int64(sent+2)))

	// The one that was retained came as any other event, and is in order; it is refused
	// where it is retained: at the next subscription.
	p.kill()
	p = c.record()
	// What the recorder had refused and not acknowledged yet when it was killed comes again.
	c.awaitRow("what was refused", `select count(*) from (select distinct topic, payload from presence.refused) r`, strconv.Itoa(len(all)+1))
	c.checkRefused(t, all)
	if got, want := c.query(`select count(*) from presence.event e join presence.stream s using (stream) where s.gateway = 'good-01'`), strconv.Itoa(sent+2); got != want {
		t.Errorf("%s of %s good events are stored", got, want)
	}
	if got := c.query(`select kind, more->'bay'->>'n' from presence.event where kind = 'parking'`); got != "parking\t7" {
		t.Errorf("an event of an unknown kind is stored as %q", got)
	}
	if got := c.query(`select count(*) from presence.event e join presence.stream s using (stream) where s.gateway = 'bad-01'`); got != "1" {
		t.Errorf("%s poisonous events are stored", got)
	}
	if rss := p.peakMB(t); rss > 200 {
		t.Errorf("the recorder took %d MB", rss)
	}
}

// checkRefused sees to it that each message lies in refused as it should.
func (c *city) checkRefused(t *testing.T, all map[string]brokertest.Message) {
	t.Helper()
	found := make(map[string]string) // reason by topic and payload
	for line := range strings.Lines(c.query(`select topic, encode(payload, 'hex'), reason from presence.refused`)) {
		parts := strings.Split(strings.TrimSpace(line), "\t")
		payload := ""
		if len(parts) == 3 {
			payload = parts[1]
		}
		found[parts[0]+" "+payload] = parts[len(parts)-1]
	}
	for name, m := range all {
		reason, there := found[m.Topic+" "+hex.EncodeToString(m.Payload[:min(len(m.Payload), 4096)])]
		if !there || reason == "" {
			t.Errorf("%s is not in refused as it came", name)
			continue
		}
		t.Logf("%s: %s", name, reason)
	}
}

// peakMB is the most memory that the process had.
func (p *program) peakMB(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kB int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kB); n == 1 {
			return kB >> 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
