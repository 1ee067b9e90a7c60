package journal

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"presence/gatewayd/internal/presence"
)

// anyDraft draws a draft of any kind with any content that its types allow, also what
// no receiver sends: strings that are no UTF-8, minus zero, numbers of any size.
func anyDraft(t *rapid.T) presence.Draft {
	d := presence.Draft{
		Kind: presence.Kind(rapid.IntRange(1, 6).Draw(t, "kind")), At: rapid.Make[presence.Reading]().Draw(t, "at"),
		Simulated: rapid.Bool().Draw(t, "simulated"),
	}
	text := func(name string) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, name)) }
	switch d.Kind {
	case presence.KindStart:
		d.Start = new(rapid.Make[presence.Start]().Draw(t, "start"))
		d.Start.Version = text("version")
	case presence.KindBadge:
		d.Badge = new(rapid.Make[presence.Badge]().Draw(t, "badge"))
		d.Badge.Badge, d.Badge.Card = text("badge"), text("card")
	case presence.KindTag:
		d.Tag = new(rapid.Make[presence.Tag]().Draw(t, "tag"))
		d.Tag.Tag = text("tag")
	case presence.KindGap:
		d.Gap = new(rapid.Make[presence.Gap]().Draw(t, "gap"))
		d.Gap.Kinds = map[string]int{"tag": rapid.Int().Draw(t, "tags"), "unknown": rapid.Int().Draw(t, "unknown")}
		d.Gap.Comment = text("comment")
	case presence.KindPresence:
		d.Person = new(rapid.Make[presence.Person]().Draw(t, "person"))
		d.Person.Tag = text("tag")
	case presence.KindSeal:
		d.Seal = new(rapid.Make[presence.Seal]().Draw(t, "seal"))
	}
	return d
}

// TestAnyRecordIsWhatItsLinkSays: what is read back has the link that was computed when
// it was written, whatever is in it and wherever the office is or moves to later.
func TestAnyRecordIsWhatItsLinkSays(t *testing.T) {
	t.Parallel()
	c := newCodec()
	zones := []*time.Location{nil, time.UTC, time.FixedZone("odd", 7*3600+7*60+12), time.FixedZone("far", -12*3600)}
	for _, name := range []string{"Asia/Jakarta", "Asia/Jayapura", "America/New_York", "Australia/Lord_Howe"} { // the last two change
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		zones = append(zones, zone)
	}
	rapid.Check(t, func(t *rapid.T) {
		d := anyDraft(t)
		o := presence.Origin{Gateway: rapid.String().Draw(t, "gateway"), Dinas: rapid.String().Draw(t, "dinas"), Location: rapid.SampledFrom(zones).Draw(t, "zone")}
		r := presence.Record{Stream: presence.ID{1, 15: 2}, Seq: rapid.Uint64Min(1).Draw(t, "seq"), Draft: d}
		before := presence.Link(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "before"))
		it, err := c.encode(d)
		if err != nil {
			t.Skip(err)
		}
		if r.Chain, err = o.Chain(&r, before); err != nil {
			t.Fatal(err)
		}
		key := posKey(9)
		var read presence.Entry
		if err := c.decode(key[:], pack(nil, 9, r.Stream, r.Seq, 1, appendChained(nil, it.payload, r.Chain)), &read); err != nil {
			t.Fatal(err)
		}
		if read.Chain != r.Chain {
			t.Fatalf("read %+v, written %+v", read.Chain, r.Chain)
		}
		o.Location = rapid.SampledFrom(zones).Draw(t, "zone later")
		if holds, err := o.Holds(&read.Record); !holds || err != nil {
			t.Fatalf("it is not what its link says: %v", err)
		}
		o.Gateway += "x"
		if holds, _ := o.Holds(&read.Record); holds {
			t.Fatal("it holds for another gateway as well")
		}
	})
}
