package beacon_test

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"presence/drivers/beacon"
	"presence/drivers/beacon/beacontest"
)

// decodeReyax reads the data of one frame in a form.
func decodeReyax(t *testing.T, payload, data string) heard {
	t.Helper()
	var h heard
	d, err := beacon.New(beacon.Reyax, strings.NewReader(beacontest.RCV(50, data, -99, 40)), beacon.Options{
		Payload: payload,
		Reject:  func(why beacon.Reason) { h.Bad = append(h.Bad, why) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for {
		fix, err := d.Next()
		if err != nil {
			return h
		}
		h.Fixes = append(h.Fixes, fix)
	}
}

func TestPayloads(t *testing.T) {
	const lat, lon = -7.9777, 112.6331
	at := time.Date(2026, 11, 23, 8, 18, 36, 0, utc)
	rmc := beacontest.RMC(lat, lon, at)
	for _, c := range []struct {
		payload, data string
		want          beacon.Fix
		bad           beacon.Reason
	}{
		{payload: "latlon", data: "-7.977700,112.633100", want: beacon.Fix{Lat: lat, Lon: lon}},
		{payload: "latlon", data: " -7.9777 , +112.6331 \r\n", want: beacon.Fix{Lat: lat, Lon: lon}},
		{payload: "latlon", data: "-7.977700,112.633100,441.2,97,12", want: beacon.Fix{Lat: lat, Lon: lon}},
		{payload: "latlon", data: "-7.977700,112.633100,*zz", want: beacon.Fix{Lat: lat, Lon: lon}},
		{payload: "latlon", data: withSum("-7.977700,112.633100"), want: beacon.Fix{Lat: lat, Lon: lon}},
		{payload: "latlon", data: withSum("-7.977700,112.633100,441") + "\r\n", want: beacon.Fix{Lat: lat, Lon: lon}},
		{payload: "latlon", data: "-7.98,112.63", want: beacon.Fix{Lat: -7.98, Lon: 112.63, Accuracy: 787}},
		{payload: "latlon", data: "-8.0,112.6331", want: beacon.Fix{Lat: -8, Lon: lon}},
		{payload: "latlon", data: "-0.0,112.6331", want: beacon.Fix{Lat: 0, Lon: lon}},
		{payload: "latlon", data: "-7.977700,112.633100*00", bad: beacon.BadChecksum},
		{payload: "latlon", data: "0.000000,0.000000", bad: beacon.BadNoFix},
		{payload: "latlon", data: "-91.5,112.6", bad: beacon.BadRange},
		{payload: "latlon", data: "112.6331,-7.9777", bad: beacon.BadRange}, // the other way round
		{payload: "latlon", data: "27,61", bad: beacon.BadFields},           // warmth and moisture
		{payload: "latlon", data: "-7,9777,112,6331", bad: beacon.BadFields},
		{payload: "latlon", data: "nan,112.6331", bad: beacon.BadFields},
		{payload: "latlon", data: "-7.9777e0,112.6331", bad: beacon.BadFields},
		{payload: "latlon", data: "--7.9777,112.6331", bad: beacon.BadFields},
		{payload: "latlon", data: "-7.9777,", bad: beacon.BadFields},
		{payload: "latlon", data: "HELLO", bad: beacon.BadFraming},
		{payload: "latlon", data: rmc, bad: beacon.BadPayload},
		{payload: "latlon", data: `{"lat":-7.9777,"lon":112.6331}`, bad: beacon.BadPayload},

		{payload: "json", data: `{"lat":-7.9777,"lon":112.6331}`, want: beacon.Fix{Lat: lat, Lon: lon}},
		{payload: "json", data: `{"id":"7","latitude":"-7.977700","longitude":"112.633100","bat":{"v":3.9}}`, want: beacon.Fix{Lat: lat, Lon: lon}},
		{payload: "json", data: ` {"lng":112.6331,"lat":-7.9777} ` + "\r\n", want: beacon.Fix{Lat: lat, Lon: lon}},
		{payload: "json", data: withSum(`{"lat":-7.9777,"lon":112.6331}`), want: beacon.Fix{Lat: lat, Lon: lon}},
		{payload: "json", data: `{"lat":-7.9777,"lon":112.6331,"time":"2026-11-23T15:18:36+07:00"}`, want: beacon.Fix{Lat: lat, Lon: lon, Time: at}},
		{payload: "json", data: `{"lat":-7.9777,"lon":112.6331,"time":"08:18:36"}`, want: beacon.Fix{Lat: lat, Lon: lon}},
		{payload: "json", data: `{"lat":-7.9777,"lon":112.6331,"time":1595112}`, want: beacon.Fix{Lat: lat, Lon: lon}}, // since its own start
		{payload: "json", data: `{"lat":-7.9777,"lon":112.6331,"time":"1970-01-01T00:00:09Z"}`, want: beacon.Fix{Lat: lat, Lon: lon}},
		{payload: "json", data: `{"lat":-7.9777,"lon":112.6331}*00`, bad: beacon.BadChecksum},
		{payload: "json", data: `{"lat":-7.9777,"lon":112.6331,"lat":-6.2}`, bad: beacon.BadFields},
		{payload: "json", data: `{"lat":-7.9777,"latitude":-7.9777,"lon":112.6331}`, bad: beacon.BadFields},
		{payload: "json", data: `{"lat":-7.9777}`, bad: beacon.BadFields},
		{payload: "json", data: `{"lat":null,"lon":112.6331}`, bad: beacon.BadFields},
		{payload: "json", data: `{"lat":-7,"lon":112}`, bad: beacon.BadFields},
		{payload: "json", data: `{"lat":0.0,"lon":0.0}`, bad: beacon.BadNoFix},
		{payload: "json", data: `{"lat":-7.9777,"lon":212.6331}`, bad: beacon.BadRange},
		{payload: "json", data: `{"lat":-7.9777,"lon":112.63`, bad: beacon.BadFraming}, // cut by the modem
		{payload: "json", data: `{"lat":-7.9777,"lon":112.6331} {}`, bad: beacon.BadFraming},
		{payload: "json", data: `[-7.9777,112.6331]`, bad: beacon.BadFraming},
		{payload: "json", data: "-7.9777,112.6331", bad: beacon.BadPayload},
		{payload: "json", data: rmc, bad: beacon.BadPayload},

		{payload: "rmc", data: rmc, want: beacon.Fix{Lat: lat, Lon: -1, Time: at}},
		{payload: "", data: rmc, want: beacon.Fix{Lat: lat, Lon: -1, Time: at}},
		{payload: "rmc", data: "-7.977700,112.633100", bad: beacon.BadPayload},
		{payload: "rmc", data: `{"lat":-7.9777,"lon":112.6331}`, bad: beacon.BadPayload},
		{payload: "rmc", data: "0.000000,0.000000", bad: beacon.BadPayload},
		{payload: "rmc", data: "HELLO", bad: beacon.BadFraming},
		{payload: "rmc", data: "27,61", bad: beacon.BadFraming},
	} {
		t.Run(c.payload+" "+c.data, func(t *testing.T) {
			want := heard{Bad: []beacon.Reason{c.bad}}
			if c.bad == "" {
				c.want.Tag, c.want.RSSI, c.want.SNR = "reyax:50", pointer(-99), pointer(40.0)
				if c.want.Lon == -1 { // as the sentence rounds it
					c.want.Lat, c.want.Lon = -(7 + 58.662/60), 112+37.986/60
				}
				want = heard{Fixes: []beacon.Fix{c.want}}
			}
			if diff := cmp.Diff(want, decodeReyax(t, c.payload, c.data)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if _, err := beacon.New(beacon.Reyax, nil, beacon.Options{Payload: "xml"}); err == nil || !strings.Contains(err.Error(), "rmc, latlon, json") {
		t.Errorf("unknown payload: %v", err)
	}
}

// withSum puts the checksum behind a payload.
func withSum(text string) string {
	return strings.TrimSuffix(strings.TrimPrefix(beacontest.Sentence(text), "$"), "\r\n")
}

// What is damaged on its way is no position where it has a checksum.
func TestDamagedPayloadsAreRefused(t *testing.T) {
	for payload, data := range map[string]string{
		"latlon": withSum("-7.977700,112.633100,441"), "json": withSum(`{"lat":-7.9777,"lon":112.6331}`),
	} {
		t.Run(payload, rapid.MakeCheck(func(rt *rapid.T) {
			damaged := []byte(data)
			at := rapid.IntRange(0, len(damaged)-4).Draw(rt, "at")
			damaged[at] ^= byte(1 << rapid.IntRange(0, 6).Draw(rt, "bit"))
			if got := decodeReyax(t, payload, string(damaged)); len(got.Fixes) > 0 {
				rt.Errorf("%q became %+v", damaged, got.Fixes)
			}
		}))
	}
}

// TestNotesOfEmergencies: only the two numbers that FleetSync reserves, and also where
// the radio has no position.
func TestNotesOfEmergencies(t *testing.T) {
	long := func(validity, status string) string {
		return sum("PKLDS,081836," + validity + ",0758.6620,S,11237.9840,E,,,231126,,W00,100,1001," + status + ",00,")
	}
	for _, c := range []struct {
		in   string
		want []beacon.Note
	}{
		{long("A", "80"), []beacon.Note{{Tag: "kenwood:100-1001"}}},
		{long("A", "98"), []beacon.Note{{Tag: "kenwood:100-1001", Emergency: true}}},
		{long("V", "99"), []beacon.Note{{Tag: "kenwood:100-1001", Emergency: true}}},
		{long("A", "97"), []beacon.Note{{Tag: "kenwood:100-1001"}}},
		{long("A", "") + long("A", "x"), nil},
		{sum("PKNDS,081836,A,0758.6620,S,11237.9840,E,,,231126,,,U00002,99,00,"), nil},
		{beacontest.PKLSH(100, 1001, -7.97, 112.6, moment), nil},
	} {
		var got []beacon.Note
		d, err := beacon.New(beacon.Kenwood, strings.NewReader(c.in), beacon.Options{Note: func(n beacon.Note) { got = append(got, n) }})
		for err == nil {
			_, err = d.Next()
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q (-want +got)\n%s", c.in, diff)
		}
	}
}

// TestIDASRejects counts each line that could be a report and is none.
func TestIDASRejects(t *testing.T) {
	sentence := strings.TrimSpace(beacontest.RMC(-7.9777, 112.6331, moment))
	for in, want := range map[string]beacon.Reason{
		"NTF,IDAS,RXMSG,IND,1,200,-,-80,GPS,\"" + sentence[:len(sentence)-3] + "\"":             beacon.BadChecksum,
		"NTF,IDAS,RXMSG,IND,1,200,-,-80,GPS,\"" + sentence:                                      beacon.BadLength,
		"NTF,IDAS,RXMSG,IND,1,200,-,-80,GPS," + sentence:                                        beacon.BadFields,
		"NTF,IDAS,RXMSG,IND,1,200,-,-80,GPS,\"" + sentence + "\",7":                             beacon.BadFields,
		"NTF,IDAS,RXMSG,IND,1,200,-,-80":                                                        beacon.BadLength,
		"NTF,IDAS,RXMSG,IND,1,0,-,-80,GPS,\"" + sentence + "\"":                                 beacon.BadIdentity,
		"NTF,IDAS,RXMSG,IND,1,65520,-,-80,GPS,\"" + sentence + "\"":                             beacon.BadIdentity,
		"NTF,IDAS,RXMSG,IND,1,x,-,-80,GPS,\"" + sentence + "\"":                                 beacon.BadIdentity,
		"NTF,IDAS,RXMSG,IND,1,200,-,strong,GPS,\"" + sentence + "\"":                            beacon.BadFields,
		"NTF,IDAS,RXMSG,IND,1,200,-,-400,GPS,\"" + sentence + "\"":                              beacon.BadRange,
		"NTF,IDAS,RXMSG,IND,1,200,-,-80,gps,\"" + sentence + "\"":                               beacon.BadFields,
		"NTF,IDAS,RXMSG,IND,1,200,-,-80,GPS,\"HELLO\"":                                          beacon.BadFraming,
		"NTF,IDAS,RXMSG,IND,1,200,-,-80,GPS,\"" + sum("GPRMC,081836,V,,,,,,,,,")[:26] + "*30\"": "",
	} {
		got := decode(t, beacon.IDAS, strings.NewReader(in+"\r\n"))
		if len(got.Fixes) != 0 || len(got.Bad) != 1 || want != "" && got.Bad[0] != want {
			t.Errorf("%q: %+v", in, got)
		}
	}
}

// TestTheFormsThatTagMakersAreGiven: each line of INSTALL.md that a tag may send is as
// long as it says, and is read by the payload that it stands for.
func TestTheFormsThatTagMakersAreGiven(t *testing.T) {
	text, err := os.ReadFile("../../scripts/INSTALL.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^AT\+SEND=1,([0-9]+),(.*)$`).FindAllStringSubmatch(string(text), -1)
	if len(lines) != len(beacon.Payloads()) {
		t.Fatalf("%d lines for the payloads %v", len(lines), beacon.Payloads())
	}
	for i, payload := range []string{beacon.PayloadRMC, beacon.PayloadLatLon, beacon.PayloadJSON} {
		data := lines[i][2]
		if strconv.Itoa(len(data)) != lines[i][1] {
			t.Errorf("%q has %d bytes", data, len(data))
		}
		got := decodeReyax(t, payload, data)
		if len(got.Fixes) != 1 || len(got.Bad) != 0 || math.Abs(got.Fixes[0].Lat+7.9777) > 1e-5 || math.Abs(got.Fixes[0].Lon-112.633067) > 1e-5 {
			t.Errorf("%s: %+v of %q", payload, got, data)
		}
	}
}
