package sealkey_test

import (
	"os"
	"strings"
	"testing"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sealkey"
)

// TestChecker: a signature that is right passes, a wrong one is named, and one by a key
// whose public half is not here is said not to be checked. The certificate will do where
// the key itself cannot be read.
func TestChecker(t *testing.T) {
	r := newRig(t)
	origin := presence.Origin{Gateway: "dinkes-01"}
	sealBy := func(k *sealkey.Key, gateway string) *presence.Record {
		seal := &presence.Seal{Upto: 4, Link: presence.Link{1}, Key: k.KeyID()}
		seal.Sig, _ = k.Sign(presence.SealText(gateway, presence.ID{9}, seal.Upto, seal.Link))
		return &presence.Record{Stream: presence.ID{9}, Seq: 5, Draft: presence.Draft{Kind: presence.KindSeal, Seal: seal}}
	}
	other, err := sealkey.Create(r.dir + "/other.key")
	if err != nil {
		t.Fatal(err)
	}
	for _, unreadable := range []bool{false, true} {
		name := "with the key"
		if unreadable {
			name = "with its certificate"
			if err := os.Remove(r.opt.KeyFile); err != nil {
				t.Fatal(err)
			}
		}
		c := sealkey.Read(r.opt).Checker()
		if said := c.Check(origin, sealBy(r.Key, "dinkes-01")); said != (language.Text{}) {
			t.Errorf("%s, a right one: %s", name, said)
		}
		for wrong, record := range map[string]*presence.Record{
			"another gateway's": sealBy(r.Key, "dinkes-02"),
			"another number":    func() *presence.Record { x := sealBy(r.Key, "dinkes-01"); x.Seal.Upto--; return x }(),
			"another link":      func() *presence.Record { x := sealBy(r.Key, "dinkes-01"); x.Seal.Link[0]++; return x }(),
			"another stream":    func() *presence.Record { x := sealBy(r.Key, "dinkes-01"); x.Stream[0]++; return x }(),
			"cut":               func() *presence.Record { x := sealBy(r.Key, "dinkes-01"); x.Seal.Sig = x.Seal.Sig[:9]; return x }(),
			"none":              func() *presence.Record { x := sealBy(r.Key, "dinkes-01"); x.Seal.Sig = nil; return x }(),
		} {
			if said := c.Check(origin, record); !strings.Contains(said.EN, r.KeyID().String()) {
				t.Errorf("%s, %s: %q", name, wrong, said)
			}
		}
		if said := c.Check(origin, sealBy(other, "dinkes-01")); said != (language.Text{}) {
			t.Errorf("%s, another key: %s", name, said)
		}
		lines := c.Said()
		if len(lines) != 2 {
			t.Fatalf("%s: %v", name, lines)
		}
		for _, line := range lines {
			if strings.Contains(line.EN, other.KeyID().String()) != strings.Contains(line.EN, "not checked") {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}
