package main_test

import (
	"bytes"
	encoding "encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/drivers/beacon/beacontest"
	"presence/scripts/brokertest"
	"presence/scripts/childtest"
)

// The home of somebody whose tag the tests hear, about 8 km from the office.
const (
	homeLat = -7.9634567
	homeLon = 112.5587654
)

// homeDigits are those positions as text, finer than a hundredth of a degree:
// in degrees, and in minutes as radios say it.
var homeDigits = []string{"7.963", "112.558", "757.80", "11233.52"}

// findHome names where in the data the position stands, finer than to 1 km: as
// text, or as a number as CBOR has it (RFC 8949, big-endian) or a processor.
func findHome(data []byte) (found []string) {
	for _, digits := range homeDigits {
		if bytes.Contains(data, []byte(digits)) {
			found = append(found, "the digits "+digits)
		}
	}
	near := func(v float64) bool {
		return math.Abs(v-homeLat) < 0.0003 || math.Abs(v-homeLon) < 0.0003
	}
	for i := range data {
		for _, order := range []encoding.ByteOrder{encoding.BigEndian, encoding.LittleEndian} {
			if i+8 <= len(data) && near(math.Float64frombits(order.Uint64(data[i:]))) {
				found = append(found, fmt.Sprintf("a number of 64 bits at %d", i))
			}
			if i+4 <= len(data) && near(float64(math.Float32frombits(order.Uint32(data[i:])))) {
				found = append(found, fmt.Sprintf("a number of 32 bits at %d", i))
			}
		}
	}
	return found
}

// onDisk is every file that a gateway keeps.
func (g *gateway) onDisk() map[string][]byte {
	g.t.Helper()
	files := make(map[string][]byte)
	err := filepath.WalkDir(filepath.Join(g.dir, "state"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		files[filepath.Base(path)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	if len(files["journal.db"]) == 0 {
		g.t.Fatal("there is no journal")
	}
	return files
}

// watch runs `gatewayd watch` for the rest of the test.
func (g *gateway) watch() *childtest.Log {
	g.t.Helper()
	path, err := binary()
	if err != nil {
		g.t.Fatal(err)
	}
	out := &childtest.Log{}
	cmd := exec.Command(path, "--config", g.config, "watch")
	cmd.Stdout, cmd.Stderr = out, out
	if err := childtest.Start(cmd); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	g.await("watch to say something", func() bool { return len(out.Bytes()) > 0 })
	return out
}

const farOffice = `
[office]
lat = -7.9778
lon = 112.6340
radius_m = 100
`

// TestCoordinatesAreNoFinerThanAllowed: what "coarse" and "none" leave out is in
// no file, no message, no log and on no screen. With "full", the same search
// finds it.
func TestCoordinatesAreNoFinerThanAllowed(t *testing.T) {
	t.Parallel()
	for _, coordinates := range []string{"full", "coarse", "none"} {
		t.Run(coordinates, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t)
			seen := b.Subscribe("#")
			radio, port := openTTY(t)
			g := newGateway(t, b.URL(), everyTag+fmt.Sprintf("coordinates = %q\nroster_file = \"roster.csv\"\n", coordinates)+farOffice+receiver(port))
			roster := "badge,tag\n5A000001,kenwood:100-1002\n5A000003,kenwood:100-1003\n"
			if err := os.WriteFile(filepath.Join(g.dir, "roster.csv"), []byte(roster), 0o600); err != nil {
				t.Fatal(err)
			}
			g.start()
			watched := g.watch()
			g.await("the line", func() bool { return g.health().MQTT.Connected })
			send := func(line string) {
				t.Helper()
				if _, err := io.WriteString(radio, line); err != nil {
					t.Fatal(err)
				}
			}
			now := time.Now()
			const fixes = 20
			for i := range fixes {
				send(beacontest.PKLDS(100, 1001, homeLat+float64(i)*1e-5, homeLon, now.Add(time.Duration(i-fixes)*time.Second)))
			}
			send(beacontest.PKLDS(100, 1001, homeLat, homeLon, now.Add(-time.Hour)))                             // late
			send(beacontest.PKLDS(100, 1001, homeLat, homeLon, now.Add(time.Hour)))                              // from the future
			send(strings.Replace(beacontest.PKLDS(100, 1001, homeLat, homeLon, now), "*", "*0", 1))              // spoiled
			send(strings.Replace(beacontest.PKLDS(100, 1001, homeLat, homeLon, now), ",A,", ",V,", 1))           // spoiled
			send(beacontest.Sentence(strings.Repeat("PKLDS,0757.8074,S,11233.5259,E,", 40)) + "0757.8074,S\r\n") // noise
			send(beacontest.PKLDS(100, 1002, homeLat, homeLon, now))
			seen.Await("all tag events", func(m []brokertest.Message) bool { return count(m, "tag") >= fixes+3 })
			g.tap("--uid", "5A000001", "--count", "3")
			messages := seen.Await("three taps", func(m []brokertest.Message) bool { return count(m, "badge") >= 3 })
			events(t, validator(t), messages)
			wantChecks(t, messages, map[string]string{
				"full":   "far 8440 to 8450, none, silent null",
				"coarse": "far 8000 to 8000, none, silent null",
				"none":   "far null, none, silent null",
			}[coordinates])
			g.await("the watcher to see the last", func() bool { return bytes.Contains(watched.Bytes(), []byte("kenwood:100-1002")) })

			places := map[string][]byte{
				"status": []byte(g.must("status")), "status --json": []byte(g.must("status", "--json")),
				"export": []byte(g.must("export")), "export csv": []byte(g.must("export", "--format", "csv")),
				"watch": watched.Bytes(),
			}
			g.stop()
			places["log"] = g.log.Bytes()
			for name, data := range g.onDisk() {
				places[name] = data
			}
			for _, m := range seen.Messages() {
				places["MQTT"] = append(append(places["MQTT"], m.Topic...), m.Payload...)
			}
			for name, data := range places {
				if found := findHome(data); coordinates != "full" && len(found) > 0 {
					t.Errorf("%s holds %v", name, found)
				}
			}
			if coordinates == "full" {
				for _, name := range []string{"export", "watch", "MQTT", "journal.db"} {
					if len(findHome(places[name])) == 0 {
						t.Errorf("the search does not find the position in %s", name)
					}
				}
			}
			if !bytes.Contains(places["MQTT"], []byte(`"zone":"outside"`)) {
				t.Error("not even the zone is told")
			}
		})
	}
}

// wantChecks compares what the badge events say of the tags: "far 8000 to 9000"
// is a state and the distance.
func wantChecks(t *testing.T, messages []brokertest.Message, want string) {
	t.Helper()
	wants := strings.Split(want, ", ")
	for _, m := range messages {
		if !strings.HasSuffix(m.Topic, "/event/badge") {
			continue
		}
		var e struct {
			Check *struct {
				State    string   `json:"state"`
				Distance *float64 `json:"distance_m"`
			} `json:"tag_check"`
		}
		if err := json.Unmarshal(m.Payload, &e); err != nil {
			t.Fatal(err)
		}
		next := wants[0]
		wants = wants[1:]
		got := "none"
		var low, high float64
		if e.Check != nil {
			got = e.Check.State
			if _, err := fmt.Sscanf(next, e.Check.State+" %f to %f", &low, &high); err == nil && e.Check.Distance != nil && *e.Check.Distance >= low && *e.Check.Distance <= high {
				continue
			}
			if e.Check.Distance == nil {
				got += " null"
			} else {
				got += fmt.Sprint(" ", *e.Check.Distance)
			}
		}
		if got != next {
			t.Errorf("tag_check %s, want %s: %s", got, next, m.Payload)
		}
	}
	if len(wants) > 0 {
		t.Errorf("no tap for %v", wants)
	}
}

// TestNothingOfATagOutsideHoursIsOnTheDisk: neither where it was nor that it was
// heard.
func TestNothingOfATagOutsideHoursIsOnTheDisk(t *testing.T) {
	t.Parallel()
	now := time.Now().In(time.FixedZone("WIB", 7*60*60))
	day := func(days int) string { return now.AddDate(0, 0, days).Format(time.DateOnly) }
	pause := func(days int) string { return weekday(now.AddDate(0, 0, days)) + "_break = \"00:00-24:00\"\n" }
	week := ""
	for d := range 7 {
		week += fmt.Sprintf("%s = \"00:00-24:00\"\n", weekday(now.AddDate(0, 0, d)))
	}
	for _, tc := range []struct{ name, hours string }{
		{"on a closed day", fmt.Sprintf("%s = \"00:00-24:00\"\n", weekday(now.AddDate(0, 0, 3)))},
		{"on a holiday", week + fmt.Sprintf("holidays = [%s, %s, %s]\n", day(-1), day(0), day(1))},
		{"in the break", week + pause(-1) + pause(0) + pause(1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t)
			seen := b.Subscribe("#")
			radio, port := openTTY(t)
			g := newGateway(t, b.URL(), "[hours]\n"+tc.hours+"[tags]\nmin_interval = \"0s\"\nmin_move_m = 0\n"+farOffice+receiver(port))
			g.start()
			const fixes = 20
			send := func(unit int) {
				t.Helper()
				for i := range fixes {
					line := beacontest.PKLDS(100, unit, homeLat+float64(i)*1e-5, homeLon, time.Now().Add(time.Duration(i-fixes)*time.Second))
					if _, err := io.WriteString(radio, line); err != nil {
						t.Fatal(err)
					}
				}
			}
			send(1001)
			g.await("all fixes to be dropped", func() bool { return g.health().Receivers[0].OutsideHours == fixes })
			g.tap("--uid", "5A000001")
			seen.Await("the tap", func(m []brokertest.Message) bool { return count(m, "badge") == 1 })
			g.stop()
			places := g.onDisk()
			places["log"] = g.log.Bytes()
			for _, m := range seen.Messages() {
				places["MQTT"] = append(append(places["MQTT"], m.Topic...), m.Payload...)
			}
			for name, data := range places {
				found := findHome(data)
				if bytes.Contains(data, []byte("100-1001")) {
					found = append(found, "the tag's name")
				}
				if len(found) > 0 {
					t.Errorf("%s holds %v", name, found)
				}
			}

			// The same in working hours is there.
			text, err := os.ReadFile(g.config)
			if err != nil {
				t.Fatal(err)
			}
			g.configure(strings.Replace(string(text), "[hours]\n", "[hours]\nalways = true\n", 1))
			g.start()
			send(1002)
			seen.Await("the tags", func(m []brokertest.Message) bool { return count(m, "tag") == fixes })
			g.stop()
			if data := g.onDisk()["journal.db"]; len(findHome(data)) == 0 || !bytes.Contains(data, []byte("100-1002")) {
				t.Error("the search does not find what is there")
			}
		})
	}
}

// weekday is a day of the week as the configuration has it.
func weekday(t time.Time) string { return strings.ToLower(t.Format("Mon")) }
