package beacon_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"presence/drivers/beacon"
	"presence/drivers/beacon/beacontest"
)

func TestGoodFrames(t *testing.T) { //nolint:funlen // a table of cases
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
			beacon.Fix{Tag: "kenwood:U00002", Lat: canadaLat, Status: pointer(207), Lon: canadaLon, Time: time.Date(2023, 2, 13, 11, 44, 0, 0, utc)},
		},
		{
			"FleetSync short", "kenwood", "$PKLSH,4954.1474,N,11923.6044,W,122434,A,100,1001,*3F\r\n",
			beacon.Fix{Tag: "kenwood:100-1001", Lat: 49 + 54.1474/60, Lon: -(119 + 23.6044/60), Time: clock(12, 24, 34), TimeOfDay: true},
		},
		{
			"FleetSync long", "kenwood", "$PKLDS,122434,A,4954.1474,N,11923.6044,W,001.1,194.9,130223,19.20,W00,100,1001,80,00,*60\r\n",
			beacon.Fix{Tag: "kenwood:100-1001", Lat: 49 + 54.1474/60, Status: pointer(80), Lon: -(119 + 23.6044/60), Time: time.Date(2023, 2, 13, 12, 24, 34, 0, utc)},
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
			beacon.Fix{Tag: "kenwood:100-1010", Lat: canadaLat, Status: pointer(80), Lon: canadaLon},
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
			beacon.Fix{Tag: "kenwood:U00002", Lat: canadaLat, Status: pointer(207), Lon: canadaLon, Time: time.Date(2023, 2, 13, 11, 44, 0, 0, utc)},
		},
		{
			"last line without its end", "kenwood", "$PKLSH,4954.1474,N,11923.6044,W,122434,A,100,1001,*3F",
			beacon.Fix{Tag: "kenwood:100-1001", Lat: 49 + 54.1474/60, Lon: -(119 + 23.6044/60), Time: clock(12, 24, 34), TimeOfDay: true},
		},
		{
			"week number rolled over", "kenwood", sum("PKNDS,081836,A,4954.1450,N,11923.6043,W,,,090407,,,U00002,207,00,"),
			beacon.Fix{Tag: "kenwood:U00002", Lat: canadaLat, Status: pointer(207), Lon: canadaLon, Time: moment, Rollover: true},
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
		{
			"IDAS", "idas", "\x02*NTF,IDAS,RXMSG,IND,1,200,-,-97,GPS,\"" + strings.TrimSpace(beacontest.RMC(-7.9777, 112.63306, moment)) + "\"\x03\r\n",
			beacon.Fix{Tag: "idas:200", Lat: -(7 + 58.662/60), Lon: 112 + 37.9836/60, Time: moment, RSSI: pointer(-97)},
		},
		{
			"IDAS, no strength, unit with zeros", "idas", "NTF,IDAS,RXMSG,IND,-,00200,-,-,GPS,\"" + strings.TrimSpace(beacontest.RMC(-7.9777, 112.63306, moment)) + "\"\r\n",
			beacon.Fix{Tag: "idas:200", Lat: -(7 + 58.662/60), Lon: 112 + 37.9836/60, Time: moment},
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

func TestBadFrames(t *testing.T) { //nolint:funlen // a table of cases
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
