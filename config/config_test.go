package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// base is a small right configuration. The tests break it line by line.
const base = `[gateway]
id = "dinkes-01"
dinas = "dinkes"
[[reader]]
name = "door"
bus = "sim"
[[receiver]]
name = "yard"
protocol = "kenwood"
port = "/dev/ttyUSB0"
[badges]
plain_uid = true
[mqtt]
broker = "tcp://localhost"
`

// printed is the spans of a day.
func printed(spans []Span) string {
	var list []string
	for _, s := range spans {
		list = append(list, fmt.Sprintf("%v-%v", s.Start, s.End))
	}
	return fmt.Sprint(list)
}

// contract is the example of the contract, with the comments left out.
const contract = `
[gateway]
id        = "dinkes-01"
dinas     = "dinkes"
timezone  = "Asia/Jakarta"
state_dir = "/var/lib/gatewayd"

[[reader]]
name  = "door"
chip  = "mfrc522"
bus   = "/dev/spidev0.0"
speed_hz = 1_000_000
poll  = "50ms"
reset_pin = ""
gain_db = 33
irq_pin = ""

[[receiver]]
name     = "yard"
protocol = "kenwood"
port     = "/dev/serial/by-id/usb-1"
baud     = 9600

[feedback]
green = "GPIO17"
red   = "GPIO27"
buzzer = "GPIO22"

[badges]
repeat_window = "30s"
key_file = "/etc/gatewayd/badge.key"
plain_uid = false

[tags]
min_interval = "30s"
min_move_m   = 25
heartbeat    = "10m"
coordinates  = "full"
roster_file  = ""

[hours]
always = false
mon = "07:30-16:00"
tue = "07:30-16:00"
fri = "07:30-16:30"
sat = "07:30-24:00"
holidays = ["2026-12-25", 2027-01-01]
[[hours.period]]
from = "2027-02-08"
to = 2027-03-09
mon = "08:00-15:00"

[office]
lat = -7.9778
lon = 112.6340
radius_m = 100

[clock]
source = "kernel"

[journal]
keep = "35d"
max_mb = 256
commit_interval = "1s"

[mqtt]
broker = "tls://mqtt.example.go.id:8883"
ca_file = ""
cert_file = "tls/dinkes-01.pem"
key_file = "tls/dinkes-01.key"
username = ""
password_file = ""
insecure = false
receipts = false
window = 256
keepalive = "15s"
batch = "off"
batch_wait = "0s"
batch_max = 256

[health]
interval = "60s"
quiet_interval = "0s"
`

func TestParseContract(t *testing.T) {
	c, err := Parse("/etc/gatewayd/gatewayd.toml", []byte(contract))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Gateway.Timezone.String(); got != "Asia/Jakarta" {
		t.Errorf("time zone %s", got)
	}
	if len(c.Digest) != 64 {
		t.Errorf("digest %q", c.Digest)
	}
	c.Gateway.Timezone, c.Digest = nil, ""
	half := 7*time.Hour + 30*time.Minute
	want := &Config{
		Gateway: Gateway{ID: "dinkes-01", Dinas: "dinkes", StateDir: "/var/lib/gatewayd"},
		Readers: []Reader{{
			Name: "door", Chip: "mfrc522", Bus: "/dev/spidev0.0", SpeedHz: 1_000_000,
			Poll: 50 * time.Millisecond, GainDB: 33,
		}},
		Receivers: []Receiver{{Name: "yard", Protocol: "kenwood", Port: "/dev/serial/by-id/usb-1", Baud: 9600}},
		Feedback:  Feedback{Green: "GPIO17", Red: "GPIO27", Buzzer: "GPIO22"},
		Badges:    Badges{RepeatWindow: 30 * time.Second, KeyFile: "/etc/gatewayd/badge.key", Require: "uid"},
		Tags:      Tags{MinInterval: 30 * time.Second, MinMoveM: 25, Heartbeat: 10 * time.Minute, Coordinates: "full"},
		Hours: Hours{
			Week: Week{
				time.Monday: {{half, 16 * time.Hour}}, time.Tuesday: {{half, 16 * time.Hour}},
				time.Friday: {{half, 16*time.Hour + 30*time.Minute}}, time.Saturday: {{half, 24 * time.Hour}},
			},
			Holidays: []Date{{2026, 12, 25}, {2027, 1, 1}},
			Periods: []Period{{
				From: Date{2027, 2, 8}, To: Date{2027, 3, 9},
				Week: Week{time.Monday: {{8 * time.Hour, 15 * time.Hour}}},
			}},
		},
		Office:  &Office{Lat: -7.9778, Lon: 112.634, RadiusM: 100},
		Clock:   Clock{Source: "kernel"},
		Journal: Journal{Keep: 35 * 24 * time.Hour, MaxMB: 256, CommitInterval: time.Second},
		MQTT: MQTT{
			Broker:   Broker{TLS: true, Host: "mqtt.example.go.id", Port: 8883},
			CertFile: "/etc/gatewayd/tls/dinkes-01.pem", KeyFile: "/etc/gatewayd/tls/dinkes-01.key", Window: 256, KeepAlive: 15 * time.Second,
			Batch: "off", BatchMax: 256,
		},
		Health: Health{Interval: time.Minute},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

func TestParseRight(t *testing.T) {
	for _, tt := range []struct {
		name, add string // added to the base
		check     func(c *Config) bool
	}{
		{"base is simulated", "", (*Config).Simulated},
		{"no fence", "", func(c *Config) bool { return c.Office == nil }},
		{"no hours is the national week", "", func(c *Config) bool {
			return cmp.Equal(c.Hours, Hours{Week: nationalWeek()}) && len(c.Hours.Week[time.Saturday]) == 0
		}},
		{"only holidays keep the national week", "[hours]\nholidays = [2026-12-25]", func(c *Config) bool {
			return cmp.Equal(c.Hours.Week, nationalWeek()) && len(c.Hours.Holidays) == 1
		}},
		{"only periods keep the national week", "[[hours.period]]\nfrom = 2027-02-08\nto = 2027-02-08\nmon = \"\"", func(c *Config) bool {
			return cmp.Equal(c.Hours.Week, nationalWeek()) && len(c.Hours.Periods) == 1
		}},
		{"one day closes the others", "[hours]\nsun = \"00:00-24:00\"", func(c *Config) bool {
			return cmp.Equal(c.Hours.Week, Week{time.Sunday: {{0, 24 * time.Hour}}})
		}},
		{"breaks", "[hours]\nmon = \"07:30-16:00\"\nfri = \"07:30-16:30\"\nsat = \"07:30-11:00\"\nbreak = \"12:00-13:00\"\nfri_break = \"11:30-13:00\"\nsat_break = \"\"", func(c *Config) bool {
			w := c.Hours.Week
			return printed(w[time.Monday]) == "[7h30m0s-12h0m0s 13h0m0s-16h0m0s]" && printed(w[time.Friday]) == "[7h30m0s-11h30m0s 13h0m0s-16h30m0s]" &&
				printed(w[time.Saturday]) == "[7h30m0s-11h0m0s]" && len(w[time.Sunday]) == 0
		}},
		{"breaks at the ends of a day", "[hours]\nmon = \"08:00-16:00\"\nmon_break = \"07:00-09:00\"\ntue = \"08:00-16:00\"\ntue_break = \"15:00-16:00\"\nwed = \"08:00-16:00\"\nwed_break = \"08:00-16:00\"", func(c *Config) bool {
			w := c.Hours.Week
			return printed(w[time.Monday]) == "[9h0m0s-16h0m0s]" && printed(w[time.Tuesday]) == "[8h0m0s-15h0m0s]" && len(w[time.Wednesday]) == 0
		}},
		{"a break in the national week", "[hours]\nbreak = \"12:00-13:00\"", func(c *Config) bool {
			return printed(c.Hours.Week[time.Friday]) == "[7h30m0s-12h0m0s 13h0m0s-16h30m0s]"
		}},
		{"breaks hold in periods", "[hours]\nbreak = \"12:00-13:00\"\nfri_break = \"11:30-13:00\"\nperiod = [{from=2027-03-01, to=2027-03-01, mon=\"08:00-15:00\", fri=\"08:00-15:00\"}, {from=2027-04-01, to=2027-04-01, mon=\"08:00-15:00\", fri=\"08:00-15:00\", break=\"12:00-12:30\"}, {from=2027-05-01, to=2027-05-01, mon=\"08:00-15:00\", fri=\"08:00-15:00\", break=\"\"}]", func(c *Config) bool {
			p := c.Hours.Periods
			return printed(p[0].Week[time.Monday]) == "[8h0m0s-12h0m0s 13h0m0s-15h0m0s]" && printed(p[0].Week[time.Friday]) == "[8h0m0s-11h30m0s 13h0m0s-15h0m0s]" &&
				printed(p[1].Week[time.Friday]) == "[8h0m0s-12h0m0s 12h30m0s-15h0m0s]" && printed(p[2].Week[time.Friday]) == "[8h0m0s-15h0m0s]"
		}},
		{"always", "[hours]\nalways = true", func(c *Config) bool { return c.Hours.Always }},
		{"periods are sorted and may touch", "[hours]\nperiod = [{from=2027-03-02, to=2027-03-03, mon=\"\"}, {from=2027-03-01, to=2027-03-01, mon=\"\"}]", func(c *Config) bool {
			return len(c.Hours.Periods) == 2 && c.Hours.Periods[0].From.Day == 1
		}},
		{"a list of tables may begin with the tables", "[[hours.period]]\nfrom=2027-03-01\nto=2027-03-01\nmon=\"\"\n[hours]\nalways=true", func(c *Config) bool { return c.Hours.Always && len(c.Hours.Periods) == 1 }},
		{"zeros", "[tags]\nmin_interval = \"0s\"\nmin_move_m = 0\nheartbeat = \"0s\"", func(c *Config) bool {
			return c.Tags.MinInterval == 0 && c.Tags.MinMoveM == 0
		}},
		{"days", "[journal]\nkeep = \"1d12h\"", func(c *Config) bool { return c.Journal.Keep == 36*time.Hour }},
		{"numbers of other bases", "[journal]\nmax_mb = 0x10", func(c *Config) bool { return c.Journal.MaxMB == 16 }},
		{"metres with a fraction", "[tags]\nmin_move_m = 2.5", func(c *Config) bool { return c.Tags.MinMoveM == 2.5 }},
		{"relative fence", "[office]\nfence_file = \"office.geojson\"", func(c *Config) bool { return c.Office.FenceFile == "/etc/g/office.geojson" }},
		{"dotted keys", "journal.max_mb = 7\n", func(*Config) bool { return true }},
		{"two mocked readers", "[[reader]]\nname = \"back\"\nbus = \"sim\"", func(c *Config) bool { return len(c.Readers) == 2 }},
		{"reyax is fast", "[[receiver]]\nname=\"r\"\nprotocol=\"reyax\"\nport=\"/dev/ttyUSB1\"", func(c *Config) bool { return c.Receivers[1].Baud == 115200 }},
		{"mocked clock", "[clock]\nsource = \"sim\"", func(c *Config) bool { return c.Clock.Source == "sim" }},
		{"features that are switched off", "[tags]\nroster_file = \"\"", func(c *Config) bool { return c.Tags.RosterFile == "" }},
		{"Windows' line ends", "[journal]\r\nmax_mb = 7\r\n", func(c *Config) bool { return c.Journal.MaxMB == 7 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := base + tt.add
			if strings.HasPrefix(tt.add, "journal.") {
				text = tt.add + base // dotted keys stand above the tables
			}
			for _, mark := range []string{"", "\xef\xbb\xbf"} {
				c, err := Parse("/etc/g/gatewayd.toml", []byte(mark+text))
				if err != nil {
					t.Fatal(err)
				}
				if !tt.check(c) {
					t.Errorf("read as %+v", c)
				}
			}
		})
	}
}

func TestParseHidesSecretsOfURLs(t *testing.T) {
	for _, url := range []string{"tls://user:hunter2@b", "tls://b:hunter2", "tls://b/hunter2", "tls://hunter2 "} {
		_, err := Parse("g.toml", []byte(strings.Replace(base, "tcp://localhost", url, 1)))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestParseLimitsSize(t *testing.T) {
	fill := maxSize - len(base)
	if _, err := Parse("g.toml", []byte(base+strings.Repeat("\n", fill))); err != nil {
		t.Errorf("of the largest size: %v", err)
	}
	if _, err := Parse("g.toml", []byte(base+strings.Repeat("\n", fill+1))); err == nil {
		t.Error("too large a file was read")
	}
}

func TestBroker(t *testing.T) {
	for _, tt := range []struct {
		url, want string
		loopback  bool
	}{
		{"tls://mqtt.example.go.id", "tls://mqtt.example.go.id:8883", false},
		{"TLS://b:1", "tls://b:1", false},
		{"tcp://localhost", "tcp://localhost:1883", true},
		{"tcp://127.9.9.9:9", "tcp://127.9.9.9:9", true},
		{"tcp://[::1]", "tcp://[::1]:1883", true},
		{"tcp://[::ffff:127.0.0.1]:5", "tcp://[::ffff:127.0.0.1]:5", true},
		{"tls://[2001:db8::1]:8884", "tls://[2001:db8::1]:8884", false},
		{"tls://localhost.example", "tls://localhost.example:8883", false},
		{"wss://b", "wss://b:443/", false},
		{"wss://b/", "wss://b:443/", false},
		{"WSS://b:8443/city/mqtt", "wss://b:8443/city/mqtt", false},
		{"ws://localhost/mqtt", "ws://localhost:80/mqtt", true},
		{"ws://[::1]:9001", "ws://[::1]:9001/", true},
	} {
		b, wrong := parseBroker(tt.url)
		if wrong.en != "" || b.String() != tt.want || b.Loopback() != tt.loopback {
			t.Errorf("%s: %v, loopback %v, %q; want %s, %v", tt.url, b, b.Loopback(), wrong.en, tt.want, tt.loopback)
		}
	}
	text := strings.Replace(base, `"tcp://localhost"`, "\"tcp://10.0.0.1\"\ninsecure = true", 1)
	if _, err := Parse("g.toml", []byte(text)); err != nil {
		t.Errorf("insecure by consent: %v", err)
	}
}

// FuzzParse gives any bytes to Parse. What it accepts must be usable, and what
// it refuses must be told in single lines with a place.
func FuzzParse(f *testing.F) {
	f.Add([]byte(base))
	f.Add([]byte(contract))
	f.Add(Reference())
	for _, w := range wrongFiles() {
		f.Add([]byte(strings.Replace(base, w.old, w.new, 1)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("g.toml", data)
		if err == nil {
			if c.Gateway.ID == "" || c.Gateway.Timezone == nil || c.MQTT.Broker.Port == 0 || len(c.Readers)+len(c.Receivers) == 0 {
				t.Fatalf("accepted as %+v", c)
			}
			return
		}
		var ps Problems
		if !errors.As(err, &ps) || len(ps) == 0 {
			t.Fatalf("error of type %T: %v", err, err)
		}
		last, lines := 0, strings.Count(string(data), "\n")+1
		for _, p := range ps {
			if p.Line < last || p.Line > lines || p.Text == "" || strings.ContainsFunc(p.String(), unicode.IsControl) {
				t.Fatalf("problem %+v of a file with %d lines", p, lines)
			}
			last = p.Line
		}
	})
}

// TestParseSurvivesSize gives Parse large files that are built to hurt: they
// take no long time and make no long problems. The one with many keys, over
// which the library takes quadratic time, is of the largest size.
func TestParseSurvivesSize(t *testing.T) {
	fill := func(s string) string { return strings.Repeat(s, maxSize/16/len(s)) }
	var keys strings.Builder
	for i := 0; keys.Len() < maxSize-20; i++ {
		fmt.Fprintf(&keys, "k%d=1\n", i)
	}
	for name, text := range map[string]string{
		"deep key":        fill("a.") + "a=1",
		"deep known key":  "hours.period." + fill("a.") + "a=1",
		"deep key, twice": strings.Repeat(fill("a.")+"a=1\n", 2),
		"deep header":     "[" + fill("a.") + "a]",
		"deep list":       "a=" + fill("["),
		"many keys":       keys.String(),
		"enough keys":     keys.String()[:30_000],
		"the same key":    fill("a=1\n"),
		"many readers":    fill("[[reader]]\n"),
		"many periods":    fill("[[hours.period]]\nfrom=2027-01-01\nto=2027-01-01\n"),
		"long key":        fill("a") + "=1",
		"long text":       base + "username=\"" + fill("a") + "\"",
		"long number":     "journal.max_mb=" + fill("1"),
		"long list":       "hours.holidays=[" + fill("1,") + "]",
		"many unknown":    base + fill("[[x]]\n"),
		"long timezone":   "gateway.timezone=\"" + fill("a") + "\"",
		"backslashes":     "a=\"" + fill("\\"),
		"many open texts": fill("\"\"\""),
	} {
		start := time.Now()
		_, err := Parse("g.toml", []byte(text))
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
		var ps Problems
		if errors.As(err, &ps) && slices.ContainsFunc(ps, func(p Problem) bool { return len(p.String()) > 1000 }) {
			t.Errorf("%s: a problem is longer than a person reads", name)
		}
		// How long it may take is no test's matter on a busy machine; one that
		// grows with the square of the size does not end before the test's.
		t.Logf("%s: %v", name, time.Since(start))
	}
}
