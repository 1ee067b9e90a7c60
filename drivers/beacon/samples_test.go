package beacon_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"presence/drivers/beacon"
	"presence/drivers/beacon/beacontest"
)

// samples are the good frames of one protocol, for the tests that all protocols
// go through.
type samples struct {
	seeds []string // what the tests of garbage and damage begin with; the first is one good frame

	// draw writes a frame in any of the protocol's forms, and says what has to
	// come of it.
	draw func(t *rapid.T, lat, lon float64, at time.Time) (string, beacon.Fix)
}

// samplesOf are the samples of a protocol. Whoever adds a protocol adds its own.
func samplesOf(t testing.TB, protocol string) samples {
	t.Helper()
	s, ok := map[string]samples{
		beacon.Kenwood: {
			seeds: []string{
				beacontest.PKNDS(2, 49.9, -119.4, moment), beacontest.PKLDS(100, 1001, 0, 180, moment),
				beacontest.PKNSH(65519, -90, 0.1, moment), "\x02I1001\x03" + beacontest.PKLSH(349, 4999, -7.97, 112.6, moment),
			},
			draw: kenwoodFrame,
		},
		beacon.IDAS: {
			seeds: []string{
				beacontest.IDAS(200, -7.97, 112.6, moment, "-80"), "\x02*" + beacontest.IDAS(65519, 49.9, -119.4, moment, "-"),
				"\x02*NTF,IDAS,RXMSG,IND,1,200,-,-80,MSG,\"halo\"\x03\r\n",
			},
			draw: idasFrame,
		},
		beacon.Meshtastic: {
			seeds: []string{
				beacontest.Meshtastic(0x1c2f13fc, 1, -7.97, 112.6, moment, -99, 40), "INFO  | ??:??:?? 3 Booting\r\n",
				beacontest.MeshNode(7, beacontest.MeshUser("!00000007", "A", make([]byte, 32)), 5) + beacontest.MeshComplete(69421),
			},
			draw: meshFrame,
		},
		beacon.Waypoint: {
			seeds: []string{
				beacontest.WPL("A,*2E", 49.9, -119.4), beacontest.PKWDWPL("é-9", -7.97, 112.6, moment),
				delta("GNWPL,758.6620,S,2207.82,W,OLD", 0x2E),
			},
			draw: waypointFrame,
		},
		beacon.Reyax: {
			seeds: []string{
				beacontest.Reyax(50, -7.97, 112.6, moment, -99, 40), "+OK\r\n+RCV=50,5,HELLO,-99,40\r\n",
				beacontest.RCV(0, "a\r\n,"+beacontest.RMC(49.9, -119.4, moment), -1, -20),
			},
			draw: reyaxFrame,
		},
	}[protocol]
	if !ok {
		t.Fatalf("there are no samples of protocol %q: add them to samplesOf in drivers/beacon/samples_test.go", protocol)
	}
	return s
}

func kenwoodFrame(t *rapid.T, lat, lon float64, at time.Time) (string, beacon.Fix) {
	fleet := rapid.IntRange(100, 349).Draw(t, "fleet")
	unit := rapid.IntRange(1000, 4999).Draw(t, "unit")
	fleetSync, nexedge := fmt.Sprintf("kenwood:%d-%d", fleet, unit), fmt.Sprintf("kenwood:U%05d", unit)
	clock := time.Date(1, 1, 1, at.Hour(), at.Minute(), at.Second(), 0, utc)
	switch rapid.IntRange(0, 3).Draw(t, "form") {
	case 0:
		return beacontest.PKLDS(fleet, unit, lat, lon, at), beacon.Fix{Tag: fleetSync, Lat: lat, Lon: lon, Time: at, Status: pointer(80)}
	case 1:
		return beacontest.PKNDS(unit, lat, lon, at), beacon.Fix{Tag: nexedge, Lat: lat, Lon: lon, Time: at, Status: pointer(207)}
	case 2:
		return beacontest.PKLSH(fleet, unit, lat, lon, at), beacon.Fix{Tag: fleetSync, Lat: lat, Lon: lon, Time: clock, TimeOfDay: true}
	}
	return beacontest.PKNSH(unit, lat, lon, at), beacon.Fix{Tag: nexedge, Lat: lat, Lon: lon, Time: clock, TimeOfDay: true}
}

func waypointFrame(t *rapid.T, lat, lon float64, at time.Time) (string, beacon.Fix) {
	name := rapid.StringMatching(`[A-Za-z0-9é,*-]{1,20}`).Draw(t, "name")
	fix := beacon.Fix{Tag: "waypoint:" + name, Lat: lat, Lon: lon, Unverified: true}
	if rapid.Bool().Draw(t, "aprs") {
		return beacontest.PKWDWPL(name, lat, lon, at), fix
	}
	return beacontest.WPL(name, lat, lon), fix
}

func meshFrame(t *rapid.T, lat, lon float64, at time.Time) (string, beacon.Fix) {
	num := rapid.Uint32Range(1, 1<<32-2).Draw(t, "node")
	id := rapid.Uint32().Draw(t, "id")
	rssi, snr := rapid.IntRange(-140, -1).Draw(t, "rssi"), rapid.IntRange(1, 40).Draw(t, "snr")
	fix := beacon.Fix{Tag: fmt.Sprintf("mesh:%08x", num), Lat: lat, Lon: lon, Time: at, Packet: id, RSSI: &rssi, SNR: pointer(float64(snr))}
	return beacontest.Meshtastic(num, id, lat, lon, at, rssi, float32(snr)), fix
}

func idasFrame(t *rapid.T, lat, lon float64, at time.Time) (string, beacon.Fix) {
	peer := rapid.IntRange(1, 65519).Draw(t, "peer")
	fix := beacon.Fix{Tag: fmt.Sprintf("idas:%d", peer), Lat: lat, Lon: lon, Time: at}
	if rapid.Bool().Draw(t, "rssi") {
		fix.RSSI = pointer(rapid.IntRange(-140, 0).Draw(t, "dBm"))
		return beacontest.IDAS(peer, lat, lon, at, strconv.Itoa(*fix.RSSI)), fix
	}
	return beacontest.IDAS(peer, lat, lon, at, "-"), fix
}

func reyaxFrame(t *rapid.T, lat, lon float64, at time.Time) (string, beacon.Fix) {
	address := rapid.IntRange(0, 65535).Draw(t, "address")
	rssi, snr := rapid.IntRange(-140, 0).Draw(t, "rssi"), rapid.IntRange(-20, 40).Draw(t, "snr")
	fix := beacon.Fix{Tag: fmt.Sprintf("reyax:%d", address), Lat: lat, Lon: lon, Time: at, RSSI: &rssi, SNR: pointer(float64(snr))}
	return beacontest.Reyax(address, lat, lon, at, rssi, snr), fix
}
