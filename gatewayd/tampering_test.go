package main_test

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/journal/journaltest"
	"presence/gatewayd/internal/presence"
	"presence/scripts/brokertest"
)

// tampering is the card of a gateway that nobody has delivered from yet, and what somebody
// makes of it.
type tampering struct {
	*testing.T
	audit   *auditor
	origin  presence.Origin
	g       *gateway         // stopped; the card is its state folder
	foreign []presence.Entry // of another gateway
	taps    []int            // where in the records the taps are
}

// cardOf has a gateway record taps in two lives, which both end in peace, without a line.
func cardOf(t *testing.T, a *auditor, id string) *gateway {
	t.Helper()
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.configure(strings.Replace(g.text(), `"dinkes-01"`, `"`+id+`"`, 1))
	a.seal(g, id)
	for _, uid := range []string{"7A3B01", "7A3B02"} {
		g.start()
		for _, last := range []string{"11", "22", "33"} {
			g.tap("--uid", uid+last)
		}
		g.stop()
	}
	return g
}

func journalOf(g *gateway) string { return filepath.Join(g.dir, "state", "journal.db") }

// TestTamperingWithTheCard: somebody changes the journal of a gateway that is off, and puts
// every checksum right. verify says so and where, and the running gateway raises an alert. It delivers what lies on its card
// and loses nothing of it, and the city's audit finds out too.
func TestTamperingWithTheCard(t *testing.T) {
	t.Parallel()
	a := newAuditor(t)
	master, foreign := cardOf(t, a, "dinkes-01"), cardOf(t, a, "dinkes-02")
	strangers := journaltest.Read(t, journalOf(foreign))
	for name, tc := range map[string]struct {
		change  func(tm *tampering, all []presence.Entry) []presence.Entry
		verify  string // in what verify says
		finding string // of the audit
	}{
		"nothing": {
			func(_ *tampering, all []presence.Entry) []presence.Entry { return all },
			"journal: ok", "intact",
		},
		"somebody else's badge": {
			(*tampering).anotherBadge, "seq 4 was changed: its content", "-4: altered:",
		},
		"an earlier time": {
			func(tm *tampering, all []presence.Entry) []presence.Entry {
				at := &all[tm.taps[4]].At
				at.Boottime, at.Wall = at.Boottime-time.Hour, at.Wall-int64(time.Hour)
				return all
			}, "seq 4 was changed: its content", "-4: altered:",
		},
		"two events exchanged": {
			func(tm *tampering, all []presence.Entry) []presence.Entry {
				one, other := &all[tm.taps[0]], &all[tm.taps[1]]
				one.Draft, other.Draft, one.Chain, other.Chain = other.Draft, one.Draft, other.Chain, one.Chain
				return all
			}, "seq 3", "-3: altered:",
		},
		"another gateway's record": {
			func(tm *tampering, all []presence.Entry) []presence.Entry {
				to := &all[tm.taps[2]]
				to.Draft, to.Chain = tm.foreign[tm.taps[2]].Draft, tm.foreign[tm.taps[2]].Chain
				return all
			}, "seq 5", "-5: altered:",
		},
		"another anchor": {
			func(_ *tampering, all []presence.Entry) []presence.Entry {
				seal := all[1].Seal
				seal.Anchors = append(seal.Anchors, presence.Anchor{Boottime: time.Hour, UTC: time.Now().UnixNano(), Source: "system"})
				return all
			}, "seq 2 was changed", "-2-3: altered:",
		},
		"the rest computed anew, without the key": {
			func(tm *tampering, all []presence.Entry) []presence.Entry {
				return tm.computeAnew(tm.anotherBadge(all), tm.taps[1], nil)
			}, "signature", ": seal:",
		},
		"the rest computed anew, with another key": {
			func(tm *tampering, all []presence.Entry) []presence.Entry {
				return tm.computeAnew(tm.anotherBadge(all), tm.taps[1], ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
			}, "whose public half is not here: not checked", ": seal:", // verify passes: it has no key that it could know the stranger's from
		},
		"the newest tap deleted": {
			func(tm *tampering, all []presence.Entry) []presence.Entry {
				all[tm.taps[5]].Pos = 0
				return all
			}, "missing", "-5: missing:",
		},
		"a tap deleted": {
			func(tm *tampering, all []presence.Entry) []presence.Entry {
				all[tm.taps[1]].Pos = 0
				return all
			}, "missing", "-4: missing:",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tm := &tampering{T: t, audit: a, foreign: strangers, origin: presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes", Location: jakarta(t)}}
			tm.copyOf(master)
			journaltest.Edit(t, journalOf(tm.g), func(all []presence.Entry) []presence.Entry {
				for i, e := range all {
					if e.Badge != nil {
						tm.taps = append(tm.taps, i)
					}
				}
				return tc.change(tm, all)
			})
			tm.check(tc.verify, tc.finding)
		})
	}
}

// copyOf puts the card of a gateway into another one.
func (tm *tampering) copyOf(of *gateway) {
	tm.Helper()
	tm.g = newGateway(tm, "tcp://127.0.0.1:1", "")
	for _, name := range []string{"state/journal.db", "state/journal.mark", "seal.key"} {
		text, err := os.ReadFile(filepath.Join(of.dir, name))
		if err != nil {
			tm.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tm.g.dir, name)), 0o700); err != nil {
			tm.Fatal(err)
		}
		writeFile(tm, filepath.Join(tm.g.dir, name), text, 0o600)
	}
	tm.g.configure(strings.ReplaceAll(of.text(), of.dir, tm.g.dir))
}

// anotherBadge puts somebody else into a tap.
func (tm *tampering) anotherBadge(all []presence.Entry) []presence.Entry {
	all[tm.taps[1]].Badge.Badge = "h:00112233445566778899aabbccddeeff"
	return all
}

// computeAnew gives the records behind one the links that they would have had, and seals a
// signature by a key; nil: their old one.
func (tm *tampering) computeAnew(all []presence.Entry, from int, key ed25519.PrivateKey) []presence.Entry {
	for i := range all[from:] {
		r, before := &all[from+i].Record, all[from+i-1].Chain.Link
		if r.Start != nil {
			r.Start.Previous.Link = before
		}
		if r.Seal != nil {
			r.Seal.Link = before
			if key != nil {
				r.Seal.Key = presence.KeyIDOf(key.Public().(ed25519.PublicKey))
				r.Seal.Sig = ed25519.Sign(key, presence.SealText("dinkes-01", r.Stream, r.Seal.Upto, before))
			}
		}
		var err error
		r.Chain = presence.Chain{}
		if r.Chain, err = tm.origin.Chain(r, before); err != nil {
			tm.Fatal(err)
		}
	}
	return all
}

// check has verify look at the card, the gateway deliver what is on it, and the audit look
// at what came.
func (tm *tampering) check(verify, finding string) {
	tm.Helper()
	whole := finding == "intact"
	recorded := len(journaltest.Read(tm, journalOf(tm.g)))
	out, code := tm.g.try("verify")
	passes := whole || strings.Contains(verify, "not checked")
	if (code == 0) != passes || code > 1 || !strings.Contains(out, verify) {
		tm.Errorf("verify: exit %d, want %q in\n%s", code, verify, out)
	}
	broker := brokertest.Start(tm)
	city := broker.Subscribe("presence/v1/#")
	tm.g.configure(strings.Replace(tm.g.text(), "tcp://127.0.0.1:1", broker.URL(), 1))
	tm.g.start()
	tm.g.await("all to be delivered", func() bool { return tm.g.health().Journal.Pending == 0 })
	if !passes {
		city.Await("the alert", raised("journal-altered"))
	}
	tm.g.stop()
	messages := city.Await("goodbye", func(m []brokertest.Message) bool {
		return strings.Contains(string(m[len(m)-1].Payload), `"reason":"stop"`)
	})
	if passes && raised("journal-altered")(messages) {
		tm.Errorf("an alert that verify knows nothing of: %s", lastOn(messages, "alert/journal-altered"))
	}
	var lines []string
	for _, m := range messages {
		if strings.Contains(m.Topic, "/event/") {
			lines = append(lines, string(m.Payload))
		}
	}
	if len(lines) < recorded {
		tm.Errorf("%d records were on the card, and %d events came", recorded, len(lines))
	}
	verdict, findings := tm.audit.checkText(strings.Join(lines, "\n"), "-captured")
	if whole != (verdict == "intact") || !whole && !strings.Contains(findings, finding) {
		tm.Errorf("audit: %s, want %q in\n%s", verdict, finding, findings)
	}
}
