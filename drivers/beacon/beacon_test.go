package beacon_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"presence/drivers/beacon"
	"presence/drivers/beacon/beacontest"
)

// heard is all that a decoder made of a stream.
type heard struct {
	Fixes []beacon.Fix
	Bad   []beacon.Reason
}

// decode reads r to its end.
func decode(t testing.TB, protocol string, r io.Reader) heard {
	t.Helper()
	var h heard
	d, err := beacon.New(protocol, r, beacon.Options{
		Reject: func(why beacon.Reason) { h.Bad = append(h.Bad, why) },
		Note:   func(n beacon.Note) { checkNote(t, n) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for {
		fix, err := d.Next()
		if errors.Is(err, io.EOF) {
			return h
		}
		if err != nil {
			t.Fatal(err)
		}
		h.Fixes = append(h.Fixes, fix)
	}
}

func pointer[T any](v T) *T { return &v }

var (
	utc    = time.UTC
	moment = time.Date(2026, 11, 23, 8, 18, 36, 0, utc)
)

// stream draws good frames, damaged ones and garbage, in any order.
func stream(protocol string, seed []string) *rapid.Generator[[]byte] {
	damaged := rapid.Custom(func(t *rapid.T) []byte {
		b := []byte(rapid.SampledFrom(seed).Draw(t, "frame"))
		switch rapid.IntRange(0, 3).Draw(t, "damage") {
		case 0:
			return b
		case 1:
			return b[:rapid.IntRange(0, len(b)).Draw(t, "cut")]
		case 2:
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
			return b
		}
		at := rapid.IntRange(0, len(b)).Draw(t, "at")
		return append(bytes.Clone(b[:at]), b...)
	})
	noise := rapid.OneOf(
		rapid.SliceOfN(rapid.Byte(), 0, 40),
		rapid.SliceOfN(rapid.SampledFrom([]byte("$+RCV=PKNDS,WL*\r\n\x02\x0301")), 0, 40),
		rapid.Map(rapid.IntRange(200, 600), func(n int) []byte { return bytes.Repeat([]byte{'$'}, n) }),
	)
	pieces := rapid.SliceOfN(rapid.OneOf(damaged, damaged, noise), 0, 12)
	return rapid.Map(pieces, func(p [][]byte) []byte { return bytes.Join(p, nil) })
}

// Every frame that was sent is found again, whatever lies between, and its
// position is right to half of the last digit.
func TestRoundTrip(t *testing.T) {
	const resolution = 0.5 / 600_000
	for _, protocol := range beacon.Protocols() {
		frames := samplesOf(t, protocol)
		t.Run(protocol, rapid.MakeCheck(func(rt *rapid.T) {
			in, want := drawStream(rt, frames)
			got := decode(t, protocol, bytes.NewReader(in))
			if len(got.Fixes) != len(want) {
				rt.Fatalf("%d of %d frames found, rejects %v, in %q", len(got.Fixes), len(want), got.Bad, in)
			}
			for i, fix := range got.Fixes {
				if math.Abs(fix.Lat-want[i].Lat) > resolution*1.001 || math.Abs(fix.Lon-want[i].Lon) > resolution*1.001 {
					rt.Fatalf("found %v %v, sent %v %v", fix.Lat, fix.Lon, want[i].Lat, want[i].Lon)
				}
				fix.Lat, fix.Lon = want[i].Lat, want[i].Lon
				if diff := cmp.Diff(want[i], fix); diff != "" {
					rt.Fatalf("(-sent +found)\n%s", diff)
				}
			}
		}))
	}
}

// TestImpossiblePositions: no protocol lets through what is no position, and each such
// frame is counted once.
func TestImpossiblePositions(t *testing.T) {
	for _, protocol := range beacon.Protocols() {
		frames := samplesOf(t, protocol)
		for _, c := range []struct {
			lat, lon float64
			want     beacon.Reason // "": any
		}{
			{0, 0, beacon.BadNoFix},
			{91, 112, beacon.BadRange},
			{-91, 112, beacon.BadRange},
			{-7, 181, beacon.BadRange},
			{math.NaN(), 112, ""},
			{-7, math.NaN(), ""},
		} {
			t.Run(fmt.Sprint(protocol, c.lat, c.lon), rapid.MakeCheck(func(rt *rapid.T) {
				frame, _ := frames.draw(rt, c.lat, c.lon, moment)
				got := decode(t, protocol, strings.NewReader(frame))
				if len(got.Fixes) != 0 || len(got.Bad) != 1 || c.want != "" && got.Bad[0] != c.want {
					rt.Errorf("%d fixes, rejects %v of %q", len(got.Fixes), got.Bad, frame)
				}
			}))
		}
	}
}

// drawStream draws good frames with noise between them, and what has to come of it.
func drawStream(rt *rapid.T, frames samples) ([]byte, []beacon.Fix) {
	var in bytes.Buffer
	var want []beacon.Fix
	for range rapid.IntRange(1, 8).Draw(rt, "frames") {
		// Noise without openings; the line may go on into the frame.
		in.Write(rapid.SliceOfN(rapid.ByteRange(0x40, 0xff), 0, 400).Draw(rt, "noise"))
		if rapid.Bool().Draw(rt, "line end") {
			in.WriteString("\r\n")
		}
		lat := rapid.Float64Range(-90, 90).Draw(rt, "lat")
		lon := rapid.Float64Range(-180, 180).Draw(rt, "lon")
		if math.Abs(lat) < 1e-3 {
			lat = 1e-3 // 0,0 is no position
		}
		at := time.Unix(rapid.Int64Range(1_600_000_000, 3_400_000_000).Draw(rt, "time"), 0).UTC()
		frame, fix := frames.draw(rt, lat, lon, at)
		in.WriteString(frame)
		want = append(want, fix)
		if name, ok := beacon.TagName(fix.Tag); !ok || name != fix.Tag {
			rt.Fatalf("no roster could name the tag %q", fix.Tag)
		}
	}
	return in.Bytes(), want
}

// checkFixes looks for what no input may bring about.
func checkFixes(t interface{ Errorf(string, ...any) }, h heard) {
	for _, f := range h.Fixes {
		checkFix(t, f)
	}
	for _, why := range h.Bad {
		switch why {
		case beacon.BadFraming, beacon.BadLength, beacon.BadChecksum, beacon.BadFields, beacon.BadNoFix, beacon.BadRange, beacon.BadIdentity, beacon.BadPayload,
			beacon.BadKey, beacon.BadMQTT, beacon.BadSignature, beacon.BadLocked, beacon.BadRegion:
		default:
			t.Errorf("reason %q", why)
		}
	}
}

func checkFix(t interface{ Errorf(string, ...any) }, f beacon.Fix) {
	// The comparisons are false for NaN.
	if !(f.Lat >= -90 && f.Lat <= 90 && f.Lon >= -180 && f.Lon <= 180) || (f.Lat == 0 && f.Lon == 0) {
		t.Errorf("position %v %v", f.Lat, f.Lon)
	}
	if f.Lat == 0 && math.Signbit(f.Lat) || f.Lon == 0 && math.Signbit(f.Lon) {
		t.Errorf("a negative zero: %v %v", f.Lat, f.Lon)
	}
	_, name, found := strings.Cut(f.Tag, ":")
	if !found || name == "" || !utf8.ValidString(name) || strings.ContainsAny(name, "\r\n\x00") {
		t.Errorf("tag %q", f.Tag)
	}
	if f.Time.Location() != utc {
		t.Errorf("time in %v", f.Time.Location())
	}
	if y := f.Time.Year(); f.TimeOfDay && f.Time.YearDay() != 1 || y != 1 && (f.TimeOfDay || y < 2020 || y > 2080) {
		t.Errorf("time %v, time of day %v", f.Time, f.TimeOfDay)
	}
	if f.RSSI == nil && f.SNR != nil || f.SNR != nil && math.IsNaN(*f.SNR) {
		t.Errorf("signal %v %v", f.RSSI, f.SNR)
	}
}

// checkNote looks for what no input may have a tag say.
func checkNote(t interface{ Errorf(string, ...any) }, n beacon.Note) {
	for _, name := range []string{n.Tag, n.Formerly} {
		if known, ok := beacon.TagName(name); name != "" && (!ok || known != name) {
			t.Errorf("no roster could name the tag %q", name)
		}
	}
	if n.Tag == "" || n.Tag == n.Formerly {
		t.Errorf("%q was formerly %q", n.Tag, n.Formerly)
	}
	if n.Battery != nil && (*n.Battery < 0 || *n.Battery > 101) {
		t.Errorf("a battery of %d %%", *n.Battery)
	}
}

func fuzz(f *testing.F, protocol string) {
	for _, s := range samplesOf(f, protocol).seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole := decode(t, protocol, bytes.NewReader(in))
		checkFixes(t, whole)
		if n := len(whole.Fixes) + len(whole.Bad); n > len(in) {
			t.Errorf("%d frames in %d bytes", n, len(in))
		}
		if diff := cmp.Diff(whole, decode(t, protocol, iotest.OneByteReader(bytes.NewReader(in)))); diff != "" {
			t.Errorf("(-whole +byte by byte)\n%s", diff)
		}
	})
}

func FuzzKenwood(f *testing.F) { fuzz(f, beacon.Kenwood) }

func FuzzWaypoint(f *testing.F) { fuzz(f, beacon.Waypoint) }

func FuzzReyax(f *testing.F) { fuzz(f, beacon.Reyax) }

func FuzzMeshtastic(f *testing.F) { fuzz(f, beacon.Meshtastic) }

func FuzzIDAS(f *testing.F) { fuzz(f, beacon.IDAS) }

// FuzzPayload: whatever a tag sends, in whatever form it is expected.
func FuzzPayload(f *testing.F) {
	for _, data := range []string{"-7.977700,112.633100,441*5B", `{"lat":-7.9777,"lon":"112.6331","time":"2026-11-23T08:18:36Z"}`, "27,61", "{", "0.0,0.0"} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data string) {
		for _, payload := range beacon.Payloads() {
			h := decodeReyax(t, payload, data)
			checkFixes(t, h)
			if len(data) <= 240 && !strings.Contains(data, "+RCV=") && len(h.Fixes)+len(h.Bad) != 1 {
				t.Errorf("%s: %+v of one frame", payload, h)
			}
		}
	})
}

func benchmark(b *testing.B, protocol, frame string) {
	d, err := beacon.New(protocol, &repeat{text: frame}, beacon.Options{Reject: func(why beacon.Reason) { b.Fatal(why) }})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKenwood(b *testing.B) {
	benchmark(b, beacon.Kenwood, beacontest.PKNDS(2, -7.97, 112.6, moment))
}

func BenchmarkWaypoint(b *testing.B) {
	benchmark(b, beacon.Waypoint, beacontest.PKWDWPL("YB3X-9", -7.97, 112.6, moment))
}

func BenchmarkReyax(b *testing.B) {
	benchmark(b, beacon.Reyax, beacontest.Reyax(50, -7.97, 112.6, moment, -99, 40))
}
