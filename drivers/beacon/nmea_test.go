package beacon_test

import (
	"math"
	"strings"
	"testing"

	"presence/drivers/beacon"
	"presence/drivers/beacon/beacontest"
)

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
