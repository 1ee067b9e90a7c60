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
	d, err := beacon.New(protocol, r, func(why beacon.Reason) { h.Bad = append(h.Bad, why) })
	if err != nil {
		t.Fatal(err)
	}
	for {
		fix, err := d.Next()
		if err == io.EOF {
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

func TestGoodFrames(t *testing.T) {
	const (
		canadaLat = 49 + 54.1450/60
		canadaLon = -(119 + 23.6043/60)
	)
	clock := func(h, m, s int) time.Time { return time.Date(1, 1, 1, h, m, s, 0, utc) }
	waypoint := func(name string, lat, lon float64) beacon.Fix {
		return beacon.Fix{Tag: "waypoint:" + name, Lat: lat, Lon: lon, Unverified: true}
	}

	for _, c := range []struct {
		name, protocol, in string
		want               beacon.Fix
	}{
		{
			"NEXEDGE long", "kenwood", "$PKNDS,114400,A,4954.1450,N,11923.6043,W,001.4,356.8,130223,19.20,W00,U00002,207,00,*2E\r\n",
			beacon.Fix{Tag: "kenwood:U00002", Lat: canadaLat, Lon: canadaLon, Time: time.Date(2023, 2, 13, 11, 44, 0, 0, utc)},
		},
		{
			"FleetSync short", "kenwood", "$PKLSH,4954.1474,N,11923.6044,W,122434,A,100,1001,*3F\r\n",
			beacon.Fix{Tag: "kenwood:100-1001", Lat: 49 + 54.1474/60, Lon: -(119 + 23.6044/60), Time: clock(12, 24, 34), TimeOfDay: true},
		},
		{
			"FleetSync long", "kenwood", "$PKLDS,122434,A,4954.1474,N,11923.6044,W,001.1,194.9,130223,19.20,W00,100,1001,80,00,*60\r\n",
			beacon.Fix{Tag: "kenwood:100-1001", Lat: 49 + 54.1474/60, Lon: -(119 + 23.6044/60), Time: time.Date(2023, 2, 13, 12, 24, 34, 0, utc)},
		},
		{
			"NEXEDGE short", "kenwood", "$PKNSH,4954.1450,N,11923.6043,W,114400,A,U00002,*44\r\n",
			beacon.Fix{Tag: "kenwood:U00002", Lat: canadaLat, Lon: canadaLon, Time: clock(11, 44, 0), TimeOfDay: true},
		},
		{
			"no date, unit of eight digits", "kenwood", "$PKNDS,160902,A,2301.2967,N,07228.2519,E,000.0,000.0,,,,U00001205,,,*41\r\n",
			beacon.Fix{Tag: "kenwood:U00001205", Lat: 23 + 1.2967/60, Lon: 72 + 28.2519/60, Time: clock(16, 9, 2), TimeOfDay: true},
		},
		{
			"no comma at the end", "kenwood", sum("PKNSH,4954.1450,N,11923.6043,W,114400,A,U00002"),
			beacon.Fix{Tag: "kenwood:U00002", Lat: canadaLat, Lon: canadaLon, Time: clock(11, 44, 0), TimeOfDay: true},
		},
		{
			"no time at all", "kenwood", sum("PKLDS,,A,4954.1450,N,11923.6043,W,,,,,E00,100,1010,80,00,"),
			beacon.Fix{Tag: "kenwood:100-1010", Lat: canadaLat, Lon: canadaLon},
		},
		{
			"fraction of a second", "kenwood", sum("PKNSH,4954.1450,N,11923.6043,W,114400.25,A,U00002,"),
			beacon.Fix{Tag: "kenwood:U00002", Lat: canadaLat, Lon: canadaLon, Time: clock(11, 44, 0).Add(250 * time.Millisecond), TimeOfDay: true},
		},
		{
			"caller ID before it", "kenwood", "\x02I1001\x03$PKNSH,4954.1450,N,11923.6043,W,114400,A,U00002,*44\r\n",
			beacon.Fix{Tag: "kenwood:U00002", Lat: canadaLat, Lon: canadaLon, Time: clock(11, 44, 0), TimeOfDay: true},
		},
		{
			"lower-case checksum and junk behind it", "kenwood", "$PKNDS,114400,A,4954.1450,N,11923.6043,W,001.4,356.8,130223,19.20,W00,U00002,207,00,*2e *zz\x80\r\n",
			beacon.Fix{Tag: "kenwood:U00002", Lat: canadaLat, Lon: canadaLon, Time: time.Date(2023, 2, 13, 11, 44, 0, 0, utc)},
		},
		{
			"last line without its end", "kenwood", "$PKLSH,4954.1474,N,11923.6044,W,122434,A,100,1001,*3F",
			beacon.Fix{Tag: "kenwood:100-1001", Lat: 49 + 54.1474/60, Lon: -(119 + 23.6044/60), Time: clock(12, 24, 34), TimeOfDay: true},
		},
		{
			"week number rolled over", "kenwood", sum("PKNDS,081836,A,4954.1450,N,11923.6043,W,,,090407,,,U00002,207,00,"),
			beacon.Fix{Tag: "kenwood:U00002", Lat: canadaLat, Lon: canadaLon, Time: moment, Rollover: true},
		},
		{
			"APRS waypoint", "waypoint", "$PKWDWPL,102339,V,3958.55,N,11625.70,E,,,290625,,BI4PGN-11,/i*22\r\n",
			waypoint("BI4PGN-11", 39+58.55/60, 116+25.70/60),
		},
		{
			"name with commas, a star and UTF-8", "waypoint", sum("GPWPL,0758.6620,S,11237.9840,E,Bu Ani, lantai*2A é"),
			waypoint("Bu Ani, lantai*2A é", -(7 + 58.6620/60), 112+37.9840/60),
		},
		{
			"APRS name with a comma, symbol is a comma", "waypoint", sum("PKWDWPL,,V,3958.55,N,11625.70,E,,,,,AB,C,/,"),
			waypoint("AB,C", 39+58.55/60, 116+25.70/60),
		},
		{
			"APRS symbol is a star", "waypoint", sum("PKWDWPL,,A,3958.55,N,11625.70,E,,,,,YB3X-9,/*"),
			waypoint("YB3X-9", 39+58.55/60, 116+25.70/60),
		},
		{
			"APRS without symbol", "waypoint", sum("PKWDWPL,,A,3958.55,N,11625.70,E,,,,,YB3XYZ-9,"),
			waypoint("YB3XYZ-9", 39+58.55/60, 116+25.70/60),
		},
		{
			"modem with our payload", "reyax", "+RCV=50,60,$GPRMC,081836.00,A,0758.6620,S,11237.9840,E,0.0,,231126,,*0A,-99,40\r\n",
			beacon.Fix{Tag: "reyax:50", Lat: -(7 + 58.6620/60), Lon: 112 + 37.9840/60, Time: moment, RSSI: pointer(-99), SNR: pointer(40.0)},
		},
		{
			"payload with line ends and text around it", "reyax",
			beacontest.RCV(65535, "\r\nid,7 "+beacontest.RMC(-7.9777, 112.63306, moment)+"\r\n,ok", -120, -7),
			beacon.Fix{Tag: "reyax:65535", Lat: -(7 + 58.662/60), Lon: 112 + 37.9836/60, Time: moment, RSSI: pointer(-120), SNR: pointer(-7.0)},
		},
		{
			"payload of a multi-system receiver, dead reckoning", "reyax",
			beacontest.RCV(7, beacontest.Sentence("GNRMC,081836.00,A,0758.6620,S,11237.9840,E,0.0,,,,,E,V"), -60, 9),
			beacon.Fix{Tag: "reyax:7", Lat: -(7 + 58.6620/60), Lon: 112 + 37.9840/60, Time: clock(8, 18, 36), TimeOfDay: true, Unverified: true, RSSI: pointer(-60), SNR: pointer(9.0)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := heard{Fixes: []beacon.Fix{c.want}}
			if diff := cmp.Diff(want, decode(t, c.protocol, strings.NewReader(c.in))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// sum completes a sentence.
func sum(body string) string { return beacontest.Sentence(body) }

// delta completes a sentence with a checksum that is off.
func delta(body string, by byte) string {
	return fmt.Sprintf("$%s*%02X\r\n", body, beacontest.Checksum(body)^by)
}

func TestOddChecksumIsMarkedForPlainWaypointsOnly(t *testing.T) {
	const body = "GPWPL,0758.6620,S,11237.9840,E,NODE"
	got := decode(t, "waypoint", strings.NewReader(delta(body, 0x2E)+sum(body)))
	if len(got.Fixes) != 2 || len(got.Bad) != 0 {
		t.Fatalf("got %+v", got)
	}
	if !got.Fixes[0].OddChecksum || got.Fixes[1].OddChecksum {
		t.Errorf("marked %v and %v; want the first only", got.Fixes[0].OddChecksum, got.Fixes[1].OddChecksum)
	}
	for by := 1; by < 256; by++ {
		if by == 0x2E {
			continue
		}
		expectBad(t, "waypoint", delta(body, byte(by)), beacon.BadChecksum)
	}
	expectBad(t, "waypoint", delta("PKWDWPL,102339,V,3958.55,N,11625.70,E,,,290625,,BI4PGN-11,/i", 0x2E), beacon.BadChecksum)
	expectBad(t, "kenwood", delta("PKNSH,4954.1450,N,11923.6043,W,114400,A,U00002,", 0x2E), beacon.BadChecksum)
}

func expectBad(t *testing.T, protocol, in string, want ...beacon.Reason) {
	t.Helper()
	if diff := cmp.Diff(heard{Bad: want}, decode(t, protocol, strings.NewReader(in))); diff != "" {
		t.Errorf("%q (-want +got)\n%s", in, diff)
	}
}

func TestBadFrames(t *testing.T) {
	long := func(change ...string) string {
		return sum(strings.NewReplacer(change...).Replace("PKNDS,114400,A,4954.1450,N,11923.6043,W,001.4,356.8,130223,19.20,W00,U00002,207,00,"))
	}
	rmc := func(change ...string) string {
		s := beacontest.RMC(-7.9777, 112.63306, moment)
		s = strings.NewReplacer(change...).Replace(s[1:strings.IndexByte(s, '*')])
		return beacontest.RCV(50, sum(s), -99, 40)
	}
	position := func(lat, ns, lon, ew string) string {
		return sum("GPWPL," + lat + "," + ns + "," + lon + "," + ew + ",X")
	}
	tooLong := strings.Repeat("x", 100_000)

	for _, c := range []struct {
		name, protocol, in string
		want               beacon.Reason
	}{
		{"noise", "kenwood", "\xff\xfe\x01garbage\r\n", beacon.BadFraming},
		{"tail of a line", "kenwood", "6043,W,001.4,356.8,130223,19.20,W00,U00002,207,00,*2E\r\n", beacon.BadFraming},
		{"foreign but damaged", "kenwood", "$GPRMC,160902,A,2301.2967,N*00\r\n", beacon.BadFraming},
		{"endless line", "kenwood", tooLong + "\r\n", beacon.BadLength},
		{"endless line that never ends", "kenwood", tooLong, beacon.BadLength},
		{"endless frame", "kenwood", "$PKNDS," + tooLong + "*00\r\n", beacon.BadLength},
		{"no checksum", "kenwood", "$PKNDS,114400,A,4954.1450\r\n", beacon.BadChecksum},
		{"half a checksum", "kenwood", "$PKLSH,4954.1474,N,11923.6044,W,122434,A,100,1001,*3\r\n", beacon.BadChecksum},
		{"checksum wrong", "kenwood", "$PKLSH,4954.1474,N,11923.6044,W,122434,A,100,1001,*3E\r\n", beacon.BadChecksum},
		{"cut short but XOR right", "kenwood", sum("PKNDS,114400,A,4954.1450,N"), beacon.BadFields},
		{"too many fields", "kenwood", long("00,", "00,1,2,"), beacon.BadFields},
		{"very many fields", "kenwood", sum("PKNDS," + strings.Repeat(",", 90)), beacon.BadFields},
		{"something after the last comma", "kenwood", sum("PKNSH,4954.1450,N,11923.6043,W,114400,A,U00002,x"), beacon.BadFields},
		{"void, with dummy coordinates", "kenwood", sum("PKNSH,3600.0000,N,13600.0000,E,114400,V,U00002,"), beacon.BadNoFix},
		{"void, with no coordinates", "kenwood", sum("PKNSH,,,,,,V,U00002,"), beacon.BadNoFix},
		{"void, with impossible coordinates", "kenwood", sum("PKNSH,9960.0000,N,99900.0000,E,114400,V,U00002,"), beacon.BadNoFix},
		{"null island", "kenwood", sum("PKNSH,0000.0000,N,00000.0000,E,114400,A,U00002,"), beacon.BadNoFix},
		{"status unknown", "kenwood", long(",A,", ",X,"), beacon.BadFields},
		{"empty coordinate", "kenwood", long("4954.1450", ""), beacon.BadFields},
		{"coordinate with letters", "kenwood", long("4954.1450", "49O4.1450"), beacon.BadFields},
		{"coordinate with two points", "kenwood", long("4954.1450", "4954.14.0"), beacon.BadFields},
		{"coordinate lost a digit", "kenwood", long("4954.1450", "495.1450"), beacon.BadRange},
		{"negative degrees", "kenwood", long("11923.6043", "-1923.6043"), beacon.BadFields},
		{"no hemisphere", "kenwood", long(",N,", ",,"), beacon.BadFields},
		{"wrong hemisphere", "kenwood", long(",N,", ",E,"), beacon.BadFields},
		{"speed is no number", "kenwood", long("001.4", "fast"), beacon.BadFields},
		{"date without time", "kenwood", long("114400", ""), beacon.BadFields},
		{"time too short", "kenwood", long("114400", "11440"), beacon.BadFields},
		{"time with letters", "kenwood", long("114400", "1144oo"), beacon.BadFields},
		{"date with letters", "kenwood", long("130223", "13Feb3"), beacon.BadFields},
		{"minutes are 60", "kenwood", long("4954.1450", "4960.0000"), beacon.BadRange},
		{"beyond the pole", "kenwood", long("4954.1450", "9000.0001"), beacon.BadRange},
		{"beyond the date line", "kenwood", long("11923.6043", "18000.0001"), beacon.BadRange},
		{"hour is 24", "kenwood", long("114400", "244400"), beacon.BadRange},
		{"minute is 60", "kenwood", long("114400", "116000"), beacon.BadRange},
		{"second is 60", "kenwood", long("114400", "114460"), beacon.BadRange},
		{"30 February", "kenwood", long("130223", "300223"), beacon.BadRange},
		{"month 13", "kenwood", long("130223", "131323"), beacon.BadRange},
		{"day 0", "kenwood", long("130223", "000223"), beacon.BadRange},
		{"year 1994", "kenwood", "$PKLDS,220516,A,5133.82,N,00042.24,W,173.8,231.8,130694,004.2,W00,100,2000,15,00,*60\r\n", beacon.BadRange},
		{"year 2000, too old to be a rollover", "kenwood", long("130223", "010100"), beacon.BadRange},
		{"no unit", "kenwood", long("U00002", ""), beacon.BadIdentity},
		{"unit is no number", "kenwood", long("U00002", "U0\"002"), beacon.BadIdentity},
		{"no fleet", "kenwood", sum("PKLSH,4954.1474,N,11923.6044,W,122434,A,,1001,"), beacon.BadIdentity},

		{"minus against north", "waypoint", position("-758.6620", "N", "11237.9840", "E"), beacon.BadFields},
		{"minus alone", "waypoint", position("-", "S", "11237.9840", "E"), beacon.BadFields},
		{"two minuses", "waypoint", position("--58.6620", "S", "11237.9840", "E"), beacon.BadFields},
		{"no name", "waypoint", sum("GPWPL,0758.6620,S,11237.9840,E,"), beacon.BadIdentity},
		{"name of blanks", "waypoint", sum("GPWPL,0758.6620,S,11237.9840,E,  "), beacon.BadIdentity},
		{"name not UTF-8", "waypoint", sum("GPWPL,0758.6620,S,11237.9840,E,\xff\xfe"), beacon.BadIdentity},
		{"name with a control character", "waypoint", sum("GPWPL,0758.6620,S,11237.9840,E,a\x1bb"), beacon.BadIdentity},
		{"name missing with its comma", "waypoint", sum("GPWPL,0758.6620,S,11237.9840,E"), beacon.BadFields},
		{"APRS cut short", "waypoint", sum("PKWDWPL,102339,V,3958.55,N,11625.70,E,,,290625,"), beacon.BadFields},
		{"APRS without the last comma", "waypoint", sum("PKWDWPL,102339,V,3958.55,N,11625.70,E,,,290625,,NAME"), beacon.BadFields},

		{"vendor's example", "reyax", "+RCV=50,5,HELLO,-99,40\r\n", beacon.BadFraming},
		{"noise", "reyax", "+RVC=50\r\n", beacon.BadFraming},
		{"opening only", "reyax", "+RCV=", beacon.BadLength},
		{"cut in its data", "reyax", "+RCV=50,60,$GPRMC,0818", beacon.BadLength},
		{"cut before the line end", "reyax", "+RCV=50,5,HELLO,-99,4", beacon.BadLength},
		{"length beyond the modem's", "reyax", "+RCV=50,241," + strings.Repeat("x", 241) + ",-99,40\r\n", beacon.BadLength},
		{"length too small", "reyax", "+RCV=50,4,HELLO,-99,40\r\n", beacon.BadLength},
		{"address is no number", "reyax", "+RCV=x,5,HELLO,-99,40\r\n", beacon.BadFields},
		{"address negative", "reyax", "+RCV=-1,5,HELLO,-99,40\r\n", beacon.BadFields},
		{"address too large", "reyax", beacontest.Reyax(65536, 1, 1, moment, -99, 40), beacon.BadRange},
		{"RSSI missing", "reyax", "+RCV=50,5,HELLO,,40\r\n", beacon.BadFields},
		{"RSSI is no number", "reyax", "+RCV=50,5,HELLO,9-9,40\r\n", beacon.BadFields},
		{"RSSI impossible", "reyax", beacontest.Reyax(50, 1, 1, moment, -201, 40), beacon.BadRange},
		{"SNR impossible", "reyax", beacontest.Reyax(50, 1, 1, moment, -99, 101), beacon.BadRange},
		{"SNR endless", "reyax", "+RCV=50,5,HELLO,-99," + strings.Repeat("4", 1000) + "\r\n", beacon.BadFields},
		{"payload damaged", "reyax", strings.Replace(beacontest.Reyax(50, -7.9777, 112.63306, moment, -99, 40), ",S,", ",N,", 1), beacon.BadChecksum},
		{"payload without checksum", "reyax", beacontest.RCV(50, "$GPRMC,081836,A", -99, 40), beacon.BadChecksum},
		{"payload cut short but XOR right", "reyax", beacontest.RCV(50, sum("GPRMC,081836,A,0758.6620"), -99, 40), beacon.BadFields},
		{"payload void", "reyax", rmc(",A,", ",V,"), beacon.BadNoFix},
		{"payload without a fix by its mode", "reyax", rmc(",231126,,", ",231126,,,N"), beacon.BadNoFix},
		{"payload status unknown", "reyax", rmc(",A,", ",,"), beacon.BadFields},
		{"payload speed is no number", "reyax", rmc("0.0", "0.0.0"), beacon.BadFields},
		{"payload minutes are 60", "reyax", rmc("0758.6620", "0760.0000"), beacon.BadRange},
		{"payload hour is 24", "reyax", rmc("081836", "241836"), beacon.BadRange},
	} {
		t.Run(c.protocol+" "+c.name, func(t *testing.T) { expectBad(t, c.protocol, c.in, c.want) })
	}
}

func TestHealthyChatterIsNotCounted(t *testing.T) {
	nmea := "\r\n\n\r  \r\n\x00\x00$GPRMC,160902,A,2301.2967,N,07228.2519,E,000.0,000.0,,,*1B\r\n" +
		"$GPGGA,160902,2301.2967,N,07228.2519,E,1,,,,,,,,*5A\r\n" +
		"$PKNID,,U00001205,,,*27\r\n\x02xE00000010100\x03\r\n92\x03\x02\r\n"
	for protocol, in := range map[string]string{
		"kenwood":  nmea,
		"waypoint": nmea,
		"reyax":    "\r\n+OK\r\n+ERR=4\r\n+READY\r\n\r\n",
	} {
		expectBad(t, protocol, in)
	}
}

// A frame that lost its end must not take its successor with it.
func TestDamageDoesNotSpread(t *testing.T) {
	kenwood := beacontest.PKNDS(2, -7.9777, 112.6331, moment)
	waypoint := beacontest.WPL("A, B*C", -7.9777, 112.6331)
	reyax := beacontest.Reyax(50, -7.9777, 112.6331, moment, -99, 40)
	for _, c := range []struct{ protocol, frame string }{
		{"kenwood", kenwood}, {"waypoint", waypoint}, {"reyax", reyax},
	} {
		opening := strings.IndexAny(c.frame, ",=") + 1
		for cut := opening; cut < len(c.frame)-2; cut++ {
			in := c.frame[:cut] + c.frame + c.frame
			got := decode(t, c.protocol, strings.NewReader(in))
			// A name may be cut anywhere and its line still be whole, but
			// never without its checksum.
			if len(got.Fixes) != 2 || len(got.Bad) != 1 {
				t.Errorf("%s cut at %d: %d fixes, rejects %v", c.protocol, cut, len(got.Fixes), got.Bad)
			}
		}
		long := strings.Repeat("$P+R", 3000)
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
		frame := map[string]string{
			"kenwood":  beacontest.PKLSH(100, 1001, -7.9777, 112.6331, moment),
			"waypoint": beacontest.PKWDWPL("X", -7.9777, 112.6331, moment),
			"reyax":    beacontest.Reyax(1, -7.9777, 112.6331, moment, -99, 40),
		}[protocol]
		d, err := beacon.New(protocol, iotest.DataErrReader(io.MultiReader(strings.NewReader(frame+frame), iotest.ErrReader(broken))), nil)
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

		d, err = beacon.New(protocol, idle{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Next(); !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("%s from a reader that does nothing: %v", protocol, err)
		}
	}
	if _, err := beacon.New("morse", nil, nil); err == nil || !strings.Contains(err.Error(), "kenwood, reyax, waypoint") {
		t.Errorf("unknown protocol: %v", err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// Garbage of any length uses no memory beyond the decoder's own.
func TestMemoryIsBounded(t *testing.T) {
	for _, protocol := range beacon.Protocols() {
		for _, piece := range []string{"x", "$", "+", "$PKNDS,", "$GPWPL,", "+RCV=", "+RCV=1,240,"} {
			const size = 512 << 10
			allocs := testing.AllocsPerRun(1, func() {
				d, err := beacon.New(protocol, io.LimitReader(&repeat{text: piece}, size), nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := d.Next(); err != io.EOF {
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

// seeds are good frames for each protocol.
func seeds(protocol string) []string {
	switch protocol {
	case beacon.Kenwood:
		return []string{
			beacontest.PKNDS(2, 49.9, -119.4, moment), beacontest.PKLDS(100, 1001, 0, 180, moment),
			beacontest.PKNSH(65519, -90, 0.1, moment), "\x02I1001\x03" + beacontest.PKLSH(349, 4999, -7.97, 112.6, moment),
		}
	case beacon.Waypoint:
		return []string{
			beacontest.WPL("A,*2E", 49.9, -119.4), beacontest.PKWDWPL("é-9", -7.97, 112.6, moment),
			delta("GNWPL,758.6620,S,2207.82,W,OLD", 0x2E),
		}
	default:
		return []string{
			beacontest.Reyax(50, -7.97, 112.6, moment, -99, 40), "+OK\r\n+RCV=50,5,HELLO,-99,40\r\n",
			beacontest.RCV(0, "a\r\n,"+beacontest.RMC(49.9, -119.4, moment), -1, -20),
		}
	}
}

// How devices print degrees and minutes, in every sentence that carries some:
// without leading zeros, with blanks in their place, and, wrongly, with a sign.
func TestDegreesAndMinutes(t *testing.T) {
	carriers := map[string]struct{ protocol, before, after string }{
		"GPWPL":   {"waypoint", "GPWPL,", ",X"},
		"GNWPL":   {"waypoint", "GNWPL,", ",X"},
		"PKWDWPL": {"waypoint", "PKWDWPL,102339,V,", ",,,290625,,X,/i"},
		"PKLSH":   {"kenwood", "PKLSH,", ",122434,A,100,1001,"},
		"PKNSH":   {"kenwood", "PKNSH,", ",122434,A,U00002,"},
		"PKLDS":   {"kenwood", "PKLDS,081836,A,", ",,,231126,,,100,1001,207,00,"},
		"PKNDS":   {"kenwood", "PKNDS,081836,A,", ",,,231126,,,U00002,207,00,"},
		"RMC":     {"reyax", "GPRMC,081836,A,", ",0.0,,231126,,"},
	}
	for name, tc := range map[string]struct {
		lat, ns, lon, ew string
		wantLat, wantLon float64
		bad              beacon.Reason
	}{
		"as the standard has it":      {"0758.668", "S", "11237.9840", "E", -(7 + 58.668/60), 112 + 37.984/60, ""},
		"latitude of Malang":          {"758.668", "S", "11237.9840", "E", -(7 + 58.668/60), 112 + 37.984/60, ""},
		"both without leading zeros":  {"758.668", "S", "938.5", "W", -(7 + 58.668/60), -(9 + 38.5/60), ""},
		"longitude under 100 degrees": {"4954.1450", "N", "9938.25", "E", 49 + 54.145/60, 99 + 38.25/60, ""},
		"less than one degree":        {"58.668", "N", "01.5", "E", 58.668 / 60, 1.5 / 60, ""},
		"less than ten minutes":       {"5.25", "S", "0", "E", -5.25 / 60, 0, ""},
		"more zeros than needed":      {"00758.668", "S", "0011237.9840", "E", -(7 + 58.668/60), 112 + 37.984/60, ""},
		"blanks for zeros":            {" 758.668", "S", "  938.5", "E", -(7 + 58.668/60), 9 + 38.5/60, ""},
		"no fraction":                 {"758", "S", "11237", "E", -(7 + 58.0/60), 112 + 37.0/60, ""},

		"sixty minutes":           {"760.000", "S", "11237.9840", "E", 0, 0, beacon.BadRange},
		"beyond the pole":         {"9000.001", "S", "11237.9840", "E", 0, 0, beacon.BadRange},
		"beyond the date line":    {"758.668", "S", "18000.001", "E", 0, 0, beacon.BadRange},
		"swapped":                 {"11237.9840", "N", "758.668", "E", 0, 0, beacon.BadRange},
		"degrees times a hundred": {"758.668", "S", "-2207.82", "W", 0, 0, beacon.BadFields},
		"minus in the latitude":   {"-758.668", "S", "11237.9840", "E", 0, 0, beacon.BadFields},
		"minus before zeros":      {"-0758.668", "S", "11237.9840", "E", 0, 0, beacon.BadFields},
		"minus and nothing":       {"758.668", "S", "-0.0", "W", 0, 0, beacon.BadFields},
		"minus against east":      {"758.668", "S", "-11237.9840", "E", 0, 0, beacon.BadFields},
		"minus after blanks":      {" -758.668", "S", "11237.9840", "E", 0, 0, beacon.BadFields},
		"plus":                    {"758.668", "S", "+11237.9840", "E", 0, 0, beacon.BadFields},
		"blank inside":            {"7 58.668", "S", "11237.9840", "E", 0, 0, beacon.BadFields},
		"only a fraction":         {".668", "S", "11237.9840", "E", 0, 0, beacon.BadFields},
		"only blanks":             {"    ", "S", "11237.9840", "E", 0, 0, beacon.BadFields},
		"an exponent":             {"7.58e2", "S", "11237.9840", "E", 0, 0, beacon.BadFields},
		"longer than any":         {"0000000758.668", "S", "11237.9840", "E", 0, 0, beacon.BadFields},
	} {
		for carrier, c := range carriers {
			t.Run(name+" in "+carrier, func(t *testing.T) {
				line := sum(c.before + strings.Join([]string{tc.lat, tc.ns, tc.lon, tc.ew}, ",") + c.after)
				if c.protocol == beacon.Reyax {
					line = beacontest.RCV(50, line, -99, 40)
				}
				got := decode(t, c.protocol, strings.NewReader(line))
				if tc.bad != "" {
					if len(got.Fixes) != 0 || len(got.Bad) != 1 || got.Bad[0] != tc.bad {
						t.Errorf("%q: %+v, want it rejected as %q", line, got, tc.bad)
					}
					return
				}
				if len(got.Fixes) != 1 || len(got.Bad) != 0 {
					t.Fatalf("%q: %+v", line, got)
				}
				if f := got.Fixes[0]; math.Abs(f.Lat-tc.wantLat) > 1e-9 || math.Abs(f.Lon-tc.wantLon) > 1e-9 {
					t.Errorf("%q: %v %v, want %v %v", line, f.Lat, f.Lon, tc.wantLat, tc.wantLon)
				}
			})
		}
	}
}

func TestSplitOfReadsDoesNotMatter(t *testing.T) {
	for _, protocol := range beacon.Protocols() {
		t.Run(protocol, rapid.MakeCheck(func(rt *rapid.T) {
			in := stream(protocol, seeds(protocol)).Draw(rt, "stream")
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

// Every frame that was sent is found again, whatever lies between, and its
// position is right to half of the last digit.
func TestRoundTrip(t *testing.T) {
	const resolution = 0.5 / 600_000
	for _, protocol := range beacon.Protocols() {
		t.Run(protocol, rapid.MakeCheck(func(rt *rapid.T) {
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
				frame, fix := someFrame(rt, protocol, lat, lon, at)
				in.WriteString(frame)
				want = append(want, fix)
			}
			got := decode(t, protocol, bytes.NewReader(in.Bytes()))
			if len(got.Fixes) != len(want) {
				rt.Fatalf("%d of %d frames found, rejects %v, in %q", len(got.Fixes), len(want), got.Bad, in.String())
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

// someFrame writes one frame in any of a protocol's forms.
func someFrame(t *rapid.T, protocol string, lat, lon float64, at time.Time) (string, beacon.Fix) {
	fix := beacon.Fix{Lat: lat, Lon: lon}
	switch protocol {
	case beacon.Kenwood:
		fleet := rapid.IntRange(100, 349).Draw(t, "fleet")
		unit := rapid.IntRange(1000, 4999).Draw(t, "unit")
		fleetSync, nexedge := fmt.Sprintf("kenwood:%d-%d", fleet, unit), fmt.Sprintf("kenwood:U%05d", unit)
		clock := time.Date(1, 1, 1, at.Hour(), at.Minute(), at.Second(), 0, utc)
		switch rapid.IntRange(0, 3).Draw(t, "form") {
		case 0:
			fix.Tag, fix.Time = fleetSync, at
			return beacontest.PKLDS(fleet, unit, lat, lon, at), fix
		case 1:
			fix.Tag, fix.Time = nexedge, at
			return beacontest.PKNDS(unit, lat, lon, at), fix
		case 2:
			fix.Tag, fix.Time, fix.TimeOfDay = fleetSync, clock, true
			return beacontest.PKLSH(fleet, unit, lat, lon, at), fix
		}
		fix.Tag, fix.Time, fix.TimeOfDay = nexedge, clock, true
		return beacontest.PKNSH(unit, lat, lon, at), fix
	case beacon.Waypoint:
		name := rapid.StringMatching(`[A-Za-z0-9é,*-]{1,20}`).Draw(t, "name")
		fix.Tag, fix.Unverified = "waypoint:"+name, true
		if rapid.Bool().Draw(t, "aprs") {
			return beacontest.PKWDWPL(name, lat, lon, at), fix
		}
		return beacontest.WPL(name, lat, lon), fix
	default:
		address := rapid.IntRange(0, 65535).Draw(t, "address")
		rssi, snr := rapid.IntRange(-140, 0).Draw(t, "rssi"), rapid.IntRange(-20, 40).Draw(t, "snr")
		fix.Tag, fix.Time = fmt.Sprintf("reyax:%d", address), at
		fix.RSSI, fix.SNR = &rssi, pointer(float64(snr))
		return beacontest.Reyax(address, lat, lon, at, rssi, snr), fix
	}
}

// checkFixes looks for what no input may bring about.
func checkFixes(t interface{ Errorf(string, ...any) }, h heard) {
	for _, f := range h.Fixes {
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
		if (f.RSSI == nil) != (f.SNR == nil) || f.SNR != nil && math.IsNaN(*f.SNR) {
			t.Errorf("signal %v %v", f.RSSI, f.SNR)
		}
	}
	for _, why := range h.Bad {
		switch why {
		case beacon.BadFraming, beacon.BadLength, beacon.BadChecksum, beacon.BadFields, beacon.BadNoFix, beacon.BadRange, beacon.BadIdentity:
		default:
			t.Errorf("reason %q", why)
		}
	}
}

func fuzz(f *testing.F, protocol string) {
	for _, s := range seeds(protocol) {
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

func FuzzKenwood(f *testing.F)  { fuzz(f, beacon.Kenwood) }
func FuzzWaypoint(f *testing.F) { fuzz(f, beacon.Waypoint) }
func FuzzReyax(f *testing.F)    { fuzz(f, beacon.Reyax) }

func benchmark(b *testing.B, protocol, frame string) {
	d, err := beacon.New(protocol, &repeat{text: frame}, func(why beacon.Reason) { b.Fatal(why) })
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
