package chain

import (
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The bodies of the few events that the chain itself rests on, in JSON. What is missing
// or of another type reads as nothing: that the event is as it was recorded, its link
// tells.

type jsonPrevious struct {
	Stream jsontext.Value `json:"stream"`
	Seq    jsontext.Value `json:"seq"`
	Link   jsontext.Value `json:"link"`
}

func readPrevious(v jsontext.Value) *previous {
	var j jsonPrevious
	if json.Unmarshal(v, &j) != nil {
		return nil
	}
	p := previous{stream: text(words(j.Stream)), seq: seqOf(j.Seq)}
	if p.stream == "" || p.seq == 0 {
		return nil
	}
	p.link, p.linked = parseLink(text(words(j.Link)))
	return &p
}

// seqOf is a number of an event, 0 for what is none.
func seqOf(v jsontext.Value) uint64 {
	n := wholeNumber(v)
	if n == nil || *n < 1 || *n > maxSeq {
		return 0
	}
	return uint64(*n)
}

type jsonRange struct {
	Stream jsontext.Value `json:"stream"`
	From   jsontext.Value `json:"from"`
	To     jsontext.Value `json:"to"`
	Before jsontext.Value `json:"before"`
	Link   jsontext.Value `json:"link"`
}

func readGap(f *fields) *gap {
	g := gap{reason: text(words(f.reason))}
	if f.branch.Kind() == '{' {
		g.branch = readPrevious(f.branch)
	}
	var ranges []jsonRange
	if f.ranges.Kind() != '[' || json.Unmarshal(f.ranges, &ranges) != nil {
		return &g
	}
	for _, r := range ranges {
		l := lost{stream: text(words(r.Stream)), from: seqOf(r.From), to: seqOf(r.To)}
		if l.stream == "" || l.from == 0 || l.to == 0 && r.To.Kind() != 'n' || l.to > 0 && l.to < l.from {
			continue
		}
		l.before, l.hasBefore = parseLink(text(words(r.Before)))
		l.link, l.hasLink = parseLink(text(words(r.Link)))
		g.ranges = append(g.ranges, l)
	}
	g.ranges = slices.Clip(g.ranges)
	return &g
}

type jsonAnchor struct {
	BootMS  jsontext.Value `json:"boot_ms"`
	Time    jsontext.Value `json:"time"`
	ErrorMS jsontext.Value `json:"error_ms"`
}

func readSeal(f *fields) *seal {
	s := seal{upto: seqOf(f.upto), key: text(words(f.key)), sig: decodeBase64(text(words(f.sig)))}
	var anchors []jsonAnchor
	if f.anchors.Kind() != '[' || json.Unmarshal(f.anchors, &anchors) != nil {
		return &s
	}
	for _, a := range anchors {
		at, timed := instant(a.Time)
		if timed != timedAt || a.BootMS.Kind() != '0' || a.ErrorMS.Kind() != '0' {
			continue
		}
		s.anchors = append(s.anchors, anchor{bootMS: number(a.BootMS), at: float64(at.UnixMicro()) / 1000, errorMS: number(a.ErrorMS)})
	}
	s.anchors = slices.Clip(s.anchors)
	return &s
}
