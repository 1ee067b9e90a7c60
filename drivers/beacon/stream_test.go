package beacon_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"presence/drivers/beacon"
	"presence/drivers/beacon/beacontest"
	"presence/scripts/skiptest"
)

func TestHealthyChatterIsNotCounted(t *testing.T) {
	nmea := "\r\n\n\r  \r\n\x00\x00$GPRMC,160902,A,2301.2967,N,07228.2519,E,000.0,000.0,,,*1B\r\n" +
		"$GPGGA,160902,2301.2967,N,07228.2519,E,1,,,,,,,,*5A\r\n" +
		"$PKNID,,U00001205,,,*27\r\n\x02xE00000010100\x03\r\n92\x03\x02\r\n"
	for protocol, in := range map[string]string{
		"kenwood":    nmea,
		"waypoint":   nmea,
		"reyax":      "\r\n+OK\r\n+ERR=4\r\n+READY\r\n\r\n",
		"meshtastic": "INFO  | ??:??:?? 3 Booting\r\n" + beacontest.MeshComplete(69421) + beacontest.MeshFrame([]byte{0x5a, 2, 0x10, 3}),
		"idas": "\r\n\x02*NTF,MCH,SEL,1\x03\r\n\x02*NTF,IDAS,RXMSG,IND,1,200,-,-80,MSG,\"halo\"\x03\r\n" +
			"NTF,IDAS,RXMSG,IND,1,200,-,-80,STATUS,5\r\n",
	} {
		expectBad(t, protocol, in)
	}
}

// A frame that lost its end must not take its successor with it.
func TestDamageDoesNotSpread(t *testing.T) {
	kenwood := beacontest.PKNDS(2, -7.9777, 112.6331, moment)
	waypoint := beacontest.WPL("A, B*C", -7.9777, 112.6331)
	reyax := beacontest.Reyax(50, -7.9777, 112.6331, moment, -99, 40)
	mesh := beacontest.Meshtastic(0x1c2f13fc, 1, -7.9777, 112.6331, moment, -90, 5)
	idas := beacontest.IDAS(200, -7.9777, 112.6331, moment, "-80")
	for _, c := range []struct{ protocol, frame string }{
		{"kenwood", kenwood}, {"waypoint", waypoint}, {"reyax", reyax}, {"idas", idas}, {"meshtastic", mesh},
	} {
		opening := len(openingOf(c.frame))
		for cut := opening; cut < len(c.frame)-2; cut++ {
			in := c.frame[:cut] + c.frame + c.frame
			got := decode(t, c.protocol, strings.NewReader(in))
			// A name may be cut anywhere and its line still be whole, but
			// never without its checksum.
			if len(got.Fixes) != 2 || len(got.Bad) != 1 {
				t.Errorf("%s cut at %d: %d fixes, rejects %v", c.protocol, cut, len(got.Fixes), got.Bad)
			}
		}
		long := strings.Repeat("$P+RNT", 2000)
		got := decode(t, c.protocol, strings.NewReader(long+c.frame))
		if len(got.Fixes) != 1 || cmp.Diff(got.Bad, []beacon.Reason{beacon.BadLength}) != "" {
			t.Errorf("%s after endless noise: %d fixes, rejects %v", c.protocol, len(got.Fixes), got.Bad)
		}
	}
}

func TestLongestLine(t *testing.T) {
	frame := strings.TrimRight(beacontest.WPL("N", -7.9777, 112.6331), "\r\n")
	for length, want := range map[int]int{256: 1, 257: 0, 262: 0, 300: 0, 5000: 0} {
		in := frame + strings.Repeat(" ", length-len(frame)) + "\r\n"
		got := decode(t, "waypoint", iotest.OneByteReader(strings.NewReader(in)))
		if len(got.Fixes) != want || len(got.Bad) != 1-want {
			t.Errorf("%d bytes: %d fixes, rejects %v", length, len(got.Fixes), got.Bad)
		}
	}
}

// The only errors are the stream's own, they come after all that arrived
// before, and they stay.
func TestErrorsAreTheStreams(t *testing.T) {
	broken := errors.New("broken")
	for _, protocol := range beacon.Protocols() {
		frame := samplesOf(t, protocol).seeds[0]
		d, err := beacon.New(protocol, iotest.DataErrReader(io.MultiReader(strings.NewReader(frame+frame), iotest.ErrReader(broken))), beacon.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := d.Next(); err != nil {
				t.Errorf("%s: %v", protocol, err)
			}
		}
		for range 2 {
			if _, err := d.Next(); !errors.Is(err, broken) {
				t.Errorf("%s: got %v", protocol, err)
			}
		}

		d, err = beacon.New(protocol, idle{}, beacon.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Next(); !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("%s from a reader that does nothing: %v", protocol, err)
		}
	}
	if _, err := beacon.New("morse", nil, beacon.Options{}); err == nil || !strings.Contains(err.Error(), strings.Join(beacon.Protocols(), ", ")) {
		t.Errorf("unknown protocol: %v", err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// Garbage of any length uses no memory beyond the decoder's own.
func TestMemoryIsBounded(t *testing.T) {
	skiptest.Computation(t)
	for _, protocol := range beacon.Protocols() {
		pieces := []string{"x", "$", "+", "N", "$PKNDS,", "$GPWPL,", "+RCV=", "+RCV=1,240,", "NTF,IDAS,RXMSG,IND,", "\x94", "\x94\xc3", "\x94\xc3\x01\xff"}
		for _, other := range beacon.Protocols() {
			for _, seed := range samplesOf(t, other).seeds {
				pieces = append(pieces, seed[:len(seed)/2])
			}
		}
		for _, piece := range pieces {
			const size = 512 << 10
			allocs := testing.AllocsPerRun(1, func() {
				d, err := beacon.New(protocol, io.LimitReader(&repeat{text: piece}, size), beacon.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := d.Next(); !errors.Is(err, io.EOF) {
					t.Errorf("%s: %v", protocol, err)
				}
			})
			if allocs > 20 {
				t.Errorf("%s fed with %q allocates %v times", protocol, piece, allocs)
			}
		}
	}
}

// repeat says the same for ever.
type repeat struct {
	text string
	at   int
}

func (r *repeat) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		m := copy(b[n:], r.text[r.at:])
		r.at = (r.at + m) % len(r.text)
		n += m
	}
	return n, nil
}

// split delivers data in pieces of the given sizes.
type split struct {
	data  []byte
	sizes []int
	next  int
}

func (s *split) Read(b []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := min(len(b), len(s.data), s.sizes[s.next%len(s.sizes)])
	s.next++
	copy(b, s.data[:n])
	s.data = s.data[n:]
	return n, nil
}

func TestSplitOfReadsDoesNotMatter(t *testing.T) {
	for _, protocol := range beacon.Protocols() {
		seeds := samplesOf(t, protocol).seeds
		t.Run(protocol, rapid.MakeCheck(func(rt *rapid.T) {
			in := stream(protocol, seeds).Draw(rt, "stream")
			sizes := rapid.SliceOfN(rapid.IntRange(1, 300), 1, 10).Draw(rt, "sizes")
			want := decode(t, protocol, bytes.NewReader(in))
			for name, r := range map[string]io.Reader{
				"one byte at a time": iotest.OneByteReader(bytes.NewReader(in)),
				"in pieces":          &split{data: in, sizes: sizes},
				"error with data":    iotest.DataErrReader(bytes.NewReader(in)),
			} {
				if diff := cmp.Diff(want, decode(t, protocol, r)); diff != "" {
					rt.Fatalf("%s (-whole +split)\n%s", name, diff)
				}
			}
			checkFixes(rt, want)
		}))
	}
}

// openingOf is the opening of a frame of any protocol.
func openingOf(frame string) string {
	for _, o := range []string{"$PKNDS,", "$GPWPL,", "+RCV=", "NTF,IDAS,RXMSG,IND,", "\x94\xc3"} {
		if strings.HasPrefix(frame, o) {
			return o
		}
	}
	return ""
}
