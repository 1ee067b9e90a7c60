package presence_test

import (
	"math"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

// TestKnownLinks holds the links of one event of each kind against those that a program
// which shares nothing with this one has computed:
//
//	import hashlib, json
//	S, B, L = "01a22816-1479-783d-9247-8c61cccf60d7", "01000000-0000-0000-0000-000000000002", "ff" * 16
//	def link(**e):
//	    e.update(v=1, id=S + "-7", stream=S, seq=7, gateway="dinkes-01", dinas="dinkes", boot=B, boot_ms=61234)
//	    core = json.dumps(e, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
//	    print(e["kind"], hashlib.sha256(bytes(range(16)) + hashlib.sha256(core).digest()).hexdigest()[:32])
//	link(kind="start", version="1.2", previous={"stream": S, "seq": 9, "clean": True, "link": L})
//	link(kind="badge", simulated=True, reader="door", badge="h:00", card="iso14443-4", assurance="uid",
//	     tag_check={"tag": "mesh:1", "state": "far", "distance_m": 31.5, "age_s": 42})
//	link(kind="tag", receiver="yard", tag="waypoint:é\ufffd<&>", lat=0, lon=112.634, accuracy_m=None, rssi=-97, snr=1e21,
//	     fix_time="2026-11-23T07:40:11.000+08:00", fix="live", zone="inside")
//	link(kind="gap", reason="forgotten", kinds={"tag": 2, "badge": 1}, first=None, last="2026-11-23T07:40:11.000+08:00",
//	     ranges=[{"stream": S, "from": 3, "to": 4, "before": L, "link": L}, {"stream": S, "from": 6, "to": None}], comment="c")
//	link(kind="presence", badge="h:00", tag="mesh:1", state="contradiction", distance_m=None, events=[S + "-3"])
//	link(kind="seal", upto=6, key="0102030405060708", sig="AAEC",
//	     anchors=[{"boot_ms": 60000, "time": "2026-11-23T07:40:11.000+08:00", "error_ms": 1.5, "source": "ntp"}])
func TestKnownLinks(t *testing.T) {
	s, err := presence.ParseID("01a22816-1479-783d-9247-8c61cccf60d7")
	if err != nil {
		t.Fatal(err)
	}
	var before presence.Link
	for i := range before {
		before[i] = byte(i)
	}
	all := presence.Link{}
	for i := range all {
		all[i] = 0xFF
	}
	at := time.Date(2026, 11, 22, 23, 40, 11, 0, time.UTC)
	now := presence.Reading{Boot: presence.ID{1, 15: 2}, Boottime: 61234999999, Wall: at.UnixNano(), State: presence.ClockSynced}
	minusZero, lon, snr, distance, age, rssi := math.Copysign(0, -1), 112.634, 1e21, 31.5, 42*time.Second, -97
	o := presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes", Location: time.FixedZone("WITA", 8*3600)}
	for want, d := range map[string]presence.Draft{
		"ffb071c53a91b208c07f2e7add6c0fc3": {Kind: presence.KindStart, Start: &presence.Start{
			Version: "1.2", Previous: &presence.Previous{Stream: s, Seq: 9, Clean: true, Link: all},
		}},
		"f9d7d56702a748900cd46d17201649db": {Kind: presence.KindBadge, Simulated: true, Badge: &presence.Badge{
			Reader: "door", Badge: "h:00", Card: "iso14443-4", Assurance: "uid",
			Check: &presence.TagCheck{Tag: "mesh:1", State: presence.TagFar, Distance: &distance, Age: &age},
		}},
		"0ce76fd47fd560471fe21c9ec51465f5": {Kind: presence.KindTag, Tag: &presence.Tag{
			Receiver: "yard", Tag: "waypoint:\u00e9\xff<&>", Lat: &minusZero, Lon: &lon, FixTime: at.UnixMilli(),
			Fix: presence.FreshnessLive, Zone: presence.ZoneInside, RSSI: &rssi, SNR: &snr,
		}},
		"1aaebaaf4232db58c8167661a6efbc0c": {Kind: presence.KindGap, Gap: &presence.Gap{
			Reason: presence.GapForgotten, Kinds: map[string]int{"badge": 1, "tag": 2}, First: &presence.Reading{}, Last: &now, Comment: "c",
			Ranges: []presence.Range{{Stream: s, From: 3, To: 4, Before: all, Link: all}, {Stream: s, From: 6}},
		}},
		"ab2129527f019634ab10f35b342c5d5b": {Kind: presence.KindPresence, Person: &presence.Person{
			Badge: "h:00", Tag: "mesh:1", State: presence.Contradiction, Events: []presence.EventID{{Stream: s, Seq: 3}},
		}},
		"76d6058ebad1d63910a4e3bc8e2a6c9d": {Kind: presence.KindSeal, Seal: &presence.Seal{
			Upto: 6, Link: before, Key: presence.KeyID{1, 2, 3, 4, 5, 6, 7, 8}, Sig: []byte{0, 1, 2},
			Anchors: []presence.Anchor{{Boottime: time.Minute, UTC: at.UnixNano(), Error: 1500 * time.Microsecond, Source: "ntp"}},
		}},
	} {
		d.At = now
		r := presence.Record{Stream: s, Seq: 7, Draft: d}
		if r.Chain, err = o.Chain(&r, before); err != nil {
			t.Fatal(err)
		}
		if got := r.Chain.Link.String(); got != want {
			core, err := o.Core(&r)
			t.Errorf("%s: %s, want %s, of %s (%v)", d.Kind, got, want, core, err)
		}
	}
}
