package beacon_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"presence/drivers/beacon"
)

func TestTagNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"mesh:1c2f13fc": true, "mesh:1C2F13FC": true, "mesh:1c2f13f": false, "mesh:!1c2f13fc": false, "mesh:+c2f13fc": false, "mesh:1c2f_3fc": false,
		"kenwood:100-1001": true, "kenwood:U00002": true, "kenwood:00002": true, "kenwood:100": true, "kenwood:a-b": false, "kenwood:": false,
		"kenwood:100-": false, "kenwood:-1001": false, "kenwood:100-1001-1": false, "kenwood:U": false, "kenwood:UU2": false, "kenwood:1234567890": false,
		"reyax:50": true, "reyax:0": true, "reyax:65535": true, "reyax:65536": false, "reyax:050": false, "reyax:x": false, "reyax:-1": false, "reyax:+1": false,
		"waypoint:BI4PGN-11": true, "waypoint:Bu Sari": true, "waypoint:a:b": true, "waypoint:": false, "waypoint:a\x07b": false, "waypoint: a": false,
		"waypoint:" + strings.Repeat("x", 200): false, "waypoint:\xff": false,
		"idas:200": true, "idas:65519": true, "idas:65520": false, "idas:0": false, "idas:0200": false, "idas:x": false,
		"lora:1": false, "": false, "1c2f13fc": false, "KENWOOD:100-1001": false, " kenwood:100": false, "kenwood": false,
	} {
		got, is := beacon.TagName(name)
		if is != ok {
			t.Errorf("%q: %v", name, is)
		}
		if want := strings.Replace(name, "1C2F13FC", "1c2f13fc", 1); is && got != want {
			t.Errorf("%q became %q", name, got)
		}
	}
}

// TestEveryProtocolHasARow: a protocol has a decoder that New makes, and shows how
// its tags are named.
func TestEveryProtocolHasARow(t *testing.T) {
	if names := beacon.Protocols(); !slices.IsSorted(names) {
		t.Errorf("%q are not in alphabetical order", names)
	}
	for _, name := range append(beacon.Protocols(), "", "morse") {
		d, err := beacon.New(name, strings.NewReader(""), beacon.Options{})
		if !slices.Contains(beacon.Protocols(), name) {
			if err == nil {
				t.Errorf("%q has a decoder", name)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, example := range beacon.TagExamples() {
		if name, ok := beacon.TagName(example); !ok || name != example {
			t.Errorf("%q is no name of a tag", example)
		}
	}
}
